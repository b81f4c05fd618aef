"""C text of kernels -> a library, compiled once on one rank, kept in a cache, opened by all.

Starting a compiler from a process that runs MPI is a known hazard on some fabrics: a child process may share memory
that the network adapter writes to.  ``parsolve compile CASE`` compiles before the job and fills the cache, and then no
process is started under MPI.  Where it has to be, the child is made without copying the parent (vfork) and gets an
argument list, no shell and none of our descriptors.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.errors import SetupError, agreed, on_root
from parsolve.kernels.cache import find, keep
from parsolve.kernels.library import ABI, TYPES, Library, from_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpi4py import MPI

# How every text of kernels begins: the loop, and what Library asks of a library that it opens.
PREAMBLE = "#include <parsolve/launch_cpu.h>\n#include <parsolve/about.h>\n"
INCLUDE = Path(__file__).parent.parent / "include"
REALS = {"float64": "double", "float32": "float"}
# As in CMakeLists.txt: nothing is reassociated or contracted, so a kernel gives the bits of the installed ones.
FLAGS = (
    "-std=gnu11", "-O3", "-fno-fast-math", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "-fPIC", "-shared", "-fvisibility=hidden",
)  # fmt: skip
COMPILERS = ("cc", "gcc", "clang")
COMPILE_SECONDS = 300
ERROR_LINES = 8
NATIVE, WIDE = "-march=native", "-mprefer-vector-width=512"
# Instruction sets that compilers know by name, best first: what /proc/cpuinfo lists, flags as in CMakeLists.txt.
LEVELS = (
    ({"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"},
     ("-march=x86-64-v4", "-mtune=skylake-avx512", WIDE)),
    ({"avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe"}, ("-march=x86-64-v3", "-mtune=haswell")),
)  # fmt: skip
CPU_KEYS = {"vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU implementer",
            "CPU architecture", "CPU variant", "CPU part", "cpu", "isa", "uarch"}  # fmt: skip


class NoCompiler(SetupError):
    """There is no C compiler."""


def load(comm: MPI.Comm | None, text: str, precision: str, *, key_hint: str = "") -> Library:
    """The library of a text of kernels, on every rank of a communicator; collective.

    Rank 0 takes it from the cache, or compiles it and keeps it there; the others get the bytes.  All ranks return, or
    all raise the same error.  If the ranks' CPUs differ, it is compiled for the best level that all of them have.

    Args:
        comm: None for this process alone.
        text: a translation unit that begins with PREAMBLE.
        precision: float64 or float32.
        key_hint: a word by which people can tell the entries of the cache.

    Raises:
        NoCompiler: there is none on rank 0.
        SetupError: the compiler fails, or the library cannot be opened.
    """
    tuning = _tuning(comm)
    if comm is None:
        return from_bytes(_obtain(text, precision, tuning, key_hint))
    data = on_root(comm, lambda: _obtain(text, precision, tuning, key_hint))
    with agreed(comm):
        return from_bytes(data)


def compile_text(text: str, precision: str, tuning: Sequence[str] | None = None) -> bytes:
    """The shared library of a text of kernels, by the compiler of CC (it may hold arguments), else cc, gcc or clang.

    Args:
        text: a translation unit that begins with PREAMBLE.
        precision: float64 or float32.
        tuning: flags for a kind of CPU, by default this one; left out if the compiler fails with them.

    Raises:
        NoCompiler: there is none.
        SetupError: it fails, or takes more than COMPILE_SECONDS.
    """
    command = [
        *find_compiler(),
        *FLAGS,
        f"-DPS_REAL={REALS[precision]}",
        f"-DPS_TYPE={TYPES[precision]}",
        f"-I{INCLUDE}",
    ]
    output = ""
    for extra in dict.fromkeys([tuple(_tuning(None) if tuning is None else tuning), ()]):
        with tempfile.TemporaryDirectory(prefix="parsolve-") as directory:
            target = Path(directory) / "kernels.so"
            output = _run([*command, *extra, "-x", "c", "-", "-o", str(target), "-lm"], text, directory)
            if target.is_file():
                return target.read_bytes()
    lines = [line.rstrip() for line in output.splitlines() if line.strip()][:ERROR_LINES]
    raise SetupError("\n  ".join([f"the C compiler {command[0]} failed; set CC to another one. It said:", *lines]))


def _obtain(text: str, precision: str, tuning: Sequence[str], hint: str) -> bytes:
    """The library from the cache, or compiled and kept there.

    The version of parsolve is in the key by what it changes: text, headers, flags and ABI.
    """
    parts = (ABI, text, precision, FLAGS, tuning, _identity(find_compiler()), _headers(), cpu(), _libc())
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    data = find(key, hint)
    if data is None:
        data = compile_text(text, precision, tuning)
        keep(key, data, hint)
    return data


def find_compiler() -> list[str]:
    """The command that starts the compiler: that of CC, else cc, gcc or clang.

    Raises:
        NoCompiler: there is none.
        SetupError: CC cannot be understood.
    """
    chosen = os.environ.get("CC", "")
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        raise SetupError(f"CC={chosen}: {error}; quote its arguments as for a shell") from error
    for name in words[:1] or COMPILERS:
        program = shutil.which(name)
        if program:
            return [program, *words[1:]]
    missing = f"CC={chosen}: no such program" if words else f"none of {', '.join(COMPILERS)} is on PATH"
    raise NoCompiler(f"no C compiler: {missing}; install one, or set CC to it")


def _identity(command: Sequence[str]) -> list[tuple[object, ...]]:
    """What tells compilers and their versions apart without starting one: place, size and time of each program named.

    Every word is looked up, since the first may only be a launcher, as in CC="ccache gcc".
    """

    def look_up(word: str) -> tuple[object, ...]:
        program = None if word.startswith("-") else shutil.which(word)
        if program is None:
            return (word,)
        status = Path(program).stat()
        return word, os.path.realpath(program), status.st_size, status.st_mtime_ns

    return [look_up(word) for word in command]


@cache
def _headers() -> str:
    """SHA-256 of the headers that a text includes."""
    paths = sorted(INCLUDE.glob("parsolve/*.h"))
    if not paths:
        raise SetupError(f"{INCLUDE}: no headers for kernels; reinstall parsolve")
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _libc() -> str | None:
    """Name and version of the C library that a kernel is linked with."""
    name = "CS_GNU_LIBC_VERSION"
    return os.confstr(name) if name in os.confstr_names else None


@cache
def cpu() -> tuple[tuple[str, str], ...]:
    """What the system says of the first CPU: make, model and instructions."""
    found = [("machine", platform.machine())]
    with suppress(OSError), Path("/proc/cpuinfo").open(errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if not line.strip():
                break
            if name.strip() in CPU_KEYS:
                found.append((name.strip(), value.strip()))
    return tuple(found)


def _tuning(comm: MPI.Comm | None) -> tuple[str, ...]:
    """Flags for the CPU of all ranks if they have the same, else for the best level that all have; collective."""
    features = set(dict(cpu()).get("flags", "").split())
    level = next((i for i, (needed, _) in enumerate(LEVELS) if needed <= features), len(LEVELS))
    if comm is not None and comm.size > 1:
        import numpy as np
        from mpi4py import MPI

        own = int.from_bytes(hashlib.sha256(repr(cpu()).encode()).digest()[:7])
        most = np.array([own, -own, level])
        comm.Allreduce(MPI.IN_PLACE, most, op=MPI.MAX)
        if most[0] != -most[1]:
            return LEVELS[most[2]][1] if most[2] < len(LEVELS) else ()
    return (NATIVE, WIDE) if level == 0 else (NATIVE,)


def _run(command: Sequence[str], text: str, directory: str) -> str:
    """Start a compiler, give it the text, and return what it prints; its own temporary files go into the directory."""
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": directory}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            errors="replace", env=environment, process_group=0,
        )  # fmt: skip
    except OSError as error:
        raise SetupError(f"{command[0]}: cannot be started ({error.strerror}); set CC to a C compiler") from error
    with process:
        try:
            return process.communicate(text, timeout=COMPILE_SECONDS)[0]
        except BaseException as error:
            # The program that was started is only a driver: end the compiler under it as well.
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise SetupError(f"{command[0]} took more than {COMPILE_SECONDS} s; set CC to another one") from error
            raise
