"""A boundary value that is not finite ends a run as every error does: one message with key and time, on all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.errors import CaseError, NumericalError, ParsolveError
from parsolve.problem.plan import check
from parsolve.problem.walls import Walls

if TYPE_CHECKING:
    from mpi4py import MPI

CELLS, LENGTH = 24, 24.0
SIDES = ("xmin", "xmax", "ymin", "ymax")
FIXED = {"steps": 12, "dt": 0.125, "scheme": "rk4"}
ADAPTIVE = {"end": 1.5, "scheme": "bs23", "tolerance": 1e-3}
HEAT = {"u": "laplace(u)"}
SWALLOWS = {"u": "where(dx(u) > 0, 1, 0) - u + max(dy(u), 0)*0"}  # comparisons and extrema hide a NaN


def condition(kind: str, bad: str) -> dict[str, Any]:
    """A condition with a value of 1, or infinite, in one of its parts."""
    if kind in ("dirichlet", "neumann"):
        return {kind: f"0.1*({bad})"}
    parts: list[Any] = [1.0, 0.5, 0.3]
    parts["abv".index(kind)] = bad
    return {"robin": parts}


def spoilt(side: str, cell: int, time: float) -> str:
    """1, but infinite at one cell of a side from a time on."""
    along = "y" if side[0] == "x" else "x"
    late = f"where(t >= {time}, 0, 1)" if time else "0"
    return f"1/where(abs({along} - {cell + 0.5}) < 0.25, {late}, 1)"


def told(lab: Any, case: dict[str, Any], comm: MPI.Intracomm) -> ParsolveError:
    """The one error of all ranks."""
    with pytest.raises(ParsolveError) as caught:
        lab.solve(case, comm)
    error = caught.value
    assert error.ranks == comm.size
    assert len(set(comm.allgather((type(error), str(error))))) == 1
    return error


@pytest.mark.mpi
@pytest.mark.parametrize("seed", range(24))
def test_a_wall_that_is_not_finite_is_one_error_of_all_ranks(lab: Any, comm: MPI.Intracomm, seed: int) -> None:
    """Any side, place, kind and time, from the start or later; in the plain order, in passes, with adaptive steps."""
    random = np.random.default_rng(seed)
    side, kind = SIDES[random.integers(4)], ("dirichlet", "neumann", "a", "b", "v")[random.integers(5)]
    cell, time = int(random.integers(CELLS)), float(random.choice([0.0, 0.125, 0.7, 1.0]))
    passes = {"steps": 1 if seed % 3 == 1 else 2}
    case = lab.case(
        [HEAT, SWALLOWS, "heat", "burgers"][seed % 4], CELLS, CELLS, length=LENGTH, periodic=False,
        boundary={"u": {side: condition(kind, spoilt(side, cell, time))}},
        time=[FIXED, ADAPTIVE, {"end": 1.5}][seed % 3], run={"pipeline": passes if seed // 4 % 2 else "off"},
    )  # fmt: skip
    error = told(lab, case, comm)
    key = f"boundary.u.{side}." + (kind if len(kind) > 1 else f"robin[{'abv'.index(kind)}]")
    assert type(error) is (NumericalError if time else CaseError)
    along = "y" if side[0] == "x" else "x"
    assert f"{key}: the value " in str(error)
    assert f", cell {along} = {cell} is not finite in float64" in str(error)
    at = float(str(error).partition("at t = ")[2].partition(",")[0])
    assert at == 0 if not time else time <= at <= 1.5
    assert at <= time + FIXED["dt"] or seed % 3  # the first, though it was looked for later
    if not time:
        with pytest.raises(CaseError) as caught:
            check(lab.pose(case).case, comm.size)
        assert str(caught.value) == str(error)


@pytest.mark.mpi
@pytest.mark.parametrize("side", SIDES)
def test_a_file_with_a_hole_is_refused_by_all_ranks(lab: Any, comm: MPI.Intracomm, shared_tmp: Any, side: str) -> None:
    values = np.ones(CELLS)
    values[11] = np.nan
    if comm.rank == 0:
        np.save(shared_tmp / "wall.npy", values)
    comm.Barrier()
    wall = {side: {"dirichlet": {"file": str(shared_tmp / "wall.npy")}}}
    case = lab.case("heat", CELLS, CELLS, periodic=False, boundary={"u": wall}, time={"steps": 1})
    error = told(lab, case, comm)
    assert type(error) is CaseError
    assert f"boundary.u.{side}.dirichlet: " in str(error)
    assert "not finite" in str(error)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("side", "time"), [("xmin", FIXED), ("xmax", ADAPTIVE), ("ymin", {"end": 1.5}), ("ymax", FIXED)]
)
@pytest.mark.parametrize(("text", "is_read"), [("laplace(xm)", False), ("laplace(xm) + dxy(xm)", True)])
def test_a_wall_that_ends_with_the_domain_is_an_error_only_if_its_corners_are_read(
    lab: Any, comm: MPI.Intracomm, text: str, is_read: bool, side: str, time: dict[str, Any]
) -> None:
    """By `check` as by a march: only mixed derivatives read the ghosts of ghosts."""
    along = "y" if side[0] == "x" else "x"
    wall = {side: {"dirichlet": f"sqrt({along}) + sqrt({LENGTH} - {along})"}}
    case = lab.case({"xm": text}, CELLS, CELLS, length=LENGTH, periodic=False, boundary={"xm": wall}, time=time)
    if is_read:
        error = told(lab, case, comm)
        assert type(error) is CaseError
        assert f", cell {along} = " in str(error)
        with pytest.raises(CaseError, match="is not finite"):
            check(lab.pose(case).case, comm.size)
    else:
        check(lab.pose(case).case, comm.size)
        assert np.isfinite(lab.solve(case, comm).fields["xm"]).all()


@pytest.mark.mpi
def test_what_a_march_does_not_reach_is_no_error(lab: Any, comm: MPI.Intracomm) -> None:
    """Steps are looked up for times beyond the end, where this wall has no value."""
    for time in ({"end": 1.0}, {"end": 1.0, "scheme": "dp45", "tolerance": 1e-4}):
        wall = {"xmax": {"dirichlet": "sqrt(1.000001 - t)"}}
        case = lab.case("burgers", CELLS, CELLS, length=LENGTH, periodic=False, boundary={"u": wall}, time=time)
        assert lab.solve(case, comm).result.time == 1.0


def test_what_the_precision_does_not_hold_is_not_finite(lab: Any) -> None:
    for value, varies in ((1e30, True), (1e39, True), (1e39, False)):
        wall = {"xmax": {"dirichlet": f"{value}*(1 + y)" if varies else value}}
        case = lab.case("heat", 8, 8, periodic=False, boundary={"u": wall}, run={"precision": "float32"})
        problem = lab.pose(case)
        walls = Walls(problem)
        if value < 1e38:
            walls.look((0, 0, 0), problem.grid.cells)
        else:
            with pytest.raises(CaseError, match=r"1\.?\d*e\+39 at t = 0, cell y = 0 is not finite in float32"):
                walls.look((0, 0, 0), problem.grid.cells)


def test_values_that_are_finite_pass_as_they_are(lab: Any) -> None:
    wall = {"xmax": {"robin": ["1 + y", "2 + t", "cos(y)*t"]}}
    problem = lab.pose(lab.case("heat", 8, 8, periodic=False, boundary={"u": wall}))
    given, watched = problem.conditions["u"]["xmax"], Walls(problem).conditions["u"]["xmax"]
    assert watched.varies
    for name in ("a", "b", "value"):
        box = (0.7, (0, 2, 0), (1, 4, 1))
        np.testing.assert_array_equal(getattr(watched, name)(*box), getattr(given, name)(*box))
