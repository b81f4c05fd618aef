"""A worker that dies ends its own task alone: all others end, none that had ended is done twice."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from parsolve import Executor
from parsolve.ensemble.calls import EndedError, TaskError
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, get_context("fork")) as made:
        yield made


def note(folder: Path, number: int, seconds: float = 0.0) -> int:
    """Leave a file when it ends."""
    time.sleep(seconds)
    with (folder / f"{number}-{os.getpid()}-{time.monotonic_ns()}").open("x"):
        return number


def die(way: str) -> None:
    time.sleep(0.02)
    if way == "exit":
        ctypes.CDLL(None)._exit(0)
    os.kill(os.getpid(), getattr(signal, way))
    time.sleep(10)


def end_later() -> str:
    """End well, and kill the worker then."""
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return "well"


def never(*_: object) -> None:
    raise RuntimeError


@pytest.mark.parametrize(
    ("way", "how"),
    [("exit", "ended with exit code 0"), ("SIGKILL", "was ended by SIGKILL"), ("SIGTERM", "was ended by SIGTERM")],
)
def test_the_others_end_and_the_one_is_named(pool: ProcessPoolExecutor, tmp_path: Path, way: str, how: str) -> None:
    with Executor.of(pool) as tasks:
        assert tasks is not None
        deaths, pending = [], []
        for number in range(20):
            pending.append(tasks.submit(note, tmp_path, number, 0.005))
            if number % 8 == 2:
                deaths.append(tasks.submit(die, way))
        assert [future.result(60) for future in pending] == list(range(20))
        for death in deaths:
            with pytest.raises(EndedError, match=f"^its process {how}\ntask die\\('{way}'\\)$") as caught:
                death.result(60)
            assert str(caught.value) == f"its process {how}"
    done = [int(path.name.split("-")[0]) for path in tmp_path.iterdir()]
    assert sorted(done) == list(range(20))


def test_a_worker_that_dies_after_its_task_loses_nothing(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with Executor.of(pool) as tasks:
        assert tasks is not None
        well = tasks.submit(end_later)
        assert well.result(60) == "well"
        time.sleep(0.3)  # until it is gone
        assert sorted(tasks.map(note, [tmp_path] * 4, range(4), [0.1] * 4, timeout=60)) == [0, 1, 2, 3]


def test_what_others_have_begun_they_end(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with Executor.of(pool) as tasks:
        assert tasks is not None
        long = tasks.submit(note, tmp_path, 99, 1.0)
        death = tasks.submit(die, "SIGKILL")
        assert isinstance(death.exception(60), EndedError)
        assert list(tasks.map(note, [tmp_path] * 4, range(4), timeout=60)) == [0, 1, 2, 3]
        assert not long.done()
        assert long.result(60) == 99
    assert len(list(tmp_path.iterdir())) == 5


def test_the_first_task_may_be_the_one(pool: ProcessPoolExecutor) -> None:
    with Executor.of(pool) as tasks:
        assert tasks is not None
        deaths = [tasks.submit(die, "SIGKILL") for _ in range(5)]
        assert [type(death.exception(60)) for death in deaths] == [EndedError] * 5


def test_a_pool_that_never_works_is_given_up() -> None:
    with ProcessPoolExecutor(1, get_context("fork"), never) as pool, Executor.of(pool) as tasks:
        assert tasks is not None
        with pytest.raises(BrokenExecutor):
            tasks.submit(abs, 1).result(60)
        with pytest.raises(BrokenExecutor):
            tasks.submit(abs, 1).result(60)


def test_priorities_and_cancellation(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with Executor.of(pool) as tasks:
        assert tasks is not None
        gate = [tasks.submit(time.sleep, 0.1) for _ in range(3)]
        low, gone = tasks.submit(note, tmp_path, 1), tasks.submit(note, tmp_path, 2)
        high = [tasks.submit(note, tmp_path, 10 + n, priority=1) for n in range(4)]
        assert gone.cancel()
        assert gone.cancelled()
        assert not gate[0].cancel()
        assert tasks.wait([low, gone, *high], timeout=60)[1] == set()
    order = sorted((int(path.name.split("-")[2]), int(path.name.split("-")[0])) for path in tmp_path.iterdir())
    assert [number for _, number in order][-1] == 1
    assert sorted(number for _, number in order) == [1, 10, 11, 12, 13]


def test_after_the_end_of_pool_or_block_no_task_is_taken(pool: ProcessPoolExecutor) -> None:
    with ProcessPoolExecutor(1) as ended, Executor.of(ended) as tasks:
        assert tasks is not None
        ended.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            tasks.submit(abs, 1)
    with Executor.of(pool) as tasks:
        pass
    assert tasks is not None
    with pytest.raises(SetupError, match="within the with block"):
        tasks.submit(abs, 1)


Kept: list[Executor] = []


def submit_from_a_task() -> None:
    Kept[0].submit(abs, 1)


def test_a_task_does_not_submit_to_its_executor(pool: ProcessPoolExecutor) -> None:
    with Executor.of(pool) as tasks:
        assert tasks is not None
        Kept[:] = [tasks]  # type: ignore[list-item]
        with pytest.raises(TaskError, match="a task cannot use the executor that runs it"):
            tasks.submit(submit_from_a_task).result(60)
        Kept.clear()
