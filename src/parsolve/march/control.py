"""What chooses the next step: an estimate of the error, or a limit that is looked up anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from parsolve.errors import NumericalError, agree, on_root
from parsolve.march.schedule import START, Clock, Stop, equal_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mpi4py import MPI

    from parsolve.march.stepper import Stepper
    from parsolve.march.steps import Steps
    from parsolve.stages.operator import State


class Control(Protocol):
    """Advances a march, never beyond a stop; ``dt`` is the last step, ``rejected`` counts those tried in vain."""

    dt: float
    rejected: int

    @property
    def end(self) -> Stop:
        """Where the march ends."""

    def advance(self, steps: Steps, clock: Clock, stop: Stop) -> Clock:
        """Take a step, or as many as go in one pass; where the march then is; collective."""

    def numbers(self) -> dict[str, Any]:
        """What it remembers from step to step, as JSON takes it."""

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Remember that."""


@dataclass
class ErrorControlled:
    """Steps whose estimated error meets a tolerance.

    The error is measured by max |e| / (tolerance (1 + |y|)), which no order of summation can change, and dt is scaled
    by 0.9 err^(-1/p) within [0.2, 5], p the lower order of the pair plus one (Hairer, Norsett & Wanner, Solving ODEs I,
    II.4).

    Attributes:
        dt: the next step to try.
        until: time of the end.
        order: of the scheme.
        longest: no step is longer.
    """

    comm: MPI.Intracomm
    dt: float
    until: float
    tolerance: float
    order: int
    longest: float = math.inf
    rejected: int = 0

    @property
    def end(self) -> Stop:
        """Where the march ends."""
        return Stop(time=self.until)

    def advance(self, steps: Steps, clock: Clock, stop: Stop) -> Clock:
        """Try steps until one is accepted; collective.

        Raises:
            NumericalError: the step fell below what the time can resolve.
        """
        while True:
            last = clock.time + self.dt >= stop.time - 1e-12 * stop.time
            trial = stop.time - clock.time if last else self.dt
            error, factor = self._judge(steps.attempt(clock.time, trial, self.tolerance))
            accepted = error <= 1
            wanted = max(self.dt, trial * factor) if last and accepted else trial * factor
            self.dt = min(wanted, self.longest)
            if accepted:
                steps.accept()
                clock = Clock(clock.step + 1, stop.time if last else clock.time + trial)
            if self.dt < 1e-14 * stop.time or not math.isfinite(self.dt):
                text = (
                    f"step {clock.step}, t = {clock.time:.6g}: the time step fell to {self.dt:.3g} without meeting "
                    f"time.tolerance = {self.tolerance:g}; the solution may blow up here: check the case or raise it"
                )
                agree(self.comm, NumericalError(text))
            if accepted:
                return clock
            self.rejected += 1

    def numbers(self) -> dict[str, Any]:
        """What it remembers from step to step."""
        return {"dt": self.dt, "rejected": self.rejected, "longest": self.longest, "until": self.until}

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Remember that; the longest step where the end is the same."""
        self.dt, self.rejected = numbers["dt"], numbers["rejected"]
        if numbers.get("until") == self.until:
            self.longest = numbers["longest"]

    def _judge(self, local: float) -> tuple[float, float]:
        """The error over all ranks, and the factor of the step, which rank 0 computes: a power may differ in a bit."""
        from mpi4py import MPI

        found = np.array([local, 0.0])
        if self.comm.size > 1:
            self.comm.Reduce(MPI.IN_PLACE if self.comm.rank == 0 else found[:1], found[:1], op=MPI.MAX)
        error = float(found[0])
        if self.comm.rank == 0:
            power = error ** (-1.0 / self.order) if 0 < error < math.inf else 0.0
            found[1] = 5.0 if error == 0 else min(5.0, max(0.2, 0.9 * power))
        if self.comm.size > 1:
            self.comm.Bcast(found)
        return float(found[0]), float(found[1])


@dataclass
class Limited:
    """Equal steps up to the next stop in time, none longer than a limit, which is looked up anew as the state changes.

    Several go in one pass.  No times are summed up: a step begins at a multiple of dt after the first of its kind.

    Attributes:
        limit: the longest step at a state and clock, and for how many steps it holds; collective.
        end: where the march ends.
        dt: the last step.
    """

    limit: Callable[[State, Clock], tuple[float, float]]
    end: Stop
    dt: float = 0.0
    rejected = 0
    _longest: float = 0.0
    _renewed: float = 0.0  # the step at which the limit is looked up
    _first: Clock = START
    _until: float = 0.0  # the time up to which steps are equal
    _count: float = 0  # of equal steps

    def advance(self, steps: Steps, clock: Clock, stop: Stop) -> Clock:
        """Take as many steps as go in one pass and are due; collective."""
        if clock.step >= self._renewed:
            self._longest, holds = self.limit(steps.state, clock)
            self._renewed = clock.step + holds
            self._divide(clock, stop)
        elif clock.step >= self._first.step + self._count or stop.time != self._until:
            self._divide(clock, stop)
        last = self._first.step + self._count
        count = steps.fitting(int(min(stop.step, last, self._renewed)) - clock.step)
        steps.take([self._time(clock.step + n) for n in range(count)], self.dt, clock.step)
        return Clock(clock.step + count, self._time(clock.step + count))

    @property
    def is_steady(self) -> bool:
        """Whether the limit, once looked up, is not looked up again."""
        return self._renewed == math.inf

    def numbers(self) -> dict[str, Any]:
        """What it remembers from step to step."""
        first = [self._first.step, self._first.time]
        known = [self._longest, self._renewed, self._until, self._count]
        return {"dt": self.dt, "first": first, "known": known}

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Remember that."""
        self.dt, self._first = numbers["dt"], Clock(*numbers["first"])
        self._longest, self._renewed, self._until, self._count = numbers["known"]

    def look_again(self) -> None:
        """Look up the limit before the next step."""
        self._renewed = 0.0

    def _divide(self, clock: Clock, stop: Stop) -> None:
        """Equal steps from here to the stop in time; those of before go on where they would do."""
        count, dt = equal_steps(stop.time - clock.time, self._longest)
        if stop.time == self._until and self._first.step + self._count == clock.step + count:
            return
        rounding = 4 * np.finfo(float).eps * stop.time if stop.time < math.inf else 0.0
        same = abs(dt - self.dt) * min(count, 1e300) <= rounding
        self._first, self._until, self._count = clock, stop.time, count
        self.dt = self.dt if same else dt

    def _time(self, step: int) -> float:
        n = step - self._first.step
        return self._until if n == self._count else self._first.time + n * self.dt


def steady(dt: float) -> Callable[[State, Clock], tuple[float, float]]:
    """A limit that does not change."""
    return lambda state, clock: (dt, math.inf)


def cautious_step(stepper: Stepper, time: float, tolerance: float, longest: float) -> float:
    """A first step for a tolerance, from how large y and f are and how f changes (Hairer, Norsett & Wanner, II.4).

    The step is a hundredth of y over f, then one whose estimated error is a hundredth of the tolerance.  Collective.
    """
    from mpi4py import MPI

    comm = stepper.work.subdomain.comm

    def probe(dt: float) -> list[float]:
        return [float(comm.allreduce(v, op=MPI.MAX)) for v in stepper.probe(time, dt, tolerance)]

    own, rates, _ = probe(0.0)
    trial = min(longest, 0.01 * own / rates if min(own, rates) > 1e-5 else 1e-6 * longest)
    change = probe(trial)[2]

    def chosen() -> float:
        steepest = max(rates, change / trial)
        fits = (
            (0.01 / steepest) ** (1 / stepper.scheme.order) if steepest > 1e-15 else max(1e-6 * longest, 1e-3 * trial)
        )
        return min(100 * trial, fits, longest)

    return on_root(comm, chosen)
