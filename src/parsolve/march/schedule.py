"""When things happen: equal steps to an end, and the schedules of events."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Clock:
    """Where a march is: steps taken, and the time reached."""

    step: int = 0
    time: float = 0.0


START = Clock()


@dataclass(frozen=True)
class Stop:
    """Where a march stops next: at a step or a time, whichever comes first."""

    step: float = math.inf
    time: float = math.inf

    def is_reached(self, clock: Clock) -> bool:
        """Whether it is there or beyond."""
        return clock.step >= self.step or clock.time >= self.time


class When(Protocol):
    """The schedule of an event."""

    def after(self, clock: Clock) -> Stop:
        """Where it is due next."""

    def is_due(self, clock: Clock) -> bool:
        """Whether it is due here."""


@dataclass(frozen=True)
class AtSteps:
    """After given numbers of steps, in increasing order."""

    steps: tuple[int, ...]

    def after(self, clock: Clock) -> Stop:
        """Where it is due next."""
        i = bisect_right(self.steps, clock.step)
        return Stop(step=self.steps[i]) if i < len(self.steps) else Stop()

    def is_due(self, clock: Clock) -> bool:
        """Whether it is due here."""
        return self.after(Clock(clock.step - 1)).step == clock.step


@dataclass(frozen=True)
class AtTimes:
    """At given times, in increasing order, which the march hits exactly."""

    times: tuple[float, ...]

    def after(self, clock: Clock) -> Stop:
        """Where it is due next."""
        i = bisect_right(self.times, clock.time)
        return Stop(time=self.times[i]) if i < len(self.times) else Stop()

    def is_due(self, clock: Clock) -> bool:
        """Whether it is due here."""
        i = bisect_right(self.times, clock.time)
        return i > 0 and self.times[i - 1] == clock.time


@dataclass(frozen=True)
class EverySteps:
    """After every so many steps."""

    steps: int

    def after(self, clock: Clock) -> Stop:
        """Where it is due next."""
        return Stop(step=clock.step + self.steps - clock.step % self.steps)

    def is_due(self, clock: Clock) -> bool:
        """Whether it is due here."""
        return clock.step % self.steps == 0


@dataclass(frozen=True)
class Either:
    """When any of some schedules is due."""

    schedules: Sequence[When]

    def after(self, clock: Clock) -> Stop:
        """Where the first of them is due next."""
        stops = [when.after(clock) for when in self.schedules]
        return Stop(min((s.step for s in stops), default=math.inf), min((s.time for s in stops), default=math.inf))

    def is_due(self, clock: Clock) -> bool:
        """Whether any is due here."""
        return any(when.is_due(clock) for when in self.schedules)


@dataclass(frozen=True)
class Schedule:
    """Equal steps with frames at some of them; ``records`` are step numbers in increasing order."""

    dt: float
    steps: int
    records: tuple[int, ...]
    end: float

    def time(self, n: int) -> float:
        """Time after n steps: no running sum, and the end exactly."""
        return n / self.steps * self.end


def even_schedule(end: float, dt: float, every: float | None) -> Schedule:
    """Equal steps of at most dt that end at ``end`` and, where ``every`` divides it, hit every multiple exactly.

    Where it does not, a frame is taken at the step nearest to each multiple.
    """
    if every is None or every >= end:
        steps = max(1, math.ceil(end / dt * (1 - 1e-12)))
        return Schedule(end / steps, steps, (steps,), end)
    frames = end / every
    if abs(frames - round(frames)) < 1e-9 * frames:
        each = max(1, math.ceil(every / dt * (1 - 1e-12)))
        steps = each * round(frames)
        return Schedule(end / steps, steps, tuple(range(each, steps + 1, each)), end)
    steps = max(1, math.ceil(end / dt * (1 - 1e-12)))
    dt = end / steps
    records = sorted({max(1, round(i * every / dt)) for i in range(1, int(frames) + 1)} | {steps})
    return Schedule(dt, steps, tuple(records), end)


def counted_schedule(steps: int, dt: float, every: int | None) -> Schedule:
    """A given number of steps, with a frame every so many and at the end."""
    records = sorted({*range(every or steps, steps + 1, every or steps), steps})
    return Schedule(dt, steps, tuple(records), steps * dt)
