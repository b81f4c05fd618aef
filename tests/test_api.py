"""Cases built in Python are those of the file, and SymPy's expressions keep their values in our language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from mpi4py import MPI

import parsolve
from parsolve.api import text
from parsolve.equations.parse import parse
from parsolve.equations.values import evaluate
from parsolve.errors import CaseError, SetupError

x, y = sympy.symbols("x y")
u, D = sympy.symbols("u D")


def test_a_case_of_sympy_numpy_tuples_and_paths_is_that_of_plain_tables() -> None:
    ours = parsolve.make_case(
        evolve={u: D * sympy.Function("laplace")(u) - sympy.Abs(u), "v": 0},
        define={"w": np.float64(0.5)},
        parameters={D: np.float32(0.5), "c": sympy.pi, "n": sympy.Integer(2)},
        fields={"k": {"file": Path("k.npy")}},
        grid={"x": {"cells": np.int64(8), "range": (0, sympy.Rational(1, 2)), "periodic": np.False_}},
        initial={"u": sympy.exp(-(x**2)), "v": sympy.sqrt(2)},
        boundary={"u": {"xmin": {"robin": np.array([1.0, 0.5, 0.0])}}},
        time={"steps": sympy.Integer(3), "dt": sympy.Float(0.25)},
    )
    plain = parsolve.Case.from_dict(
        {
            "evolve": {"u": "D*laplace(u) - abs(u)", "v": "0"},
            "define": {"w": "0.5"},
            "parameters": {"D": 0.5, "c": np.pi, "n": 2},
            "fields": {"k": {"file": "k.npy"}},
            "grid": {"x": {"cells": 8, "range": [0.0, 0.5], "periodic": False}},
            "initial": {"u": "exp(-x**2)", "v": 2**0.5},
            "boundary": {"u": {"xmin": {"robin": [1.0, 0.5, 0.0]}}},
            "time": {"steps": 3, "dt": 0.25},
        }
    )
    assert ours == plain


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"gird": {}}, "unknown key 'gird'; did you mean 'grid'?"),
        ({"grid": {"x": {"cells": sympy.Rational(1, 2), "range": (0, 1)}}}, "cells: expected a whole number, got 0.5"),
        ({"evolve": {"u": object()}}, "evolve.u: expected text"),
        ({"initial": {"u": x < 1}}, "time: missing"),
    ],
)
def test_what_is_wrong_is_told_as_of_a_file(tables: dict[str, object], words: str) -> None:
    grid = {"x": {"cells": 8, "range": (0, 1)}}
    with pytest.raises(CaseError) as caught:
        parsolve.make_case(**{"grid": grid} | tables)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "e",
    [
        sympy.Abs(x) + sympy.ceiling(y) * sympy.floor(x) - sympy.E * sympy.pi,
        sympy.Max(x, y, 0.25) - sympy.Min(x, 0.5) ** 2,
        sympy.Heaviside(x - y),
        sympy.Piecewise((x, x < 0), (y, x < 0.5), (2, True)),
        sympy.Piecewise((x, (x < 0.5) & (y > 0)), (y, sympy.Eq(x, y) | ~((x > 0.7) & (y < 0.2))), (3, True)),
        sympy.Piecewise((1, sympy.Ne(x, y)), (x, True)),
        sympy.Heaviside(x - y, 0) + sympy.Heaviside(x + y, 1) + sympy.Heaviside(x, sympy.Rational(1, 4)),
        sympy.Mod(x, 0.25) + sympy.Mod(-y, x + 2),
    ],
    ids=str,
)
def test_sympy_keeps_its_values(e: sympy.Expr) -> None:
    grid = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    ours = evaluate(parse(text(e), ["x", "y"], key="e"), dict(zip("xy", grid, strict=True)))
    assert np.broadcast_to(ours, grid[0].shape) == pytest.approx(sympy.lambdify((x, y), e)(*grid), abs=1e-15)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Equation'"):
        parsolve.Equation  # noqa: B018


HEAT = {
    "equation": "heat",
    "parameters": {"D": 0.1},
    "grid": {"x": {"cells": 8, "range": (0, 1)}},
    "initial": {"u": "x"},
    "time": {"end": 0.1, "dt": 0.001},
}


def test_tables_are_merged_and_later_ones_win() -> None:
    own = {"evolve": {u: "D*laplace(u) + k*w"}, "define": {"w": "u"}, "parameters": {D: 1, "k": 2}, "fields": {"f": 1}}
    rest = {"grid": HEAT["grid"], "initial": {"u": "x"}, "time": {"steps": 3}}
    case = parsolve.make_case(own, rest, parameters={"D": 10}, define={"v": "2*u"}, fields={"f": "x"}, time={"end": 1})
    assert case.parameters == {"D": 10.0, "k": 2.0}
    assert case.define == {"w": "u", "v": "2*u"}
    assert case.fields == {"f": "x"}
    assert (case.time.end, case.time.steps) == (1.0, None)
    again = parsolve.make_case(case, grid={"x": {"cells": 9}}, initial={"u": {"file": "a.h5", "dataset": "u"}})
    assert again == parsolve.make_case(again)
    assert again.grid["x"].range == (0.0, 1.0)
    last = parsolve.make_case(again, initial={"u": {"file": "b.npy"}})
    assert last.initial["u"] == parsolve.make_case(HEAT, initial={"u": Path("b.npy")}).initial["u"]


def test_a_loop_over_a_parameter_gives_as_many_answers(tmp_path: Path) -> None:
    own = {key: table for key, table in HEAT.items() if key != "equation"} | {"evolve": {"u": "D*laplace(u)"}}
    for base in (HEAT, own, parsolve.make_case(HEAT)):
        cases = [parsolve.make_case(base, parameters={"D": value}) for value in (0.1, 1, np.float32(10))]
        found = [parsolve.solve(case, tmp_path / "u.h5", force=True).fields["u"]["max"] for case in cases]
        assert found == sorted(set(found), reverse=True)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([HEAT, {"evolve": {"u": "u"}}], "the case has equation = 'heat' already"),
        ([HEAT, {"parameters": 3}], "parameters: expected a table, got 3"),
        ([HEAT, {"parameters": {D: 1, "D": 2}}], "parameters.D: given twice"),
        (["heat.toml"], "expected a case or tables, got 'heat.toml'"),
        ([HEAT, {"initial": {"u": lambda x: x}}], "initial.u: a Python function can neither be compiled"),
        ([HEAT, {"initial": {"u": np.array(["a"])}}], "initial.u: an array of real numbers is due"),
        ([HEAT, {"initial": {"u": [[1, 2], [3]]}}], "initial.u: not an array of numbers"),
        ([HEAT, {"initial": {"u": {"file": "a", "array": 3}}}], "unknown key 'initial.u.array'"),
    ],
)
def test_what_cannot_be_merged_or_taken_is_told(parts: list[Any], words: str) -> None:
    with pytest.raises(CaseError) as caught:
        parsolve.make_case(*parts)
    assert words in str(caught.value)


def array_case(array: bool, folder: Path) -> parsolve.Case:
    """Initial values, a coefficient and boundary values in three ways of indexing, from arrays or from their files."""
    rng = np.random.default_rng(3)
    values = {"u": rng.random((11, 9)), "k": 1 + rng.random((1, 11, 9)), "v": rng.random(11)}

    def of(name: str) -> Any:
        if MPI.COMM_WORLD.rank == 0:
            np.save(folder / f"{name}.npy", values[name])
        return values[name] if array else {"file": folder / f"{name}.npy"}

    return parsolve.make_case(
        evolve={"u": "div(k*grad(u))"},
        fields={"k": of("k")},
        initial={"u": of("u")},
        boundary={"u": {"xmin": {"dirichlet": of("v")}}},
        grid={"x": {"cells": np.int64(9), "range": (0, np.float32(1))}, "y": {"cells": 11, "range": (0, 1)}},
        time={"steps": 5},
    )


def test_arrays_are_taken_as_files_are(comm: MPI.Intracomm, shared_tmp: Path) -> None:
    for kind in ("array", "file"):
        parsolve.solve(array_case(kind == "array", shared_tmp), shared_tmp / f"{kind}.h5", comm=comm)
    with parsolve.open_result(shared_tmp / "array.h5") as a, parsolve.open_result(shared_tmp / "file.h5") as b:
        assert np.array_equal(a.read("u", -1), b.read("u", -1))
        assert "array of shape (11, 9), float64 (sha256 " in a.provenance["case"]
    comm.barrier()


def test_an_array_is_that_of_the_moment_and_has_the_shape_of_the_grid(tmp_path: Path) -> None:
    start = np.linspace(0, 1, 8)
    case = parsolve.make_case(HEAT, initial={"u": start})
    assert case == parsolve.make_case(HEAT, initial={"u": list(start)})
    start[:] = np.nan
    assert parsolve.solve(case, tmp_path / "u.h5").steps > 0
    with pytest.raises(CaseError, match=r"initial.u: the array has shape \(7,\), the grid is \(8,\)"):
        parsolve.solve(parsolve.make_case(HEAT, initial={"u": np.ones(7)}), tmp_path / "v.h5")


@pytest.mark.parametrize("key", ["initial.u", "fields.k", "boundary.u.xmin.dirichlet"])
def test_masked_values_are_refused_with_their_key_and_others_are_taken(key: str) -> None:
    def case(values: Any) -> Any:
        tables: Any = values
        for part in reversed(key.split(".")):
            tables = {part: tables}
        grid = {axis: {"cells": 3, "range": (0, 1)} for axis in "xy"}
        base = {"evolve": {"u": "k*laplace(u)"}, "fields": {"k": 1}, "initial": {"u": 0}, "time": {"steps": 1}}
        return parsolve.make_case(base, tables, grid=grid)

    values = np.ones((3, 3))
    assert case(np.ma.array(values)) == case(values) == case(np.ma.array(values, mask=np.zeros((3, 3))))
    masked = np.ma.array(values, mask=[[0, 0, 0], [0, 1, 0], [1, 0, 0]])
    for given in (masked, list(masked), np.ma.masked_all((3, 3))):
        with pytest.raises(CaseError, match=rf"{key}: \d values are masked, the first at \[(1, 1|0, 0)\]"):
            case(given)


def test_a_launcher_asks_for_a_communicator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = parsolve.make_case(HEAT)
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "2")
    with pytest.raises(SetupError, match=r"started 4 processes.*comm=MPI\.COMM_WORLD"):
        parsolve.solve(case, tmp_path / "u.h5")
    assert parsolve.solve(case, tmp_path / "u.h5", comm=MPI.COMM_SELF).steps > 0


@pytest.mark.parametrize(("case", "out"), [(None, "u.h5"), ("heat", "u.h5"), (parsolve.make_case(HEAT), None)])
def test_what_is_no_case_or_no_name_is_told(case: Any, out: Any) -> None:
    with pytest.raises(CaseError, match=r"solve: expected .*, got (None|'heat')"):
        parsolve.solve(case, out)


def test_the_public_names_are_shown() -> None:
    assert {"make_case", "solve", "Case", "__version__"} <= set(dir(parsolve))
    assert parsolve.__version__[0].isdigit() or parsolve.__version__ == "unknown (run from source)"


@pytest.mark.parametrize("seed", range(12))
def test_conditions_of_sympy_keep_their_values(seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds = [sympy.And, sympy.Or, sympy.Xor, sympy.Nand, sympy.Implies, sympy.Equivalent, sympy.ITE]
    relations = [sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge, sympy.Eq, sympy.Ne]

    def condition(depth: int) -> Any:
        if not depth:
            return relations[random.integers(6)](random.choice([x, y, x + y]), random.choice([x - y, 0.25, x * y]))
        kind = kinds[random.integers(7)]
        parts = [condition(depth - 1) for _ in range(3 if kind is sympy.ITE else 2)]
        return sympy.Not(kind(*parts)) if random.random() < 0.3 else kind(*parts)

    holds = condition(int(random.integers(3)))
    axes = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    expected = np.broadcast_to(sympy.lambdify((x, y), holds)(*axes), axes[0].shape)
    for e, inside, outside in ((holds, 1, 0), (sympy.Piecewise((x, holds), (2, True)), axes[0], 2)):
        ours = evaluate(parse(text(e), ["x", "y"], key="e"), dict(zip("xy", axes, strict=True)))
        np.testing.assert_array_equal(np.broadcast_to(ours, axes[0].shape), np.where(expected, inside, outside))


@pytest.mark.parametrize("e", [sympy.Mod(x, 0.3), sympy.frac(3 * x), sympy.Mod(x - y, 2), sympy.frac(x * y)])
def test_remainders_of_sympy_keep_their_values_in_every_place(e: Any) -> None:
    axes = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    for whole in (e, 1 - e, 2 * e, e**2, e / (x + 3), sympy.sin(-e)):
        ours = evaluate(parse(text(whole), ["x", "y"], key="e"), dict(zip("xy", axes, strict=True)))
        expected = sympy.lambdify((x, y), whole.replace(sympy.frac, lambda a: a - sympy.floor(a)))(*axes)
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def nested(kind: Any, depth: int = 5000) -> Any:
    data: Any = 1
    for _ in range(depth):
        data = kind(data)
    return data


HUGE = 10**5000


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"output": {"fields": nested(lambda data: [data])}}, "output.fields"),
        ({"initial": {"u": nested(lambda data: [data])}}, "initial.u"),
        ({"initial": nested(lambda data: {"a": data})}, "initial"),
        ({"grid": {"x": {"cells": HUGE, "range": (0, 1)}}}, "grid.x.cells"),
        ({"grid": {"x": {"cells": 10**400, "range": (0, 1)}}}, "grid.x.cells"),
        ({"parameters": {"D": HUGE}}, "parameters.D"),
        ({"parameters": {"D": sympy.Integer(HUGE)}}, "parameters.D"),
        ({"initial": {"u": HUGE * x}}, "initial.u"),
    ],
    ids=range(8),
)
def test_what_no_file_could_hold_is_refused_with_its_key(tables: dict[str, Any], key: str) -> None:
    base = {"equation": "heat", "grid": {"x": {"cells": 8, "range": (0, 1)}}, "initial": {"u": 1}, "time": {"steps": 1}}
    with pytest.raises(CaseError) as caught:
        parsolve.make_case(base, **tables)
    assert key in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("title", ["\udcff", "a\0b", "w\u00e4rme \U0001f600"])
def test_any_title_is_kept(tmp_path: Path, title: str) -> None:
    grid = {"x": {"cells": 8, "range": (0, 1)}}
    case = parsolve.make_case(equation="heat", title=title, grid=grid, initial={"u": 1}, time={"steps": 1})
    parsolve.solve(case, tmp_path / "a.h5", comm=MPI.COMM_SELF)
    with parsolve.open_result(tmp_path / "a.h5") as result:
        assert result.provenance["title"] == title.replace("\0", r"\0").encode("utf-8", "backslashreplace").decode()


def test_only_a_communicator_solves() -> None:
    case = parsolve.make_case(
        equation="heat", grid={"x": {"cells": 8, "range": (0, 1)}}, initial={"u": 1}, time={"steps": 1}
    )
    with pytest.raises(CaseError, match="comm is a communicator"):
        parsolve.solve(case, "a.h5", comm=3)  # type: ignore[arg-type]


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize(
    ("tables", "out", "key"),
    [
        ({"initial": {"u": np.linspace(0, 2, 24)}}, "a.h5", "initial.u"),
        ({"initial": {"u": np.linspace(0, 1, 24, dtype=np.float32)}}, "a.h5", "initial.u"),
        ({"initial": {"u": "x"}}, "a.h5", "initial.u"),
        ({"parameters": {"D": 0.3}}, "a.h5", "parameters.D"),
        ({"fields": {"k": "x"}}, "a.h5", "fields.k"),
        ({"grid": {"x": {"cells": 25}}}, "a.h5", "grid.x.cells"),
        ({"time": {"end": 2e-3}}, "a.h5", "time.end"),
        ({"run": {"order": 4}}, "a.h5", "run.order"),
        ({"boundary": {"u": {"xmin": {"neumann": 0.0}}}}, "a.h5", "boundary.u.xmin.dirichlet"),
        ({}, "b.h5", "out"),
        (None, "a.h5", "solve: expected a case"),
    ],
)
def test_ranks_that_hold_different_cases_are_told_so_together(
    comm: MPI.Intracomm, shared_tmp: Path, tables: dict[str, Any] | None, out: str, key: str
) -> None:
    """Whichever rank differs and in whatever; where none does the case is solved."""
    base = parsolve.make_case(
        evolve={"u": "D*laplace(u)"}, parameters={"D": 0.1}, grid={"x": {"cells": 24, "range": (0, 1)}},
        initial={"u": np.linspace(0, 1, 24)}, boundary={"u": {"xmin": {"dirichlet": 0}}}, time={"end": 1e-3},
    )  # fmt: skip
    for odd_one in range(1, comm.size):
        case, name = base, "a.h5"
        if comm.rank == odd_one:
            case, name = parsolve.make_case(base, tables) if tables is not None else None, out  # type: ignore[assignment]
        with pytest.raises(CaseError) as caught:
            parsolve.solve(case, shared_tmp / name, comm=comm)
        assert len(set(comm.allgather(str(caught.value)))) == 1
        if tables is not None:
            assert f"the ranks differ: {key} on rank {odd_one} is not that of rank 0" in str(caught.value)
        else:
            assert key in str(caught.value)
    assert parsolve.solve(base, shared_tmp / "a.h5", comm=comm, force=True).steps > 0


@pytest.mark.mpi(min_size=2)
def test_the_order_of_fields_is_part_of_a_case(comm: MPI.Intracomm, shared_tmp: Path) -> None:
    """Sets of names are in another order in each process."""
    names = "ab" if comm.rank else "ba"
    case = parsolve.make_case(
        HEAT, equation=None, evolve={n: f"laplace({n})" for n in names}, initial={n: "x" for n in "ab"}
    )
    with pytest.raises(CaseError, match=r"the ranks differ: the order of keys from evolve\.b on rank 1"):
        parsolve.solve(case, shared_tmp / "a.h5", comm=comm)
