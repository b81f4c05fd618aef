"""Plays hostile inputs: a process that has loaded parsolve once forks a child for each, and judges how it ends.

python -m hostile.server FAMILY [WORD] plays the inputs of a table, or those with the word in their name, and prints
what went wrong. The exit code is 0 if nothing did.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import select
import signal
import sys
import tempfile
from fnmatch import fnmatch
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

import mpi4py

mpi4py.rc.initialize = False  # MPI starts in the child: a process that has started it cannot fork

from hostile.given import Input  # noqa: E402
from mpi4py import MPI  # noqa: E402

import parsolve.__main__ as program  # noqa: E402

SECONDS, AT_ONCE, MEMORY, LONGEST = 10, 2, 12 << 30, 2000
LOADED = ("matplotlib.figure", "matplotlib.backends.backend_agg", "numpy.random", *(f"parsolve.{name}" for name in (
    "api", "run", "case.schema", "cli.solve", "problem.plan", "store.result", "store.compare", "view.plot", "kernels.jit",
    "march.tableaus", "equations.user", "equations.catalogue")))  # fmt: skip
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "CC")
ERROR, HARMLESS = "parsolve: error: ", ("parsolve: warning: ", "step ", "libgomp: ")
FORBIDDEN = ("Traceback", "; please report it", "Exception ignored", "encountered in")


def play(given: Input, folder: Path, home: Path) -> NoReturn:
    """Become the program with an input; the streams go to files beside the folder."""
    os.setsid()
    os.chdir(folder)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    chosen = kept | {"HOME": str(home), "TMPDIR": str(folder), "MPLCONFIGDIR": str(home)} | dict(given.env)
    os.environ.clear()
    os.environ.update({name: value.format(folder) for name, value in chosen.items() if value is not None})
    for name, most in {"AS": MEMORY, "CORE": 0, **given.limits}.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    streams = (os.devnull, given.stdout.replace("closed", os.devnull) or f"{folder}.out", f"{folder}.err")
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o644), number)
    if given.stdout == "closed":
        os.close(1)
    if given.nobody and os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        os.setegid(65534)
        os.seteuid(65534)
    if given.fresh:
        os.execv(sys.executable, [sys.executable, "-m", "parsolve", *given.argv])
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
    start = program._start_mpi
    program._start_mpi = lambda level: (MPI.Init_thread(MPI.THREAD_FUNNELED), start(level))[1]
    try:
        code = program.main(given.argv)
    except SystemExit as ended:
        code = int(ended.code or 0)
    if MPI.Is_initialized():
        MPI.Finalize()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def judge(given: Input, home: Path) -> str:
    """Play an input and return what is wrong with how it ended, or nothing."""
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=home) as place:
        folder = Path(place) / "here"
        folder.mkdir()
        for name, content in given.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        before = look(folder)
        pid = os.fork()
        if pid == 0:
            try:
                play(given, folder, home)
            finally:
                os._exit(99)
        ending = end_of(pid)
        out, err = (path.read_text("utf-8", "replace") if (path := Path(f"{folder}.{name}")).exists() else ""
                    for name in ("out", "err"))  # fmt: skip
        faults = [*faults_of(given, ending, out, err), *changes(given, before, look(folder))]
        return f"{'; '.join(faults)}\n    {(err.strip() or out)[-400:]}" if faults else ""


def end_of(pid: int) -> int | str:
    """Wait for a child and return its exit code, or in words how else it ended; nothing of it is left running."""
    in_time = select.select([os.pidfd_open(pid)], [], [], SECONDS)[0]
    if not in_time:
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os.killpg(pid, signal.SIGKILL)
        return f"left a process behind, exit {code}"
    except ProcessLookupError:
        return (code if code >= 0 else f"signal {-code}") if in_time else f"took more than {SECONDS} s"


def faults_of(given: Input, ending: int | str, out: str, err: str) -> list[str]:
    """What is wrong with exit code and words."""
    wrong = [f"ended with {ending}, wanted {given.code}"] if ending != given.code else []
    wrong += [f"says {word!r}" for word in FORBIDDEN if word in out + err]
    before, _, message = err.replace("\r", "\n").partition(ERROR)
    wrong += [f"prints {line!r}" for line in before.splitlines() if line and not line.startswith(HARMLESS)][:1]
    told = message.count(ERROR) + (ERROR in err)
    if told != (given.code not in (0, 5) or (given.code == 5 and not out)):
        wrong.append(f"{told} error messages")
    if len(message) > LONGEST:
        wrong.append(f"a message of {len(message)} characters")
    return wrong + [f"does not say {word!r}" for word in given.words if word not in out + err]


def look(folder: Path) -> dict[str, tuple[int, ...]]:
    """What lies in a folder, and what changes when a file of it does."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        own = (status.st_ino, status.st_size, status.st_mtime_ns) if not path.is_dir() else ()
        found[str(path.relative_to(folder))] = (status.st_mode, *own)
    return found


def changes(given: Input, before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[str]:
    """What was changed, removed, left behind or not made; what is allowed to be is not told."""
    allowed = [name for name in before | after if any(fnmatch(name, pattern) for pattern in given.leaves)]
    wrong = [f"changed {name}" for name in before if name not in allowed and before[name] != after.get(name)]
    wrong += [f"left {name}" for name in after if name not in before and name not in allowed]
    made = [name for name in allowed if after.get(name) != before.get(name)]
    return wrong + (["made nothing"] if given.leaves and not made and given.code == 0 else [])


def numbered(family: str, home: Path, number: int) -> tuple[str, str]:
    """The name of an input of a table, and what is wrong with how it ended."""
    given = importlib.import_module(f"hostile.{family}").INPUTS[number]
    return given.name, judge(given, home)


def main(family: str, word: str = "") -> int:
    """Play the inputs of a table, some at once, and print what went wrong."""
    inputs = importlib.import_module(f"hostile.{family}").INPUTS
    chosen = [number for number, given in enumerate(inputs) if word in given.name]
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # what a child does not touch is not copied
    with tempfile.TemporaryDirectory(prefix="parsolve-hostile-") as home, get_context("fork").Pool(AT_ONCE) as pool:
        found = pool.map(partial(numbered, family, Path(home)), chosen, chunksize=1)
    failures = [f"{name}\n    {fault}" for name, fault in found if fault]
    print("\n".join([*failures, f"{family}: {len(failures)} of {len(found)} inputs ended badly"]))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
