"""What only several ranks show: the collective tests on 2, 3 and 4 of them, and more ranks than cores.

`mpirun -n N python -m pytest --with-mpi` runs the collective tests alone; here pytest starts these runs itself. Each
has a time limit, and a hang is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from mpi4py import MPI

from parsolve.domain.launch import PREFIXES

TESTS = Path(__file__).parent
QUICK = 2  # ranks on which all but the costly ones run always; 3 and 4 are left to `-m long`
RUN_SECONDS = 500  # for all collective tests on one number of ranks
TEST_SECONDS = 60  # for one of them: the stack of a rank that hangs is shown, and all ranks end
CASE_SECONDS = 60

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts ranks of its own"),
    pytest.mark.timeout(2 * RUN_SECONDS),
]


@pytest.fixture(scope="module")
def mpirun() -> list[str]:
    """The launcher that belongs to this environment, with the options that it needs here."""
    beside = Path(sys.executable).with_name("mpirun")
    path = str(beside) if beside.exists() else shutil.which("mpirun")
    if path is None:
        extras = [name for name in ("mpich", "openmpi") if is_installed(name)]
        assert not extras, f"{extras[0]} is installed, but there is no mpirun in {beside.parent} or on PATH"
        pytest.skip("no mpirun: install the extra mpich or openmpi, or the MPI of the system")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    if "Open MPI" not in version and "OpenRTE" not in version:
        return [path]
    return [path, "--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else [])]


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def output_of(command: list[str], folder: Path, seconds: float) -> str:
    """What a command prints; the test fails, and everything that the command started ends, if it fails or hangs."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIXES)}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {
        "MPIR_CVAR_POSIX_NUM_COLLS_THRESHOLD": str(2**31 - 1)
    }  # see domain/launch.py: pytest starts MPI itself
    log = folder / "output.txt"  # a file, as a pipe stays open as long as any process that has it
    with (
        log.open("w") as file,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            stop(process)
    text = log.read_text(errors="replace")
    ending = f"did not end in {seconds} s" if code is None else f"ended with {code}"
    assert code == 0, f"{' '.join(command)}\n{ending}:\n{text}"
    return text


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a launcher and its ranks, which it ends itself if it gets the time."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, kind)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


@pytest.mark.parametrize("ranks", [QUICK, *(pytest.param(ranks, marks=pytest.mark.long) for ranks in (3, 4))])
def test_collective_tests(mpirun: list[str], tmp_path: Path, ranks: int) -> None:
    collective(mpirun, tmp_path, ranks, TESTS, "not long and not costly" if ranks == QUICK else "not long")


def test_whole_runs_on_a_number_of_ranks_that_divides_nothing(mpirun: list[str], tmp_path: Path) -> None:
    collective(mpirun, tmp_path, 3, TESTS / "test_run.py", "not long", "scheme or lines")


def collective(mpirun: list[str], folder: Path, ranks: int, tests: Path, marks: str, names: str = "") -> None:
    """Run the collective ones among some tests."""
    words = ["pytest", "--with-mpi", "-q", "-x", "-p", "no:cacheprovider", "-m", marks, "-k", names]
    limits = [f"--timeout={TEST_SECONDS}", "--timeout-method=thread"]
    command = [*mpirun, "-n", str(ranks), sys.executable, "-m", *words, *limits, str(tests)]
    text = output_of(command, folder, RUN_SECONDS)
    assert text.count(f"size: {ranks}\n") == ranks, f"the ranks do not know each other:\n{text}"


@pytest.mark.long
def test_more_ranks_than_cores(mpirun: list[str], tmp_path: Path) -> None:
    small = ["--set", "grid.x.cells=48", "--set", "grid.y.cells=40", "--set", "time.steps=60"]
    for ranks in (1, 16):
        run = ["parsolve", "run", "gray-scott", *small, "-q", "--json", "-o", f"{ranks}.h5"]
        text = output_of([*mpirun, "-n", str(ranks), sys.executable, "-m", *run], tmp_path, CASE_SECONDS)
        assert json.loads(text.splitlines()[-1])["steps"] == 60
    output_of([sys.executable, "-m", "parsolve", "compare", "1.h5", "16.h5"], tmp_path, CASE_SECONDS)
