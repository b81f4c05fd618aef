"""A thousand runs in one process, some of which fail: nothing grows."""

from __future__ import annotations

import errno
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mpi4py import MPI

from parsolve.case import Case
from parsolve.errors import NumericalError, StorageError
from parsolve.run import run
from parsolve.store import slabs

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(not STATUS.is_file(), reason="the system does not tell what a process has")


def status(key: str) -> int:
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(key))


ALONE = """
import json, runpy, sys
from pathlib import Path
import pytest
from mpi4py import MPI
conftest, growth = (runpy.run_path(f"{sys.argv[1]}/{name}.py") for name in ("conftest", "test_growth"))
lab = conftest["Lab"](MPI.COMM_SELF.Dup())
print(json.dumps(growth["grow"](lab, lab.comm, Path(sys.argv[2]), 1000, pytest.MonkeyPatch())))
"""


def held(comm: MPI.Intracomm) -> dict[str, int]:
    """What this process has: resident memory in KiB, mappings, descriptors, threads, shared segments, communicators."""
    gc.collect()
    comm.Barrier()
    some = [
        comm.Dup() for _ in range(48)
    ]  # more than any run has at once: the highest number is new if others are held
    number = max(each.py2f() & 0x7FFFFFFF for each in some)
    for each in some:
        each.Free()
    maps = Path("/proc/self/maps").read_text().splitlines()
    return {
        "communicators": number,
        "memory": status("VmRSS"),
        "mappings": len(maps),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": status("Threads"),
        "segments": sum("/dev/shm" in line for line in maps),
    }


def cases(lab: Any) -> list[tuple[Case, type[Exception] | None]]:
    """Passes, plain order, adaptive steps, compiled text with sums, threads; and two that end in an error."""
    plain = {"output": {"every_steps": 1}}
    small = {
        "passes": lab.case("heat", 24, 24, time={"steps": 4, "scheme": "euler"}, run={"threads": 2}, **plain),
        "plain": lab.case(
            "wave",
            24,
            24,
            time={"steps": 2, "scheme": "leapfrog"},
            run={"pipeline": "off"},
            checkpoint={"every_steps": 1},
            **plain,
        ),
        "adaptive": lab.case("heat", 24, 24, time={"end": 1e-3, "scheme": "bs23", "tolerance": 1e-3}),
        "text": lab.case({"u": "laplace(u) + mean(u)*k"}, 24, 24, fields={"k": "x"}, time={"steps": 1}),
        "kept": lab.case("heat", 24, 24, time={"steps": 1}, output={"keep_frames": True}),
        "blows up": lab.case("allen-cahn", 24, 24, time={"steps": 400, "dt": 1.0}),
        "no room": lab.case("heat", 24, 24, time={"steps": 2}, **plain),
    }
    errors = {"blows up": NumericalError, "no room": StorageError}
    return [(Case.from_dict(case), errors.get(name)) for name, case in small.items()]


def grow(lab: Any, comm: MPI.Intracomm, folder: Path, runs: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What all runs after the first ones add."""
    known, before = cases(lab), {}
    for n in range(runs):
        if n == runs // 2:
            before = held(comm)
        case, error = known[n % len(known)]
        with monkeypatch.context() as patched:
            if error is StorageError:
                patched.setattr(slabs, "write_at", failing)
            if error is None:
                run(case, comm, folder / "out.h5", force=True)
            else:
                with pytest.raises(error):
                    run(case, comm, folder / "out.h5", force=True)
    after = held(comm)
    return {key: after[key] - before[key] for key in before}


def failing(*_: object) -> None:
    raise OSError(errno.EIO, "broken")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: nothing waits for a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_thousand_runs_leave_nothing(memory: Path) -> None:
    """In a process of its own: where other tests have used much memory, it is taken in steps of megabytes."""
    words = [sys.executable, "-c", ALONE, str(Path(__file__).parent), str(memory)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    check(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.costly
@pytest.mark.mpi(min_size=2)
def test_runs_on_several_ranks_leave_nothing(
    lab: Any, comm: MPI.Intracomm, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(grow(lab, comm, comm.bcast(memory), 84, monkeypatch))


def check(grown: dict[str, int]) -> None:
    assert grown.pop("memory") < 4096  # kB: twice what the table of names of Python, which may grow meanwhile, takes
    assert grown.pop("mappings") <= 4
    assert grown.pop("communicators") <= 0
    assert set(grown.values()) == {0}, grown
