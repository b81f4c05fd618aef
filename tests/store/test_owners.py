"""Hundreds of runs in one process leave nothing behind, however they end."""

from __future__ import annotations

import errno
import gc
import os
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mpi4py import MPI

from parsolve.errors import ResourceError, StorageError
from parsolve.store import combine, frames, slabs

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 300
WARM = 64  # runs after which the libraries have their buffers
GROWTH = 4 << 20  # bytes; a slab of each run would be more
OPEN: Counter[str] = Counter()


class Communicator(MPI.Intracomm):
    """Counts those that are made of it and not yet freed."""

    def Dup(self, *args: Any) -> Any:
        OPEN["communicators"] += 1
        return super().Dup(*args)

    def Split(self, *args: Any) -> Any:
        OPEN["communicators"] += 1
        return super().Split(*args)

    def Free(self) -> None:
        OPEN["communicators"] -= 1
        super().Free()


# How a run ends: the error; what fails, and how.
ENDS: dict[str, tuple[type[BaseException] | None, tuple[Any, str] | None, Callable[[], BaseException]]] = {
    "complete": (None, None, Exception),
    "before the first frame": (ZeroDivisionError, None, Exception),
    "a frame cannot be opened on one rank": (StorageError, (slabs, "_open"), lambda: OSError(errno.EIO, "broken")),
    "a write fails on one rank": (StorageError, (slabs, "write_at"), lambda: OSError(errno.EIO, "broken")),
    "interrupted while writing": (KeyboardInterrupt, (slabs, "write_at"), KeyboardInterrupt),
    "a frame gets no name": (StorageError, (frames, "rename"), lambda: OSError(errno.EIO, "broken")),
    "no space for the result": (ResourceError, (combine, "copy_bytes"), lambda: OSError(errno.ENOSPC, "full")),
    "the result gets no name": (StorageError, (frames, "publish"), lambda: OSError(errno.EIO, "broken")),
}


@pytest.fixture
def run(maker: Any, shared_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Two frames of a run that ends in a given way; x is split, so that ranks exchange layers."""
    comm = Communicator(maker.comm)
    grid = maker.grid(64, 64)
    counting = type(maker)(comm)
    fields = counting.fields(counting.domain(grid, (1, 1, comm.size)), 0)

    def run(how: str) -> None:
        _, what, error = ENDS[how]

        def fail(*_: Any) -> None:
            raise error()

        recording = counting.recorder(shared_tmp / "r.h5", grid, ("u",), force=True)
        with monkeypatch.context() as patched, recording as recorder:
            if how == "before the first frame":
                raise ZeroDivisionError
            recorder.write(0.0, 0, fields)
            if what and (comm.rank == comm.size - 1 or "on one rank" not in how):
                patched.setattr(*what, fail)
            recorder.write(1.0, 1, fields)
            recorder.finish()

    return run


def end(run: Callable[[str], None], how: str) -> None:
    """Let a run end, in the way that is expected."""
    expected = ENDS[how][0]
    with nullcontext() if expected is None else pytest.raises(expected):
        run(how)


def held() -> tuple[int, int]:
    """File descriptors, and bytes of memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("how", ENDS)
def test_unfinished_files_are_removed_however_a_run_ends(
    comm: MPI.Intracomm, shared_tmp: Path, run: Callable[[str], None], how: str
) -> None:
    end(run, how)
    found = sorted(str(path.relative_to(shared_tmp)) for path in shared_tmp.rglob("*")) if comm.rank == 0 else None
    left = comm.bcast(found)
    complete = [f"r.h5.frames/{step:09d}.h5" for step in ((0, 1) if "result" in how else (0,))]
    assert left == {
        "complete": ["r.h5"],
        "before the first frame": [],
    }.get(how, ["r.h5.frames", *complete])


@pytest.mark.costly
def test_hundreds_of_runs_hold_nothing(comm: MPI.Intracomm, shared_tmp: Path, run: Callable[[str], None]) -> None:
    for i in range(RUNS):
        if i == WARM:
            before = held()
        end(run, list(ENDS)[i % len(ENDS)])
        assert not any(OPEN.values()), OPEN
    after = held()
    end(run, "complete")
    growth = comm.allreduce(after[1] - before[1], op=MPI.MAX)
    left = comm.bcast([path.name for path in shared_tmp.iterdir()] if comm.rank == 0 else None)
    assert after[0] == before[0]
    assert growth < GROWTH
    assert left == ["r.h5"]
