"""A rank that fails or stops ends the whole job, which leaves nothing.

Here some of the cases are played; `PYTHONPATH=tests python -m faults.ranks` plays all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mpi4py import MPI

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked for in /proc"),
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts ranks of its own"),
    pytest.mark.skipif(
        not (Path(sys.executable).with_name("mpirun").exists() or shutil.which("mpirun")), reason="there is no mpirun"
    ),
]
CASES = ["init 1 exception", "pose 0 kill", "wait 2 segv", "vote 3 exit", "write 1 exception", "finalize 2 exception",
         "reduce 3 stop"]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_job_ends(case: str) -> None:
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    words = [sys.executable, "-m", "faults.ranks", *case.split()]
    played = subprocess.run(
        words, capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert played.returncode == 0, f"\n{played.stdout}{played.stderr}"
    assert played.stdout.startswith("1 ranks ")
