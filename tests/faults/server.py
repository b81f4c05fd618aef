"""Runs that are killed, or whose files fail, at each call that changes a file, one after the other.

PYTHONPATH=tests python -m faults.server plays all of them, and looks whether deliberate defects are found.
`FAMILY [STRIDE]` behind it plays every STRIDE-th fault of one family, `DEFECT STRIDE` those with a defect. Counts and
what was wrong are printed; the exit code is 0 if nothing was lost, and nothing wrong was taken for right.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import mpi4py

mpi4py.rc.initialize = False  # MPI starts in the child: a process that has started it cannot fork

from faults.defects import DEFECTS  # noqa: E402
from mpi4py import MPI  # noqa: E402

import parsolve.__main__ as program  # noqa: E402
from parsolve.store.checkpoint import MANIFEST  # noqa: E402
from parsolve.store.places import FRAME  # noqa: E402
from parsolve.store.verify import verify  # noqa: E402, F401

KILL, TORN, ONCE, EVER, SHORT = range(1, 6)
SECONDS, AT_ONCE, MOST = 20, 2, 5000
CASE = """
[grid]
x = { cells = 12, range = [0.0, 1.0] }
y = { cells = 10, range = [0.0, 1.0] }
[evolve]
u = "laplace(u) - u**3"
v = "0.1*laplace(v) + u"
[initial]
u = "1 + x*y"
v = "noise(seed=1)"
[time]
steps = 6
dt = 1e-4
[output]
every_steps = 2
[checkpoint]
every_steps = 2
[run]
device = "numpy"
"""
RUN = ["run", "a.toml", "-o", "a.h5", "-q", "--resume"]
LATER = [*RUN, "--set", "time.steps=10"]
FAMILIES: dict[str, list[tuple[int, int]]] = {
    "kill": [(KILL, 0)],
    "torn": [(TORN, 0)],
    "short": [(SHORT, 0)],
    "once": [(ONCE, number) for number in (errno.EIO, errno.ENOSPC)],
    "ever": [(EVER, number) for number in (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EMFILE)],
}  # fmt: skip


DEFECTIVE = [(KILL, 0), (SHORT, 0), (ONCE, errno.EIO)]  # what finds the defects


@dataclass(frozen=True)
class Fault:
    """The n-th call of a run that begins with these files of before fails thus."""

    n: int
    action: int
    error: int
    later: bool  # the run goes on with a finished one

    def __str__(self) -> str:
        kind = ("", "kill", "torn", "once", "ever", "short")[self.action]
        return f"{kind} {errno.errorcode.get(self.error, '')} at call {self.n}{' of going on' if self.later else ''}"


def act(folder: Path, argv: list[str], arm: tuple[int, int, int] | None, answer: int) -> NoReturn:
    """Become the program, armed; what the shim counted goes to ``answer``."""
    os.setsid()
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
    start = program._start_mpi
    program._start_mpi = lambda: (MPI.Init_thread(MPI.THREAD_FUNNELED), start())[1]
    shim = ctypes.CDLL(None)
    if arm is not None:
        shim.fault_arm(os.fsencode(folder), ctypes.c_long(arm[0]), arm[1], arm[2])
    code = program.main(argv)
    if arm is not None:
        os.write(answer, f"{shim.fault_calls()} {shim.fault_fired()}".encode())
    if MPI.Is_initialized():
        MPI.Finalize()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def played(folder: Path, argv: list[str], arm: tuple[int, int, int] | None = None) -> tuple[int, str, str]:
    """Exit code (negative: the signal), errors and what the shim counted, of the program in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act(folder, argv, arm, writing)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(99)
    os.close(writing)
    if not select.select([os.pidfd_open(pid)], [], [], SECONDS)[0]:
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for path in Path("/dev/shm").glob(f"mpich_shm_{pid:x}_*"):  # which MPICH leaves when it is killed
        path.unlink(missing_ok=True)
    counted = os.read(reading, 100).decode()
    os.close(reading)
    return code, Path(f"{folder}.err").read_text("utf-8", "replace"), counted


def contents(path: Path) -> Any:
    """All that a result holds of the march, or why that cannot be had."""
    from parsolve.store.result import open_result

    try:
        with open_result(path) as result:
            values = {name: result.file[name][...].tobytes() for name in result.fields}
            return result.times.tolist(), result.steps.tolist(), values
    except Exception as error:
        return f"{error}"


def judge(fault: Fault, home: Path, wanted: Any) -> tuple[str, bool]:
    """What went wrong with a fault, or nothing; and whether it fired."""
    with tempfile.TemporaryDirectory(prefix="fault-", dir=home) as place:
        folder = Path(place) / "here"
        shutil.copytree(home / ("finished" if fault.later else "fresh"), folder)
        argv, whole = (LATER if fault.later else RUN), wanted[fault.later]
        code, told, counted = played(folder, argv, (fault.n, fault.action, fault.error))
        fired = code == -signal.SIGKILL or counted.endswith("1")
        wrong = []
        if "Traceback" in told or "Exception ignored" in told or "unexpected" in told:
            wrong.append(f"says {told[-900:]}")
        if code != -signal.SIGKILL and code not in (0, 5, 6):
            wrong.append(f"ends with {code}: {told[-300:]}")
        if code in (5, 6) and told.count("parsolve: error:") != 1:
            wrong.append(f"tells {told.count('parsolve: error:')} errors: {told[-300:]}")
        if code == 0 and contents(folder / "a.h5") != whole:
            wrong.append("ends with 0 and another result")
        if (folder / "a.h5").exists():  # whatever has the name is whole
            report = played(folder, ["verify", "a.h5"])
            if report[0]:
                wrong.append(f"leaves a damaged result: {Path(f'{folder}.out').read_text()[-300:]}")
        frames = folder / "a.h5.frames"
        if (
            frames.is_dir()
            and any(FRAME.fullmatch(path.name) or MANIFEST.fullmatch(path.name) for path in frames.iterdir())
            and played(folder, ["verify", frames.name])[0]
        ):
            wrong.append(f"leaves damaged frames: {Path(f'{folder}.out').read_text()[-300:]}")
        if fault.later and not any(frames.glob("checkpoint-*.json")):
            wrong.append("leaves no checkpoint")
        code, told, _ = played(folder, argv)
        if code:
            wrong.append(f"does not go on ({code}): {told[-400:]}")
        elif contents(folder / "a.h5") != whole:
            wrong.append("goes on to another result")
        left = [path.name for path in folder.rglob("*") if path.name.endswith((".partial", ".lock", ".old", ".new"))]
        if left:
            wrong.append(f"leaves {left}")
        return "; ".join(wrong), fired


def main(family: str, stride: int) -> int:
    """Play a family; print the counts and what is wrong."""
    if family in DEFECTS:
        DEFECTS[family]()
    gc.freeze()
    with tempfile.TemporaryDirectory(
        prefix="parsolve-faults-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as place:
        home = Path(place)
        (home / "fresh").mkdir()
        (home / "fresh/a.toml").write_text(CASE)
        shutil.copytree(home / "fresh", home / "finished")
        wanted, calls = [], []
        for later in (False, True):
            arm = (0, KILL, 0)
            code, told, counted = played(home / "finished", LATER if later else RUN, None if later else arm)
            assert code == 0, told
            wanted.append(contents(home / "finished/a.h5"))
            if not later:
                calls.append(int(counted.split()[0]))
                shutil.copytree(home / "finished", home / "kept")
        shutil.rmtree(home / "finished")
        (home / "kept").rename(home / "finished")
        shutil.copytree(home / "finished", home / "counted")
        calls.append(int(played(home / "counted", LATER, (0, KILL, 0))[2].split()[0]))
        faults = [
            Fault(n, action, error, later)
            for action, error in FAMILIES.get(family, DEFECTIVE) for later in (False, True) for n in range(1, calls[later] + 1, stride)
        ]  # fmt: skip
        with get_context("fork").Pool(AT_ONCE, maxtasksperchild=None) as pool:
            found = pool.map(partial(judge, home=home, wanted=wanted), faults, chunksize=4)
        bad = [f"{fault}: {text}" for fault, (text, _) in zip(faults, found, strict=True) if text]
        print(
            f"{family}: {calls[0]} and {calls[1]} calls; {len(faults)} faults, {sum(f for _, f in found)} fired, {len(bad)} bad"
        )
        print("\n".join(bad[:40]))
        return bool(bad) or not any(fired for _, fired in found)


def everything() -> int:
    """Play all families, and some faults with each defect, of which one is to be found."""
    failed = [name for name in FAMILIES if started(name, 1)]
    failed += [name for name in DEFECTS if not started(name, 9)]
    print("failed: " + ", ".join(failed) if failed else f"all right, and all of {len(DEFECTS)} defects were found")
    return bool(failed)


def started(family: str, stride: int) -> int:
    """Exit code of a family in a process of its own with the shim."""
    with tempfile.TemporaryDirectory(prefix="parsolve-shim-") as place:
        shim = Path(place) / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        words = [sys.executable, "-m", "faults.server", family, str(stride)]
        return subprocess.run(words, env=os.environ | {"LD_PRELOAD": str(shim)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else everything())
