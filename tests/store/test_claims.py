"""One process at a time has a name, whenever others come or die."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from parsolve.errors import StorageError
from parsolve.store import claims

if TYPE_CHECKING:
    from pathlib import Path

# Takes a name over and over; whoever has it marks that it is in, and nobody else may be in then.
RIVAL = """
import os, sys, time
from pathlib import Path
from parsolve.store import claims
path, mark, wins = Path(sys.argv[1]), Path(sys.argv[2]), 0
end = time.monotonic() + 60
while wins < 50 and time.monotonic() < end:
    try:
        claim = claims.take(path)
    except claims.Claimed:
        continue
    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    mark.unlink()
    wins += 1
    if sys.argv[3] == "die" and wins == 25:
        os._exit(7)
    claim.release()
    time.sleep(0.001)
sys.exit(0 if wins == 50 else 1)
"""


def start(program: str, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)])


def dead() -> str:
    """Host, number and start of a process that has ended."""
    program = "from parsolve.store import claims; print(claims._signature(), end='')"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_a_claim_holds_until_it_is_released(tmp_path: Path) -> None:
    claim = claims.take(tmp_path / "a.h5")
    with pytest.raises(claims.Claimed, match=rf"a\.h5: another run is writing it, process {os.getpid()} here"):
        claims.take(tmp_path / "a.h5")
    claims.take(tmp_path / "b.h5").release()
    claim.release()
    claim.release()
    claims.take(tmp_path / "a.h5").release()
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".a.h5.lock").write_text(dead())
    claims.take(tmp_path / "a.h5").release()
    host, pid, *_ = claims._signature().split()
    (tmp_path / ".a.h5.lock").write_text(f"{host} {pid} 1\n")  # its number is used again
    claims.take(tmp_path / "a.h5").release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["elsewhere 1 1\n", "here x y z\n"])
def test_what_cannot_be_known_dead_is_left_alone(tmp_path: Path, text: str) -> None:
    lock = tmp_path / ".a.h5.lock"
    lock.write_text(text)
    with pytest.raises(claims.Claimed, match=r"remove '.*\.a\.h5\.lock', or use another -o"):
        claims.take(tmp_path / "a.h5")
    assert lock.read_text() == text


@pytest.mark.parametrize("text", ["", "\0" * 30, "elsewhere 1"])
def test_a_line_that_never_ends_is_of_the_dead(tmp_path: Path, text: str) -> None:
    (tmp_path / ".a.h5.lock").write_text(text)
    claims.take(tmp_path / "a.h5").release()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_others_have_is_not_released(tmp_path: Path) -> None:
    claim = claims.take(tmp_path / "a.h5")
    claim.lock.write_text("elsewhere 1 1\n")
    claim.release()
    assert claim.lock.exists()


@pytest.mark.parametrize("obstacle", ["directory", "link"])
def test_what_is_no_claim_is_an_error(tmp_path: Path, obstacle: str) -> None:
    lock = tmp_path / ".a.h5.lock"
    if obstacle == "directory":
        lock.mkdir()
    else:
        lock.symlink_to("nowhere")
    with pytest.raises(StorageError, match=r"\.a\.h5\.lock"):
        claims.take(tmp_path / "a.h5")


def test_of_many_processes_one_at_a_time_is_in_although_some_die(tmp_path: Path) -> None:
    (tmp_path / ".a.h5.lock").write_text(dead())  # all find a stale one first
    ends = ("live", "die", "live", "die")
    rivals = [start(RIVAL, tmp_path / "a.h5", tmp_path / "mark", end) for end in ends]
    assert [rival.wait(90) for rival in rivals] == [0, 7, 0, 7]
    assert list(tmp_path.iterdir()) == [] or (tmp_path / ".a.h5.lock").exists()


@pytest.mark.parametrize(
    ("job", "restarts", "is_free"), [("7", "1", True), ("7", "0", False), ("8", "1", False), ("", "1", False)]
)
def test_a_job_that_was_queued_again_has_what_it_had_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, restarts: str, is_free: bool
) -> None:
    """On another node, where it was ended; no other job has it."""
    lock = tmp_path / ".a.h5.lock"
    lock.write_text("elsewhere 1 1 7.0\n")
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    if is_free:
        claims.take(tmp_path / "a.h5").release()
        assert not lock.exists()
    else:
        with pytest.raises(claims.Claimed, match="process 1 on elsewhere"):
            claims.take(tmp_path / "a.h5")
