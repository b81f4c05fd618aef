"""A task ends no process: what would end it ends the task alone, and copies of the process that come out of it end."""

from __future__ import annotations

import os
import threading
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from parsolve.watchdog import abort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

LEAVE = os._exit
UNASKED = 1  # exit code of a rank that says it ended well while others wait for it


class Left(BaseException):
    """A task called `os._exit`; no `Exception`, so that the task does not take it for one of its own."""


class Within(threading.local):
    """The process in which this thread does a task; 0: it does none."""

    process = 0


within = Within()
serving: dict[int, Callable[[], str]] = {}  # by the process: what it is at, while it is a rank that others wait for


class Staying:
    """A task runs within: `os._exit` raises `Left` in its thread.

    A process that `os.fork` made within ends here: it is no worker.
    """

    def __enter__(self) -> None:
        self._outer, within.process = within.process, os.getpid()
        self._process = within.process
        os._exit = leave

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if os.getpid() != self._process:
            if not isinstance(error, SystemExit):
                happened = "".join(traceback.format_exception(error)) if error else "by a return\n"
                tell(f"parsolve: a process that a task made by os.fork came out of the task and ends: {happened}")
            code = error.code if isinstance(error, SystemExit) else 1
            LEAVE(code if isinstance(code, int) else int(code is not None))
        within.process = self._outer


@contextmanager
def awaited(describe: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Others wait for this process: `os._exit(0)` ends it with another code.

    Else a launcher may take it for the end of a job that went well. (Of `exit` in C, as of STOP in Fortran, it is not
    seen: no Python may run where MPI itself calls it.)

    Args:
        describe: what the process is at, for people.
    """
    process = os.getpid()
    os._exit = leave
    if process in serving:  # an executor within a task of another
        yield
        return
    serving[process] = describe
    try:
        yield
    finally:
        serving.pop(process, None)


def _refuse(what: str) -> NoReturn:
    describe = serving.get(os.getpid(), lambda: "")
    tell(f"parsolve: error: {what} in a process of which tasks are awaited{describe()}\n")
    abort(UNASKED)  # else the launcher may take the code of a rank that it ends itself
    LEAVE(UNASKED)


def leave(status: int) -> NoReturn:
    """As `os._exit`, where no task is done in this thread and nobody waits for this process.

    Raises:
        Left: in a task.
    """
    if within.process == os.getpid():
        raise Left(f"os._exit({status})")
    if status == 0 and os.getpid() in serving:
        _refuse("os._exit(0)")
    LEAVE(status)


def tell(text: str) -> None:
    """Write a line to stderr in one piece."""
    with suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))
