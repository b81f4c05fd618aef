"""Cases made by several threads at once are those that one makes, from the first on."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import threading

from parsolve.case import Case

sys.setswitchinterval(1e-6)
TABLES = {"equation": "heat", "grid": {"x": {"cells": 8, "range": [0, 1]}}, "initial": {"u": "x"}, "time": {"steps": 1}}
start, made = threading.Barrier(8), []


def make():
    start.wait()
    made.append(Case.from_dict(TABLES))


threads = [threading.Thread(target=make) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(case == made[0] for case in made))
"""


def test_threads_make_their_first_cases_together() -> None:
    for _ in range(3):  # each in a process that has made none
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "8\n"), done.stderr
