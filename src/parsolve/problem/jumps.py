"""Walls with a slope beside jumps of a coefficient, which are closed as at order 2: no polynomial holds over a jump."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import sympy

from parsolve.domain.grid import AXES, Triple
from parsolve.equations.operators import FLUXES, name_of
from parsolve.equations.values import evaluate
from parsolve.problem.values import array

if TYPE_CHECKING:
    from parsolve.domain.boundary import Condition, Conditions
    from parsolve.problem.problem import Problem

JUMP = 2.0  # from cell to cell; to 3 no mode was found that grows
BESIDE = 6  # cells: those of the polynomial, and one more
LARGEST = 1 << 22  # cells of a side that are looked at


def closed(problem: Problem) -> Conditions:
    """The conditions of a problem, those that give a slope ``coarse`` where a coefficient of a flux jumps beside them.

    Coefficients are looked at that do not depend on unknowns, at t = 0; sides of more than LARGEST cells are passed
    over.

    Raises:
        CaseError: the values of a coefficient field are wrong.
    """
    if problem.program.order == 2:
        return problem.conditions
    expressions = [e for stage in problem.program.stages for e in stage.expressions]
    fluxes = {s.args for e in expressions for s in sympy.preorder_traversal(e) if name_of(s) in FLUXES}

    def coarse(field: str, side: str, c: Condition) -> bool:
        is_slope = not c.mirrors and (callable(c.b) or c.b != 0)
        beside = [k for k, u in fluxes if field in map(str, u.free_symbols)] if is_slope else []
        return any(_jumps(problem, side, k) for k in beside)

    return {
        field: {side: replace(c, coarse=True) if coarse(field, side, c) else c for side, c in sides.items()}
        for field, sides in problem.conditions.items()
    }


def _jumps(problem: Problem, side: str, k: sympy.Expr) -> bool:
    """Whether the size of a coefficient changes beside a side from cell to cell by more than JUMP."""
    grid, axis = problem.grid, AXES.index(side[0])
    used = {s.name for s in k.free_symbols}
    if not used <= {*grid.names, "t", *problem.parameters, *problem.program.arrays}:
        return False
    depth = min(BESIDE, grid.cells[axis])
    z, y, x = (depth if d == axis else n for d, n in enumerate(grid.side_shape(side)))
    shape: Triple = (z, y, x)
    if prod(shape) > LARGEST:
        return False
    z, y, x = (grid.cells[axis] - depth if d == axis and side.endswith("max") else 0 for d in range(3))
    start: Triple = (z, y, x)
    known: dict[str, float | np.ndarray] = {**problem.parameters, "t": 0.0}
    for d, name in enumerate(AXES):
        if name in grid.names:
            centres = grid.lower[d] + (np.arange(start[d], start[d] + shape[d]) + 0.5) * grid.spacing[d]
            known[name] = centres.reshape([-1 if i == d else 1 for i in range(3)])
    known |= {name: array(problem, name, start, shape) for name in problem.program.arrays if name in used}
    size = np.abs(np.broadcast_to(evaluate(k, known), shape))
    one, next_ = (np.delete(size, end, axis) for end in (-1, 0))
    return bool((np.maximum(one, next_) > JUMP * np.minimum(one, next_)).any())
