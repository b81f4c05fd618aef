"""The program in a child of its own, forked from a process that has loaded it once; and what its files hold then."""

from __future__ import annotations

import ctypes
import importlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import mpi4py

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads cannot fork either
mpi4py.rc.initialize = False  # MPI starts in the child: a process that has started it cannot fork

from faults.defects import DEFECTS  # noqa: E402
from mpi4py import MPI  # noqa: E402

import parsolve.__main__ as program  # noqa: E402
from parsolve.store import verify as verifying  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SECONDS, AT_ONCE = 20, 2
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
LOADED = ("numpy.random", "sympy.combinatorics", "sympy.tensor.tensor", *(f"parsolve.{name}" for name in (
    "api", "run", "resume", "cli.solve", "cli.results", "problem.plan", "store.compare", "kernels.jit")))  # fmt: skip


class Solo:
    """A communicator of one rank that needs no MPI."""

    rank, size = 0, 1

    def allreduce(self, value: Any, op: Any = None) -> Any:
        """The value: there is no other."""
        return value

    def bcast(self, value: Any, root: int = 0) -> Any:
        """The value of this rank."""
        return value

    def allgather(self, value: Any) -> list[Any]:
        """That of each rank."""
        return [value]


SOLO: Any = Solo()


@dataclass(frozen=True)
class Tally:
    """How many cases of a family were played, how many of them had an effect, and which ended badly."""

    family: str
    cases: int
    fired: int
    bad: tuple[str, ...]

    def __str__(self) -> str:
        lost = "\n".join(self.bad[:40])
        return f"{self.family}: {self.cases} cases, {self.fired} fired, {len(self.bad)} bad\n{lost}".strip()


def prepare() -> None:
    """Load what a run needs, and read the case once, so that children need not."""
    from parsolve.case import Case
    from parsolve.problem.plan import check

    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.toml"
        path.write_text(CASE)
        check(Case.load(str(path), []), 1)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder, in memory where that can be had."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="parsolve-faults-", dir=memory) as place:
        yield Path(place)


def act(folder: Path, do: Callable[[Any], int]) -> NoReturn:
    """Become the program in a folder: do something with the shim, with streams beside the folder, and end."""
    os.setsid()
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
    start = program._start_mpi
    program._start_mpi = lambda level: (MPI.Is_initialized() or MPI.Init_thread(MPI.THREAD_FUNNELED), start(level))[1]
    code = do(ctypes.CDLL(None))
    if MPI.Is_initialized():
        MPI.Finalize()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def child(folder: Path, do: Callable[[Any], int], seconds: float = SECONDS) -> int:
    """The exit code of a child that does something in a folder (negative: the signal), killed after a time."""
    pid = os.fork()
    if pid == 0:
        try:
            act(folder, do)
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(99)
    watch = os.pidfd_open(pid)
    if not select.select([watch], [], [], seconds)[0]:
        os.killpg(pid, signal.SIGKILL)
    os.close(watch)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for path in Path("/dev/shm").glob(f"mpich_shm_{pid:x}_*"):  # which MPICH leaves when it is killed
        path.unlink(missing_ok=True)
    return code


def played(folder: Path, argv: Sequence[str], arm: tuple[int, int, int] | None = None,
           seconds: float = SECONDS) -> tuple[int, str, str]:  # fmt: skip
    """Exit code (negative: the signal), errors and what the shim counted, of the program in a process of its own."""
    reading, writing = os.pipe()

    def do(shim: Any) -> int:
        if arm is not None:
            shim.fault_arm(os.fsencode(folder), ctypes.c_long(arm[0]), arm[1], arm[2])
        code = program.main(argv)
        if arm is not None:
            shim.fault_name.restype = ctypes.c_char_p
            os.write(writing, f"{shim.fault_calls()} {shim.fault_fired()} {shim.fault_name().decode()}".encode())
        return code

    code = child(folder, do, seconds)
    os.close(writing)
    counted = os.read(reading, 9000).decode()
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


def damage(*paths: Path) -> list[str]:
    """What `verify` finds wrong with files or folders, here, in this process."""
    look, verifying.look = verifying.look, lambda *_, **__: None
    try:
        return verifying.verify(SOLO, paths).damaged
    finally:
        verifying.look = look


def main(play: Callable[[int], Tally]) -> int:
    """Play every so many cases, by the words of the program, with a defect if one is named; print the counts."""
    if len(sys.argv) > 2:
        DEFECTS[sys.argv[2]]()
    tally = play(int(sys.argv[1]))
    print(tally)
    return bool(tally.bad)


def spoken(text: str) -> bool:
    """Whether a text has what only an error of the program itself says."""
    return any(word in text for word in ("Traceback", "Exception ignored", "unexpected"))


def started(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """`python -m faults.WORDS`, in a process of its own with the shim, which is compiled for it."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="parsolve-shim-") as place:
        shim = Path(place) / "shim.so"
        subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", shim, here / "shim.c", "-ldl"], check=True)
        path = os.pathsep.join(filter(None, (str(here.parent), os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, "-m", f"faults.{words[0]}", *words[1:]], check=False, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": path, "LD_PRELOAD": str(shim), "FAULT_SHIM": str(shim)},
        )  # fmt: skip
