"""What a run says of itself while it goes on: whole at any instant, and no reason to fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.__main__ import main
from parsolve.case import Case
from parsolve.errors import StorageError
from parsolve.run import run
from parsolve.store.frames import Recorder
from parsolve.store.status import NAME, Status, read_status, write_status

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

SAID = Status(
    state="running", updated=1e9, host="node7", process=42, at=(7, 0.1), dt=1 / 3, steps_per_s=2.5, seconds_left=None,
    frames=1, last_frame=(0, 0.0), last_checkpoint=None,
)  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "a.h5.frames"
    folder.mkdir()
    write_status(folder, SAID)
    assert read_status(folder) == read_status(tmp_path / "a.h5") == SAID
    assert SAID.age > 1e8
    assert [path.name for path in folder.iterdir()] == [NAME]
    write_status(tmp_path / "missing", SAID)  # no reason for a run to fail
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "running"}', b"\xff\xfe", b'{"at": [1]}' * 9])
def test_what_is_damaged_is_told(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        read_status(tmp_path)
    assert main(["status", str(tmp_path)]) == 5
    assert capfd.readouterr().err.count("parsolve: error") == 1


def test_a_run_says_where_it_is_and_that_it_is_done(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = lab.case("heat", 12, time={"steps": 9}, output={"every_steps": 4}, checkpoint={"every_steps": 4})
    run(Case.from_dict(case), solo, tmp_path / "a.h5")
    said = read_status(tmp_path / "a.h5")
    assert (said.state, said.at[0], said.frames, said.seconds_left) == ("done", 9, 4, 0.0)
    assert said.last_frame == said.last_checkpoint == said.at
    assert main(["status", str(tmp_path / "a.h5"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["at"] == list(said.at)
    assert main(["status", str(tmp_path / "a.h5")]) == 0
    assert "step 9" in capfd.readouterr().out
    del case["checkpoint"]
    run(Case.from_dict(case), solo, tmp_path / "b.h5")  # nothing is left of it but the result
    with pytest.raises(StorageError, match="its run is over"):
        read_status(tmp_path / "b.h5")
    assert main(["status", str(tmp_path / "b.h5"), "--json"]) == 0
    said_again = json.loads(capfd.readouterr().out)
    assert (said_again["state"], said_again["at"], said_again["frames"]) == ("done", list(said.at), said.frames)


@pytest.mark.parametrize("keep", [False, True])
def test_it_is_done_when_the_result_is_there(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    """Also of a run that takes the place of another."""
    tables = lab.case("heat", 12, time={"steps": 4}, output={"every_steps": 4, "keep_frames": keep},
                      checkpoint={"every_steps": 4})  # fmt: skip
    finish, seen = Recorder.finish, []

    def watched(recorder: Recorder, *measured: Any) -> Path:
        seen.append(read_status(recorder.folder).state)
        return finish(recorder, *measured)

    monkeypatch.setattr(Recorder, "finish", watched)
    for _ in range(2):
        run(Case.from_dict(tables), solo, tmp_path / "a.h5", force=True)
        assert read_status(tmp_path / "a.h5").state == "done"
    assert seen == ["gathering", "gathering"]
