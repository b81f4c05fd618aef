"""The times of a problem: the stable step, the steps of a march, its frames."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, cast

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.equations.symbol import eigenvalues
from parsolve.march.schedule import Schedule, counted_schedule, even_schedule
from parsolve.march.stability import closure_factor, stable_step
from parsolve.problem.operators import coefficients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.problem.problem import Problem

MOST_STEPS = 1e15  # below 2^53, so that they are counted one by one


def stable_dt(
    problem: Problem, extrema: Mapping[str, tuple[float, float]], duration: float, measured: float | None = None
) -> float:
    """The automatic time step, from the range of initial values and coefficient fields, and of the equation.

    Args:
        problem: whose step it is.
        extrema: range of the initial values and coefficient fields.
        duration: the step is at most this.
        measured: largest rate found by power iteration; the step is shortened where the analysis missed it.

    Raises:
        CaseError: the scheme has no stable step, or it cannot be told.
    """
    ranges = {}
    for name in problem.program.unknowns:
        low, high = extrema.get(name, (0.0, 0.0))
        wide = problem.equation.range.get(name, (low, high))
        ranges[name] = (min(low, wide[0]), max(high, wide[1]))
    for axis, low, n, h in zip(AXES, problem.grid.lower, problem.grid.cells, problem.grid.spacing, strict=True):
        ranges[axis] = (low, low + n * h)
    ranges["t"] = (0.0, duration if np.isfinite(duration) else 0.0)
    ranges |= {name: extrema[name] for name in problem.program.arrays}
    constants = {stage.name: coefficients(stage, problem.grid, problem.parameters) for stage in problem.program.stages}
    values, slow = eigenvalues(problem.program, constants, ranges, prod(problem.grid.spacing) * problem.grid.size)
    values = values * _closure_factor(problem)
    uniform = float(np.abs(values[:, 0, :]).max(initial=0.0))
    analysed = float(np.abs(values).max(initial=0.0))
    if measured is not None and not np.isfinite(measured + analysed):
        raise problem.case.error("time.dt", "the stable step cannot be told: a rate is not finite at first; give dt")
    if measured is not None and measured > 1.05 * analysed:
        values = np.append(values, [-measured] if analysed == 0 else values.ravel() * (measured / analysed))
    if uniform > 0:  # follow what happens at a cell: reactions, springs
        duration = min(duration, 1 / uniform ** (1 / problem.scheme.derivative))
    return stable_step(problem.scheme, values, slow, duration)


def _closure_factor(problem: Problem) -> float:
    """How much the physical boundaries raise the largest rate of all stages together."""
    spacings = dict(zip(AXES, problem.grid.spacing, strict=True))
    used = {(spacings[side[0]], c) for sides in problem.conditions.values() for side, c in sides.items()}
    worst = max((closure_factor(problem.case.run.order, h, c) for h, c in used), default=1.0)
    return worst ** -(-problem.program.ghost // problem.program.radius)


def schedule_of(problem: Problem, dt: float) -> Schedule:
    """Steps and frames of a march with fixed steps of at most dt.

    Raises:
        CaseError: so many that they cannot be counted.
    """
    time, output = problem.case.time, problem.case.output
    if (time.steps or cast("float", time.end) / dt) > MOST_STEPS:
        key = "time.steps" if time.steps else "time.end"
        raise problem.case.error(key, f"more than {MOST_STEPS:.0e} steps of {dt:.3g}")
    if time.steps is not None:
        every = output.every_steps
        if every is None and output.every is not None:
            every = max(1, round(min(output.every / dt, time.steps)))
        return counted_schedule(time.steps, dt, every)
    assert time.end is not None
    schedule = even_schedule(time.end, dt, output.every)
    if output.every_steps is None:
        return schedule
    return replace(schedule, records=counted_schedule(schedule.steps, dt, output.every_steps).records)


def record_times(problem: Problem) -> list[float]:
    """Times of the frames after the first, for adaptive steps."""
    end, every = cast("float", problem.case.time.end), problem.case.output.every
    if every is None or every >= end:
        return [end]
    times = [i * every for i in range(1, int(end / every * (1 + 1e-12)) + 1)]
    return times if abs(times[-1] - end) <= 1e-9 * end else [*times, end]
