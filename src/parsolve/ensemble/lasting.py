"""A pool of processes that outlives its workers: what had not begun when one died goes on in a fresh pool.

(A pool of `concurrent.futures` ends all its workers and tasks when one worker dies, and does not say of which task.)
"""

from __future__ import annotations

import heapq
import os
import signal
import tempfile
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.ensemble.calls import EndedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

    Perform = Callable[..., tuple[bool, bytes]]

STOP = 5.0  # seconds that a worker has to end
IDLE = 1.0  # seconds after which a worker begins no more task of a broken pool


@dataclass(slots=True)
class Job:
    """A call that waits or runs.

    Attributes:
        number: in the order of submission.
        perform: does it in a worker.
        args: of ``perform``.
        priority: higher ones go first.
        future: of what ``perform`` returns.
        age: how many pools had broken when it was handed out.
        refused: why no pool takes it.
    """

    number: int
    perform: Perform
    args: tuple[Any, ...]
    priority: float
    future: Future[Any] = field(default_factory=Future)
    age: int = 0
    refused: BaseException | None = None

    def is_wanted(self) -> bool:
        """Whether it runs, or begins as it is not cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def finish(self, error: BaseException | None, value: object = None) -> None:
        """Give the future an error, or a value."""
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


class Lasting:
    """Gives a pool no more tasks than its workers can begin, and those after a death to a fresh one like it.

    The task in which a worker died is not done again: its error says how the process ended. What the other workers
    have begun they bring to an end. A pool that ends no task before it breaks is not replaced.

    Args:
        given: the first pool; who made it ends it.
    """

    def __init__(self, given: ProcessPoolExecutor) -> None:
        settings: Any = given
        self._given = self._pool = settings
        self._most = settings._max_workers + 1  # one more, so that no worker waits for this process
        self._lock = threading.RLock()
        self._waiting: list[tuple[float, int, Job]] = []
        self._out: dict[int, Job] = {}
        self._numbers = self._ended = self._age = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def submit(self, perform: Perform, args: tuple[Any, ...], priority: float) -> Future[Any]:
        """The future of ``perform(*args)`` in a worker.

        Raises:
            RuntimeError: the pool takes no more tasks.
        """
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="parsolve-tasks-")
            self._numbers += 1
            job = Job(self._numbers, perform, args, priority)
            self._push(job)
        self._hand_out()
        if job.refused is not None:
            raise job.refused
        return job.future

    def close(self) -> None:
        """End the fresh pool, if there is one; no task is waited for any more."""
        if self._pool is not self._given:
            self._pool.shutdown()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _push(self, job: Job) -> None:
        heapq.heappush(self._waiting, (-job.priority, job.number, job))

    def _hand_out(self) -> None:
        """Give the pool what it has room for; not within the lock, as the pool has one that it holds in callbacks."""
        while True:
            with self._lock:
                if not self._waiting or len(self._out) >= self._most:
                    return
                job = heapq.heappop(self._waiting)[2]
                if not job.is_wanted():
                    continue
                self._out[job.number], job.age = job, self._age
                pool = self._pool
            try:
                inner = pool.submit(noted, self._mark(job.age, ""), job.number, job.perform, *job.args)
            except BrokenExecutor as error:
                self._give_back([job])
                if any(other.age == job.age for other in list(self._out.values())):
                    return  # its own thread sees to them, and goes on
                if not self._begin_afresh(job.age):
                    self._give_up(error)
            except RuntimeError as error:  # it is shut down
                job.refused = error
                self._finish(job, error)
            else:
                inner.add_done_callback(partial(self._end, job, job.age))

    def _end(self, job: Job, age: int, inner: Future[Any]) -> None:
        """A task that the pool had has ended, or the pool is broken; then its own thread calls."""
        if inner.cancelled():
            self._finish(job, RuntimeError("its pool was shut down"))
        elif (error := inner.exception()) is None:
            self._finish(job, None, inner.result()[1])
        elif not isinstance(error, BrokenExecutor):
            self._finish(job, error)
        elif self._out.get(job.number) is job and job.age == age:
            self._outlive(self._pool, age, error)
        self._hand_out()

    def _finish(self, job: Job, error: BaseException | None, value: object = None) -> None:
        with self._lock:
            del self._out[job.number]
            self._ended += 1
        job.finish(error, value)

    def _give_back(self, jobs: list[Job]) -> None:
        with self._lock:
            for job in jobs:
                del self._out[job.number]
                self._push(job)

    def _begin_afresh(self, age: int) -> bool:
        """Take a fresh pool, unless that is done; return False if the broken one has not ended any task."""
        with self._lock:
            if self._age != age:
                return True
            if not self._ended:
                return False
            given = self._given
            self._pool = ProcessPoolExecutor(
                given._max_workers, given._mp_context, given._initializer, given._initargs,
                max_tasks_per_child=given._max_tasks_per_child,
            )  # fmt: skip
            self._ended, self._age = 0, age + 1
            return True

    def _give_up(self, error: BrokenExecutor) -> None:
        with self._lock:
            jobs = [job for _, _, job in self._waiting if job.is_wanted()]
            self._waiting = []
        for job in jobs:
            job.refused = error
            job.finish(error)

    def _outlive(self, pool: Any, age: int, error: BrokenExecutor) -> None:
        """After a death: name its task, let others begin in a fresh pool, and those that have begun come to an end.

        The thread of the broken pool is here, which ends all its workers when it goes on.
        """
        workers: dict[int, BaseProcess] = dict(pool._processes or {})
        with self._lock:
            left = {number: job for number, job in self._out.items() if job.age == age}
        self._bury(workers, age, left)
        begun = {self._noted(age, process) for process in workers}
        if not begun.intersection(left) and not self._ended:
            self._give_back(list(left.values()))
            self._give_up(error)
            return
        results = pool._result_queue
        while left and workers and results is not None:
            if self._begin_afresh(age):
                self._hand_out()
            ready = connection.wait([results._reader, *(worker.sentinel for worker in workers.values())], IDLE)
            if results._reader in ready:
                number, value = getattr(results._reader.recv(), "result", None) or (0, None)
                if number in left:
                    self._finish(left.pop(number), None, value)
            elif ready:
                self._bury(workers, age, left)
            elif not any(self._noted(age, process) in left for process in workers):
                break
        _stop(list(workers.values()))
        self._give_back(list(left.values()))
        self._begin_afresh(age)

    def _bury(self, workers: dict[int, BaseProcess], age: int, left: dict[int, Job]) -> None:
        """Take out the workers that are gone, and finish the tasks in which they went."""
        gone = connection.wait([worker.sentinel for worker in workers.values()], 0)
        for process, worker in list(workers.items()):
            if worker.sentinel in gone:
                del workers[process]
                worker.join(STOP)
                job = left.pop(self._noted(age, process), None)
                if job is not None:
                    self._finish(job, EndedError(f"its process {_told(worker.exitcode)}"))

    def _mark(self, age: int, process: int | str) -> str:
        return str(Path(self._folder.name if self._folder else "", f"{age}-{process}"))

    def _noted(self, age: int, process: int) -> int:
        """The task that a worker began last, or 0."""
        with suppress(OSError, ValueError):
            return int(Path(self._mark(age, process)).read_text())
        return 0


def noted(mark: str, number: int, perform: Perform, *args: Any) -> tuple[int, tuple[bool, bytes]]:
    """Do a task in a worker, which leaves its number in a file of its own; return the number too."""
    with suppress(OSError):
        Path(f"{mark}{os.getpid()}").write_text(str(number))
    return number, perform(*args)


def _stop(workers: list[BaseProcess]) -> None:
    """End workers, also those that do not take SIGTERM."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(STOP)
        worker.kill()


def _told(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
