"""Whether central differences of advection overshoot: the cell Peclet number |a| h/D of a problem."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.equations.operations import NUMPY
from parsolve.equations.operators import ADVECTION, FACE_FLUXES, name_of
from parsolve.equations.program import part
from parsolve.problem.operators import coefficients

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sympy

    from parsolve.equations.program import Stage
    from parsolve.equations.tape import Offset
    from parsolve.problem.problem import Problem

LARGEST = 2.0  # above it a cell weighs a neighbour negatively: Patankar, Numerical Heat Transfer (1980), 5.2
STATES = 64


def peclet_warnings(problem: Problem, extrema: Mapping[str, tuple[float, float]]) -> list[str]:
    """A text for each unknown and axis whose central differences may overshoot at steep fronts.

    The weight of the neighbours i + 1 and i - 1 in the rate of a field is D/h^2 -+ a/2h, to every order up to a factor
    that both terms share; it is measured on the rate itself, at states within the ranges. Equations with derivatives of
    derivatives are left out, as other terms than diffusion may keep them smooth.

    Args:
        problem: whose rates are looked at.
        extrema: smallest and largest value of each unknown and coefficient field.
    """
    program = problem.program
    found: list[str] = []
    nested = any(stage.integral is None for stage in program.defines)
    if nested or problem.equation.time_order == 2:
        return found
    states = _states(problem, extrema)
    for n, (name, expression) in enumerate(zip(program.unknowns, program.rate.expressions, strict=True)):
        stage = part(program.rate, n, n + 1)
        for axis in problem.grid.names:
            if not _has_upwind(expression, axis):
                number = _cell_peclet(problem, states, stage, axis)
                if number > LARGEST * (1 + 1e-6):
                    found.append(_warning(name, axis, problem.grid.cells[AXES.index(axis)], number))
    return found


def _warning(name: str, axis: str, cells: int, number: float) -> str:
    enough = math.ceil(cells * number / LARGEST) if number < math.inf else math.inf
    finer = f"use {enough} cells along {axis}, or " if enough < 1e9 else ""
    said = f"up to {number:.3g}, above {LARGEST:g}" if number < math.inf else "infinite"
    return (
        f"{name}: the cell Peclet number |a| h/D along {axis} is {said}: central differences overshoot at steep "
        f"fronts; {finer}write the equation in [evolve] with advect(a, {name}) or upwind(a, {name})"
    )


def _has_upwind(expression: sympy.Expr, axis: str) -> bool:
    """Whether a rate has differences on the side of the wind along an axis."""
    import sympy

    names = (name_of(part) for part in sympy.preorder_traversal(expression))
    return any(name in ADVECTION | FACE_FLUXES and name.endswith(f"_{axis}") for name in names)


def _states(problem: Problem, extrema: Mapping[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Values of the fields and coordinates: both ends of all ranges, and points between them."""
    grid = problem.grid
    ranges = dict(extrema)
    for axis, low, n, h in zip(AXES, grid.lower, grid.cells, grid.spacing, strict=True):
        ranges[axis] = (low, low + n * h)
    ranges["t"] = (0.0, problem.case.time.end or 0.0)
    parts = np.random.default_rng(0).random((STATES, len(ranges))).round()  # corners of the box of ranges ...
    parts[0], parts[1], parts[2] = 0.0, 1.0, 0.5  # ... these among them, and its middle
    return {name: low + part * (high - low) for part, (name, (low, high)) in zip(parts.T, ranges.items(), strict=True)}


def _cell_peclet(problem: Problem, states: Mapping[str, np.ndarray], stage: Stage, axis: str) -> float:
    """Largest cell Peclet number of a stage's field along an axis, over the states; 0 without advection."""
    with np.errstate(all="ignore"):
        forward, backward = (_weight(problem, states, stage, axis, side) for side in (1, -1))
        advection, diffusion = np.abs(forward - backward), forward + backward
        least = 1e-6 * (np.abs(forward) + np.abs(backward))  # below it are errors of rounding
        numbers = np.where(diffusion > least, 2.0 * advection / diffusion, np.inf)
    numbers = np.where(np.isfinite(advection) & (advection > least), numbers, 0.0)
    return float(numbers.max(initial=0.0))


def _weight(problem: Problem, states: Mapping[str, np.ndarray], stage: Stage, axis: str, side: int) -> np.ndarray:
    """Derivative of the rate of a stage's field by its value at a neighbour, by central differences, state by state."""
    (name,) = stage.outputs
    offset = tuple(side if other == axis else 0 for other in AXES)
    values = coefficients(stage, problem.grid, problem.parameters)
    small = 1e-6 * np.maximum(1e-3 * np.abs(states[name]).max(), np.abs(states[name]))
    small = np.where(small > 0, small, 1e-6)

    def rate(change: np.ndarray) -> np.ndarray:
        def load(data: tuple[int, Offset]) -> np.ndarray:
            read = stage.inputs[data[0]]
            return states[read] + change if (read, data[1]) == (name, offset) else states[read]

        leaves: dict[str, Any] = {
            "load": load,
            "constant": float,
            "coefficient": lambda n: values[n],
            "coordinate": lambda data: states["zyx"[data[0]]],
            "time": lambda _: states["t"],
            "integral": lambda _: 0.0,
        }
        rates = stage.evaluate(leaves, lambda operation, arguments: NUMPY[operation](*arguments))
        return np.broadcast_to(rates[0], small.shape)

    weight: np.ndarray = (rate(small) - rate(-small)) / (2 * small)
    return weight
