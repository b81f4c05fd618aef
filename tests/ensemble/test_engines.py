"""The same script gives the same on ranks, in pools and on Dask."""

from __future__ import annotations

import math
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from mpi4py import MPI

from parsolve import Executor, task
from parsolve.ensemble.calls import TaskError
from parsolve.ensemble.engines import Pool, own_comm
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

SCRIPT = """
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import parsolve
from parsolve import Executor


def square(x):
    return x * x


def fail(x):
    raise ValueError(f"no {x}")


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__("odd")


def odd():
    raise Odd(1, 2)


class Mute(Exception):
    def __str__(self):
        raise ValueError

    def __reduce__(self):
        raise ValueError


def mute():
    raise Mute


def bye():
    sys.exit(0)


def leave():
    os._exit(0)


def copy():
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] // 256
    sys.exit(3)  # out of the task


def gift():
    return Gift()


class Gift:
    def __reduce__(self):
        return leave_at_once, ()


def leave_at_once():
    raise SystemExit(0)


def free(comm):
    comm.Free()
    return "freed"


def solve(n, comm):
    case = parsolve.make_case(
        equation="heat", parameters={"D": 0.1}, initial={"u": "x*y"}, time={"steps": 3},
        grid={"x": {"cells": 16 + n, "range": (0, 1)}, "y": {"cells": 16, "range": (0, 1)}})
    return parsolve.solve(case, f"{n}.h5", comm=comm, force=True).fields["u"]["max"]


def main(where):
    with Executor.of(where) as tasks:
        if tasks is not None:
            print(list(tasks.map(square, range(50))), sum(tasks.map(solve, range(4))))
            print(sorted(f.result() for f in tasks.as_completed([tasks.submit(square, i) for i in range(9)])))
            error = tasks.submit(fail, 3).exception()
            print(repr(error), error.__notes__[0].split(" on ")[0], type(error.__cause__).__name__)
            print(str(tasks.submit(odd).exception()).removeprefix("Odd: "))  # Dask can pickle it
            for odd_one in (mute, bye, leave, gift, copy, free):
                future = tasks.submit(odd_one)
                error = future.exception()
                print(error or future.result(), *(error.__notes__ if error else ())[:1])
            done, pending = tasks.wait([tasks.submit(square, i) for i in range(9)])
            print(len(done), len(pending))


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else "KIND"
    if kind == "ranks":
        from mpi4py import MPI
        main(MPI.COMM_WORLD)
    elif kind == "threads":
        with ThreadPoolExecutor(2) as pool:
            main(pool)
    elif kind in ("fork", "spawn"):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind)) as pool:
            main(pool)
    elif kind == "dask":
        from distributed import Client, LocalCluster
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            main(client)
    else:
        main(None)
"""

ODD_ONES = [
    "Mute: (no text) task mute()",
    "it ended its process: SystemExit: 0 task bye()",
    "it ended its process: Left: os._exit(0) task leave()",
    "the result cannot be unpacked here: SystemExit: 0 task gift()",
    "3",
    "freed",
]


@pytest.mark.parametrize(
    ("kind", "ranks"),
    [("ranks", 1), ("ranks", 2), ("ranks", 3), ("threads", 0), ("fork", 0), ("spawn", 0), ("dask", 0)],
)
def test_the_same_on_every_engine(script: Callable[..., CompletedProcess[str]], kind: str, ranks: int) -> None:
    if kind == "dask" and find_spec("distributed") is None:
        pytest.skip("dask is not installed")
    here = script(SCRIPT.replace("KIND", "here"))
    assert here.returncode == 0, here.stderr
    assert here.stdout.splitlines()[4:10] == ODD_ONES
    there = script(SCRIPT.replace("KIND", kind), ranks)
    assert there.returncode == 0, there.stderr
    assert re.sub(" on rank.*", "", there.stdout) == here.stdout


@task(ranks=2)
def pair(comm: MPI.Intracomm) -> int:
    return comm.size


def size(comm: MPI.Intracomm) -> int:
    return comm.size


def test_what_a_pool_cannot_do_is_refused() -> None:
    with ThreadPoolExecutor(1) as threads, Executor.of(threads) as tasks:
        assert isinstance(tasks, Pool)
        with pytest.raises(SetupError, match="a task of 2 ranks needs Executor"):
            tasks.submit(pair)
        if MPI.Query_thread() == MPI.THREAD_MULTIPLE:
            assert tasks.submit(size).result() == 1
        else:
            with pytest.raises(TaskError, match="take processes"):
                tasks.submit(size).result()
    with pytest.raises(TaskError, match="expected a communicator"):
        Executor.of("processes")


def meet(barrier: threading.Barrier, comm: MPI.Intracomm) -> tuple[int, int]:
    """The handle and the size of the communicator, while another thread has one too."""
    barrier.wait(10)
    comm.Barrier()
    return comm.handle, comm.size


def test_each_thread_has_a_communicator_of_its_own() -> None:
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        pytest.skip("threads may not call this MPI")
    barrier, found = threading.Barrier(2), []

    def work() -> None:
        with own_comm() as comm:
            found.append(meet(barrier, comm))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handles, sizes = zip(*found, strict=True)
    assert len({*handles, MPI.COMM_SELF.handle}) == 3
    assert sizes == (1, 1)


def test_the_block_ends_with_its_tasks_and_leaves_the_pool() -> None:
    with ThreadPoolExecutor(1) as threads:
        with Executor.of(threads) as tasks:
            pending = [tasks.submit(math.sqrt, i) for i in range(20)]
        assert [f.result() for f in pending] == [math.sqrt(i) for i in range(20)]
        assert threads.submit(math.sqrt, 4).result() == 2


def test_after_an_error_of_the_body_what_has_not_begun_is_cancelled() -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(gate.wait)
        with pytest.raises(ValueError, match="body"), Executor.of(threads) as tasks:  # noqa: PT012
            pending = [tasks.submit(math.sqrt, i) for i in range(3)]
            raise ValueError("body")
        assert all(f.cancelled() for f in pending)
        gate.set()
