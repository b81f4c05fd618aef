"""How long the steps of a march may be: found at first, and looked up anew as the solution changes."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from math import inf, isfinite, log
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.reduce import extrema
from parsolve.equations.operators import WEIGHTED
from parsolve.equations.symbol import COARSE
from parsolve.errors import CaseError, NumericalError, agree, on_root
from parsolve.march.march import check_finite
from parsolve.march.power import PowerIteration
from parsolve.march.schedule import MOST_STEPS, START
from parsolve.march.stability import SAFETY, excess
from parsolve.problem.limits import (
    LOOKS,
    WINDOWS,
    Start,
    analyse,
    begin,
    duration,
    horizon,
    irregular_times,
    largest_step,
    longest_step,
    window,
    with_walls,
)
from parsolve.problem.values import extent, noise, set_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parsolve.domain.field import Field
    from parsolve.march.schedule import Clock
    from parsolve.march.stepper import Workspace
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State

    Pair = tuple[float, float]
    Speeds = Callable[[float], Mapping[str, float]]

MOST = 256.0  # steps for which a limit holds
CHANGE = 0.02  # of the step, as much as it may change meanwhile
SLACK = 0.025  # of its range, and a fifth of it of its size, by which a field may leave what was analysed
MOST_HALVES = 100  # of a step
WRONG = float(np.log(1e6))  # growth of a mode, between two looks, that spoils the solution


def renews(problem: Problem) -> bool:
    """Whether the limit of the steps is looked up after the first one too."""
    chosen = problem.case.time.dt == "auto" and not problem.is_adaptive
    return chosen and (problem.depends.state or problem.depends.time)


def measures(problem: Problem) -> tuple[bool, bool]:
    """Whether a power iteration measures rates before the first step, and after it too."""
    depends = problem.depends
    own = problem.case.evolve if problem.case.time.dt == "auto" else depends.state
    first = bool(depends.neighbours or own or problem.walls)
    if problem.program.operators & WEIGHTED:  # of weights the derivatives are large and harmless
        first = False
    return first, first and depends.neighbours and renews(problem)


class Renewal:
    """The limit of the steps of a march; collective.

    Where the modes of the equation do not change, it is looked up once.  Else it is looked up after so many steps that
    it changes by about CHANGE meanwhile, at first after one.  It is analysed anew where the range of a field has left,
    or is much narrower than, what was analysed; where rates depend on differences of the unknowns; where they, or what
    is imposed at walls, change in time.

    Args:
        problem: whose steps they are.
        work: makes the fields of a power iteration.
        state: the initial state.
        speeds: the largest magnitude at which each unknown changes at the current state and a time; collective.
        clock: where the march begins.

    Attributes:
        dt: the longest step now.
        start: what was known before the first step.
        growth: rate at which the solution itself may grow.
        coefficients: ranges of the coefficient fields, in all of the march.
        is_other: whether it goes on from one that had not all of that ahead, so that its steps may be shorter.
    """

    def __init__(self, problem: Problem, work: Workspace, state: State, speeds: Speeds, clock: Clock = START) -> None:
        self.problem, self._comm, self._power = problem, work.subdomain.comm, None
        self._depends, self._renews = problem.depends, renews(problem)
        moves = any(c.varies for sides in problem.conditions.values() for c in sides.values())
        self._driven = moves and self._depends.state
        self.coefficients = {name: extent(problem, f, clock.time) for name, f in work.arrays.items()}
        self.is_other = False
        self._moving = [f for f in work.arrays.values() if f.moves]
        self._seen = {name: extrema(f) for name, f in state.items()}
        self._holds, self._looked, self._speeds, rate = 1.0, clock.step, speeds, None
        first, again = measures(problem)
        if first:
            self._power = PowerIteration(work, self._noise)
            rate = self._power(state, clock.time)
        now = {f.name: extrema(f) for f in self._moving}
        self.start = on_root(
            self._comm,
            lambda: begin(problem, self._ranges((clock.time,)), rate, clock.time, self._here(clock, now)),
        )
        self.growth = self.start.growth
        self.dt = self._cautious(self.start.dt, clock.time) if self._renews and self._depends.state else self.start.dt
        if not again:
            self.free()

    def __call__(self, state: State, clock: Clock) -> tuple[float, float]:
        """The longest step from here on, and for how many steps it holds; collective.

        Raises:
            NumericalError: the solution changed faster than its steps could follow.
        """
        if not self._renews:
            return self.dt, inf
        if clock.step != self._looked:
            self._renew(state, clock)
        holds = min(self._holds, self._span(self.dt) // self.dt) if self._depends.time else self._holds
        return self.dt, max(1.0, holds)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays over the owned cells that it remembers from look to look, by name."""
        directions = self._power.directions if self._power is not None else {}
        return {f"direction of {name}": values for name, values in directions.items()}

    def numbers(self) -> dict[str, Any]:
        """What else it remembers, as JSON takes it."""
        return {
            "dt": self.dt, "growth": self.growth, "holds": self._holds, "looked": self._looked, "seen": self._seen,
            "start": asdict(self.start), "duration": duration(self.problem), "coefficients": self.coefficients,
        }  # fmt: skip

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Remember that; ``arrays`` are filled apart. What was known at the start holds for a march as long.

        One that is longer may meet other coefficients, and what changes faster: it takes the shorter of both steps.
        """
        met = {name: (low, high) for name, (low, high) in numbers["coefficients"].items()}
        self.is_other = met != self.coefficients or numbers["start"]["resolving"] != self.start.resolving
        self.dt, self.growth = min(numbers["dt"], self.dt) if self.is_other else numbers["dt"], numbers["growth"]
        self._holds, self._looked = numbers["holds"], numbers["looked"]
        self._seen = {name: (low, high) for name, (low, high) in numbers["seen"].items()}
        if numbers.get("duration") == duration(self.problem):
            self.start = Start(**numbers["start"])

    def free(self) -> None:
        """Free what the power iteration holds; collective."""
        if self._power is not None:
            self._power.free()
        self._power = None

    def _span(self, dt: float) -> float:
        """For how long an analysis of rates that change in time holds."""
        end = duration(self.problem)
        return end / WINDOWS if end < inf else MOST * dt

    def _ranges(self, times: Sequence[float]) -> dict[str, tuple[float, float]]:
        """Ranges of what was seen, with what walls impose at some times."""
        return with_walls(self.problem, self._seen, times) | self.coefficients

    def _here(self, clock: Clock, now: Mapping[str, Pair]) -> Mapping[str, Pair] | None:
        """Ranges at a time, of coefficients those of now, if some change in time."""
        return {**self._ranges((clock.time,)), **now} if now else None

    def _cautious(self, dt: float, time: float) -> float:
        """As much of a step as is stable at what the solution and its walls may become meanwhile."""
        speeds = self._speeds(time)
        for _ in range(MOST_HALVES):
            later = self._speeds(min(time + dt, horizon(self.problem))) if self._driven else speeds
            most = {name: max(speeds[name], later[name]) for name in speeds}
            if on_root(self._comm, partial(self._goes, dt, time, most)):
                break
            dt /= 2
        return dt

    def _goes(self, dt: float, time: float, speeds: Mapping[str, float]) -> bool:
        """Whether a step is stable at all that the unknowns may become in it at these speeds."""
        if not all(map(isfinite, speeds.values())):
            return True  # what is not finite is told elsewhere
        wider = {name: (low - dt * speeds[name], high + dt * speeds[name]) for name, (low, high) in self._seen.items()}
        ranges = with_walls(self.problem, wider, (time, min(time + dt, duration(self.problem)))) | self.coefficients
        try:
            modes = analyse(self.problem, ranges, window(self.problem, time, self._span(dt)), COARSE)
            return dt <= longest_step(self.problem, modes, self.start.factor) / SAFETY
        except CaseError:
            return False  # no step is stable there

    def _noise(self, f: Field) -> None:
        set_values(f, partial(noise, self.problem))

    def _renew(self, state: State, clock: Clock) -> None:
        seen, rate = {name: extrema(f) for name, f in state.items()}, None
        if self._power is not None:
            rate = self._power(state, clock.time)
        if not all(map(isfinite, (rate or 0.0, *(v for pair in seen.values() for v in pair)))):
            check_finite(state, clock, self.dt)
        steps, before = clock.step - self._looked, self.dt
        self._looked, self._holds = clock.step, min(MOST, 2.0 * steps)
        outside = any(_is_outside(pair, self._seen[name]) for name, pair in seen.items())
        if outside:
            self._seen = seen
        if outside or rate is not None or self._depends.time or self._driven:
            now = {f.name: extrema(f) for f in self._moving}
            self.dt, self.growth, error = on_root(self._comm, lambda: self._look(clock, rate, steps, now))
            agree(self._comm, error)
            longer = self._depends.state and self.dt > (1 + CHANGE) * before
            is_last = clock.time >= horizon(self.problem)
            if (self._driven or longer) and not is_last and self.problem.scheme.derivative == 1:
                self.dt = self._cautious(self.dt, clock.time)
            self._holds = on_root(self._comm, partial(self._until_changed, steps, before))

    def _until_changed(self, steps: int, before: float) -> float:
        """Steps in which the step may change by CHANGE, as fast as it did in the last ones."""
        return max(1.0, min(self._holds, steps * CHANGE / max(abs(log(self.dt / before)), 1e-9) // 1))

    def _look(
        self, clock: Clock, rate: float | None, steps: int, now: Mapping[str, Pair]
    ) -> tuple[float, float, NumericalError | None]:
        """The step and growth by an analysis now, and whether the last steps were too long for it."""
        problem, where = self.problem, f"step {clock.step}, t = {clock.time:.6g}"
        times = window(problem, clock.time, self._span(self.dt))
        try:
            modes = analyse(problem, self._ranges((clock.time,)), times, COARSE)
            here = self._here(clock, now)
            known = modes.rate if here is None else analyse(problem, here, times, COARSE).rate
            faster = rate / (known or 1.0) if rate is not None else self.start.factor
            faster = faster if faster > 1.05 else 1.0
            dt = min(longest_step(problem, modes, faster), self.start.resolving, largest_step(problem))
            until = min(clock.time + self._holds * self.dt, duration(problem))
            if self._driven and until > clock.time:  # walls are looked at until then
                ahead = analyse(problem, self._ranges(tuple(irregular_times(clock.time, until, LOOKS))), times, COARSE)
                dt = min(dt, longest_step(problem, ahead, faster), self._holds * self.dt)
        except CaseError as error:
            return self.dt, self.growth, NumericalError(f"{where}: {error}")
        modes, text = modes.times(faster), ""
        too_long = excess(problem.scheme, modes.values, modes.slow, self.dt, modes.slack) * steps > WRONG
        if too_long and not self._depends.time:  # the rates of times were known before
            text = f"the solution changed faster than steps of {self.dt:.3g} follow; give time.dt or time.tolerance"
        elif (problem.case.time.end or 0.0) - clock.time > MOST_STEPS * dt:
            text = f"the stable step fell to {dt:.3g}: the solution may blow up here"
        dt = min(dt, self._span(self.dt)) if self._depends.time else dt
        return dt, modes.growth, NumericalError(f"{where}: {text}") if text else None


def _is_outside(now: Pair, before: Pair) -> bool:
    """Whether a range is beyond one of before, or much narrower, so that rates differ."""
    low, high = before
    slack = SLACK * (high - low) + 0.2 * SLACK * max(abs(low), abs(high))
    return now[0] < low - slack or now[1] > high + slack or now[1] - now[0] < 0.5 * (high - low) - slack
