"""On a real Slurm: a job stops in time, comes back, and ends with the bits of one that nothing disturbed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import pytest

from parsolve.store.checkpoint import manifests
from parsolve.store.compare import compare
from parsolve.store.result import open_result
from parsolve.store.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


slurm = load(Path(__file__).with_name("cluster.py"))
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(slurm.lacking()), reason=slurm.lacking()),
]
CASE = """
equation = "gray-scott"
[grid]
x = { cells = 200, range = [0.0, 1.0], periodic = true }
y = { cells = 160, range = [0.0, 1.0], periodic = true }
[initial]
u = "1 - 0.5*box(x, 0.4, 0.6)*box(y, 0.4, 0.6)"
v = "0.25*box(x, 0.4, 0.6)*box(y, 0.4, 0.6) + 0.01*noise(seed=1)"
[time]
steps = 72000
[output]
every_steps = 18000
"""
SECONDS = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:  # sockets have short names
        found = slurm.Cluster(Path(folder))
        found.start()
        yield found
        found.stop()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result that nothing disturbed, beside its case."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "a.toml").write_text(CASE)
    subprocess.run([sys.executable, "-m", "parsolve", "run", "a.toml", "-q"], cwd=folder, check=True)
    return folder / "a.h5"


def submit(cluster: Any, folder: Path, *more: str, case: str = "a.toml") -> str:
    """The number of a job that runs the case there on two ranks, of 200 MiB each."""
    (folder / "a.toml").write_text(CASE)
    words = ["slurm", case, "--ranks", "2", "--memory", "200", "--submit", *more]
    done = subprocess.run(
        [sys.executable, "-m", "parsolve", *words], cwd=folder, env=cluster.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return re.fullmatch(r"Submitted batch job (\d+)\n", done.stdout)[1]  # type: ignore[index]


def said(cluster: Any, job: str) -> dict[str, str]:
    """What Slurm knows of a job."""
    return dict(re.findall(r"(\w+)=(\S*)", cluster.ask("scontrol", "show", "job", job)))


def until(what: Any, folder: Path, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, [path.read_text()[-2000:] for path in folder.glob("*.out")]
        time.sleep(0.1)


def comes_back(cluster: Any, job: str, restarts: str, folder: Path) -> None:
    """Wait until a job is in the queue again, and let it begin: Slurm waits for two minutes, until all is cleared up."""
    until(lambda: (now := said(cluster, job))["Restarts"] == restarts and now["JobState"] == "PENDING", folder)
    time.sleep(3)
    cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now")


def ended(cluster: Any, job: str) -> bool:
    return said(cluster, job).get("JobState") in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def test_a_job_that_is_told_to_stop_comes_back_and_ends_with_the_same_bits(
    cluster: Any, whole: Path, tmp_path: Path
) -> None:
    """Twice, by the signal that Slurm sends before the limit; its log and `status` tell of it."""
    job = submit(cluster, tmp_path, "--time", "10", "--set", "checkpoint.every=0.3s")
    for restarts in ("1", "2"):
        before = len(manifests(tmp_path / "a.h5.frames")) and manifests(tmp_path / "a.h5.frames")[0]

        def has_gone_on(before: Any = before) -> bool:
            there = manifests(tmp_path / "a.h5.frames")
            return bool(there) and there[0] != before

        until(has_gone_on, tmp_path)
        assert read_status(tmp_path / "a.h5").state == "running"
        cluster.ask("scancel", "--signal=USR1", job)
        comes_back(cluster, job, restarts, tmp_path)
    until(lambda: ended(cluster, job), tmp_path)
    found = said(cluster, job)
    log = (tmp_path / f"a-{job}.out").read_text()
    assert (found["JobState"], found["ExitCode"]) == ("COMPLETED", "0:0"), log
    assert log.count("as SIGUSR1 came") == 2
    assert compare(tmp_path / "a.h5", whole).equal
    with open_result(tmp_path / "a.h5") as result:
        assert result.provenance["ranks"] == "2"
        assert result.steps.tolist() == [0, 18000, 36000, 54000, 72000]


def test_a_job_that_is_cancelled_does_not_come_back(cluster: Any, tmp_path: Path) -> None:
    job = submit(cluster, tmp_path, "--time", "10", "--set", "checkpoint.every=0.3s")
    until(lambda: manifests(tmp_path / "a.h5.frames"), tmp_path)
    cluster.ask("scancel", job)
    until(lambda: ended(cluster, job), tmp_path)
    time.sleep(2)
    assert said(cluster, job)["JobState"] == "CANCELLED"
    assert not (tmp_path / "a.h5").exists()
    assert manifests(tmp_path / "a.h5.frames")


def test_a_job_that_gets_nowhere_does_not_come_back_for_ever(cluster: Any, tmp_path: Path) -> None:
    """Nor one that has come back as often as it may."""
    job = submit(cluster, tmp_path, "--time", "10", "--requeues", "0", "--set", "checkpoint.every=0.3s")
    until(lambda: manifests(tmp_path / "a.h5.frames"), tmp_path)
    cluster.ask("scancel", "--signal=USR1", job)
    until(lambda: ended(cluster, job), tmp_path)
    found = said(cluster, job)
    assert (found["JobState"], found["ExitCode"], found["Restarts"]) == ("FAILED", "75:0", "0")
    assert "queued again 0 times; submit the script again" in (tmp_path / f"a-{job}.out").read_text()


def test_each_task_of_an_array_has_its_own_case(cluster: Any, tmp_path: Path) -> None:
    sets = ("--set", "time.steps={task}00", "--set", "output.every_steps={task}00", "--time", "10")
    job = submit(cluster, tmp_path, "--array", "1-3", *sets)
    until(lambda: not cluster.ask("squeue", "-h", "-j", job, "-t", "PENDING,RUNNING,COMPLETING").strip(), tmp_path)
    for n in (1, 2, 3):
        with open_result(tmp_path / f"a-{n}.h5") as result:
            assert result.steps.tolist() == [0, 100 * n]


def test_a_sweep_goes_on_with_what_is_missing(cluster: Any, whole: Path, tmp_path: Path) -> None:
    """Members on two groups of a rank, stopped once; one of them is the case that nothing disturbed."""
    vary = "[set]\ncheckpoint.every = '0.3s'\n[vary]\nparameters.F = [0.03, 0.037, 0.04, 0.05]\n"
    (tmp_path / "study.toml").write_text(f"case = 'a.toml'\n{vary}")
    job = submit(cluster, tmp_path, "--time", "10", case="study.toml")
    until(lambda: list(tmp_path.glob("study/*/*.frames/checkpoint-*.json")), tmp_path)
    cluster.ask("scancel", "--signal=USR1", job)
    comes_back(cluster, job, "1", tmp_path)
    until(lambda: ended(cluster, job), tmp_path)
    assert said(cluster, job)["ExitCode"] == "0:0", (tmp_path / f"study-{job}.out").read_text()
    with h5py.File(tmp_path / "study/members.h5") as table:
        assert table["state"].asstr()[...].tolist() == ["done"] * 4
    same = [compare(tmp_path / f"study/{n}/result.h5", whole).equal for n in range(4)]
    assert same == [False, True, False, False]


def test_a_wrong_case_is_refused_before_it_waits_in_a_queue(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(CASE.replace("gray-scott", "grey-scott"))
    done = subprocess.run(
        [sys.executable, "-m", "parsolve", "slurm", "a.toml", "--submit"], cwd=tmp_path, env=cluster.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "did you mean 'gray-scott'?" in done.stderr
    assert not cluster.ask("squeue", "-h").strip()


def test_a_job_stops_before_its_limit_and_comes_back(cluster: Any, tmp_path: Path) -> None:
    """A limit of one minute, the shortest that Slurm has, by the clock of the run or by Slurm's signal."""
    sets = ("--set", "time.steps=4000000", "--set", "output.every_steps=1000000")
    job = submit(cluster, tmp_path, "--time", "1", "--margin", "5", *sets)
    comes_back(cluster, job, "1", tmp_path)
    log = (tmp_path / f"a-{job}.out").read_text()
    assert "as its time is nearly over" in log or "as SIGUSR1 came" in log
    last = manifests(tmp_path / "a.h5.frames")[0]
    until(lambda: manifests(tmp_path / "a.h5.frames")[0] != last, tmp_path)  # by the limit of the second
    cluster.ask("scancel", job)
    until(lambda: ended(cluster, job), tmp_path)
    assert said(cluster, job)["JobState"] == "CANCELLED"
