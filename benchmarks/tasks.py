"""What a task costs by engine, and how well ranks are used by tasks of random sizes and durations.

    python benchmarks/tasks.py [--tasks 10000] [--workers 4]
    mpirun -n 4 python benchmarks/tasks.py [--tasks 10000] [--seconds 10]

Without a launcher the engines are this process, pools and Dask, with it the ranks.  The cost is the wall clock from
the first of so many tasks, which return their argument and are submitted one by one, to the last result; the best of
three.  The efficiency is the sum of ranks times seconds over all tasks, by the ranks times the wall clock.  Durations
are exponential with a mean of 50 ms; tasks sleep, so that the number of cores does not count.
"""

from __future__ import annotations

import argparse
import random
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from mpi4py import MPI

from parsolve import Executor

if TYPE_CHECKING:
    from collections.abc import Iterator

MEAN = 0.05  # seconds of a task


def same(x: int) -> int:
    return x


def nap(seconds: float, comm: MPI.Intracomm) -> None:
    time.sleep(seconds)


@contextmanager
def engine(name: str, comm: MPI.Intracomm, workers: int) -> Iterator[Any]:
    """The executor of a name on rank 0, None on the others."""
    if name in ("serial", "ranks"):
        with Executor(comm) as tasks:
            yield tasks
    elif name == "mpi4py.futures":
        from mpi4py.futures import MPICommExecutor

        with MPICommExecutor(comm) as tasks:
            yield tasks
    elif name == "threads":
        with ThreadPoolExecutor(workers) as pool, Executor.of(pool) as tasks:
            yield tasks
    elif name == "processes":
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool, Executor.of(pool) as tasks:
            yield tasks
    else:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
            Executor.of(client) as tasks,
        ):
            yield tasks


def cost(name: str, comm: MPI.Intracomm, workers: int, count: int) -> float:
    """Seconds for each trivial task; on rank 0."""
    times = [0.0]
    with engine(name, comm, workers) as tasks:
        if tasks is not None:
            list(tasks.map(same, range(100)))
            for _ in range(3):
                begin = time.perf_counter()
                found = [future.result() for future in [tasks.submit(same, i) for i in range(count)]]
                times.append((time.perf_counter() - begin) / count)
                assert found == list(range(count))
    return min(times[1:], default=0.0)


def efficiency(comm: MPI.Intracomm, most: int, seconds: float, seed: int = 1) -> float:
    """Used by available time of the ranks, for tasks of 1 to so many ranks; on rank 0."""
    chance = random.Random(seed)
    used = wall = 0.0
    with Executor(comm) as tasks:
        if tasks is not None:
            tasks.wait([tasks.submit(nap, MEAN, ranks=k) for k in range(1, most + 1) for _ in range(4)])
            begin = time.perf_counter()
            pending = []
            while used < seconds * comm.size:
                ranks, duration = chance.randint(1, most), chance.expovariate(1 / MEAN)
                pending.append(tasks.submit(nap, duration, ranks=ranks))
                used += ranks * duration
            tasks.wait(pending)
            wall = time.perf_counter() - begin
            assert not any(future.exception() for future in pending)
    return used / (comm.size * wall) if wall else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    comm = MPI.COMM_WORLD

    def show(text: str) -> None:
        if comm.rank == 0:
            print(text, flush=True)

    engines = ["ranks", "mpi4py.futures"] if comm.size > 1 else ["serial", "threads", "processes", "dask"]
    show(f"| engine | workers | us a task, {args.tasks} tasks |\n|---|---|---|")
    for name in engines:
        workers = {"serial": 1, "ranks": comm.size, "mpi4py.futures": comm.size - 1}.get(name, args.workers)
        show(f"| {name} | {workers} | {1e6 * cost(name, comm, workers, args.tasks):.0f} |")
    if comm.size > 1:
        show(f"\n| tasks that sleep {1e3 * MEAN:.0f} ms in the mean | ranks in use |\n|---|---|")
        for most in sorted({1, comm.size // 2, comm.size}):
            show(f"| of 1 to {most} of {comm.size} ranks | {100 * efficiency(comm, most, args.seconds):.1f} % |")


if __name__ == "__main__":
    main()
