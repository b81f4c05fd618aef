"""A rank that is gone is told with what it was at, and ends the job even where the launcher does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from parsolve.watchdog import HUNG

# A process that plays rank 0; the other rank is a child of it, which ends or stays.
WATCHER = """
import os, subprocess, sys, time
import parsolve.ensemble.deaths as deaths
deaths.GRACE = 0.1
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(" + sys.argv[1] + ")"])

class Ranks:
    rank, size = 0, 2
    def gather(self, own):
        return [own, (child.pid, own[1] if sys.argv[2] == "near" else ("other", 1))]
    def Abort(self, code):
        os._exit(code)

watch = deaths.Deaths(Ranks(), lambda rank: f" within task of rank {rank}")
watch.start()
time.sleep(3 if float(sys.argv[1]) < 3 else 0.5)
watch.stop()
print("stopped", flush=True)
child.kill()
"""

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "pidfd_open"), reason="there is no pidfd_open")


def play(seconds: str, where: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", WATCHER, seconds, where]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_a_rank_that_ends_is_told_and_ends_the_job() -> None:
    done = play("0.2", "near")
    assert done.returncode == HUNG
    assert done.stderr == "parsolve: error: rank 1 of 2 has ended within task of rank 1; all ranks end\n"


@pytest.mark.parametrize(("seconds", "where"), [("60", "near"), ("0.2", "far")])
def test_what_lives_or_is_elsewhere_is_left_alone(seconds: str, where: str) -> None:
    done = play(seconds, where)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
