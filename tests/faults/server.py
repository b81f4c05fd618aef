"""Runs that are killed, or whose files fail, at each call that changes a file, one after the other, or at any time.

`python -m faults.server FAMILY STRIDE` (with the shim) plays every STRIDE-th fault of one family, `DEFECT STRIDE` those
with a defect. Counts and what was wrong are printed; the exit code is 0 if nothing was lost, and nothing wrong was
taken for right.
"""

from __future__ import annotations

import errno
import gc
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from faults.defects import DEFECTS
from faults.play import AT_ONCE, CASE, LATER, RUN, Tally, contents, damage, played, prepare, scratch, spoken

from parsolve.store.checkpoint import MANIFEST
from parsolve.store.places import FRAME

KILL, TORN, ONCE, EVER, SHORT, RANDOM = range(1, 7)
KILLS = 1000  # at any time
FAMILIES: dict[str, list[tuple[int, int]]] = {
    "kill": [(KILL, 0)],
    "random": [(RANDOM, 0)],
    "torn": [(TORN, 0)],
    "short": [(SHORT, 0)],
    "once": [(ONCE, number) for number in (errno.EIO, errno.ENOSPC, errno.EINTR)],
    "ever": [(EVER, number) for number in (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EMFILE)],
}  # fmt: skip
DEFECTIVE = [(KILL, 0), (SHORT, 0), (ONCE, errno.EIO)]  # what finds the defects


@dataclass(frozen=True)
class Fault:
    """The n-th call of a run that begins with these files of before fails thus; or it is killed after n microseconds."""

    n: int
    action: int
    error: int
    later: bool  # the run goes on with a finished one

    def __str__(self) -> str:
        kind = ("", "kill", "torn", "once", "ever", "short", "random")[self.action]
        return f"{kind} {errno.errorcode.get(self.error, '')} at call {self.n}{' of going on' if self.later else ''}"


def judge(fault: Fault, home: Path, wanted: Any) -> tuple[str, bool]:
    """What went wrong with a fault, or nothing; and whether it fired."""
    with tempfile.TemporaryDirectory(prefix="fault-", dir=home) as place:
        folder = Path(place) / "here"
        shutil.copytree(home / ("finished" if fault.later else "fresh"), folder)
        argv, whole = (LATER if fault.later else RUN), wanted[fault.later]
        if fault.action == RANDOM:
            code, told, counted = played(folder, argv, None, fault.n / 1e6)
        else:
            code, told, counted = played(folder, argv, (fault.n, fault.action, fault.error))
        _, hit, call, path = (*counted.split(maxsplit=3), "", "", "", "")[:4]
        wrong = [f"says {told[-900:]}"] if spoken(told) else []
        if code != -signal.SIGKILL and code not in (0, 5, 6):
            wrong.append(f"ends with {code}: {told[-300:]}")
        if code in (5, 6) and told.count("parsolve: error:") != 1:
            wrong.append(f"tells {told.count('parsolve: error:')} errors: {told[-300:]}")
        if code == 0 and contents(folder / "a.h5") != whole:
            wrong.append("ends with 0 and another result")
        if code == 0 and fault.error == errno.EIO and call.endswith("sync") and not path.endswith("/"):
            wrong.append(f"believes a file that could not be synced: {path}")
        wrong += after(folder, argv, whole, fault.later)
        return "; ".join(wrong), code == -signal.SIGKILL or hit == "1"


def after(folder: Path, argv: list[str], whole: Any, later: bool = False) -> list[str]:
    """What is wrong with what a run left, and with one that goes on with it."""
    frames = folder / "a.h5.frames"
    named = list(frames.iterdir()) if frames.is_dir() else []
    wrong = []
    if (folder / "a.h5").exists() and (found := damage(folder / "a.h5")):  # whatever has the name is whole
        wrong.append(f"leaves a damaged result: {found}")
    if any(FRAME.fullmatch(path.name) or MANIFEST.fullmatch(path.name) for path in named) and (found := damage(frames)):
        wrong.append(f"leaves damaged frames: {found}")
    if later and not any(MANIFEST.fullmatch(path.name) for path in named):
        wrong.append("leaves no checkpoint")
    code, told, _ = played(folder, argv)
    if code:
        wrong.append(f"does not go on ({code}): {told[-400:]}")
    elif contents(folder / "a.h5") != whole:
        wrong.append("goes on to another result")
    left = [path.name for path in folder.rglob("*") if path.name.endswith((".partial", ".lock", ".old", ".new"))]
    return wrong + ([f"leaves {left}"] if left else [])


def undisturbed(home: Path) -> tuple[list[Any], list[int], list[float]]:
    """Make `fresh` and `finished` of a home: results, calls and seconds of a run, and of one that goes on."""
    (home / "fresh").mkdir()
    (home / "fresh/a.toml").write_text(CASE)
    shutil.copytree(home / "fresh", home / "finished")
    wanted, calls, seconds = [], [], []
    for argv in (RUN, LATER):
        now = home / "now"
        shutil.copytree(home / "finished", now)
        begun = time.monotonic()
        code, told, counted = played(now, argv, (0, KILL, 0))
        assert code == 0, told
        seconds.append(time.monotonic() - begun)
        wanted.append(contents(now / "a.h5"))
        calls.append(int(counted.split()[0]))
        if argv is RUN:
            shutil.rmtree(home / "finished")
            shutil.copytree(now, home / "finished")
        shutil.rmtree(now)
    return wanted, calls, seconds


def play(family: str, stride: int) -> Tally:
    """Play a family, some at once."""
    if family in DEFECTS:
        DEFECTS[family]()
    prepare()
    gc.freeze()
    with scratch() as home:
        try:
            wanted, calls, seconds = undisturbed(home)
        except AssertionError as error:
            return Tally(family, 1, 0, (f"without a fault: {error}",))
        draw = random.Random(1)
        faults = [
            Fault(n, action, error, later)
            for action, error in FAMILIES.get(family, DEFECTIVE) if action != RANDOM
            for later in (False, True) for n in range(1, calls[later] + 1, stride)
        ]  # fmt: skip
        if family == "random":
            both = [bool(n % 2) for n in range(KILLS // stride)]
            faults = [Fault(int(draw.uniform(0.02, 1.2 * seconds[n]) * 1e6), RANDOM, 0, n) for n in both]
        with get_context("fork").Pool(AT_ONCE) as pool:
            found = pool.map(partial(judge, home=home, wanted=wanted), faults, chunksize=4)
    bad = [f"{fault}: {text}" for fault, (text, _) in zip(faults, found, strict=True) if text]
    return Tally(family, len(faults), sum(fired for _, fired in found), tuple(bad))


def main(family: str, stride: int) -> int:
    """Play a family; print the counts and what is wrong."""
    tally = play(family, stride)
    print(tally)
    return bool(tally.bad) or not tally.fired


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
