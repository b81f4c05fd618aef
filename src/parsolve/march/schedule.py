"""When things happen: the schedules of events, and equal steps between them."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Clock:
    """Where a march is: steps taken, and the time reached."""

    step: int = 0
    time: float = 0.0


START = Clock()
MOST_STEPS = 1e15  # below 2^53, so that they are counted one by one


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
class At:
    """Once, at a step or a time."""

    stop: Stop

    def after(self, clock: Clock) -> Stop:
        """Where it is due next."""
        return Stop() if self.stop.is_reached(clock) else self.stop

    def is_due(self, clock: Clock) -> bool:
        """Whether it is due here."""
        return clock.step == self.stop.step or clock.time == self.stop.time


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
class EveryTime:
    """At every multiple of an interval before an end, which the march hits exactly, and at the end."""

    every: float
    end: float = math.inf

    def after(self, clock: Clock) -> Stop:
        """Where it is due next."""
        if clock.time >= self.end:
            return Stop()
        n = max(0, int(clock.time / self.every) - 1)
        while self.time(n) <= clock.time:
            n += 1
        return Stop(time=self.time(n))

    def is_due(self, clock: Clock) -> bool:
        """Whether it is due here."""
        return clock.time in (self.end, self.time(round(clock.time / self.every)))

    def time(self, n: int) -> float:
        """The n-th time: the multiple as one would write it down (3 times 0.1 is 0.3), or the end."""
        multiple = float(Fraction(repr(self.every)) * n)
        return multiple if multiple < self.end * (1 - 1e-9) else self.end

    @property
    def count(self) -> int:
        """How many times there are after 0."""
        return max(1, math.ceil(self.end / self.every * (1 - 1e-9)))


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


def equal_steps(length: float, longest: float) -> tuple[float, float]:
    """How many equal steps of at most the longest fill a length, and how long they are; countless ones are longest."""
    if length / longest > MOST_STEPS:
        return math.inf, longest
    count = max(1, math.ceil(length / longest * (1 - 1e-12)))
    return count, length / count
