"""A task that fails alone, hangs or ends its process ends the job, and is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsolve.ensemble.serving import place_of
from parsolve.watchdog import HUNG

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

SCRIPT = """
import os, sys, threading, time
from mpi4py import MPI
from parsolve import Executor

def hang(x, comm):
    time.sleep(100)

def half(x, comm):
    if comm.rank == 1:
        raise ValueError("alone")
    comm.Barrier()

def leave(x, comm):
    os.kill(os.getpid(), 9)

def stop(x, comm):
    thread = threading.Thread(target=os._exit, args=(0,))
    thread.start()
    thread.join()

def brief(x, comm):
    time.sleep(0.3)
    return x

with Executor(MPI.COMM_WORLD, TIMES) as tasks:
    if tasks is not None:
        RUN
print("end of rank", MPI.COMM_WORLD.rank, flush=True)
"""


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_task_that_takes_too_long_ends_the_job(script: Callable[..., CompletedProcess[str]], ranks: int) -> None:
    run = SCRIPT.replace("TIMES", "timeout=0.5").replace("RUN", "tasks.submit(hang, 1, ranks=2).result()")
    done = script(run, ranks)
    assert done.returncode == HUNG, done.stderr
    where = "0, 1 of 2" if ranks == 2 else "1, 2 of 3"
    assert f"parsolve: error: task hang(1) on ranks {where} has run for more than 0.5 s (timeout), it is" in done.stderr
    assert "end of" not in done.stdout


def test_many_tasks_may_together_take_longer(script: Callable[..., CompletedProcess[str]]) -> None:
    run = SCRIPT.replace("TIMES", "timeout=2").replace("RUN", "print(list(tasks.map(brief, range(15))))")
    done = script(run, 2)
    assert done.returncode == 0, done.stderr
    assert str(list(range(15))) in done.stdout
    assert done.stdout.count("end of rank") == 2


def test_ranks_that_wait_for_one_that_failed_do_not_wait_for_ever(script: Callable[..., CompletedProcess[str]]) -> None:
    done = script(SCRIPT.replace("TIMES", "grace=0.5").replace("RUN", "tasks.submit(half, 1, ranks=2).result()"), 2)
    assert done.returncode == HUNG, done.stderr
    assert "task half(1) on ranks 0, 1 of 2 raised ValueError on rank 1: alone; the others have not" in done.stderr


def test_a_task_that_ends_its_process_ends_the_job(script: Callable[..., CompletedProcess[str]]) -> None:
    done = script(SCRIPT.replace("TIMES", "").replace("RUN", "tasks.submit(leave, 1).result()"), 2)
    assert done.returncode != 0
    assert "end of" not in done.stdout


@pytest.mark.parametrize("ranks", [2, 4])
def test_an_end_that_looks_well_ends_the_job_badly(script: Callable[..., CompletedProcess[str]], ranks: int) -> None:
    done = script(SCRIPT.replace("TIMES", "").replace("RUN", "tasks.submit(stop, 1).result()"), ranks)
    assert done.returncode != 0
    assert "os._exit(0) in a process of which tasks are awaited, within task stop(1) on rank" in done.stderr
    assert "end of" not in done.stdout


def test_an_error_of_the_body_ends_all_ranks(script: Callable[..., CompletedProcess[str]]) -> None:
    done = script(SCRIPT.replace("TIMES", "").replace("RUN", "raise ValueError('the body')"), 3)
    assert done.returncode == 1
    assert 1 <= done.stderr.count("ValueError: the body") <= 3  # mpirun may end a rank before it has told


def test_a_function_that_is_only_on_rank_0_is_told(script: Callable[..., CompletedProcess[str]]) -> None:
    body = "exec('def late(): pass', globals()); time.sleep(0.2); print(tasks.submit(late).exception())"
    done = script(SCRIPT.replace("TIMES", "").replace("RUN", body), 2)
    assert done.returncode == 0, done.stderr
    assert "above the line that makes the executor" in done.stdout


def test_where_a_task_runs_is_told_for_people() -> None:
    assert place_of((0,), 1) == ""
    assert place_of((2,), 4) == " on rank 2 of 4"
    assert place_of((1, 2), 4) == " on ranks 1, 2 of 4"
