"""The same tasks without ranks: on the pools of `concurrent.futures` and on the workers of Dask."""

from __future__ import annotations

import os
import threading
from concurrent import futures
from concurrent.futures import ALL_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from parsolve.ensemble import calls
from parsolve.ensemble.calls import EndedError, TaskError
from parsolve.ensemble.lasting import Lasting
from parsolve.ensemble.staying import Staying
from parsolve.ensemble.waiting import INSIDE, OUTSIDE, mapped
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from mpi4py import MPI

TURNS = threading.Lock()  # of threads at the communicator of this process, of which each makes one of its own


class Inner(Protocol):
    """What the future of a pool has, and that of Dask too."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Call a function when it has ended."""

    def cancelled(self) -> bool:
        """Whether it is cancelled."""

    def exception(self) -> Any:
        """Its error."""

    def result(self) -> Any:
        """Its value."""

    def cancel(self) -> object:
        """Cancel it if that can be."""


class PoolFuture(Future[Any]):
    """The result of a task in a pool: what comes back as bytes is the value or the error, as from a rank.

    Args:
        inner: the future of the pool.
        call: that was given to it.
    """

    def __init__(self, inner: Inner, call: bytes) -> None:
        super().__init__()
        self._inner, self._call = inner, call
        inner.add_done_callback(self._take)

    def cancel(self) -> bool:
        """Cancel the task if it has not begun; return whether it is cancelled."""
        if not self.done():
            self._inner.cancel()
        return self.cancelled()

    def _take(self, inner: Inner) -> None:
        if inner.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        error = inner.exception()
        if error is not None:
            if type(error).__name__ == "KilledWorker":  # of Dask
                error = EndedError(f"its process ended, on {error.allowed_failures + 1} workers")
            if not isinstance(error, BrokenExecutor):  # which is one for all tasks
                error.add_note(f"task {calls.label_of(self._call)}")
            self.set_exception(error)
            return
        is_value, content = inner.result()
        calls.fulfil(self, self._call, is_value, content, "")


class Pool:
    """Runs tasks of one rank in a pool, which is not ended with the block: who made it ends it.

    Args:
        submit: gives the pool a function, its arguments and a priority.
        close: is called at the end of the block.
    """

    size = 1

    def __init__(
        self,
        submit: Callable[[Callable[..., Any], tuple[Any, ...], float], Inner],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._submit, self._close = submit, close
        self._pending: set[Future[Any]] = set()
        self._process = os.getpid()
        self._blocks = 0  # that were entered and not left
        self._is_over = False

    def __enter__(self) -> Self:
        """Return this: there are no other ranks."""
        self._blocks += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Wait for all tasks; after an error for those that cannot be cancelled."""
        left = list(self._pending)
        if error is not None:
            for future in left:
                future.cancel()
        futures.wait(left)
        self._blocks -= 1
        if not self._blocks:
            self._is_over = True
            self._close()

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        ranks: int | None = None,
        priority: float | None = None,
        **kwargs: Any,
    ) -> Future[Any]:
        """As `Executor.submit`; pools of processes and Dask know priorities, others keep the order.

        Raises:
            TaskError: it cannot be sent.
            SetupError: it has several ranks, or the block is left.
        """
        if self._is_over:
            raise SetupError(OUTSIDE)
        if os.getpid() != self._process:
            raise TaskError(INSIDE)
        wish, has_comm = calls.wishes(fn, ranks, priority, None)
        if wish.ranks > 1:
            raise SetupError(
                f"{calls.name(fn)}: a task of {wish.ranks} ranks needs Executor(comm) under mpirun; "
                "a pool has one rank for each task"
            )
        arguments = calls.pack(fn, args, kwargs), has_comm and "comm" not in kwargs
        future = PoolFuture(self._submit(perform, arguments, wish.priority), arguments[0])
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        ranks: int | None = None,
        priority: float | None = None,
    ) -> Iterator[Any]:
        """As `Executor.map`."""
        return mapped(self.submit, fn, iterables, timeout, ranks=ranks, priority=priority)

    def wait(
        self, fs: Iterable[Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED
    ) -> tuple[set[Future[Any]], set[Future[Any]]]:
        """As `concurrent.futures.wait`: the sets ``done`` and ``not_done``."""
        return futures.wait(set(fs), timeout, return_when)

    def as_completed(self, fs: Iterable[Future[Any]], timeout: float | None = None) -> Iterator[Future[Any]]:
        """As `concurrent.futures.as_completed`: each future when it has ended."""
        return futures.as_completed(fs, timeout)


def pool(where: object) -> Pool:
    """The engine of a pool of `concurrent.futures`, or of a client of Dask.

    Raises:
        TaskError: it is none.
    """
    if isinstance(where, ProcessPoolExecutor):
        lasting = Lasting(where)
        return Pool(lasting.submit, lasting.close)
    if isinstance(where, futures.Executor):
        given = where
        return Pool(lambda fn, args, _: given.submit(fn, *args))
    if type(where).__module__.partition(".")[0] == "distributed" and hasattr(where, "scheduler_info"):
        client: Any = where
        return Pool(lambda fn, args, priority: client.submit(fn, *args, priority=priority, pure=False))
    raise TaskError(
        "Executor.of: expected a communicator, an executor of concurrent.futures, a client of dask.distributed, or "
        f"nothing, got {where!r}"
    )


def perform(packed: bytes, has_comm: bool) -> tuple[bool, bytes]:
    """Call a function in a worker of a pool; return whether there is a value, and the value or error as bytes."""
    call: calls.Call | None = None
    try:
        fn, args, kwargs = call = calls.unpack(packed)
        with ExitStack() as stack:
            if has_comm:
                kwargs["comm"] = stack.enter_context(own_comm())
            with Staying():
                value = calls.pack_value(fn(*args, **kwargs))
        return True, value
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return False, calls.pack_failure(error, calls.label(*call) if call else "(not unpacked)")


@contextmanager
def own_comm() -> Iterator[MPI.Intracomm]:
    """A communicator of this process alone, that no other task has.

    (MPI lets threads call it at the same time, but not for the same communicator: MPI 4.0, 11.6.)

    Raises:
        TaskError: MPI was started for the main thread only.
    """
    from mpi4py import MPI

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main and MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise TaskError("tasks in threads have no communicator, as MPI was started for one thread; take processes")
    with TURNS:
        comm = MPI.COMM_SELF.Dup()
    try:
        yield comm
    finally:
        with TURNS:
            if comm != MPI.COMM_NULL:  # the task may have freed it
                comm.Free()
