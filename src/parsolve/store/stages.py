"""Work with files in stages that no MPI call is in, so that a thread may do it while the march goes on.

A stage is a function; what it returned goes to what is between stages, where ranks may exchange. The next stage begins
when all ranks are done with theirs, and only where none has failed.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any

from parsolve.errors import agreed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mpi4py import MPI

    Stages = Generator[Callable[[], Any], Any, None]


class Job:
    """Stages that are under way; every method but ``is_ready`` is collective.

    Args:
        comm: all ranks.
        stages: what each has to do.
        threaded: do it in a thread.

    Attributes:
        is_done: whether all stages are done.
        seconds: that they took on this rank.
    """

    def __init__(self, comm: MPI.Intracomm, stages: Stages, threaded: bool = False) -> None:
        self._comm, self._stages, self.seconds, self.is_done = comm, stages, 0.0, False
        self._pool = ThreadPoolExecutor(1, "files") if threaded else None
        self._current: Future[Any] = Future()
        self._next(None)

    @property
    def is_ready(self) -> bool:
        """Whether the stage is done on this rank."""
        return self._current.done()

    def go_on(self) -> None:
        """Wait for the stage to be done on all ranks, and begin the next one.

        Raises:
            ParsolveError: it failed; the same on all ranks.
        """
        result = None
        try:
            with agreed(self._comm):
                result = self._current.result()
        except BaseException:
            self.stop()
            raise
        self._next(result)

    def finish(self) -> None:
        """Do the rest."""
        while not self.is_done:
            self.go_on()

    def stop(self) -> None:
        """Begin no other stage; not collective."""
        self._stages.close()
        self.is_done = True
        if self._pool is not None:
            self._pool.shutdown()

    def _next(self, result: Any) -> None:
        try:
            stage = self._stages.send(result)
        except StopIteration:
            self.stop()
            return
        if self._pool is not None:
            self._current = self._pool.submit(self._timed, stage)
            return
        self._current = Future()
        try:
            self._current.set_result(self._timed(stage))
        except Exception as error:
            self._current.set_exception(error)

    def _timed(self, stage: Callable[[], Any]) -> Any:
        begun = perf_counter()
        try:
            return stage()
        finally:
            self.seconds += perf_counter() - begun
