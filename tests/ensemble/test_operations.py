"""An operation writes all of a file under its name, or leaves what was there; what is damaged is not taken further."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.ensemble.operations import FORMATS, convert, copy, describe, facts, repack
from parsolve.errors import StorageError
from parsolve.store import claims
from parsolve.store.compare import compare
from parsolve.store.export import WRITERS
from parsolve.store.files import sync
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.store.packing import Packing
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mpi4py import MPI

CASE = {
    "case": 'equation = "heat"\n[parameters]\nD = 0.5\n[grid.x]\ncells = 7\n',
    "ranks": "3",
    "created": "2026-01-02",
}


@pytest.fixture
def source(alone: Any, solo: MPI.Intracomm, tmp_path: Path) -> Path:
    grid = alone.grid(6, 7)
    with Recorder(solo, tmp_path / "a.h5", grid, [FieldInfo("u", "u", "1")], "f8", CASE) as recorder:
        for n in range(2):
            recorder.write(float(n), n, alone.fields(alone.domain(grid), n, ("u",)))
        recorder.finish()
    return tmp_path / "a.h5"


def all_of(path: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def operations(to: str | None) -> Callable[[Any, Path, Path, bool], None]:
    if to is None:
        return copy
    if to == "packed":
        return lambda comm, source, target, force: repack(comm, source, target, force, Packing("gzip"))
    return lambda comm, source, target, force: convert(comm, source, target, force, to)


@pytest.mark.parametrize("to", [None, "packed", *FORMATS])
def test_what_is_there_stays_without_force(source: Path, solo: MPI.Intracomm, to: str | None) -> None:
    target, operation = source.with_name("there"), operations(to)
    target.write_text("of somebody")
    before = all_of(source.parent)
    with pytest.raises(StorageError, match="exists already"):
        operation(solo, source, target, False)
    assert all_of(source.parent) == before
    operation(solo, source, target, True)
    assert set(all_of(source.parent)) - {"there"} >= {"a.h5"}
    assert target.is_dir() or target.read_bytes() != b"of somebody"


@pytest.mark.parametrize("to", [None, "packed", *FORMATS])
@pytest.mark.parametrize("field", [True, False])
def test_what_is_damaged_is_not_taken_further(source: Path, solo: MPI.Intracomm, to: str | None, field: bool) -> None:
    with h5py.File(source) as file:
        at = file["u" if field else "x"].id.get_offset() + 3
    data = bytearray(source.read_bytes())
    data[at] ^= 4
    source.write_bytes(data)
    before = all_of(source.parent)
    with pytest.raises(StorageError, match=r"a\.h5: .*damaged"):
        operations(to)(solo, source, source.with_name("there"), False)
    assert all_of(source.parent) == before


@pytest.mark.parametrize("to", [None, "packed", *FORMATS])
def test_a_disk_that_fails_leaves_what_was_there(
    source: Path, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, to: str | None
) -> None:
    operations(to)(solo, source, source.with_name("there"), False)
    before = all_of(source.parent)

    def fails(path: Path) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr("parsolve.ensemble.operations.sync", fails)
    with pytest.raises(StorageError.__mro__[1]):
        operations(to)(solo, source, source.with_name("there"), True)
    assert all_of(source.parent) == before
    assert sync is not fails


@pytest.mark.parametrize("to", ["npz", "packed"])
def test_a_source_is_never_its_own_target(source: Path, solo: MPI.Intracomm, to: str) -> None:
    before = all_of(source.parent)
    with pytest.raises(StorageError, match="is read here"):
        operations(to)(solo, source, source, True)
    assert all_of(source.parent) == before


def test_a_folder_of_somebody_is_not_replaced(source: Path, solo: MPI.Intracomm) -> None:
    folder = source.with_name("a.zarr")
    folder.mkdir()
    (folder / "zarr.json").write_text('{"attributes": {"source": "another"}}')
    with pytest.raises(StorageError, match="is a directory"):
        convert(solo, source, folder, True, "zarr")
    assert [path.name for path in folder.iterdir()] == ["zarr.json"]


def test_two_do_not_write_the_same(source: Path, solo: MPI.Intracomm) -> None:
    other = claims.take(source.with_name("b.npz"))
    try:
        with pytest.raises(StorageError, match="another"):
            convert(solo, source, source.with_name("b.npz"), False, "npz")
    finally:
        other.release()


def test_a_copy_has_the_bytes_and_the_times(source: Path, solo: MPI.Intracomm, tmp_path: Path) -> None:
    for name, data in {"a text": b"hello", "empty": b"", "large": os.urandom(5 << 20)}.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (100, 200))
        copy(solo, tmp_path / name, tmp_path / f"{name} 2", False)
        assert (tmp_path / f"{name} 2").read_bytes() == data
        assert (tmp_path / f"{name} 2").stat().st_mtime == 200


def test_frames_of_a_stopped_run_are_repacked(alone: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    alone.result(tmp_path / "a.h5", 6, 7, keep_frames=True)
    repack(solo, tmp_path / "a.h5.frames", tmp_path / "b.h5", False, Packing("gzip"))
    repack(solo, tmp_path / "a.h5", tmp_path / "c.h5", False, None)
    assert compare(tmp_path / "a.h5", tmp_path / "b.h5").equal
    assert compare(tmp_path / "a.h5", tmp_path / "c.h5").equal


def test_a_damaged_frame_of_an_index_is_found(alone: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    alone.result(tmp_path / "a.h5", 6, 7, keep_frames=True)
    frame = tmp_path / "a.h5.frames" / "000000010.h5"
    with h5py.File(frame) as file:
        at = file["v"].id.get_offset() + 6
    data = bytearray(frame.read_bytes())
    data[at] ^= 0x40
    frame.write_bytes(data)
    for source in (tmp_path / "a.h5", tmp_path / "a.h5.frames"):
        with pytest.raises(StorageError, match=r"000000010\.h5.*damaged"):
            describe(solo, source)
    with open_result(tmp_path / "a.h5") as result:
        assert "000000010" in result.doubt(("v", 1))
        assert result.doubt(("v", 0)) == "" == result.doubt(("u", 1))


def test_a_folder_of_frames_is_described(alone: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    alone.result(tmp_path / "a.h5", 6, 7, keep_frames=True)
    assert describe(solo, tmp_path / "a.h5.frames") == describe(solo, tmp_path / "a.h5")


def test_what_is_damaged_is_asked_nothing(source: Path) -> None:
    data = source.read_bytes()
    source.write_bytes(data.replace(b"cells = 7", b"cells = 8"))
    with pytest.raises(StorageError, match="damaged, or changed"):
        facts(source)


def test_what_comes_meanwhile_is_not_replaced(
    source: Path, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = source.with_name("a.zarr")
    suffix, write = WRITERS["zarr"]

    def slow(result: Any, path: Path, name: Path) -> None:
        write(result, path, name)
        target.mkdir()
        (target / "thesis.txt").write_text("years")

    monkeypatch.setitem(WRITERS, "zarr", (suffix, slow))
    with pytest.raises(StorageError, match="exists already"):
        convert(solo, source, target, False, "zarr")
    assert all_of(target) == {"thesis.txt": b"years"}


def test_killed_between_two_names_the_older_is_there_again(source: Path, solo: MPI.Intracomm) -> None:
    target = source.with_name("a.zarr")
    convert(solo, source, target, False, "zarr")
    before = all_of(target)
    target.rename(target.with_name(".a.zarr.old"))
    with pytest.raises(StorageError, match="exists already"):
        convert(solo, source, target, False, "zarr")
    assert all_of(target) == before


def test_links_are_copied_as_links_and_pipes_not_at_all(solo: MPI.Intracomm, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    copy(solo, tmp_path / "link", tmp_path / "link 2", False)
    assert (tmp_path / "link 2").readlink() == (tmp_path / "link").readlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not copied"):
        copy(solo, tmp_path / "pipe", tmp_path / "pipe 2", False)


def test_a_pipe_in_a_folder_does_not_hold_it_up(source: Path, solo: MPI.Intracomm) -> None:
    (source.parent / "a.zarr").mkdir()
    os.mkfifo(source.parent / "a.zarr" / "zarr.json")
    with pytest.raises(StorageError, match="is a directory"):
        convert(solo, source, source.parent / "a.zarr", True, "zarr")


def test_it_is_described(source: Path, alone: Any, solo: MPI.Intracomm) -> None:
    found = describe(solo, source)
    values = np.stack([alone.values(alone.grid(6, 7), "u", n) for n in range(2)])
    assert (found["cells"], found["frames"], found["times"]) == ({"y": 6, "x": 7}, 2, [0.0, 1.0])
    numbers = found["fields"]["u"]
    assert (numbers["min"], numbers["max"], numbers["not_finite"]) == (values.min(), values.max(), 0)
    assert numbers["mean"] == pytest.approx(values.mean(), rel=1e-14)
    assert numbers["std"] == pytest.approx(values.std(), rel=1e-13)


def test_facts_are_keys_of_the_case_and_of_the_file(source: Path) -> None:
    found = facts(source)
    assert found["parameters.D"] == 0.5
    assert found["grid.x.cells"] == 7
    assert {key: found[key] for key in ("fields", "frames", "step", "time", "ranks", "created")} == {
        "fields": ["u"], "frames": 2, "step": 1, "time": 1.0, "ranks": 3, "created": "2026-01-02",
    }  # fmt: skip
    assert found["bytes"] == source.stat().st_size
