"""The spine: a case goes in, a result file comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsolve.domain.grid import decompose
from parsolve.problem.prepare import prepare
from parsolve.problem.problem import pose
from parsolve.problem.summary import Summary, summarize
from parsolve.store.frames import Recorder
from parsolve.store.provenance import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.case import Case
    from parsolve.problem.prepare import Progress
    from parsolve.stages.evaluation import State


def run(case: Case, comm: MPI.Intracomm, out: Path, force: bool = False, progress: Progress | None = None) -> Summary:
    """Solve a case on the ranks of a communicator; collective.

    Returns:
        The summary, on every rank.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    problem = pose(case)  # the case checked against its equation, the equation discretised
    subdomain = decompose(problem.grid, comm, problem.halo(comm.size), case.run.processes, problem.threads)
    recorder = Recorder(
        comm, out, problem.grid, problem.recorded, problem.dtype, provenance(case, comm),
        keep_frames=case.output.keep_frames, force=force,
    )  # fmt: skip

    def record(time: float, step: int, state: State) -> None:
        recorder.write(time, step, [state[info.name] for info in problem.recorded])

    try:
        march = prepare(problem, subdomain)  # kernels bound to fields that hold the initial values
        record(0.0, 0, march.state)
        result = march.run(record, progress)
        path = recorder.finish()
    except BaseException:
        recorder.abandon()
        raise
    return summarize(march, result, path)
