"""The march in time: steps, events (frames, checks), and the control of adaptive steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parsolve.domain.grid import AXES, Grid
from parsolve.domain.reduce import Bad, first_bad
from parsolve.errors import NumericalError, agree
from parsolve.stages.evaluation import State

if TYPE_CHECKING:
    from parsolve.march.schedule import Schedule
    from parsolve.march.stepper import RungeKuttaStepper, Stepper
    from parsolve.stages.passes import Passes

Record = Callable[[float, int, State], None]


class Progress(Protocol):
    """Shows how far the march is."""

    def update(self, step: int, time: float, dt: float) -> None:
        """Tell the step just done."""


@dataclass(frozen=True)
class Result:
    """What a march did: steps, time reached, seconds of marching alone (without output)."""

    steps: int
    time: float
    seconds: float
    rejected: int = 0


def march(
    stepper: Stepper | Passes,
    schedule: Schedule,
    record: Record,
    *,
    check_every: int,
    progress: Progress | None = None,
) -> Result:
    """Take the steps of a schedule, one by one or in passes of several; collective.

    Raises:
        NumericalError: a value is not finite; on all ranks, within ``check_every`` steps.
    """
    dt, seconds, done = schedule.dt, 0.0, 0
    while done < schedule.steps:
        check = done + check_every - done % check_every
        stop = min(check, next(n for n in (*schedule.records, schedule.steps) if n > done))
        begin = perf_counter()
        while done < stop:
            done += stepper.advance(done, stop, schedule)
            if progress is not None:
                progress.update(done, schedule.time(done), dt)
        check_finite(stepper.state, done, schedule.time(done), dt)
        seconds += perf_counter() - begin
        if done in schedule.records:
            record(schedule.time(done), done, stepper.state)
    return Result(done, schedule.time(done), seconds)


def march_adaptive(
    stepper: RungeKuttaStepper | Passes,
    times: Sequence[float],
    dt: float,
    tolerance: float,
    order: int,
    record: Record,
    *,
    check_every: int,
    progress: Progress | None = None,
) -> Result:
    """March through ``times``, a frame at each, with steps whose estimated error meets the tolerance; collective.

    The error is measured by max |e| / (tolerance (1 + |y|)), which no order of summation can change, and
    dt is scaled by 0.9 err^(-1/p) within [0.2, 5], p the lower order of the pair plus one
    (Hairer, Norsett & Wanner, Solving ODEs I, II.4).  ``order`` is that of the scheme.

    Raises:
        NumericalError: the step fell below what the time can resolve.
    """
    from mpi4py import MPI

    comm = next(iter(stepper.state.values())).subdomain.comm
    time, steps, rejected, seconds = 0.0, 0, 0, 0.0
    exponent = -1.0 / order
    for stop in times:
        begin = perf_counter()
        while time < stop:
            last = time + dt >= stop - 1e-12 * stop
            trial = stop - time if last else dt
            worst = np.array([stepper.attempt(time, trial, tolerance)])
            comm.Allreduce(MPI.IN_PLACE, worst, op=MPI.MAX)
            error = float(worst[0])
            factor = 0.2 if not error < math.inf else 5.0 if error == 0 else min(5.0, max(0.2, 0.9 * error**exponent))
            if error <= 1:
                stepper.accept()
                time, steps = stop if last else time + trial, steps + 1
                dt = max(dt, trial * factor) if last else trial * factor
                if progress is not None:
                    progress.update(steps, time, trial)
            else:
                rejected += 1
                dt = trial * factor
            if dt < 1e-14 * stop or not math.isfinite(dt):
                raise NumericalError(
                    f"step {steps}, t = {time:.6g}: the time step fell to {dt:.3g} without meeting "
                    f"time.tolerance = {tolerance:g}; the solution may blow up here: check the case or raise it"
                )
            if steps % check_every == 0:
                check_finite(stepper.state, steps, time, trial)
        check_finite(stepper.state, steps, time, dt)
        seconds += perf_counter() - begin
        record(time, steps, stepper.state)
    return Result(steps, time, seconds, rejected)


def check_finite(state: State, step: int, time: float, dt: float) -> None:
    """Raise the same NumericalError on all ranks if a value of the state is not finite; collective."""
    sub = next(iter(state.values())).subdomain
    bad = next(_bad(state), None)
    error = None if bad is None else NumericalError(_message(bad, state, sub.grid, step, time, dt))
    agree(sub.comm, error)


def _bad(state: State) -> Iterator[Bad]:
    for f in state.values():
        found = first_bad(f)
        if found:
            yield found


def _message(bad: Bad, state: State, grid: Grid, step: int, time: float, dt: float) -> str:
    start = state[bad.field].subdomain.start
    z, y, x = (i - s for i, s in zip(bad.index, start, strict=True))
    value = state[bad.field].owned[z, y, x]
    cell = ", ".join(f"{axis} = {bad.index[AXES.index(axis)]}" for axis in grid.names)
    advice = (
        f"try a smaller time.dt (it was {dt:.6g})" if step else "the initial values are not finite: check [initial]"
    )
    return f"{bad.field} is {value} at cell {cell}; step {step}, t = {time:.6g}, dt = {dt:.6g}; {advice}"
