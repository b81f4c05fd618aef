"""The program: starts MPI when a command needs it, and ends all ranks with one message and one exit code."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
import warnings
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

from parsolve.cli import streams
from parsolve.cli.main import main as run_command
from parsolve.domain import launch
from parsolve.errors import ParsolveError, ResourceError, SetupError, failure, has_directory
from parsolve.watchdog import abort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpi4py import MPI

MEETING_SECONDS = 5.0
ALONE_SECONDS = 1.0
TOLD_SECONDS = 0.1  # in which the launcher takes what was told, before all is ended
FIRST_CALLS = 6  # after which MPICH shares memory
INTERRUPTED = 130


class World:
    """All ranks of the program; MPI starts at the first `open`."""

    def __init__(self) -> None:
        self.comm: MPI.Intracomm | None = None
        self.meeting: MPI.Intracomm | None = None  # apart from comm, so that no collective call of the work is met
        self.is_opened = False

    def open(self, threads: bool = False) -> MPI.Intracomm:
        """Return a duplicate of the world communicator; with ``threads``, MPI is started for calls from all threads.

        Raises:
            SetupError: no MPI library, or the launcher belongs to another one.
        """
        if self.comm is None:
            self.is_opened = True
            world, library = _start_mpi("multiple" if threads else "funneled")
            self.meeting = world.Dup()
            self.comm = world.Dup()
            _prepare(self.comm)
            contradiction = launch.duplicate(self.comm.size)
            if contradiction:
                raise SetupError(
                    f"{contradiction}, but each is alone in MPI: mpi4py uses {library}; "
                    "start with the mpirun of that library (`python -m parsolve doctor` shows both)"
                )
        return self.comm

    def close(self) -> None:
        """Free the communicators, once all ranks have come: MPI would wait for them where no watchdog sees it."""
        if self.meeting is not None:
            self.meeting.Barrier()
        for comm in (self.comm, self.meeting):
            if comm is not None:
                comm.Free()
        self.comm = self.meeting = None

    def end(self, error: ParsolveError) -> int:
        """Print an error once and return the exit code of all ranks; abort if the others are not here."""
        text = streams.short(f"parsolve: error: {error}")
        if self.meeting is None and self.is_opened:
            if not launch.is_first():
                time.sleep(ALONE_SECONDS)  # the first rank tells what all have
                text += f" (rank {launch.rank()})"
            streams.tell(text)
            return self._stop(error.exit_code)
        if self.meeting is None or self.meeting.size == 1:
            if launch.is_first():
                streams.tell(text)
            return error.exit_code
        if not _all_meet(self.meeting):
            streams.tell(f"{text} (rank {self.meeting.rank} alone; stopping all ranks)")
            self.meeting.Abort(error.exit_code)
        found = self.meeting.gather((text, error.exit_code))
        if found is not None:
            for message in dict.fromkeys(text for text, _ in found):
                streams.tell(message)
        code: int = self.meeting.bcast(found[0][1] if found is not None else None)
        return code

    def crash(self) -> int:
        """Print the traceback of an unexpected error and stop all ranks."""
        copies = launch.launched()
        rank, size = (launch.rank(), copies[2]) if copies else (0, 1)
        if self.meeting is not None:
            rank, size = self.meeting.rank, self.meeting.size
        where = f" on rank {rank} of {size}" if size > 1 else ""
        streams.tell(f"parsolve: unexpected error{where}; please report it:\n{traceback.format_exc().rstrip()}")
        return self._stop(1)

    def interrupted(self) -> int:
        """Stop all ranks after Ctrl-C."""
        if self.meeting is None or self.meeting.rank == 0:
            streams.tell("parsolve: interrupted")
        return self._stop(INTERRUPTED)

    def _stop(self, code: int) -> int:
        """Stop the other ranks, where there are some, and this one; else return the code."""
        mpi = sys.modules.get("mpi4py.MPI")
        if self.is_opened and (mpi is None or not mpi.Is_initialized()):
            abort(code)
        elif self.is_opened and mpi is not None and mpi.COMM_WORLD.size > 1:
            time.sleep(TOLD_SECONDS)
            mpi.COMM_WORLD.Abort(code)
        return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code, the same on all ranks; no error passes as a traceback."""
    world = World()
    signal.signal(signal.SIGTERM, _terminate)
    # Who sends SIGUSR1 wants a checkpoint: it waits for the march. No thread may take it before, nor MPI, which has a
    # use of its own for it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    streams.guard()
    if not faulthandler.is_enabled():
        with suppress(OSError, ValueError):  # stderr may be no file
            faulthandler.enable()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        # Values that are not finite are looked for and told with their places.
        warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning)
        words = sys.argv[1:] if argv is None else argv
        code = _guarded(world, lambda: run_command(words, world.open))
        # An error that only some ranks have has stopped them all before.
        code = _guarded(world, world.close) or code
    if signal.SIGUSR1 not in signal.sigpending():  # one that has come too late ends nothing
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return code


def _guarded(world: World, do: Callable[[], int | None]) -> int:
    """Do something; whatever it raises is told, and gives the exit code."""
    try:
        return do() or 0
    except ParsolveError as error:
        return world.end(error)
    except MemoryError as error:
        why = str(error) or "no details"
        return world.end(ResourceError(f"not enough memory ({why}); use more ranks or fewer cells"))
    except KeyboardInterrupt:
        return world.interrupted()
    except OSError as error:
        return world.crash() if error.filename is None and has_directory() else world.end(failure(error))
    except Exception:
        return world.crash()


def _terminate(*_: object) -> None:
    """Say that SIGTERM has come, as from `kill` or a batch system, and end as it would have ended.

    (An exception could be raised where Python ignores it, in a callback.)
    """
    if launch.is_first():
        os.write(2, b"\nparsolve: terminated (SIGTERM)\n")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _start_mpi(thread_level: str) -> tuple[MPI.Intracomm, str]:
    """Return the world communicator and the name of the MPI library.

    Raises:
        SetupError: there is no mpi4py, or no MPI library for it.
    """
    launch.prepare()
    try:
        import mpi4py

        mpi4py.rc(thread_level=thread_level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign launcher: `open` says it better
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = "pip install mpich, or load the MPI module of the cluster"
        raise SetupError(f"MPI cannot be loaded ({reason}); {advice}") from None
    launch.forget_names()
    library = MPI.Get_library_version().strip("\0").strip().splitlines()[0]
    return MPI.COMM_WORLD, " ".join(library.split())


def _prepare(comm: MPI.Intracomm) -> None:
    """Let MPICH make the files of the memory by which ranks of a node agree, all at once; collective.

    It makes them at the first calls of each kind, and a rank that is killed meanwhile leaves them.
    """
    from mpi4py import MPI

    number = array("q", [0])
    for _ in range(FIRST_CALLS):
        comm.Bcast(number)
        comm.Reduce(number if comm.rank else MPI.IN_PLACE, number)
        comm.Allreduce(MPI.IN_PLACE, number)
        comm.allreduce(0, op=MPI.MIN)  # for which mpi4py has a communicator of its own


def _all_meet(meeting: MPI.Intracomm) -> bool:
    """Return whether all ranks come here within a few seconds, as they do when they agreed on an error."""
    request = meeting.Ibarrier()
    deadline = time.monotonic() + MEETING_SECONDS
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Show a warning as the user needs it: without the line of our source."""
    streams.tell(f"parsolve: warning: {message}")


if __name__ == "__main__":
    sys.exit(main())
