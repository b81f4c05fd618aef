"""Stages are done one after the other on all ranks, in a thread or not, and an error is that of all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.errors import StorageError
from parsolve.store.stages import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mpi4py import MPI


def stages(comm: MPI.Intracomm, done: list[Any], fails: int = -1) -> Generator[Callable[[], Any], Any, None]:
    """Two stages, between which ranks exchange what came of the first; on one rank it may fail."""

    def first() -> int:
        done.append(threading.current_thread() is threading.main_thread())
        if comm.rank == fails:
            raise StorageError(f"rank {fails}")
        return comm.rank

    try:
        found = comm.allgather((yield first))
        yield lambda: done.append(found)
    finally:
        done.append("closed")


@pytest.mark.mpi
@pytest.mark.parametrize("threaded", [False, True])
def test_stages_follow_each_other_on_all_ranks(comm: MPI.Intracomm, threaded: bool) -> None:
    done: list[Any] = []
    job = Job(comm, stages(comm, done), threaded)
    job.finish()
    assert done == [not threaded, list(range(comm.size)), "closed"]
    assert job.is_done
    assert job.seconds > 0
    job.finish()  # there is nothing more to do


@pytest.mark.mpi
@pytest.mark.parametrize("threaded", [False, True])
def test_what_fails_on_one_rank_ends_it_on_all(comm: MPI.Intracomm, threaded: bool) -> None:
    done: list[Any] = []
    job = Job(comm, stages(comm, done, fails=comm.size - 1), threaded)
    with pytest.raises(StorageError, match=f"rank {comm.size - 1}"):
        job.finish()
    assert done == [not threaded, "closed"]
    assert job.is_done


def test_a_thread_is_not_waited_for(solo: MPI.Intracomm) -> None:
    event, done = threading.Event(), []

    def waiting() -> Generator[Callable[[], Any], Any, None]:
        done.append((yield lambda: event.wait(20)))

    job = Job(solo, waiting(), threaded=True)
    assert not job.is_ready
    event.set()
    job.finish()
    assert done == [True]
