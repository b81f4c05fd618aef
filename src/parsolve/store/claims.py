"""A claim on a name: a small file beside a result that says which process is writing it, so that no other does."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from parsolve.errors import StorageError
from parsolve.store.writing import failure

_TRIES, _PAUSE = 100, 0.01  # in all longer than it takes to write a line: who has not, died before


class Claimed(StorageError):
    """Another run is writing under this name."""


@dataclass(frozen=True)
class Claim:
    """A name that is ours until `release`."""

    lock: Path

    def release(self) -> None:
        """Give the name up; once or more, never raises."""
        with suppress(OSError):
            if self.lock.read_text() == _signature():
                self.lock.unlink()


def take(path: Path) -> Claim:
    """Claim a name, also from a process of this machine that has died.

    Raises:
        Claimed: another process has it, or one of another machine, of which it is not known whether it still runs.
        StorageError: the directory cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    for left in reversed(range(_TRIES)):
        with suppress(FileExistsError):
            return _make(path, lock)
        try:
            if _take_over(path, lock, not left):
                return Claim(lock)
        except FileNotFoundError:  # the other run has just ended
            pass
        except OSError as caught:
            raise failure(path, f"look who writes it, in '{lock}'", caught) from caught
        time.sleep(_PAUSE)
    raise Claimed(f"{path}: '{lock}' does not say which run writes it; {_remove(lock)}")


def _make(path: Path, lock: Path) -> Claim:
    """The claim by a new file.

    Raises:
        FileExistsError: somebody has made it.
        StorageError: it cannot be written.
    """
    made = False
    try:
        with lock.open("x") as file:
            made = True
            file.write(_signature())
    except FileExistsError:
        raise
    except OSError as caught:
        if made:
            lock.unlink(missing_ok=True)
        raise failure(path, f"write in directory '{path.parent}'", caught, "; use another -o") from caught
    return Claim(lock)


def _take_over(path: Path, lock: Path, last: bool) -> bool:
    """Whether the claim of a dead process is ours now; if not, it is being written or has changed meanwhile.

    A line that has no end at the last try will not get one: its process has died, or the power failed.

    Of several that find it, the lock of the system lets one at a time look and write.
    """
    with lock.open("r+") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return False
        text = file.read(1000)
        host, pid, started, job = (*text.split(), "", "", "", "")[:4]
        if text.endswith("\n"):
            if not pid.isdecimal():
                return False
            if host != socket.gethostname() and not _is_before(job):
                raise Claimed(f"{path}: another run is writing it, process {pid} on {host}; {_remove(lock)}")
            if host == socket.gethostname() and _lives(int(pid), started):
                raise Claimed(f"{path}: another run is writing it, process {pid} here; wait for it or use another -o")
        elif not last:
            return False
        file.seek(0)
        file.truncate()
        file.write(_signature())
        return True


def _remove(lock: Path) -> str:
    return f"if that run is over, remove '{lock}', or use another -o"


def _signature() -> str:
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid()) or '-'} {_job()}\n"


def _job() -> str:
    """Slurm's job, and how often it was queued again before; "-" outside of one."""
    job, restarts = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_RESTART_COUNT", "0")
    return f"{job}.{restarts}" if job.isdecimal() and restarts.isdecimal() else "-"


def _is_before(job: str) -> bool:
    """Whether that is this job before it was queued again, perhaps elsewhere: then none of its processes lives."""
    (then, _, before), (now, _, restarts) = job.partition("."), _job().partition(".")
    return then == now != "-" and before.isdecimal() and int(before) < int(restarts or 0)


def _lives(pid: int, started: str) -> bool:
    """Whether a process of this machine is still the one that started then, as far as can be told."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return (_started(pid) or "-") in ("-", started)


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; "dead" if it has ended; empty if it is not shown."""
    try:
        # The name of the program, in parentheses, may hold anything.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "dead" if state in "ZX" else rest[18]
