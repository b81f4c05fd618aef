"""What chooses the next step: a schedule of equal steps, an estimate of the error, or a limit looked up anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parsolve.errors import NumericalError, agree
from parsolve.march.schedule import Clock, Schedule, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI

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


class Fixed:
    """Equal steps; several in one pass."""

    rejected = 0

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.dt = schedule, schedule.dt

    @property
    def end(self) -> Stop:
        """Where the march ends."""
        return Stop(step=self.schedule.steps)

    def advance(self, steps: Steps, clock: Clock, stop: Stop) -> Clock:
        """Take as many steps as go in one pass and are due; collective."""
        first, time = clock.step, self.schedule.time
        count = steps.fitting(int(stop.step) - first)
        steps.take([time(first + n) for n in range(count)], self.dt)
        return Clock(first + count, time(first + count))


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
    """

    comm: MPI.Intracomm
    dt: float
    until: float
    tolerance: float
    order: int
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
            self.dt = max(self.dt, trial * factor) if last and accepted else trial * factor
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
    """Steps as long as a limit allows, which is looked up anew every so many steps (CFL).

    A march that goes on where another ended is given its last ``dt``.

    Attributes:
        limit: the longest stable step for a state and a time, the same on all ranks; collective.
        until: time of the end.
        every: after how many steps it is looked up.
        dt: the last limit.
    """

    limit: Callable[[State, float], float]
    until: float
    every: int = 1
    dt: float = 0.0
    rejected = 0

    @property
    def end(self) -> Stop:
        """Where the march ends."""
        return Stop(time=self.until)

    def advance(self, steps: Steps, clock: Clock, stop: Stop) -> Clock:
        """Take one step; collective."""
        if not self.dt or clock.step % self.every == 0:
            self.dt = self.limit(steps.state, clock.time)
        count = max(1, math.ceil((stop.time - clock.time) / self.dt * (1 - 1e-12)))  # equal ones up to the stop
        dt = (stop.time - clock.time) / count
        steps.take([clock.time], dt)
        return Clock(clock.step + 1, stop.time if count == 1 else clock.time + dt)
