"""Checkpoints are complete or not there, older ones go only after newer ones came, and nothing is taken for empty."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.errors import StorageError
from parsolve.store import slabs
from parsolve.store.checkpoint import Checkpoints, find, manifests, read_manifest, require_manifest
from parsolve.store.layout import Content, FieldInfo

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

CASE = {"text": "a = 1\n", "has_arrays": False, "inputs": {"/a.npy": "12"}}


class Written:
    """Checkpoints of one field, whose values are the step."""

    def __init__(self, alone: Any, folder: Path, **options: Any) -> None:
        self.sub, self.folder = alone.domain(alone.grid(5, 4)), folder
        content = Content(alone.grid(5, 4), (FieldInfo("u", "u", "1"),), np.dtype("f8"), {"run": "r1"})
        self.files = Checkpoints(alone.comm, folder, content, CASE, **options)
        self.shape = self.sub.shape

    def at(self, *steps: int, wait: bool = True) -> None:
        for step in steps:
            values = np.full(self.shape, float(step))
            self.files.begin(step / 10, step, self.sub, {"u": values}, {"dt": 0.1}, [(0, 0.0)], wait).finish()

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def names(*steps: int) -> list[str]:
    return sorted(f"checkpoint-{step:09d}.{kind}" for step in steps for kind in ("h5", "json"))


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_written_is_found(alone: Any, solo: MPI.Intracomm, tmp_path: Path, wait: bool) -> None:
    made = Written(alone, tmp_path)
    made.at(3, 7, wait=wait)
    found, doubts = find(solo, tmp_path)
    assert found is not None
    assert (found.step, found.time, found.run, found.case, found.inputs) == (7, 0.7, "r1", CASE["text"], CASE["inputs"])
    values = np.zeros(made.shape)
    found.read(made.sub, {"u": values})
    assert (values == 7.0).all()
    assert doubts == []


def test_so_many_stay_and_those_that_are_to(alone: Any, tmp_path: Path) -> None:
    made = Written(alone, tmp_path, keep=3, keep_every=4)
    made.at(*range(1, 11))
    assert made.names == names(4, 8, 9, 10)


def test_later_ones_of_a_run_that_began_anew_at_an_older_one_stay_until_they_are_overtaken(
    alone: Any, tmp_path: Path
) -> None:
    """What goes is counted among those before the one just written."""
    Written(alone, tmp_path).at(8, 9)
    made = Written(alone, tmp_path)
    made.at(5, 6)
    assert made.names == names(5, 6, 8, 9)
    made.at(7)
    assert made.names == names(6, 7, 8, 9)


def test_values_without_a_manifest_go_with_the_next_one(alone: Any, tmp_path: Path) -> None:
    made = Written(alone, tmp_path)
    made.at(1, 2)
    (tmp_path / "checkpoint-000000002.json").unlink()
    made.at(3)
    assert made.names == names(1, 3)


def test_a_folder_that_cannot_be_read_is_not_empty(
    alone: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Written(alone, tmp_path).at(1)

    def fails(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    for name in ("listdir", "scandir"):  # one or the other, as Python's version has it
        monkeypatch.setattr(os, name, fails)
    with pytest.raises(StorageError, match="cannot look into it"):
        manifests(tmp_path)
    with pytest.raises(StorageError, match="cannot look into it"):
        find(solo, tmp_path)


@pytest.mark.parametrize("fault", ["left out", "elsewhere", "of before"])
def test_what_does_not_stand_as_it_was_written_is_no_checkpoint(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A disk that says yes and writes nothing, or elsewhere; the one before stays the last."""
    made = Written(alone, tmp_path)
    made.at(1)
    write, before = slabs.write_at, np.full(made.shape, 1.0).tobytes()

    def wrong(descriptor: int, data: Any, at: int) -> None:
        if fault != "left out":
            write(descriptor, data if fault == "elsewhere" else before, at + 8 * (fault == "elsewhere"))

    monkeypatch.setattr(slabs, "write_at", wrong)
    with pytest.raises(StorageError, match=r"'u' is not there as it was written, in bytes \d+ to \d+"):
        made.at(2)
    assert made.names == names(1)


def test_a_manifest_of_another_place_is_none(alone: Any, tmp_path: Path) -> None:
    Written(alone, tmp_path).at(1)
    other = tmp_path / "checkpoint-000000002.json"
    other.write_bytes((tmp_path / "checkpoint-000000001.json").read_bytes())
    with pytest.raises(StorageError, match="damaged, or no manifest"):
        read_manifest(other)


def test_damage_of_values_is_told_with_the_bytes(alone: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    Written(alone, tmp_path).at(1, 2)
    newest = read_manifest(manifests(tmp_path)[0])
    with newest.file.open("r+b") as file:
        file.seek(newest.regions["u"][0])
        file.write(b"\1")
    assert "'u' is damaged in bytes" in newest.damage(solo)
    assert "no bytes left" not in replace(newest, regions={"u": (0, 1 << 40)}).damage(solo)
    found, doubts = find(solo, tmp_path)
    assert found is not None
    assert found.step == 1
    assert len(doubts) == 1


@pytest.mark.parametrize("kind", ["json", "h5"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(
    alone: Any, solo: MPI.Intracomm, tmp_path: Path, kind: str, make: Any
) -> None:
    Written(alone, tmp_path).at(1, 2)
    path = tmp_path / f"checkpoint-000000002.{kind}"
    path.unlink()
    make(path)
    found, doubts = find(solo, tmp_path)
    assert found is not None
    assert found.step == 1
    assert path.name in doubts[0]


def test_a_name_that_is_not_there_is_told_with_those_that_are(alone: Any, tmp_path: Path) -> None:
    Written(alone, tmp_path).at(1, 12)
    require_manifest(tmp_path / "checkpoint-000000012.json")
    with pytest.raises(StorageError, match="no such checkpoint; there are those of the steps 1, 12"):
        require_manifest(tmp_path / "checkpoint-000000003.json")
