"""Files fail, or a rank is killed, on one of two ranks; the other hears of it, and what was kept is gone on from.

`python -m faults.pair STRIDE [DEFECT]` (with the shim) plays every STRIDE-th call of each rank.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from faults.defects import DEFECTS
from faults.play import MPI, RUN, Tally, contents, prepare, program, scratch, spoken
from faults.server import KILL, ONCE, after, undisturbed

ACTIONS = ((KILL, 0), (ONCE, errno.EIO), (ONCE, errno.ENOSPC))
SECONDS = 60


def on_two(folder: Path, fault: str, defect: str) -> tuple[int, str]:
    """Exit code and messages of a run on two ranks, armed; -9 where it did not end."""
    environment = os.environ | {"FAULT_FOLDER": str(folder), "FAULT": fault, "LD_PRELOAD": os.environ["FAULT_SHIM"]}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    words = ["mpirun", "-n", "2", sys.executable, "-m", "faults.pair", "run", defect]
    with subprocess.Popen(
        words, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            said = process.communicate(timeout=SECONDS)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[1]
    return process.returncode, said.decode("utf-8", "replace")


def judge(home: Path, wanted: Any, fault: tuple[int, int, int, int], defect: str) -> tuple[str, bool]:
    """What is wrong with how a fault of a rank ends; and whether the run ended well."""
    with tempfile.TemporaryDirectory(prefix="fault-", dir=home) as place:
        folder = Path(place) / "here"
        shutil.copytree(home / "fresh", folder)
        code, told = on_two(folder, " ".join(map(str, fault)), defect)
        wrong = ["does not end"] if code == -signal.SIGKILL else []
        if fault[1] != KILL:
            wrong += [f"says {told[-900:]}"] if spoken(told) else []
            wrong += [f"ends with {code}: {told[-300:]}"] if code not in (0, 5, 6) else []
            wrong += ["tells no error"] if code in (5, 6) and "parsolve: error:" not in told else []
        if code == 0 and contents(folder / "a.h5") != wanted:
            wrong.append("ends with 0 and another result")
        wrong += after(folder, RUN, wanted)
        return "; ".join(wrong), code == 0


def play(stride: int, defect: str = "") -> Tally:
    """Play calls of each rank until they are as many as it makes."""
    prepare()
    bad, cases, fired = [], 0, 0
    with scratch() as home:
        wanted = undisturbed(home)[0][0]
        for rank in (0, 1):
            for action, error in ACTIONS:
                n, unharmed = 1, 0
                while unharmed < 2:
                    text, ended_well = judge(home, wanted, (n, action, error, rank), defect)
                    bad += [f"rank {rank}, call {n}, action {action} {error}: {text}"] if text else []
                    cases, fired, unharmed = cases + 1, fired + (not ended_well), unharmed + ended_well
                    n += stride
    return Tally("pair", cases, fired, tuple(bad))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        if len(sys.argv) > 2 and sys.argv[2]:
            DEFECTS[sys.argv[2]]()
        MPI.Init_thread(MPI.THREAD_FUNNELED)
        ended = program.main(RUN)
        MPI.Finalize()
        sys.exit(ended)
    tally = play(int(sys.argv[1]), *sys.argv[2:])
    print(tally)
    sys.exit(bool(tally.bad) or not tally.fired)
