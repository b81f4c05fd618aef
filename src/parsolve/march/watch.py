"""What a march looks at between passes: signals, the time that is left, and whether a checkpoint is due.

Rank 0 has the clock; signals may reach any rank. Looks are at steps that all ranks know beforehand, so that one small
reduction is all that they cost, and they do not change a bit of the solution.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.march.schedule import START, EverySteps, Stop

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

    from mpi4py import MPI

    from parsolve.march.schedule import Clock

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
SECONDS = 0.5  # between two looks, as many steps as that are
AGAIN = 0.5  # within which a signal that comes twice is one, as a launcher passes it on to ranks that have it
MOST_LONGER = 4  # times as many steps to the next look as to this one


class Signals:
    """Within it the signals that end a run are noted, a second one ends it as it would have done.

    SIGUSR1 may have been blocked before, to wait for this, and is so again afterwards.

    Attributes:
        received: the first one, 0 if there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._when, self._held = -math.inf, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                self._before[number] = before = signal.signal(number, self._note) or signal.SIG_DFL
                outer = getattr(before, "__self__", None)
                if isinstance(outer, Signals) and outer.received:  # that came before this was entered
                    self.received, self._when = outer.received, monotonic()
            self._held = signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Note the first; at the second do what was done before."""
        if not self.received:
            self.received, self._when = number, monotonic()
        if self.received == number and monotonic() < self._when + AGAIN:
            return
        signal.signal(number, self._before[number])
        os.kill(os.getpid(), number)


@dataclass
class Due:
    """When checkpoints are due: after so many steps, seconds or units of time; None: not so."""

    steps: int | None = None
    seconds: float | None = None
    time: float | None = None


class Watch:
    """Looks at a march, on all ranks at the same steps; collective.

    Args:
        comm: all ranks.
        due: when checkpoints are.
        signals: what the process was sent.
        deadline: when the run is to be over, as `monotonic` counts seconds; rank 0's is taken.
        costs: seconds that a checkpoint may take, before the first one shows it.

    Attributes:
        reason: why the march is to stop, once it is.
        ready: whether all ranks were, at the last look.
    """

    def __init__(
        self, comm: MPI.Intracomm, due: Due, signals: Signals, deadline: float = math.inf, costs: float = 0.0
    ) -> None:
        self._comm, self._due, self._signals, self._deadline = comm, due, signals, deadline
        self._steps, self._next, self._costs, self.reason, self.ready = 1, 1, costs, "", True
        self._guessed = True
        self._looked = self._written = monotonic()
        self._last = START

    def begin(self, clock: Clock) -> None:
        """The march begins here, where a checkpoint is known or not worth its while."""
        self._last, self._next = clock, clock.step + 1
        self._looked = self._written = monotonic()

    def after(self, clock: Clock) -> Stop:
        """Where it looks next."""
        steps = EverySteps(self._due.steps).after(clock).step if self._due.steps else math.inf
        return Stop(step=min(steps, max(self._next, clock.step + 1)))

    def is_due(self, clock: Clock) -> bool:
        """Whether it looks here."""
        return clock.step >= self._next or self._is_kept(clock)

    def look(self, clock: Clock, ready: bool = True) -> bool:
        """Whether a checkpoint is due; ``reason`` then says whether the march is to stop after it.

        And ``ready`` whether all ranks are so.
        """
        from mpi4py import MPI

        now = monotonic()
        # Signal, not ready; rank 0's: whether time is over, a checkpoint is due, steps to the next look; costs.
        found = np.zeros(6)
        found[0], found[1], found[5] = self._signals.received, not ready, self._costs
        if self._comm.rank == 0:
            found[2:5] = self._decide(clock, now, ready)
        if self._comm.size > 1:
            self._comm.Allreduce(MPI.IN_PLACE, found, op=MPI.MAX)
        if clock.step >= self._next:
            self._steps = int(found[4])
            self._next, self._looked = clock.step + self._steps, now
        if found[0]:
            self.reason = f"{signal.Signals(int(found[0])).name} came"
        elif found[2]:
            self.reason = "its time is nearly over"
        self.ready = not found[1]
        self._costs = found[5]
        return bool(self.reason or (found[3] and self.ready) or self._is_kept(clock)) and not self.is_last(clock)

    def is_last(self, clock: Clock) -> bool:
        """Whether the last checkpoint is of this step."""
        return clock.step == self._last.step

    def begun(self, clock: Clock) -> None:
        """A checkpoint was begun here."""
        self._last, self._written = clock, monotonic()

    def took(self, seconds: float) -> None:
        """A checkpoint takes so long."""
        self._costs = seconds if self._guessed else max(self._costs, seconds)
        self._guessed = False

    def _is_kept(self, clock: Clock) -> bool:
        return bool(self._due.steps and clock.step % self._due.steps == 0)

    def _decide(self, clock: Clock, now: float, ready: bool) -> tuple[bool, bool, int]:
        """Whether time is over, whether a checkpoint is due, and how many steps the next look is away."""
        length, due = now - self._looked, self._due
        steps = min(self._steps * SECONDS / max(length, 1e-6), MOST_LONGER * self._steps)
        costs = self._costs * (2 if ready else 3)  # one that is under way is completed before
        left = self._deadline - now - costs - 2 * max(SECONDS, length)
        timely = due.time is not None and clock.time // due.time > self._last.time // due.time
        slow = due.seconds is not None and now - self._written >= due.seconds
        return left < 0, timely or slow, max(1, int(steps))
