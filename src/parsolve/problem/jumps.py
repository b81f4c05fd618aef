"""Walls with a slope beside jumps of a coefficient, which are closed as at order 2: no polynomial holds over a jump."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import AXES, slabs
from parsolve.equations.operators import fluxes
from parsolve.equations.values import centres, evaluate
from parsolve.problem.values import array, times_of

if TYPE_CHECKING:
    import sympy

    from parsolve.domain.grid import Triple
    from parsolve.problem.problem import Problem

JUMP = 2.0  # from cell to cell; to 3 no mode was found that grows
BESIDE = 6  # cells: those of the polynomial, and one more


def coarse_sides(problem: Problem) -> list[tuple[str, str]]:
    """Fields and sides where a slope is given and a coefficient of a flux jumps beside it.

    Coefficients are looked at that do not depend on unknowns, at t = 0, and those of files at all of their times.

    Raises:
        CaseError: the values of a coefficient field are wrong.
    """
    if problem.program.order == 2:
        return []
    found = {s.args for stage in problem.program.stages for e in stage.expressions for s in fluxes(e)}
    slopes = [
        (field, side)
        for field, sides in problem.conditions.items()
        for side, c in sides.items()
        if not c.mirrors and (callable(c.b) or c.b != 0)
    ]
    return [
        (field, side)
        for field, side in slopes
        if any(_jumps(problem, side, k) for k, u in found if field in map(str, u.free_symbols))
    ]


def _jumps(problem: Problem, side: str, k: sympy.Expr) -> bool:
    """Whether the size of a coefficient changes beside a side from cell to cell by more than JUMP."""
    grid, axis = problem.grid, AXES.index(side[0])
    if not {s.name for s in k.free_symbols} <= {*grid.names, "t", *problem.parameters, *problem.program.arrays}:
        return False
    depth = min(BESIDE, grid.cells[axis])
    times = {0.0} | {time for name in _read(problem, k) for time in times_of(problem, name)}
    first = grid.cells[axis] - depth if side.endswith("max") else 0
    for start, shape in slabs(grid.side_shape(side)):
        start, shape = _with(start, axis, first), _with(shape, axis, depth)
        for time in times:
            size = np.abs(_values(problem, k, start, shape, time))
            one, other = (np.delete(size, end, axis) for end in (-1, 0))
            if (np.maximum(one, other) > JUMP * np.minimum(one, other)).any():
                return True
    return False


def _with(box: Triple, axis: int, number: int) -> Triple:
    z, y, x = (number if d == axis else n for d, n in enumerate(box))
    return z, y, x


def _read(problem: Problem, k: sympy.Expr) -> set[str]:
    """The coefficient fields that a coefficient is made of."""
    return {s.name for s in k.free_symbols} & {*problem.program.arrays}


def _values(problem: Problem, k: sympy.Expr, start: Triple, shape: Triple, time: float) -> np.ndarray:
    """A coefficient on a box of cells, of coefficient fields at a time."""
    known: dict[str, float | np.ndarray] = {**problem.parameters, "t": 0.0, **centres(problem.grid, start, shape)}
    for name in _read(problem, k):
        known[name] = array(problem, name, start, shape, time=min(time, times_of(problem, name)[-1]))
    return np.broadcast_to(evaluate(k, known), shape)
