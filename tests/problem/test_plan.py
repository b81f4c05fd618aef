"""`check` says what a run would do, for any size of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.case import Case
from parsolve.errors import CaseError
from parsolve.problem import plan
from parsolve.problem.plan import check
from parsolve.run import run
from parsolve.simulation import Simulation
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

WALLS = {"u": {"ymin": {"dirichlet": "x + t"}, "ymax": {"robin": [1.0, 0.1, "sin(x)"]}}}
HUGE: dict[str, dict[str, Any]] = {
    "catalogue": {"equation": "gray-scott"},
    "own": {"equation": {"u": "div((1 + u**2)*grad(u)) + noise(seed=1)"}},
    "walls": {"equation": "heat", "periodic": "xz", "boundary": WALLS},
    "coefficients": {"equation": {"u": "div(k*grad(u))"}, "fields": {"k": "1 + x**2"}},
    "adaptive": {"equation": "heat", "time": {"end": 1e-3, "scheme": "dp45", "tolerance": 1e-4}},
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("ranks", [1, 1_000_000, 2_000_000_000])
def test_a_grid_of_any_size_is_answered_at_once(lab: Any, name: str, ranks: int) -> None:
    """With what it would take, and that it is too much here."""
    side = 100_000
    found = check(Case.from_dict(huge(lab, name, side)), ranks)
    assert found.memory_per_rank * ranks > 8 * side**3
    assert any("GiB is free there" in text for text in found.warnings)
    assert any("at most 128 cells" in text for text in found.warnings)
    least, most = found.local_shapes
    assert all(0 <= b - a <= 1 for a, b in zip(least, most, strict=True))


def huge(lab: Any, name: str, side: int) -> dict[str, Any]:
    tables = dict(HUGE[name])
    tables.setdefault("time", {"end": 1e-12})
    return lab.case(tables.pop("equation"), side, side, side, **tables)


@pytest.mark.parametrize("name", ["own", "walls", "coefficients"])
def test_a_coarser_look_gives_about_the_same_step(lab: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    tables = dict(HUGE[name])
    smooth = {"initial": {"u": "0.5 + 0.4*sin(6*x)*cos(6*y)"}}
    case = Case.from_dict(lab.case(tables.pop("equation"), 60, 50, 40, time={"end": 1e-3}, **tables, **smooth))
    whole = check(case, 2)
    monkeypatch.setattr(plan, "MOST_LOOKED", 1000)
    monkeypatch.setattr(plan, "COARSE", 20**3)
    coarse = check(case, 2)
    assert coarse.dt == pytest.approx(whole.dt, rel=0.05)  # steps are equal ones: their number jumps
    told = ("dt", "steps", "warnings", "memory_free")
    assert replace(coarse, **{key: getattr(whole, key) for key in told}) == whole
    assert len(coarse.warnings) == len(whole.warnings) + 1


@pytest.mark.parametrize(
    ("tables", "answer"),
    [
        ({"measure": {"m": "max(u)", "every": 1e-9}}, r"measure\.every: 1e\+08 measurements are more than 1e\+07"),
        ({"measure": {"m": {"of": "max(u)", "every": 1e-9}}}, r"measure\.m\.every: 1e\+08 measurements"),
        ({"output": {"every": 1e-9}}, r"output\.every: 1e\+08 frames"),
        ({"average": {"m": "u", "every": 1e-9}}, r"average\.every: 1e\+08 samples"),
        (
            {"time": {"end": 1e5}, "measure": {"m": "max(u)", "every_steps": 1}},
            r"measure\.every_steps: .* measurements",
        ),
        ({"time": {"end": 1e5}, "output": {"every_steps": 1}}, r"output\.every_steps: .* frames"),
    ],
)
def test_far_too_many_events_are_refused_with_their_number(lab: Any, tables: dict[str, Any], answer: str) -> None:
    case = Case.from_dict(lab.case("heat", 24, **{"time": {"end": 0.1}, **tables}))
    with pytest.raises(CaseError, match=answer):
        check(case, 1)
    with pytest.raises(CaseError, match=answer):
        Simulation(case)


def test_an_interval_far_shorter_than_a_step_is_told(lab: Any) -> None:
    for time, many in (({"end": 0.1}, r"1e\+05 measurements$"), ({"steps": 9}, "9 steps to t = 9e-06$")):
        case = Case.from_dict(lab.case("heat", 24, time=time, measure={"m": "max(u)", "every": 1e-6}))
        with Simulation(case) as sim:
            (found,) = sim.warnings
        assert [found] == check(case, 1).warnings
        assert re.search(rf"measure\.every: 1e-06 is .* times shorter than a step may be.*{many}", found)
    assert not check(
        Case.from_dict(lab.case("heat", 24, time=time, measure={"m": "max(u)", "every": 1e-4})), 1
    ).warnings


@pytest.mark.parametrize(
    ("time", "output"),
    [({"end": 0.0103, "dt": 1e-3}, {"every": 0.002}), ({"steps": 11, "dt": 1e-3}, {"every_steps": 4})],
)
def test_slices_are_counted_as_they_are_written(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, time: dict[str, Any], output: dict[str, Any]
) -> None:
    slices = {"a": {"x": 0.5, "every": 0.003}, "b": {"x": [0.1, 0.4], "stride": 3}, "c": {"y": 0.5, "every_steps": 4}}
    tables = lab.case("heat", 12, 9, time=time, output=output, slices=slices, run={"precision": "float32"})
    found = check(Case.from_dict(tables), 1).slices
    written = run(Case.from_dict(tables), solo, tmp_path / "a.h5").slices
    assert {name: said["frames"] for name, said in found.items()} == {n: said["frames"] for n, said in written.items()}
    for name, said in found.items():
        with open_result(tmp_path / f"a.{name}.h5") as result:
            assert said["frame_bytes"] == sum(result.read(field, 0).nbytes for field in result.fields)


def test_what_does_not_fit_here_is_told(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks together, and only then."""
    case = Case.from_dict(lab.case("heat", 32, 32, 32))
    each = check(case, 4).memory_per_rank
    for free, words in ((4 * each, []), (4 * each - 1, ["4 ranks need"]), (None, [])):
        monkeypatch.setattr(plan, "free_memory", lambda free=free: {} if free is None else {"node": free})
        found = check(case, 4)
        assert found.memory_free == free
        assert [text[:12] for text in found.warnings] == words
