"""Waiting for tasks, so that who waits works: futures, and what `concurrent.futures` has for many of them."""

from __future__ import annotations

import time
from collections import deque
from concurrent import futures
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OUTSIDE = "Executor: tasks are submitted and waited for within the with block"
INSIDE = (
    "a task cannot use the executor that runs it: let it return what is to be done next, "
    "or give it several ranks and an Executor(comm) of its own"
)


class Work(Protocol):
    """Does tasks until it is enough, or so many seconds are over, and returns whether it is enough."""

    def __call__(self, is_enough: Callable[[], bool], timeout: float | None = None, /) -> bool: ...  # noqa: D102


class Worker(Protocol):
    """What a future knows of the executor that has its task."""

    def work(self, is_enough: Callable[[], bool], timeout: float | None = None, /) -> bool:
        """Do tasks."""

    def look(self) -> None:
        """Look for what has ended."""

    def is_elsewhere(self) -> bool:
        """Whether the caller is another thread than the one that does tasks."""


class TaskFuture(Future[Any]):
    """The result of a task that is to come; who waits for it lets rank 0 do tasks.

    Args:
        executor: that has the task.
    """

    def __init__(self, executor: Worker) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> Any:
        """The value of the task, or its error raised; after so many seconds TimeoutError."""
        return super().result(self._await(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error of the task, None if it has a value; after so many seconds TimeoutError."""
        return super().exception(self._await(timeout))

    def done(self) -> bool:
        """Whether the task has ended, or is cancelled."""
        if not super().done():
            self._executor.look()
        return super().done()

    def _await(self, timeout: float | None) -> float | None:
        """Do tasks until this one has ended; return for how long there is still to wait."""
        if super().done() or self._executor.work(super().done, timeout):
            return 0
        return timeout if self._executor.is_elsewhere() else 0

    def cancel(self) -> bool:
        """Cancel the task if it has not been handed out; return whether it is cancelled."""
        if self.cancelled():
            return True
        is_cancelled = super().cancel()
        if is_cancelled:
            self.set_running_or_notify_cancel()  # who waits need not wait until its turn comes
        return is_cancelled


def wait(
    work: Work, fs: Iterable[Future[Any]], timeout: float | None, return_when: str
) -> tuple[set[Future[Any]], set[Future[Any]]]:
    """As `concurrent.futures.wait`: the sets ``done`` and ``not_done``."""
    every = set(fs)
    ended: deque[Future[Any]] = deque()
    failed: list[Future[Any]] = []

    def note(future: Future[Any]) -> None:
        ended.append(future)
        if not future.cancelled() and Future.exception(future, 0) is not None:
            failed.append(future)

    for future in every:
        future.add_done_callback(note)
    enough: dict[str, Callable[[], bool]] = {
        futures.ALL_COMPLETED: lambda: False,
        futures.FIRST_COMPLETED: lambda: bool(ended),
        futures.FIRST_EXCEPTION: lambda: bool(failed),
    }
    work(lambda: len(ended) == len(every) or enough[return_when](), timeout)
    return futures.wait(every, 0, return_when)


def as_completed(work: Work, fs: Iterable[Future[Any]], timeout: float | None) -> Iterator[Future[Any]]:
    """As `concurrent.futures.as_completed`: each future when it has ended.

    Raises:
        TimeoutError: more seconds than ``timeout`` have gone since the first was asked for.
    """
    end = None if timeout is None else time.monotonic() + timeout
    every = set(fs)
    ended: deque[Future[Any]] = deque()
    for future in every:
        future.add_done_callback(ended.append)
    for left in range(len(every), 0, -1):
        if not work(lambda: bool(ended), None if end is None else end - time.monotonic()):
            raise TimeoutError(f"{left} of {len(every)} tasks have not ended")
        yield ended.popleft()


def mapped(
    submit: Callable[..., Future[Any]], fn: Callable[..., Any], iterables: Iterable[Iterable[Any]],
    timeout: float | None, **wishes: Any,
) -> Iterator[Any]:  # fmt: skip
    """The results of a function of the elements of iterables, all submitted with these wishes, in their order."""
    end = None if timeout is None else time.monotonic() + timeout
    return results([submit(fn, *args, **wishes) for args in zip(*iterables, strict=False)], end)


def results(fs: Iterable[Future[Any]], end: float | None) -> Iterator[Any]:
    """The results of futures in their order, which are forgotten; those that nobody comes to ask for are cancelled."""
    left = deque(fs)
    try:
        while left:
            future = left.popleft()
            try:
                yield future.result(None if end is None else max(0.0, end - time.monotonic()))
            except BaseException:
                future.cancel()
                raise
    finally:
        for future in left:
            future.cancel()
