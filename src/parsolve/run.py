"""The spine: a case goes in, a result file comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.errors import NumericalError, ParsolveError, agreed, is_agreed, on_root, owning
from parsolve.march.schedule import START, Clock
from parsolve.march.watch import Signals
from parsolve.problem.keeping import Keeper, Stopped, refuse_changed_inputs, resampled_values
from parsolve.problem.layout import decide
from parsolve.problem.observing import Observer
from parsolve.problem.pose import pose
from parsolve.problem.postmortem import write_postmortem
from parsolve.problem.prepare import prepare
from parsolve.problem.slicing import Slicer
from parsolve.problem.summary import Summary, summarize
from parsolve.store.frames import Recorder
from parsolve.store.packing import Packing
from parsolve.store.places import FOLDERS
from parsolve.store.provenance import provenance
from parsolve.store.source import look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.case import Case
    from parsolve.march.march import Progress
    from parsolve.stages.operator import State
    from parsolve.store.checkpoint import Checkpoint
    from parsolve.store.places import Places


def run(
    case: Case, comm: MPI.Intracomm, out: Path | None, force: bool = False, progress: Progress | None = None,
    since: Checkpoint | None = None, reopen: Callable[[], Places] | None = None, anew: bool = False,
    resample: bool = False, shown: Callable[[Path, Path], object] | None = None,
) -> Summary:  # fmt: skip
    """Solve a case on the ranks of a communicator; collective.

    Without `out` the result has the case's name, numbered where that is taken and not replaced.

    Args:
        case: what is solved.
        comm: its ranks.
        out: name of the result.
        force: replace an older one.
        progress: is told of it on rank 0.
        since: a checkpoint to go on from.
        reopen: claims the places of its run, where its frames are gone on with.
        anew: remove what a run into the same result left that did not finish.
        resample: begin with the values of the checkpoint alone, on another grid.
        shown: is told on rank 0 of each frame that was written: the name that the result gets, and that of the frame.

    Returns:
        The summary, on every rank.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    on_root(comm, lambda: look_at(case.files))  # damaged files must not end a rank
    known = provenance(case, comm, since.run if since is not None and reopen is not None else None)
    with agreed(comm):
        if since is not None and not resample:
            refuse_changed_inputs(since, known)
    problem = pose(case, comm)  # the case checked against its equation, the equation discretised
    layout = decide(problem, comm)  # process grid, ghosts, passes, threads, instruction set: the same for all ranks
    inputs = [*case.files, *((since.manifest, since.file) if since is not None and reopen is None else ())]
    packing = Packing(case.output.compression) if case.output.compression else None
    recorder = Recorder(
        comm, out or Path(f"{case.stem}.h5"), problem.grid, problem.recorded, problem.dtype, known,
        keep_frames=case.output.keep_frames, force=force, number=out is None, inputs=inputs,
        dimensions=problem.dimensions, keep_checkpoints=case.checkpoint is not None, reopen=reopen, anew=anew,
        packing=packing, slices=list(case.slices),
    )  # fmt: skip
    with recorder, owning(comm) as owner:

        def record(clock: Clock, state: State) -> None:
            there = march.looking.derived(state, clock.time)
            recorder.write(clock.time, clock.step, [there[info.name] for info in problem.recorded])
            if shown is not None and comm.rank == 0:
                shown(recorder.result, recorder.frame(clock.step))

        given = resampled_values(since, problem) if since is not None and resample else None
        begin = Clock(since.step, since.time) if since is not None and given else START
        march = prepare(problem, layout, comm, begin, given)  # kernels bound to fields that hold values, and dt
        owner.callback(march.free)
        signals = Signals()
        folder = recorder.places.working
        observer, slicer = Observer(march, folder), Slicer(march, recorder.places, known, packing)
        relied = [observer.keep, slicer.keep]  # of the next checkpoint
        keeper = Keeper(march, folder, known, lambda: recorder.frames, signals, since, resample, relied, slicer.rows)
        owner.callback(keeper.close)
        try:
            with signals:
                clock = keeper.begin()
                if since is not None and reopen is not None:
                    recorder.go_on(since.frames, layout.subdomain(problem.grid, comm))
                    frames = [step for step, _ in since.frames]
                    observer.begin(clock, recorder.series_before, frames)
                    slicer.begin(clock, frames)
                else:
                    record(clock, march.state)
                    observer.begin(clock, None)
                    slicer.begin(clock, None)
                events = [*observer.events, *slicer.events, keeper.event]
                outcome = march.run(record, progress, clock, events, observer.rules.is_over)
                end = Clock(outcome.steps, outcome.time)
                if not recorder.has(end.step):
                    record(end, march.state)
                observer.finish(end)
                slicer.finish(end)
                keeper.finish(end)
            result = recorder.finish(problem.measured, march.history.spent)
            keeper.gathered(end, result.with_name(result.name + FOLDERS[-1]))
            return summarize(march, outcome, result, observer.rules.reason, observer.last, slicer.written)
        except ParsolveError as error:
            if is_agreed(comm, error) and not isinstance(error, Stopped):
                keeper.fail()
                if isinstance(error, NumericalError):
                    write_postmortem(march, folder, known, error)
            raise
