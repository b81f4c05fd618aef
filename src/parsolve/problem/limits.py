"""The longest stable step of a problem: at first, and as its solution changes.

The eigenvalues are those of the equation linearised about the range of its values (equations/symbol.py), times what
boundaries add; where rates depend on differences of the unknowns, or the equation is a user's, they are compared with a
power iteration on the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, prod
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.equations.operators import WENO_FLUXES
from parsolve.equations.symbol import SAMPLES, eigenvalues, time_scale
from parsolve.errors import NumericalError
from parsolve.march.stability import closure_factor, excess, stable_step
from parsolve.problem.coupling import Coupling
from parsolve.problem.operators import coefficients
from parsolve.problem.sides import CourseFace, imposed, slope_at
from parsolve.problem.times import span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parsolve.domain.boundary import Face
    from parsolve.domain.grid import Triple
    from parsolve.problem.problem import Problem

    Ranges = Mapping[str, tuple[float, float]]

NOT_FINITE = (
    "a rate is not finite at the initial values: look for a division by zero, an overflow, a root or a logarithm of a "
    "negative number in the equation and its boundary values"
)
MARGIN = 1 / 16  # below the largest number, for sums and ghosts on the way to a rate
GOLDEN = 0.6180339887498949
TIMES, MOST_TIMES = 1024, 16384  # irregular ones, looked at for how fast what is written with t changes
FEW_TIMES, MOST_JUMPS = 256, 16  # of walls: looked at first, and how many are no oscillation
PER_CHANGE = 4  # steps in the time that it takes to change
WINDOWS, LOOKS = 64, 17  # parts of the time, and times in each, for rates that change with it
ROUNDING = 1e-12  # of the growth in a step
VISIBLE = float(np.log(10))  # growth of a mode over the march that is not accepted
DRIFT = float(np.log(1.1))  # growth over the march of a mode that should keep its size


@dataclass(frozen=True)
class Modes:
    """The modes of a problem about a range of its values.

    Attributes:
        values: their eigenvalues, of shape (states, waves, unknowns), uniform waves first.
        slow: rate at which uniform states oscillate or grow.
        slack: rate at which modes about as slow may grow in steps that are too long for them.
    """

    values: np.ndarray
    slow: float
    slack: float

    @property
    def rate(self) -> float:
        """The largest of the eigenvalues in magnitude."""
        return float(np.abs(self.values).max(initial=0.0))

    @property
    def growth(self) -> float:
        """Largest rate at which the solution itself may grow."""
        return max(self.slow, float(self.values.real.max(initial=0.0)))

    def times(self, factor: float) -> Modes:
        """Faster or slower ones; where nothing moves, 1 stays as it is and another factor is a rate of decay."""
        if self.rate or factor == 1:
            return Modes(self.values * factor, self.slow, self.slack)
        return Modes(np.full((1, 1, 1), -factor + 0j), 0.0, 0.0)


@dataclass(frozen=True)
class Start:
    """What is known of a march before its first step.

    Attributes:
        dt: the longest step.
        resolving: the longest step that follows what is written with t.
        growth: rate at which the solution itself may grow.
        factor: by how much the modes are faster than the analysis says.
        warnings: what is doubtful about the equation or a given step.
    """

    dt: float
    resolving: float
    growth: float
    factor: float
    warnings: list[str]


def begin(
    problem: Problem, ranges: Ranges, rate: float | None = None, time: float = 0.0, here: Ranges | None = None
) -> Start:
    """What is known of a march from the range of its first values and of its coefficients.

    Args:
        problem: whose march it is.
        ranges: smallest and largest values, ``with_walls``.
        rate: the largest rate that a power iteration found.
        time: when it begins.
        here: ranges at that time, if those of coefficients are wider in all of the march.

    Raises:
        CaseError: there is no stable step, that which is given is not stable, or the equation is ill-posed.
        NumericalError: a rate is not finite.
    """
    error, end, depends = problem.case.error, duration(problem), problem.depends
    given = None if problem.case.time.dt == "auto" else float(problem.case.time.dt)
    times = window(problem, time, max(0.0, end - time) if given else min(end / WINDOWS, max(0.0, end - time)))
    modes = analyse(problem, ranges, times)
    if rate is not None and not isfinite(rate):
        raise NumericalError(NOT_FINITE)
    certain, factor, resolving = not depends.state, 1.0, resolving_step(problem, ranges, end)
    known = modes.rate if here is None or rate is None else analyse(problem, here, times).rate
    if rate is not None and (given or rate > 1.05 * known) and (known or here is None):
        factor, certain = rate / (known or 1.0), certain or here is None
    shown = modes.times(factor)
    if given:
        dt = given
    else:
        with problem.case.located():
            dt = min(longest_step(problem, modes, factor), resolving, end)
        if depends.time:
            dt = min(dt, end / WINDOWS)
        if dt == inf:
            raise error("time.dt", "nothing in the equation limits the time step; give time.dt")
    if dt > largest_step(problem):
        raise error(
            "time.dt", f"steps of {dt:.3g} are beyond {problem.dtype}: give a shorter one, or choose other units"
        )
    doubts = _doubts(problem, shown, given, posed=not depends.state, certain=certain)
    warnings = [f"{key}: {text}" for key, text, _ in doubts]
    for key, text, is_error in doubts:
        if is_error and problem.case.time.unstable != "allow":
            raise error(key, f"{text}; time.unstable = 'allow' runs it all the same")
    return Start(dt, resolving, shown.growth, factor, warnings)


def duration(problem: Problem) -> float:
    """How long a march is, infinity if that depends on its steps."""
    return span(problem.case)


def horizon(problem: Problem) -> float:
    """Until when it is known what walls impose: to the end of the march, or of what files give of them."""
    parts = (part for sides in problem.conditions.values() for c in sides.values() for part in (c.a, c.b, c.value))
    files = (float(part.course.times[-1]) for part in parts if isinstance(part, CourseFace))
    return min(duration(problem), min(files, default=inf))


def window(problem: Problem, start: float, length: float) -> Sequence[float]:
    """Times that are looked at: several for rates that change with them."""
    return tuple(irregular_times(start, start + length, LOOKS)) if problem.depends.time and length < inf else (start,)


def analyse(problem: Problem, ranges: Ranges, times: Sequence[float], samples: Sequence[float] = SAMPLES) -> Modes:
    """The modes about a range of values of the unknowns and coefficient fields, at some times.

    Boundaries make them faster by a factor.

    Raises:
        CaseError: at all these values there are rates that the type of the fields does not hold.
    """
    box = _box(problem, ranges) | {"t": times}
    values, slow = eigenvalues(problem.program, _constants(problem), box, _volume(problem), samples)
    with np.errstate(all="ignore"):
        modes = Modes(values * _closure_factor(problem), slow, _slack(problem, slow))
        least = float(np.abs(modes.values).max(axis=(1, 2), initial=0.0).min())
        if not least <= MARGIN * np.finfo(problem.dtype).max:
            text = f"rates of {least:.3g} are beyond {problem.dtype}: choose other units or parameters"
            raise problem.case.error(problem.case.law, text)
    return modes


def with_walls(problem: Problem, ranges: Ranges, times: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Ranges of the unknowns widened to their values at walls at some times, where these are finite.

    They are those beside cells that all have the least or the largest value: what is imposed, or what flows in gives.
    """
    wider, grid, order = dict(ranges), problem.grid, problem.case.run.order
    for name, sides in problem.conditions.items():
        for side, condition in sides.items():
            if name in ranges and not condition.mirrors and not condition.c:
                wall = condition.wall if isinstance(condition.wall, Coupling) else None
                beside = {n: problem.conditions[n][side] for n in (wall.fields if wall else (name,))}
                slopes = {n: slope_at(grid, side, c, order) for n, c in beside.items()}
                moves = wall.timed if wall else condition.varies
                for time in times if moves else times[:1]:
                    if wall:
                        values = wall.imposed(name, ranges, time, slopes)
                    else:
                        values = imposed(grid, side, condition, slopes[name], ranges[name], time)
                    values = values[np.isfinite(values)]
                    low, high = wider[name]
                    wider[name] = float(values.min(initial=low)), float(values.max(initial=high))
    return wider


def longest_step(problem: Problem, modes: Modes, factor: float = 1.0) -> float:
    """The longest step at which modes that are faster by a factor are stable, and that follows what happens at a cell.

    Infinity if there is no limit.

    Raises:
        CaseError: the scheme has no stable step.
    """
    if problem.program.operators & WENO_FLUXES:
        factor *= 2.0  # a shock that passes more than a cell in a step overshoots
    uniform = float(np.abs(modes.values[:, 0, :]).max(initial=0.0))
    follows = 1 / uniform ** (1 / problem.scheme.derivative) if uniform else inf
    fast = modes.times(factor)
    return stable_step(problem.scheme, fast.values, fast.slow, follows, fast.slack) if fast.rate else inf


def largest_step(problem: Problem) -> float:
    """The longest step by which rates of the fields' type can be multiplied."""
    return float((MARGIN * np.finfo(problem.dtype).max) ** (1 / problem.scheme.derivative))


def sawtooth(problem: Problem, modes: Modes) -> float:
    """How fast waves of about two cells grow where no longer wave grows as fast; 0 of a well-posed equation."""
    axes, values = len(problem.grid.names), modes.values
    count = len(SAMPLES) ** axes
    if values.shape[1] < count:
        return 0.0
    if problem.scheme.derivative == 2:
        values = np.sqrt(values)
    short = np.array(SAMPLES)[np.indices([len(SAMPLES)] * axes).reshape(axes, -1).max(axis=0)] >= 0.9
    grows = values[:, :count].real.max(axis=2)
    fastest, longer = grows[:, short].max(axis=1), grows[:, ~short].max(axis=1)
    found = fastest[fastest > 1.01 * np.maximum(longer, 1e-9 * np.abs(values).max(initial=0.0))]
    return float(found.max(initial=0.0))


def _doubts(
    problem: Problem, modes: Modes, given: float | None, *, posed: bool, certain: bool
) -> list[tuple[str, str, bool]]:
    """What is wrong with the equation or a given step: key, text, and whether it is an error beyond doubt.

    Modes about a range of values may be none of the solution's, whose values need not stand side by side: what is
    said of the equation is certain where it is ``posed`` without the solution, and of the step where it is measured.
    """
    end, grows = duration(problem), sawtooth(problem, modes)
    if grows and grows * end > VISIBLE:
        return [("time", _ill_posed(problem, grows), posed)]
    if not given:
        return []
    steps, scheme = max(1.0, end / given), problem.scheme
    grows, uniform = (excess(scheme, v, modes.slow, given, modes.slack) for v in (modes.values, modes.values[:, :1]))
    if grows <= ROUNDING or (grows * steps <= VISIBLE and (problem.depends.state or uniform * steps <= DRIFT)):
        return []
    limit, what = _limit(problem, modes), "oscillations" if uniform >= grows else "short waves"
    text = f"{what} grow in steps of {given:.3g}, the limit of {scheme.name} is about {limit:.3g}"
    return [("time.dt", f"{text}: use less, or dt = 'auto'", certain and grows * steps > VISIBLE)]


def _limit(problem: Problem, modes: Modes) -> float:
    """The longest step at which no mode grows that should not."""
    low, high = 0.0, 1e3 / modes.rate ** (1 / problem.scheme.derivative)
    for _ in range(60):
        middle = 0.5 * (low + high)
        stable = excess(problem.scheme, modes.values, modes.slow, middle, modes.slack) <= ROUNDING
        low, high = (middle, high) if stable else (low, middle)
    return low


def _ill_posed(problem: Problem, rate: float) -> str:
    negative = [f"{name} = {value:g}" for name, value in problem.parameters.items() if value < 0]
    sign = f"is the sign of {' or '.join(negative)} meant" if negative else "is a diffusion negative"
    return (
        f"waves of two cells grow faster than longer ones, at a rate of {rate:.3g}: {sign}, or is the grid too coarse?"
    )


def _box(problem: Problem, ranges: Ranges) -> dict[str, Sequence[float]]:
    box: dict[str, Sequence[float]] = {name: ranges[name] for name in problem.program.arrays}
    for name in problem.program.unknowns:
        low, high = ranges.get(name, (0.0, 0.0))
        wide = problem.equation.range.get(name, (low, high))
        box[name] = (min(low, wide[0]), max(high, wide[1]))
    for axis, low, n, h in zip(AXES, problem.grid.lower, problem.grid.cells, problem.grid.spacing, strict=True):
        box[axis] = (low, low + n * h)
    return box


def _constants(problem: Problem) -> dict[str, tuple[float, ...]]:
    return {stage.name: coefficients(stage, problem.grid, problem.parameters) for stage in problem.program.stages}


def _volume(problem: Problem) -> float:
    return prod(problem.grid.spacing) * problem.grid.size


def _slack(problem: Problem, slow: float) -> float:
    """The rate at which slow modes may grow that should not.

    In a nonlinear equation they belong to states that pass, and what they grow to is bounded by others; in a linear one
    they last for the whole march.
    """
    if problem.depends.state:
        return slow
    end = duration(problem)
    return DRIFT / end if end < inf else DRIFT * slow / max(1.0, float(problem.case.time.steps or 0))


def _closure_factor(problem: Problem) -> float:
    """How much the physical boundaries raise the largest rate of all stages together."""
    spacings = dict(zip(AXES, problem.grid.spacing, strict=True))
    used = {(spacings[side[0]], c) for sides in problem.conditions.values() for side, c in sides.items()}
    worst = max((closure_factor(problem.case.run.order, h, c) for h, c in used), default=1.0)
    return worst ** -(-problem.program.ghost // problem.program.radius)


def resolving_step(problem: Problem, ranges: Ranges, duration: float) -> float:
    """The longest step that follows what is written with t or comes from files; infinity if nothing is."""
    timed = any(op.name == "time" for stage in problem.program.stages for op in stage.operations)
    scale, count = np.inf, TIMES
    while timed and duration < np.inf:
        times = irregular_times(0.0, duration, count)
        scale = time_scale(problem.program, _constants(problem), _box(problem, ranges), times, _volume(problem))
        if scale > 8 * duration / count or count >= MOST_TIMES:
            break
        count *= 4
    courses = [course.scale(duration) for course in problem.courses.values()] if duration < inf else []
    return min(scale, *courses, _scale_of_walls(problem, ranges, duration)) / PER_CHANGE


def _scale_of_walls(problem: Problem, ranges: Ranges, duration: float) -> float:
    """How long what walls impose takes to change, by the middle of each side, and of the ranges of fields there."""
    scale = inf
    middle = {name: 0.5 * ranges[name][0] + 0.5 * ranges[name][1] for name in problem.program.unknowns}
    for sides in problem.conditions.values() if duration < inf else ():
        for side, condition in sides.items():
            z, y, x = (n // 2 for n in problem.grid.side_shape(side))
            given = condition.wall.at(middle) if isinstance(condition.wall, Coupling) else ()
            for part in (condition.a, condition.b, condition.value, *given) if condition.varies else ():
                if isinstance(part, CourseFace):
                    scale = min(scale, part.course.scale(duration))
                elif callable(part):
                    scale = min(scale, _scale_of(part, (z, y, x), duration))
    return scale


def _scale_of(face: Face, cell: Triple, duration: float) -> float:
    """How long the value of a cell takes to change; infinity if it never does, or but for a few jumps."""
    for count in (FEW_TIMES, 4 * FEW_TIMES, 16 * FEW_TIMES):
        times = irregular_times(0.0, duration, count)
        values = np.array([float(face(time, cell, (1, 1, 1)).flat[0]) for time in times])
        values = np.where(np.isfinite(values), values, 0.0)
        with np.errstate(over="ignore"):
            changes = np.abs(np.diff(values))
            slope, size = float((changes / np.diff(times)).max()), float(changes.max())
            scale = float(np.ptp(values)) / slope if slope > 0 else inf
        if scale > 8 * duration / count:
            return scale
    return scale if np.count_nonzero(changes > size / 4) > MOST_JUMPS else inf


def irregular_times(begin: float, end: float, count: int) -> np.ndarray:
    """So many increasing times, both ends among them, which follow no period."""
    inner = np.sort(np.arange(1, count - 1) * GOLDEN % 1.0)
    return begin + (end - begin) * np.concatenate([[0.0], inner, [1.0]])
