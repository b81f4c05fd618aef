"""The engines that a beginner may choose from, started and ended: workers here, in a pool, on Dask, on the ranks."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from parsolve.domain.launch import PREFIXES
from parsolve.ensemble.calls import EndedError
from parsolve.ensemble.engines import pool as engine_of
from parsolve.ensemble.tasks import Executor
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from mpi4py import MPI

    from parsolve.ensemble.engines import Pool

    Start = Callable[[int], AbstractContextManager[Pool]]  # by the number of workers

NO_DASK = 'not installed: pip install "parsolve[dask]"'
NO_THREADS = "this MPI library does not let threads call it"
LOST = 1  # exit code of a worker whose parent has gone


@contextmanager
def threads(workers: int) -> Iterator[Pool]:
    """Tasks on threads of this process; MPI must let them call it."""
    with ThreadPoolExecutor(workers) as pool, engine_of(pool) as tasks:
        yield tasks


@contextmanager
def processes(workers: int) -> Iterator[Pool]:
    """Tasks on processes that are started afresh, as a copy of one that uses MPI may not.

    Raises:
        SetupError: one of them ended before its time.
    """
    context = multiprocessing.get_context("spawn")
    with unlaunched():
        try:
            with ProcessPoolExecutor(workers, context, _follow) as pool, engine_of(pool) as tasks:
                with uninterrupted():
                    for _ in range(workers):  # each starts a process, as none has done anything yet
                        pool.submit(os.getpid)
                yield tasks
        except (BrokenExecutor, EndedError) as error:
            raise SetupError(f"processes: a worker ended before its time: {error}") from None


@contextmanager
def dask(workers: int) -> Iterator[Pool]:
    """Tasks on processes that Dask starts on this machine; its files are in a folder that goes with them.

    Raises:
        SetupError: the cluster does not start, or loses workers.
    """
    from dask import config
    from distributed import Client, LocalCluster

    options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    with unlaunched(), tempfile.TemporaryDirectory(prefix="parsolve-dask-") as folder, ExitStack() as stack:
        stack.enter_context(config.set({"temporary-directory": folder}))
        try:
            with uninterrupted():
                cluster = stack.enter_context(LocalCluster(**options, silence_logs=logging.CRITICAL))
                client = stack.enter_context(Client(cluster))
            with engine_of(client) as tasks:
                yield tasks
        except Exception as error:
            if isinstance(error, RuntimeError | TimeoutError | EndedError) or type(error).__module__.startswith(
                "distributed"
            ):
                raise SetupError(f"dask: {error}") from None
            raise


def ranks(comm: MPI.Intracomm) -> Executor:
    """Tasks on all ranks; collective."""
    return Executor(comm)


def pools() -> tuple[dict[str, Start], dict[str, str]]:
    """The engines of one process that are here, and why others are not."""
    from mpi4py import MPI

    missing = {}
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        missing["threads"] = NO_THREADS
    if find_spec("distributed") is None:
        missing["dask"] = NO_DASK
    every: dict[str, Start] = {"threads": threads, "processes": processes, "dask": dask}
    return {name: start for name, start in every.items() if name not in missing}, missing


@contextmanager
def unlaunched() -> Iterator[None]:
    """Without what a launcher says in the environment: processes that are started here are no ranks of its job."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIXES)}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and never comes to processes that are started in it: who did ends them."""
    resource_tracker.ensure_running()  # as its start lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow() -> None:
    """In a new worker: end with the process that started it, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(LOST)
