"""Engines start workers, hide the launcher from them, and leave nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from mpi4py import MPI

from parsolve.ensemble import pools
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = [name for name in ("threads", "processes", "dask") if name != "dask" or find_spec("distributed")]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, which is to be empty at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def launcher() -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("PMI_RANK")


def interrupted() -> bool:
    """Whether a worker goes on when Ctrl-C comes."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    return True


def leave() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("name", HERE)
def test_workers_are_no_ranks_and_none_is_left(scratch: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    before = threading.active_count()
    with getattr(pools, name)(2) as tasks:
        found = tasks.submit(launcher).result()
        assert found == ((os.getpid(), "0") if name == "threads" else (found[0], None))
        assert (found[0] == os.getpid()) == (name == "threads")
    assert os.environ["PMI_RANK"] == "0"
    assert multiprocessing.active_children() == []
    assert name == "dask" or threading.active_count() == before


@pytest.mark.parametrize("name", HERE)
def test_an_error_of_the_body_ends_the_workers(scratch: Path, name: str) -> None:
    with pytest.raises(KeyError), getattr(pools, name)(1) as tasks:  # noqa: PT012
        tasks.submit(launcher).result()
        raise KeyError("body")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("name", [name for name in HERE if name != "threads"])
def test_a_worker_that_ends_is_told(scratch: Path, name: str) -> None:
    with pytest.raises(SetupError, match=f"^{name}: "), getattr(pools, name)(1) as tasks:
        tasks.submit(leave).result()


def test_what_is_missing_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "find_spec", lambda name: None)
    monkeypatch.setattr(MPI, "Query_thread", lambda: MPI.THREAD_FUNNELED)
    here, missing = pools.pools()
    assert list(here) == ["processes"]
    assert missing == {"threads": pools.NO_THREADS, "dask": 'not installed: pip install "parsolve[dask]"'}


@pytest.mark.parametrize("name", [name for name in HERE if name != "threads"])
def test_interrupts_are_for_who_started_the_workers(scratch: Path, name: str) -> None:
    with getattr(pools, name)(1) as tasks:
        assert tasks.submit(interrupted).result()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


INTERRUPTED = """
import os, signal
from parsolve.ensemble import pools
signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells take from what they start in the background
try:
    with pools.uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        print("begun")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_waits_for_the_end_of_a_start() -> None:
    """In a process without other threads, to which the system could give the signal."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("begun\ninterrupted\n", "")
