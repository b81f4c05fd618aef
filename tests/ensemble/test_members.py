"""The members of a sweep: what varies is crossed, taken in step, or sampled, and each makes a valid case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tomli_w

from parsolve.ensemble.members import read_sweep
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

    from parsolve.ensemble.members import Sweep

SET = {"time": {"steps": 2}}


def read(folder: Path, **tables: Any) -> Sweep:
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps({"case": "gray-scott", "set": SET} | tables))
    return read_sweep(path)


def test_lists_are_crossed_the_last_one_fastest(tmp_path: Path) -> None:
    found = read(tmp_path, vary={"parameters": {"F": [0.03, 0.04], "k": [0.06, 0.061, 0.062]}})
    pairs = [(member["parameters.F"], member["parameters.k"]) for member in found.members]
    assert pairs == [(F, k) for F in (0.03, 0.04) for k in (0.06, 0.061, 0.062)]
    assert [found.case(n).parameters["k"] for n in range(3)] == [0.06, 0.061, 0.062]
    assert all(found.case(n).time.steps == 2 for n in range(6))


def test_in_step_they_are_pairs(tmp_path: Path) -> None:
    vary = {"parameters": {"F": [0.03, 0.04], "k": {"from": 0.06, "to": 0.062, "count": 2}}}
    found = read(tmp_path, combine="zip", vary=vary)
    assert [tuple(member.values()) for member in found.members] == [(0.03, 0.06), (0.04, 0.062)]


@pytest.mark.parametrize(("scale", "numbers"), [("linear", [1.0, 5.5, 10.0]), ("log", [1.0, math.sqrt(10), 10.0])])
def test_ranges_have_their_ends_exactly(tmp_path: Path, scale: str, numbers: list[float]) -> None:
    vary = {"parameters": {"F": {"from": 1.0, "to": 10.0, "count": 3, "scale": scale}}}
    found = [member["parameters.F"] for member in read(tmp_path, vary=vary).members]
    assert found == pytest.approx(numbers, rel=1e-15)
    assert (found[0], found[-1]) == (1.0, 10.0)


@pytest.mark.parametrize("method", ["sobol", "latin-hypercube", "random"])
def test_samples_are_in_the_ranges_and_the_same_for_the_same_seed(tmp_path: Path, method: str) -> None:
    vary = {"parameters": {"F": {"from": 0.02, "to": 0.06}, "k": {"from": 1e-4, "to": 1e-1, "scale": "log"}}}
    sample = {"method": method, "count": 16, "seed": 3}
    found = [tuple(member.values()) for member in read(tmp_path, vary=vary, sample=sample).members]
    assert found == [tuple(member.values()) for member in read(tmp_path, vary=vary, sample=sample).members]
    assert found != [tuple(m.values()) for m in read(tmp_path, vary=vary, sample=sample | {"seed": 4}).members]
    values = np.array(found)
    assert ((values[:, 0] >= 0.02) & (values[:, 0] <= 0.06)).all()
    below = (values[:, 1] < 10**-2.5).sum()  # half of the way in the logarithm
    assert below == 8 if method != "random" else 2 <= below <= 14


def test_each_sample_is_taken_with_each_of_the_lists(tmp_path: Path) -> None:
    vary = {"parameters": {"F": {"from": 0.02, "to": 0.06}}, "run": {"precision": ["float32", "float64"]}}
    found = read(tmp_path, vary=vary, sample={"count": 4}).members
    assert len(found) == 8
    assert len({member["parameters.F"] for member in found}) == 4
    assert list(found[0]) == ["parameters.F", "run.precision"]


def test_files_begin_at_the_folder_of_the_sweep(tmp_path: Path) -> None:
    for n in (1, 2):
        np.save(tmp_path / f"u{n}.npy", np.ones((8, 8)))
    found = read(tmp_path, case="heat", vary={"initial": {"u": {"file": ["u1.npy", "u2.npy"]}}})
    assert [path.name for n in range(2) for path in found.case(n).inputs] == ["u1.npy", "u2.npy"]
    assert found.case(0).inputs[0].is_absolute()


@pytest.mark.parametrize(("tables", "text"), [
    ({"vary": {}}, "study.toml:.*vary: nothing varies"),
    ({"vary": {"parameters": {"FF": [1.0]}}}, r"member 0 \(parameters.FF = 1.0\).*"),
    ({"vary": {"time": {"steps": ["x"]}}, "set": {}}, r"member 0 \(time.steps = x\).*expected a whole number"),
    ({"vary": {"parameters": {"F": 1.0}}}, r"vary.parameters.F: expected a list"),
    ({"vary": {"parameters": {"F": []}}}, r"vary.parameters.F: expected a list"),
    ({"vary": {"parameters": {"F": [[1.0]]}}}, r"vary.parameters.F: expected a list"),
    ({"vary": {"parameters": {"F": {"from": 1.0}}}}, "parameters.F"),
    ({"vary": {"parameters": {"F": {"from": "a", "to": 2.0}}}}, "from: expected a number"),
    ({"vary": {"parameters": {"F": {"from": 1.0, "to": 2.0, "counts": 2}}}}, "did you mean 'count'"),
    ({"vary": {"parameters": {"F": {"from": 1.0, "to": 2.0, "count": 2, "scale": "x"}}}}, "'linear' or 'log'"),
    ({"vary": {"parameters": {"F": {"from": 1.0, "to": 2.0}}}}, r"give a count, or \[sample\]"),
    ({"vary": {"parameters": {"F": {"from": 1.0, "to": 2.0, "count": 0}}}}, "count: expected 1 to"),
    ({"vary": {"parameters": {"F": {"from": 1.0, "to": math.inf, "count": 2}}}}, "finite"),
    ({"vary": {"parameters": {"F": {"from": 0.0, "to": 1.0, "count": 2, "scale": "log"}}}}, "numbers above 0"),
    ({"vary": {"parameters": {"F": [1.0]}}, "sample": {"count": 2}}, "all ranges have counts"),
    ({"vary": {"parameters": {"F": [1.0], "k": [1.0, 2.0]}}, "combine": "zip"}, "there are parameters.F 1, "),
    ({"vary": {"time": {"steps": [1], "end": [1.0]}}}, "vary.time.steps: give this or time.end, not both"),
    ({"vary": {"parameters": {"F": [1.0]}}, "set": {"output": {"every": 1.0, "every_steps": 2}}}, "not both"),
    ({"vary": {"parameters": {"F": [1.0]}, "parameters.F": [2.0]}}, r"study.toml:\d+: vary.parameters.F: is given twice"),
    ({"vary": {"time": {"steps": [1, 2]}}}, "vary.time.steps: is in .set. too"),
    ({"vary": {"time": {"end": [1.0, 2.0]}}}, "vary.time.end: give this or time.steps, not both"),
    ({"vary": {"initial.u": ["1", "2"], "initial": {"u": {"file": ["a.npy"]}}}}, "vary.initial.u: give this or initial"),
    ({"vary": {"time": {"scheme": ["euler", "rk4", "ruk4"]}}}, r"member 2 \(time.scheme = ruk4\).*unknown scheme"),
    ({"vary": {"grid": {"x": {"cells": [8, 16]}}}, "stack": True}, "stack: the members have other grids"),
    ({"vary": {"parameters": {"F": {"from": 0, "to": 10**400, "count": 2}}}}, "parameters.F: expected numbers that are f"),
    ({"vary": {"parameters": {"F": [1.0]}}, "ranks": 0}, "ranks: expected a whole number >= 1"),
    ({"vary": {"parameters": {"F": [1.0]}}, "rank": 1}, "did you mean 'ranks'"),
    ({"vary": {"parameters": {"F": {"from": 0.0, "to": 1.0, "count": 2000000}}}}, "count: expected 1 to 1000000"),
    ({"vary": {"a": {"b": {"from": 0.0, "to": 1.0, "count": 9999}, "c": {"from": 0.0, "to": 1.0, "count": 999}}}},
     "more than 1000000 members"),
    ({"vary": {"parameters": {"F": {"from": 0.0, "to": 1.0}}}, "sample": {"count": 2, "seed": -1}}, "sample.seed"),
    ({"vary": {"parameters": {"F": [1.0]}}, "case": "gray-scot"}, "did you mean 'gray-scott'"),
])  # fmt: skip
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, tables: dict[str, Any], text: str) -> None:
    with pytest.raises(CaseError, match=text):
        read(tmp_path, **tables)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="no such file; a sweep is a TOML file"):
        read_sweep(tmp_path / "none.toml")


@pytest.mark.parametrize("keys", [("file", "dataset"), ("dataset", "file")])
def test_keys_of_one_table_stay_beside_each_other(tmp_path: Path, keys: tuple[str, str]) -> None:
    values = {"file": ["a.h5", "b.h5"], "dataset": ["u", "v"]}
    found = read(tmp_path, case="heat", combine="zip", vary={"initial": {"u": {key: values[key] for key in keys}}})
    given = [found.case(n).initial["u"] for n in range(2)]
    assert [(value.file, value.dataset) for value in given] == [  # type: ignore[union-attr]
        (str(tmp_path / "a.h5"), "u"), (str(tmp_path / "b.h5"), "v")]  # fmt: skip


def test_a_result_to_begin_from_may_vary(tmp_path: Path) -> None:
    own = {"grid": {"x": {"cells": 8, "range": [0.0, 1.0]}}, "evolve": {"u": "laplace(u)"}}
    (tmp_path / "own.toml").write_text(tomli_w.dumps(own))
    found = read(tmp_path, case="own.toml", vary={"initial": {"from": ["a.h5", "b.h5"]}})
    assert [path.name for n in range(2) for path in found.case(n).inputs] == ["a.h5", "b.h5"]


def test_a_parameter_that_nothing_uses_is_not_varied(tmp_path: Path) -> None:
    own = {"grid": {"x": {"cells": 8, "range": [0.0, 1.0]}}, "evolve": {"u": "k*laplace(u)"}, "initial": {"u": "w*x"}}
    (tmp_path / "own.toml").write_text(tomli_w.dumps(own | {"parameters": {"k": 1.0, "w": 1.0}}))
    assert len(read(tmp_path, case="own.toml", vary={"parameters": {"k": [1.0, 2.0], "w": [1.0, 2.0]}}).members) == 4
    with pytest.raises(
        CaseError, match=r"study.toml:\d+: vary.parameters.kk: nothing in the case uses 'kk'; did you .* 'k'"
    ):
        read(tmp_path, case="own.toml", vary={"parameters": {"kk": [1.0, 2.0]}})
    with pytest.raises(CaseError, match="nothing in the case uses 'cells'"):  # though a key has this name
        read(tmp_path, case="own.toml", vary={"parameters": {"cells": [1.0, 2.0]}})


def test_a_range_of_whole_numbers_with_whole_steps_has_whole_numbers(tmp_path: Path) -> None:
    vary = {"grid": {"x": {"cells": {"from": 16, "to": 64, "count": 4}}}}
    assert [member["grid.x.cells"] for member in read(tmp_path, vary=vary).members] == [16, 32, 48, 64]
    with pytest.raises(CaseError, match=r"expected a whole number, got 24\.5"):
        read(tmp_path, vary={"grid": {"x": {"cells": {"from": 16, "to": 33, "count": 3}}}})
