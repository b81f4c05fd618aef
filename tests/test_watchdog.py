"""A watchdog ends what stands still, tells where, and leaves alone what goes forward."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from parsolve.watchdog import HUNG, abort

# A process with a watchdog of some seconds beats for a while, then does as it is told.
WATCHED = """
import os, sys, time
import parsolve.watchdog as dog
dog.GRACE, dog.LAST = 0.1, 0.4

class Ranks:
    rank, size = 2, 4
    def Abort(self, code):
        if sys.argv[1] != "deaf":
            os._exit(code)
        time.sleep(60)

def wait_for_others():
    time.sleep(60)

with dog.Watchdog(None if sys.argv[1] == "none" else 0.6, Ranks()):
    print("begun", flush=True)
    for _ in range(15):
        time.sleep(0.1)
        dog.pulse.beats += sys.argv[1] != "none"
    if sys.argv[1] in ("still", "deaf"):
        wait_for_others()
time.sleep(1)
"""


def watched(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WATCHED, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip


def test_what_stands_still_is_ended_and_tells_where() -> None:
    process = watched("still")
    _, told = process.communicate(timeout=30)
    assert process.returncode == HUNG
    first, *stack = told.splitlines()
    assert first.startswith("parsolve: error: rank 2 of 4: nothing went forward for 0.6 s (run.watchdog), it is in")
    assert "wait_for_others" in first
    assert "wait_for_others" in stack[-1] + stack[-2]
    assert told.count("rank 2 of 4") == 1


@pytest.mark.parametrize("how", ["beats", "none"])
def test_what_goes_forward_or_is_not_watched_goes_on(how: str) -> None:
    process = watched(how)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0


def test_a_launcher_that_does_not_end_it_is_not_waited_for() -> None:
    process = watched("deaf")
    begin = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert time.monotonic() - begin < 10


def test_what_was_suspended_goes_on() -> None:
    process = watched("beats")
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2)
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0


def test_the_launcher_is_told_to_end_all() -> None:
    reading, writing = os.pipe()
    assert abort(3, {"PMI_FD": str(writing)})
    os.close(writing)
    assert os.read(reading, 100) == b"cmd=abort exitcode=3\n"
    os.close(reading)
    assert not abort(3, {})  # another launcher
