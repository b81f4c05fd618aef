"""The spine: a case goes in, a result file comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from parsolve.domain.grid import decompose
from parsolve.domain.reduce import extrema, mean
from parsolve.prepare import field_infos, prepare
from parsolve.problem import pose
from parsolve.solvers.march import Progress as StepProgress
from parsolve.solvers.march import Result, march, march_adaptive
from parsolve.solvers.stepper import RungeKuttaStepper
from parsolve.store.frames import Recorder
from parsolve.store.provenance import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.case import Case
    from parsolve.solvers.evaluation import State


class Progress(StepProgress, Protocol):
    """Shows how far a run is."""

    def start(self, total_time: float | None, total_steps: int | None, cells: int) -> None:
        """Tell what is ahead."""

    def finish(self) -> None:
        """Tell that the march is over."""


@dataclass(frozen=True)
class Summary:
    """What a run did; ``seconds`` is the marching alone."""

    case_title: str
    grid: dict[str, int]
    processes: dict[str, int]
    steps: int
    time: float
    cells: int
    seconds: float
    updates_per_s: float
    fields: dict[str, dict[str, float]]
    result: str

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain data."""
        return asdict(self)


def run(
    case: Case, comm: MPI.Intracomm, out: Path, force: bool = False, progress: Progress | None = None
) -> Summary:
    """Solve a case on the ranks of a communicator; collective.

    Returns:
        The summary, on every rank.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    problem = pose(case)
    sub = decompose(
        problem.grid, comm, ghost=problem.program.ghost, closure=problem.points, processes=case.run.processes
    )
    infos = field_infos(problem)
    names = [info.name for info in infos]
    recorder = Recorder(
        comm,
        out,
        problem.grid,
        infos,
        problem.dtype,
        provenance(case, comm),
        keep_frames=case.output.keep_frames,
        force=force,
    )

    def record(time: float, step: int, state: State) -> None:
        recorder.write(time, step, [state[name] for name in names])

    try:
        stepper, schedule, dt = prepare(problem, sub)
        record(0.0, 0, stepper.state)
        shown = progress if comm.rank == 0 else None
        if shown is not None:
            shown.start(case.time.end, schedule.steps if schedule else None, problem.grid.size)
        if schedule is not None:
            result = march(stepper, schedule, record, check_every=case.run.check_every, progress=shown)
        else:
            assert isinstance(stepper, RungeKuttaStepper)
            assert case.time.tolerance is not None
            result = march_adaptive(
                stepper, problem.record_times(), dt, case.time.tolerance, record,
                check_every=case.run.check_every, progress=shown,
            )  # fmt: skip
        if shown is not None:
            shown.finish()
        path = recorder.finish()
    except BaseException:
        recorder.abandon()
        raise
    stepper.free()
    return summarize(case, result, stepper.state, path)


def summarize(case: Case, result: Result, state: State, path: Path) -> Summary:
    """The summary of a march; collective."""
    sub = next(iter(state.values())).subdomain
    grid = sub.grid
    fields = {}
    for name, f in state.items():
        low, high = extrema(f)
        fields[name] = {"min": low, "max": high, "mean": mean(f)}
    return Summary(
        case.title,
        dict(zip(grid.names, reversed(grid.shape), strict=True)),
        {axis: sub.processes["zyx".index(axis)] for axis in grid.names},
        result.steps,
        result.time,
        grid.size,
        result.seconds,
        result.steps * grid.size / max(result.seconds, 1e-12),
        fields,
        str(path),
    )
