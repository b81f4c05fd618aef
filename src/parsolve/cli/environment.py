"""Where parsolve runs: versions, MPI and its launcher, compilers, disk, and what of it does not fit together."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve import __version__
from parsolve.cli.words import size
from parsolve.domain import launch
from parsolve.domain.cores import usable_cores
from parsolve.errors import ParsolveError, has_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

Section = dict[str, str]
TIMEOUT_SECONDS = 20
# Families of MPI: word in the library's version string -> words in the launcher's.
FAMILIES = {
    "Open MPI": ("Open MPI", "OpenRTE", "prte", "PRRTE"),
    "Intel(R) MPI": ("Intel(R) MPI",),
    "MVAPICH": ("HYDRA", "MVAPICH"),
    "MPICH": ("HYDRA", "mpich", "MPICH"),
}
ASK_MPI = (
    "import mpi4py; mpi4py.rc.initialize = False\nfrom mpi4py import MPI\nprint(mpi4py.__version__)\n"
    "print(MPI.Get_library_version().strip('\\0').strip().splitlines()[0])"
)


def examine() -> tuple[dict[str, Section], list[str]]:
    """Return the report, section by section, and what in it keeps parsolve from running."""
    problems: list[str] = []
    report = {
        "parsolve": _parsolve(problems),
        "Python": _python(problems),
        "MPI": _mpi(problems),
        "machine": _machine(),
        "compilers": _compilers(problems),
        "files": _files(),
    }
    return report, problems


def _parsolve(problems: list[str]) -> Section:
    section = {"version": __version__, "path": str(Path(__file__).parent.parent)}
    try:
        from parsolve.kernels.library import describe

        section |= describe()
    except (ParsolveError, ImportError, OSError) as error:
        section["kernels"] = "none"
        problems.append(f"compiled kernels: {error}")
    return section


def _python(problems: list[str]) -> Section:
    section = {"Python": f"{platform.python_version()} ({sys.executable})"}
    for package in ("numpy", "scipy", "sympy", "msgspec", "h5py"):
        try:
            section[package] = installed(package)
        except PackageNotFoundError:
            section[package] = "missing"
            problems.append(f"{package} is missing: pip install {package}")
    try:
        import h5py

        parallel = "with MPI" if h5py.get_config().mpi else "without MPI (not needed)"
        section["HDF5"] = f"{h5py.version.hdf5_version}, {parallel}"
    except Exception as error:  # a broken HDF5 shows itself in many ways
        problems.append(f"h5py cannot be loaded: {error}")
    section["HDF5_USE_FILE_LOCKING"] = os.environ.get("HDF5_USE_FILE_LOCKING", "not set")
    return section


def _mpi(problems: list[str]) -> Section:
    section: Section = {}
    # Asked in another process: a library that does not suit this machine or launcher may end the process.
    code, text = ask([sys.executable, "-c", ASK_MPI], without_launcher=True)
    lines = text.splitlines() or ["no answer"]
    library = " ".join(lines[-1].split()) if code == 0 else ""
    section["mpi4py"] = lines[0] if code == 0 else "cannot load an MPI library"
    section["library"] = library or "none"
    if not library:
        problems.append(f"mpi4py: {lines[-1]}; pip install mpich, or load your cluster's MPI module")
    path = shutil.which("mpirun") or shutil.which("mpiexec")
    launcher = ask([path, "--version"])[1] if path else ""
    section["launcher"] = f"{path}: {_launcher_name(launcher)}" if path else "no mpirun on PATH"
    if shutil.which("srun"):
        section["srun"] = str(shutil.which("srun"))
    if path and library:
        fits = _fits(library, launcher)
        section["launcher fits library"] = {True: "yes", False: "no", None: "unknown"}[fits]
        if fits is False:
            beside = Path(sys.executable).with_name("mpirun")
            use = f"use {beside}" if beside.exists() and str(beside) != path else "use the mpirun of that library"
            problems.append(f"{path} ({_launcher_name(launcher)}) does not belong to {library}; {use}")
    found = launch.launched()
    section["launched"] = f"by {found[0]}: {found[1]}={found[2]}" if found else "no launcher variables"
    seen = sorted(name for name in os.environ if name.startswith(launch.PREFIXES))
    if seen:
        section["variables"] = ", ".join(seen)
    return section


def _launcher_name(text: str) -> str:
    """Return name and version out of what `mpirun --version` prints."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if lines and "HYDRA" in lines[0]:
        version = next((line.partition(":")[2].strip() for line in lines if line.startswith("Version")), "")
        return f"Hydra {version}".strip()
    return lines[0] if lines else "no answer"


def _fits(library: str, launcher: str) -> bool | None:
    """Return whether launcher and library are of one family; None if either is not known."""
    family = next((words for name, words in FAMILIES.items() if name in library), None)
    known = any(word in launcher for words in FAMILIES.values() for word in words)
    if family is None or not known:
        return None
    return any(word in launcher for word in family)


def _machine() -> Section:
    model = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        model = next((line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line), "")
    return {
        "system": platform.platform(),
        "processor": model or platform.machine(),
        "cores": f"{os.cpu_count()}, of which {len(usable_cores())} usable by this process",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


def _compilers(problems: list[str]) -> Section:
    from parsolve.kernels.jit import PREAMBLE, compile_text, find_compiler

    section = {"C": "none"}
    try:
        command = find_compiler()
        section["C"] = f"{' '.join(command)}: {_version(command[0])}"
        compile_text(PREAMBLE, "float64")
    except ParsolveError as error:
        problems.append(f"{error}; without one, equations of [evolve] run in NumPy, slowly")
    path = shutil.which("nvcc")
    section["nvcc"] = f"{path}: {_version(path)}" if path else "not found (only for GPUs)"
    return section


def _version(program: str) -> str:
    """Return the line of `--version` that tells most."""
    lines = [line for line in ask([program, "--version"])[1].splitlines() if line.strip()]
    return next((line for line in lines if "release" in line), lines[0] if lines else "no answer")


def _files() -> Section:
    if not has_directory():
        return {"folder": "not there any more"}
    folder = Path.cwd()
    usage = shutil.disk_usage(folder)
    kind = "unknown"
    with suppress(OSError):
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
        inside = [(len(place), name) for place, name in mounts if folder.is_relative_to(place)]
        kind = max(inside, default=(0, kind))[1]
    writable = "writable" if os.access(folder, os.W_OK) else "not writable"
    return {
        "folder": f"{folder} ({writable})",
        "file system": kind,
        "free": f"{size(usage.free)} of {size(usage.total)}",
    }


def ask(command: Sequence[str], without_launcher: bool = False) -> tuple[int, str]:
    """Return exit code and output of a short command; never raises."""
    left_out = launch.PREFIXES if without_launcher else ()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    try:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TIMEOUT_SECONDS, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr or done.stdout
