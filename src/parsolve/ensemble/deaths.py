"""A thread that sees ranks of this node die, and tells what they were at; launchers end the job without saying so."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.watchdog import GRACE, HUNG

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI


class Deaths:
    """Tells the end of processes of this node which should be there; made by all ranks together, and looks on rank 0.

    On other nodes, and where the system has no descriptors of processes (Linux 5.3), the launcher alone ends the job.

    Args:
        comm: the ranks.
        describe: what a rank was at, for people.
    """

    def __init__(self, comm: MPI.Intracomm, describe: Callable[[int], str]) -> None:
        self._comm, self._describe = comm, describe
        self._found: dict[int, int] = {}  # rank of a descriptor
        self._end: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        ranks = comm.gather((os.getpid(), _space()))
        if ranks is None or ranks[0][1] is None or not hasattr(os, "pidfd_open"):
            return
        for rank, (process, space) in enumerate(ranks):
            if rank and space == ranks[0][1]:
                with suppress(OSError):
                    self._found[os.pidfd_open(process)] = rank

    def start(self) -> None:
        """Look until it is stopped."""
        if self._found:
            self._end = os.pipe()
            self._thread = threading.Thread(target=self._watch, args=(self._end[0],), name="deaths", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until it has."""
        if self._thread is not None and self._end is not None:
            os.close(self._end[1])
            self._thread.join()
            os.close(self._end[0])
        for found in self._found:
            os.close(found)
        self._found, self._thread = {}, None

    def _watch(self, end: int) -> None:
        poll = select.poll()
        for descriptor in (end, *self._found):
            poll.register(descriptor, select.POLLIN)
        events = [descriptor for descriptor, _ in poll.poll()]
        if end in events:
            return
        for descriptor in events:
            rank = self._found[descriptor]
            text = f"parsolve: error: rank {rank} of {self._comm.size} has ended{self._describe(rank)}; all ranks end\n"
            os.write(2, text.encode(errors="backslashreplace"))
        time.sleep(GRACE)  # the launcher ends all, by the code of the rank that ended; if it does not:
        self._comm.Abort(HUNG)  # the only call to MPI that is not of the main thread, and the last one


def _space() -> tuple[str, int] | None:
    """What has process numbers of its own: a node, or a container."""
    try:
        return os.uname().nodename, Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None
