"""Whether central differences of advection overshoot: the cell Peclet number |a| h/D of a problem."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.equations.operations import NUMPY
from parsolve.equations.operators import ADVECTION, FACE_FLUXES, name_of
from parsolve.equations.program import part
from parsolve.problem.operators import coefficients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sympy

    from parsolve.equations.program import Program, Stage
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
        stage = _part(program, n)
        axes = [axis for axis in problem.grid.names if not _has_upwind(expression, axis)]
        for axis, number in zip(axes, _cell_peclets(problem, states, stage, axes), strict=True):
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


@lru_cache(maxsize=64)
def _part(program: Program, n: int) -> Stage:
    """The stage of the rate of an unknown alone."""
    return part(program.rate, n, n + 1)


@lru_cache(maxsize=64)
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
    places = zip(parts.T, ranges.items(), strict=True)
    return {name: (1 - part) * low + part * high for part, (name, (low, high)) in places}


def _cell_peclets(problem: Problem, states: Mapping[str, np.ndarray], stage: Stage, axes: Sequence[str]) -> list[float]:
    """Largest cell Peclet number of a stage's field along some axes, over the states; 0 without advection."""
    with np.errstate(all="ignore"):
        forward, backward = np.moveaxis(_weights(problem, states, stage, axes), 1, 0)
        advection, diffusion = np.abs(forward - backward), forward + backward
        least = 1e-6 * (np.abs(forward) + np.abs(backward))  # below it are errors of rounding
        numbers = np.where(diffusion > least, 2.0 * advection / diffusion, np.inf)
    numbers = np.where(np.isfinite(advection) & (advection > least), numbers, 0.0)
    return [float(largest) for largest in numbers.max(axis=1, initial=0.0)]


def _weights(problem: Problem, states: Mapping[str, np.ndarray], stage: Stage, axes: Sequence[str]) -> np.ndarray:
    """Derivatives of the rate of a stage's field by its values at neighbours, by central differences.

    They are of shape (axes, 2, states), those of the neighbour behind at 1.
    """
    (name,) = stage.outputs
    values = coefficients(stage, problem.grid, problem.parameters)
    small = 1e-6 * np.maximum(1e-3 * np.abs(states[name]).max(), np.abs(states[name]))
    small = np.where(small > 0, small, 1e-6)
    # All at once: of each neighbour a row of states in which it is larger, and one in which it is smaller.
    neighbours = [tuple(side if other == axis else 0 for other in AXES) for axis in axes for side in (1, -1)]
    rows = (len(neighbours), 2, small.size)
    every = {read: np.broadcast_to(state, rows) for read, state in states.items()}

    def load(data: tuple[int, Offset]) -> np.ndarray:
        read, offset = stage.inputs[data[0]], data[1]
        if read != name or offset not in neighbours:
            return every[read]
        changed, n = every[read].copy(), neighbours.index(offset)
        changed[n] += small, -small
        return changed

    leaves: dict[str, Any] = {
        "load": load,
        "constant": float,
        "coefficient": lambda n: values[n],
        "coordinate": lambda data: every["zyx"[data[0]]],
        "time": lambda _: every["t"],
        "integral": lambda _: 0.0,
        "white": lambda _: 0.0,
    }
    (rates,) = stage.evaluate(leaves, lambda operation, arguments: NUMPY[operation](*arguments))
    up, down = np.moveaxis(np.broadcast_to(rates, rows), 1, 0)
    weights: np.ndarray = ((up - down) / (2 * small)).reshape(len(axes), 2, small.size)
    return weights
