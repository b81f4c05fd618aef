"""What of a march is kept: checkpoints, from which it goes on with the same bits, on any number of ranks."""

from __future__ import annotations

import json
import math
import os
import socket
from contextlib import suppress
from time import monotonic
from time import time as wall_time
from typing import TYPE_CHECKING

import numpy as np

from parsolve.case import Case
from parsolve.case.checks import seconds_of
from parsolve.case.march import text_of
from parsolve.case.tables import parse
from parsolve.domain.grid import Grid
from parsolve.domain.resample import resampled
from parsolve.errors import CaseError, ParsolveError, agree
from parsolve.march.march import Event, check_finite
from parsolve.march.schedule import Clock
from parsolve.march.watch import Due, Signals, Watch
from parsolve.problem.times import end_of
from parsolve.store.checkpoint import LEAST, Checkpoint, Checkpoints, number_of
from parsolve.store.layout import Content, FieldInfo
from parsolve.store.places import command, find_folder
from parsolve.store.status import Stands, Status, write_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.domain.grid import Triple
    from parsolve.problem.prepare import Prepared, Values
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State
    from parsolve.store.stages import Job


HEARTBEAT = 2.0  # seconds between two writings of the status
RATE = 1e8  # bytes a second at which a disk is believed to write before the first checkpoint


class Stopped(ParsolveError):
    """The march was told to stop, and can go on."""

    exit_code = 75


class Keeper:
    """Keeps checkpoints of a march, and stops it where it is told to; collective.

    Args:
        march: what is kept.
        folder: where.
        provenance: what their frames say of where they come from, also the "run" and hashes of its "inputs".
        frames: step and time of the frames so far.
        signals: what the process was sent.
        since: the checkpoint from which the march goes on.
        resample: whether it begins there with the values alone, and not as it was.
        before: bring to the disk what a checkpoint relies on; collective.
        slices: how many rows each has so far; on rank 0.
    """

    def __init__(
        self, march: Prepared, folder: Path, provenance: Mapping[str, str],
        frames: Callable[[], list[tuple[int, float]]], signals: Signals, since: Checkpoint | None = None,
        resample: bool = False, before: Sequence[Callable[[], None]] = (), slices: Callable[[], dict[str, int]] = dict,
    ) -> None:  # fmt: skip
        self._before, self._slices = before, slices
        problem, self._march, self._frames, self._folder = march.problem, march, frames, folder
        goes_on = since is not None and not resample
        kept = problem.case.checkpoint
        keep, keep_every = (kept.keep, kept.keep_every or 0) if kept else (LEAST, 0)
        count = since.count if since and goes_on else 0
        self._files = checkpoints_of(march, folder, provenance, keep, keep_every, count)
        self._since, self._goes_on, self._begun, self._told = since, goes_on, (Clock(), 0.0), -HEARTBEAT
        self._job: Job | None = None
        self._held = self._last = Clock()  # of the checkpoint that was begun last, and of the one that is complete
        self._waited = 0.0  # seconds of the march, for the one that was begun last
        self._watch = Watch(march.comm, due(problem.case), signals, deadline(problem.case), self._files.size / RATE)

    @property
    def event(self) -> Event:
        """That of the march."""
        return Event(self._watch, self._look)

    def begin(self) -> Clock:
        """Be as the checkpoint says, if there is one; where the march then is."""
        clock, since = Clock(), self._since
        if since is not None:
            clock = Clock(since.step, since.time)
            end, case = end_of(self._march.problem), self._march.problem.case
            if end.step < clock.step or end.time < clock.time:
                key = f"time.{'steps' if case.time.steps else 'end'}"
                why = f"the checkpoint is at step {since.step}, t = {since.time:.6g} already; give a later end"
                agree(self._march.comm, case.error(key, f"{why}, or --force without --resume to begin anew"))
            if self._goes_on:
                sub = next(iter(self._march.state.values())).subdomain
                self._march.restore(since.numbers, lambda arrays: since.read(sub, arrays))
                self._march.history.spent = since.spent
        self._watch.begin(clock)
        self._last = clock
        self._begun = clock, monotonic()
        return clock

    def finish(self, clock: Clock) -> None:
        """Keep the last state, if checkpoints are kept at all."""
        self._complete()
        if self._march.problem.case.checkpoint is not None and not self._watch.is_last(clock):
            self._write(clock, wait=True)
        self._tell(clock, "gathering")

    def gathered(self, clock: Clock, folder: Path) -> None:
        """Say that the result is complete, in the folder of its checkpoints if there is one."""
        self._folder = folder
        if folder.is_dir():
            self._tell(clock, "done")

    def fail(self) -> None:
        """Say that the numbers went wrong; the checkpoints before stay, one that was begun is completed."""
        self.close()
        step, time, _ = self._march.history.last
        self._tell(Clock(step, time), "failed")

    def close(self) -> None:
        """However the march ended on all ranks, complete a checkpoint that was begun before; collective."""
        with suppress(ParsolveError):
            self._complete()

    def _tell(self, clock: Clock, state: Stands) -> None:
        """Write the status, on rank 0; while it is running not too often."""
        now = monotonic()
        if self._march.comm.rank or (state == "running" and now < self._told + HEARTBEAT):
            return
        self._told, time = now, self._march.problem.case.time
        begun, since = self._begun
        seconds = max(now - since, 1e-9)
        steps, part = clock.step - begun.step, clock.time - begun.time
        if time.end:
            left = (time.end - clock.time) * seconds / part if part > 0 else None
        else:
            left = ((time.steps or 0) - clock.step) * seconds / steps if steps else None
        frames, last = self._frames(), self._last
        status = Status(
            state=state, updated=wall_time(), host=socket.gethostname(), process=os.getpid(),
            at=(clock.step, clock.time), dt=self._march.control.dt, steps_per_s=steps / seconds,
            seconds_left=0.0 if state in ("gathering", "done") else left, frames=len(frames),
            last_frame=frames[-1] if frames else None, last_checkpoint=(last.step, last.time) if last.step else None,
            spent=self._march.history.spent, slices=self._slices(),
        )  # fmt: skip
        write_status(self._folder, status)

    def _look(self, clock: Clock, state: State) -> None:
        is_due = self._watch.look(clock, self._job is None or self._job.is_ready)
        if self._job is not None and (self._watch.ready or is_due or self._watch.reason):
            self._complete(stages=None if is_due or self._watch.reason else 1)
        if is_due:
            self._write(clock, wait=bool(self._watch.reason))
        self._tell(clock, "stopped" if self._watch.reason else "running")
        if self._watch.reason:
            text = f"stopped at step {clock.step}, t = {clock.time:.6g}, as {self._watch.reason}"
            result = find_folder(self._folder, lambda _: True)[1]
            error = Stopped(f"{text}; go on with `{command(self._march.comm.size, 'restart', result)}`")
            agree(self._march.comm, error)

    def _write(self, clock: Clock, wait: bool) -> None:
        """Begin a checkpoint, and ``wait`` for it to be complete."""
        march, begun = self._march, monotonic()
        check_finite(march.state, clock, march.control.dt, march.walls.error)
        for keep in self._before:
            keep()
        sub = next(iter(march.state.values())).subdomain
        numbers = number_of(march.numbers())
        self._job = self._files.begin(
            clock.time, clock.step, sub, march.arrays, numbers, self._frames(), wait, march.history.spent
        )
        self._watch.begun(clock)
        self._held, self._waited = clock, monotonic() - begun
        if wait:
            self._complete()

    def _complete(self, stages: int | None = None) -> None:
        """Go on with a checkpoint that was begun, by so many stages or to its end."""
        job, self._job = self._job, None
        while job is not None and not job.is_done and stages != 0:
            job.go_on()
            stages = stages and stages - 1
        if job is not None and job.is_done:
            self._last = self._held
            self._watch.took(self._waited + job.seconds)
        else:
            self._job = job


def checkpoints_of(
    march: Prepared, folder: Path, provenance: Mapping[str, str], keep: int = LEAST, keep_every: int = 0, count: int = 0
) -> Checkpoints:
    """What writes the checkpoints of a march into a folder; keywords as of `Checkpoints`."""
    problem = march.problem
    infos = tuple(FieldInfo(name, name, "1") for name in march.arrays)
    content = Content(problem.grid, infos, problem.dtype, provenance, tuple(problem.dimensions))
    case = {
        "text": text_of(problem.case), "has_arrays": problem.case.has_arrays,
        "inputs": json.loads(provenance["inputs"]),
    }  # fmt: skip
    return Checkpoints(march.comm, folder, content, case, keep, keep_every, count)


def refuse_changed_inputs(since: Checkpoint, provenance: Mapping[str, str]) -> None:
    """Refuse to go on with input files that are not as they were when the run began.

    Raises:
        CaseError: one is not.
    """
    for name, digest in json.loads(provenance["inputs"]).items():
        if since.inputs.get(name) != digest:
            raise _changed(name, since)
    for name in since.inputs.keys() - json.loads(provenance["inputs"]).keys():
        raise _changed(name, since)


def _changed(name: str, since: Checkpoint) -> CaseError:
    return CaseError(
        f"{name}: is not as it was when the run of '{since.manifest}' began, so it cannot go on; put the file back, or "
        "begin another run with the values of a result by [initial] from = 'OLD.h5'"
    )


def resampled_values(since: Checkpoint, problem: Problem) -> Values:
    """The values of a checkpoint on the grid of a problem, at any box.

    Raises:
        CaseError: the march needs more than values to begin.
    """
    case = Case.from_dict(parse(str(since.manifest), since.case))
    old, dtype = Grid.of(case.grid), np.dtype(case.run.precision)
    if problem.scheme.derivative == 2:
        raise problem.case.error("time.scheme", "leapfrog begins with a velocity, which is in no checkpoint")
    missing = sorted(set(problem.program.unknowns) - since.regions.keys())
    if missing:
        raise problem.case.error("time.scheme", f"{since.file} has no '{missing[0]}', as leapfrog does without it")

    def values(name: str, start: Triple, shape: Triple) -> NDArray[np.float64]:
        whole = since.array(name, dtype, old.cells)
        return resampled(lambda places: whole[np.ix_(*places)], old, problem.grid, start, shape)

    return values


def due(case: Case) -> Due:
    """When checkpoints of a case are due."""
    kept = case.checkpoint
    if kept is None:
        return Due()
    if isinstance(kept.every, str):
        return Due(seconds=seconds_of(kept.every))
    return Due(kept.every_steps, None, kept.every)


def deadline(case: Case) -> float:
    """When a run is to be over, as `monotonic` counts: by the case, or by Slurm."""
    left = seconds_of(case.run.walltime) if case.run.walltime else math.inf
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal():
        left = min(left, float(end) - wall_time())
    return monotonic() + left
