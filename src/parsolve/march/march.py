"""The march: a control takes steps, and events happen on their schedules."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from parsolve.domain.grid import AXES
from parsolve.domain.reduce import first_bad
from parsolve.errors import NumericalError, agree
from parsolve.march.schedule import START, Clock, Either, Stop
from parsolve.watchdog import pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parsolve.domain.grid import Grid
    from parsolve.domain.reduce import Bad
    from parsolve.errors import ParsolveError
    from parsolve.march.control import Control
    from parsolve.march.schedule import When
    from parsolve.march.steps import Steps
    from parsolve.stages.operator import State


class Progress(Protocol):
    """Shows how far a march is; of rank 0 alone."""

    def start(self, total_time: float | None, total_steps: int | None, cells: int) -> None:
        """Tell what is ahead."""

    def update(self, step: int, time: float, dt: float) -> None:
        """Tell the step just done."""

    def note(self, text: str) -> None:
        """Tell what else is known of it."""

    def finish(self) -> None:
        """Tell that the march is over."""


@dataclass(frozen=True)
class Event:
    """Something that happens at some states of a march; collective.

    ``marching``: whether its time counts as time of the march.
    """

    when: When
    act: Callable[[Clock, State], None]
    marching: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a march did: steps, time reached, seconds of marching alone, steps tried in vain.

    ``taken``: the steps that took these seconds; others were taken before.
    """

    steps: int
    time: float
    seconds: float
    rejected: int
    taken: int


def march(
    steps: Steps, control: Control, events: Sequence[Event] = (), *, clock: Clock = START, end: Stop | None = None,
    progress: Progress | None = None, is_over: Callable[[], bool] = lambda: False,
    took: Callable[[float, int], None] = lambda seconds, steps: None,
) -> Outcome:  # fmt: skip
    """March from a step and time to an end, by default that of the control, or until it is over; collective.

    Before events ``took`` is told the seconds of marching since the last ones, and the steps.

    Raises:
        ParsolveError: of an event, or because no step can be taken; the same one on all ranks.
    """
    schedule, seconds, first = Either([event.when for event in events]), 0.0, clock.step

    def add(more: float, steps: int) -> None:
        nonlocal seconds
        seconds += more
        took(more, steps)

    end = end or control.end
    while not (end.is_reached(clock) or is_over()):
        begin, before = perf_counter(), clock.step
        due = schedule.after(clock)
        stop = Stop(min(due.step, end.step), min(due.time, end.time))
        while not stop.is_reached(clock):
            clock = control.advance(steps, clock, stop)
            pulse.beats += 1
            if progress is not None:
                progress.update(clock.step, clock.time, control.dt)
        add(perf_counter() - begin, clock.step - before)
        for event in events:
            if event.when.is_due(clock):
                begin = perf_counter()
                event.act(clock, steps.state)
                if event.marching:
                    add(perf_counter() - begin, 0)
    return Outcome(clock.step, clock.time, seconds, control.rejected, clock.step - first)


def check_finite(state: State, clock: Clock, dt: float, known: ParsolveError | None = None) -> None:
    """Raise the same NumericalError on all ranks if a value of the state is not finite; collective.

    Or what a rank has ``known`` before.
    """
    sub = next(iter(state.values())).subdomain
    bad = next(_bad(state), None)
    error = known if bad is None else NumericalError(_message(bad, state, sub.grid, clock, dt))
    agree(sub.comm, error)


def _bad(state: State) -> Iterator[Bad]:
    for f in state.values():
        found = first_bad(f)
        if found:
            yield found


def _message(bad: Bad, state: State, grid: Grid, clock: Clock, dt: float) -> str:
    start = state[bad.field].subdomain.start
    z, y, x = (i - s for i, s in zip(bad.index, start, strict=True))
    value = state[bad.field].owned[z, y, x]
    cell = ", ".join(f"{axis} = {bad.index[AXES.index(axis)]}" for axis in grid.names)
    advice = f"try a smaller time.dt (it was {dt:.6g})"
    if not dt:  # it has not begun
        advice = "it begins with values that are not finite: check [initial] and run.precision, or what was assigned"
    return f"{bad.field} is {value} at cell {cell}; step {clock.step}, t = {clock.time:.6g}, dt = {dt:.6g}; {advice}"
