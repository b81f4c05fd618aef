"""Runs that are told to stop, or killed at any instant, go on from their last checkpoint to the same result."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parsolve.march.watch import AGAIN
from parsolve.store.checkpoint import manifests
from parsolve.store.result import open_result
from parsolve.store.status import read_status

CASE = """
equation = "gray-scott"
[grid]
x = { cells = 200, range = [0.0, 1.0], periodic = true }
y = { cells = 160, range = [0.0, 1.0], periodic = true }
[initial]
u = "1 - 0.5*box(x, 0.4, 0.6)*box(y, 0.4, 0.6)"
v = "0.25*box(x, 0.4, 0.6)*box(y, 0.4, 0.6) + 0.01*noise(seed=1)"
[time]
steps = 24000
[output]
every_steps = 6000
[checkpoint]
every = "0.1s"
"""
SECONDS = 60  # in which any of these runs ends
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a run that nothing disturbs, beside its case."""
    folder = tmp_path_factory.mktemp("stopping")
    (folder / "a.toml").write_text(CASE)
    assert finished(folder, "run", "a.toml", "-o", "whole.h5").returncode == 0
    return folder / "whole.h5"


def words(*arguments: str, ranks: int = 1) -> list[str]:
    launcher = [shutil.which("mpirun") or "mpirun", "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, sys.executable, "-m", "parsolve", *arguments, "-q"]


def finished(folder: Path, *arguments: str, ranks: int = 1) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(*arguments, ranks=ranks), cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def marching(folder: Path, out: str, *more: str, ranks: int = 1) -> subprocess.Popen[str]:
    """A run that has its first checkpoint."""
    process = subprocess.Popen(
        words("run", "a.toml", "-o", out, *more, ranks=ranks), cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + SECONDS
    while not manifests(folder / f"{out}.frames"):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def ranks_of(out: str) -> list[int]:
    """Processes whose command line names a result and that are no launcher."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if out.encode() in line and b"parsolve" in line and line[0] == sys.executable.encode():
            found.append(int(entry.name))
    return sorted(found)


def are_gone(out: str, seconds: float = 5) -> bool:
    """Whether no rank is left soon after the launcher ended."""
    end = time.monotonic() + seconds
    while ranks_of(out) and time.monotonic() < end:
        time.sleep(0.02)
    return not ranks_of(out)


def same(folder: Path, out: str, whole: Path) -> bool:
    with open_result(folder / out) as a, open_result(whole) as b:
        assert a.steps.tolist() == b.steps.tolist()
        return all(a.read(f, n).tobytes() == b.read(f, n).tobytes() for f in b.fields for n in range(len(b.times)))


@pytest.mark.parametrize(
    ("number", "ranks"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGUSR1, 1), (signal.SIGTERM, 2)]
)
def test_a_signal_to_one_rank_stops_all_with_a_checkpoint(
    undisturbed: Path, tmp_path: Path, number: signal.Signals, ranks: int
) -> None:
    shutil.copy(undisturbed.parent / "a.toml", tmp_path)
    out = f"{os.getpid()}-{tmp_path.name}.h5"  # of this worker alone
    process = marching(tmp_path, out, ranks=ranks)
    os.kill(ranks_of(out)[-1], number)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 75
    lines = [line for line in told.splitlines() if line.startswith("parsolve:")]
    assert len(lines) == 1
    launcher = f"mpirun -n {ranks} " if ranks > 1 else ""
    assert f"as {number.name} came; go on with `{launcher}python -m parsolve restart {out}`" in lines[0]
    said = read_status(tmp_path / out)
    assert (said.state, said.last_checkpoint) == ("stopped", said.at)
    assert not (tmp_path / out).exists()
    assert not list(tmp_path.glob("**/*.partial")) + list(tmp_path.glob(".*.lock"))
    done = finished(tmp_path, "restart", f"{out}.frames", ranks=3 - ranks)
    assert done.returncode == 0, done.stderr
    assert same(tmp_path, out, undisturbed)


def test_a_second_signal_ends_at_once_and_the_checkpoint_stays(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed.parent / "a.toml", tmp_path)
    process = marching(tmp_path, "twice.h5")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(AGAIN)
    process.communicate(timeout=10)
    assert process.returncode in (75, -signal.SIGTERM)
    assert finished(tmp_path, "run", "a.toml", "-o", "twice.h5", "--resume").returncode == 0
    assert same(tmp_path, "twice.h5", undisturbed)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_stops_before_its_time_is_over(undisturbed: Path, tmp_path: Path, ranks: int) -> None:
    shutil.copy(undisturbed.parent / "a.toml", tmp_path)
    arguments = (
        "run",
        "a.toml",
        "-o",
        "b.h5",
        "--resume",
        "--set",
        "run.walltime=1.3s",
    )  # a second of it is kept for the end
    codes = [finished(tmp_path, *arguments, "--set", "checkpoint.every=1h", ranks=ranks) for _ in range(2)]
    assert codes[0].returncode == 75
    assert "its time is nearly over" in codes[0].stderr
    assert finished(tmp_path, "run", "a.toml", "-o", "b.h5", "--resume", ranks=ranks).returncode == 0
    assert same(tmp_path, "b.h5", undisturbed)


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.long), 2])
def test_whenever_it_is_killed_it_goes_on_to_the_same_result(undisturbed: Path, tmp_path: Path, ranks: int) -> None:
    shutil.copy(undisturbed.parent / "a.toml", tmp_path)
    draw, kills = random.Random(ranks), 0
    out = f"{os.getpid()}-{tmp_path.name}.h5"  # of this worker alone
    for _ in range(8):
        process = subprocess.Popen(words("run", "a.toml", "-o", out, "--resume", ranks=ranks), cwd=tmp_path,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        try:
            process.wait(draw.uniform(0.3, 1.2))
            break
        except subprocess.TimeoutExpired:
            for victim in ranks_of(out)[-1:] or [process.pid]:
                os.kill(victim, signal.SIGKILL)
            if process.wait(20) == 0:
                break  # it had just ended
            assert are_gone(out)
            kills += 1
    assert kills
    done = finished(tmp_path, "run", "a.toml", "-o", out, "--resume", ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert same(tmp_path, out, undisturbed)


def test_sigusr1_while_it_starts_is_not_lost(undisturbed: Path, tmp_path: Path) -> None:
    """It stops after its first step, as a second signal would have it too."""
    shutil.copy(undisturbed.parent / "a.toml", tmp_path)
    out = tmp_path / "sp ace.h5"
    process = subprocess.Popen(words("run", "a.toml", "-o", out.name), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + SECONDS
    while not (tmp_path / ".sp ace.h5.lock").exists() and not out.with_name("sp ace.h5.frames").exists():
        assert time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(signal.SIGUSR1)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 75
    assert "go on with `python -m parsolve restart 'sp ace.h5'`" in told
    assert finished(tmp_path, "restart", out.name).returncode == 0
    assert same(tmp_path, out.name, undisturbed)
