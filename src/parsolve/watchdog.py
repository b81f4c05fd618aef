"""A watchdog: ends a job that hangs, with the stack of each rank.

Going forward is to pass an agreement of all ranks (`errors.agree`) or a pass of the march: these count in `pulse`, and
as all ranks pass them together, all are found to stand still at the same time.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from mpi4py import MPI

HUNG = 7  # exit code of a job that was ended
LOOK = 0.5  # seconds between two looks, at most
GRACE = 2.0  # seconds in which the other ranks tell where they are
APART, MOST = 0.25, 8  # seconds between the ends of ranks, so that one ends all; of so many
ENDED = 1.0  # in which the launcher ends all ranks
LAST = 5.0  # seconds after which a process ends by itself, if the launcher does not end it


class Pulse:
    """Counts what goes forward in this process."""

    beats = 0


pulse = Pulse()


class Watchdog:
    """Ends the job if the thread that started it does not go forward for so many seconds.

    A thread of its own looks at a count, which costs nothing. Looks are counted, not the clock, so that a job that was
    suspended goes on.

    Args:
        seconds: how long is too long; none: there is no watchdog.
        comm: the ranks that go forward together.
    """

    def __init__(self, seconds: float | None, comm: MPI.Intracomm) -> None:
        self._seconds, self._comm = seconds, comm
        self._name = f"rank {comm.rank} of {comm.size}"
        self._over = threading.Event()
        self._watched = 0

    def start(self) -> None:
        """Watch the thread that calls, until the end of the process or of the block that is entered."""
        self._watched = threading.get_ident()
        if self._seconds:
            threading.Thread(target=self._watch, args=(self._seconds,), name="watchdog", daemon=True).start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self, seconds: float) -> None:
        """Look until it is over, or nothing went forward for so long."""
        interval, seen, still = min(LOOK, seconds / 10), pulse.beats, 0.0
        while still < seconds:
            if self._over.wait(interval):
                return
            still = still + interval if pulse.beats == seen else 0.0
            seen = pulse.beats
        self._end(seconds)

    def _end(self, seconds: float) -> None:
        """Tell where this rank is, let the others do so, and end all."""
        what = f"nothing went forward for {seconds:g} s (run.watchdog)"
        end_job(self._comm, f"{self._name}: {what}, {place(self._watched)}")


def abort(code: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Let the launcher end all copies with an exit code, in its own words (PMI-1), and return whether it was told.

    MPICH's mpirun waits for the others when one ends without having started MPI; and of ranks that end together it may
    take the code of one that it ends itself. Open MPI's ends all by itself.
    """
    number = environment.get("PMI_FD", "")
    if not number.isdecimal():
        return False
    try:
        os.write(int(number), f"cmd=abort exitcode={code}\n".encode())
    except OSError:
        return False
    return True


def end_job(comm: MPI.Comm, told: str) -> None:
    """Tell what stands still, let the other ranks do so, and end all with the exit code of what hung.

    It may be called from a thread: the only call to MPI that is not of the thread which started it, and the last one.
    """
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(GRACE + APART * MOST + LAST, exit=True, file=os.dup(nowhere.fileno()))
    with suppress(OSError):  # in one piece, without the lock of a stream
        os.write(2, f"parsolve: error: {told}\n".encode(errors="backslashreplace"))
    time.sleep(GRACE + APART * min(comm.rank, MOST))
    if abort(HUNG):
        time.sleep(ENDED)
    comm.Abort(HUNG)


def place(thread: int) -> str:
    """Return the call in which a thread is, and its stack."""
    frame = sys._current_frames().get(thread)
    stack = traceback.extract_stack(frame) if frame else []
    if not stack:
        return "as its thread is gone"
    last = stack[-1]
    lines = "".join(traceback.format_list(stack)).rstrip()
    return f"it is in `{last.line}` of {last.name}:\n{lines}"
