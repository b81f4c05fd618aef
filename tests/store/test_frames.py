"""Frames and the result they end in: complete or absent, one error for all, the same bytes on any number of ranks."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.errors import CaseError, ResourceError, StorageError
from parsolve.store import combine, layers
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.store.result import open_result
from parsolve.store.slabs import FrameWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mpi4py import MPI

SHAPES = [(13,), (9, 8), (8, 7, 6)]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def factors(size: int) -> list[tuple[int, int, int]]:
    return [
        (z, y, size // z // y)
        for z in range(1, size + 1)
        if size % z == 0
        for y in range(1, size + 1)
        if size // z % y == 0
    ]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_is_a_complete_file_of_the_owned_cells(
    maker: Any, shared_tmp: Path, shape: tuple[int, ...], dtype: str
) -> None:
    grid = maker.grid(*shape)
    recorder = maker.recorder(shared_tmp / "r.h5", grid, dtype=dtype)
    recorder.write(0.125, 1200, maker.fields(maker.domain(grid), 3, dtype=dtype))
    assert names(shared_tmp / "r.h5.frames") == ["000001200.h5"]
    with h5py.File(shared_tmp / "r.h5.frames/000001200.h5", "r") as file:
        assert file["time"][...].tolist() == [0.125]
        assert file["step"][...].tolist() == [1200]
        for name in ("u", "v"):
            assert file[name].chunks is None
            np.testing.assert_array_equal(file[name][0], maker.values(grid, name, 3, dtype), strict=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("keep", [False, True])
def test_a_result_holds_every_frame(maker: Any, shared_tmp: Path, shape: tuple[int, ...], keep: bool) -> None:
    grid = maker.result(shared_tmp / "r.h5", *shape, keep_frames=keep)
    with open_result(shared_tmp / "r.h5") as result:
        assert result.times.tolist() == [0.0, 0.5, 1.0]
        assert result.steps.tolist() == [0, 10, 20]
        for frame in range(3):
            for name in ("u", "v"):
                np.testing.assert_array_equal(result.read(name, frame), maker.values(grid, name, frame), strict=True)
    assert names(shared_tmp) == (["r.h5", "r.h5.frames"] if keep else ["r.h5"])


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slab", [1, 200, 4 << 20])
def test_every_process_grid_writes_the_same_bytes(
    comm: MPI.Intracomm,
    alone: Any,
    shared_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    slab: int,
) -> None:
    monkeypatch.setattr(layers, "SLAB", slab)
    if comm.rank == 0:
        alone.result(shared_tmp / "one.h5", *shape, frames=1, dtype="f4")
    for size in range(1, comm.size + 1):
        part = comm.Split(0 if comm.rank < size else 1, comm.rank)
        for processes in factors(size) if comm.rank < size else []:
            if any(p > n for p, n in zip(processes, alone.grid(*shape).cells, strict=True)):
                continue
            path = shared_tmp / f"many-{processes}.h5"
            type(alone)(part).result(path, *shape, frames=1, dtype="f4", processes=processes)
            assert path.read_bytes() == (shared_tmp / "one.h5").read_bytes()
        part.Free()


def test_the_index_is_found_from_elsewhere_and_after_a_move(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    grid = alone.result(tmp_path / "a/r.h5", 5, 4, keep_frames=True)
    for name in ("r.h5", "r.h5.frames"):
        (tmp_path / "a" / name).rename(tmp_path / "b" / name)
    monkeypatch.chdir("/")
    with open_result(tmp_path / "b/r.h5") as result:
        np.testing.assert_array_equal(result.read("v", 2), alone.values(grid, "v", 2))


def test_an_index_without_its_frames_is_an_error_not_zeros(alone: Any, tmp_path: Path) -> None:
    alone.result(tmp_path / "r.h5", 5, 4, keep_frames=True)
    (tmp_path / "r.h5.frames/000000010.h5").unlink()
    with (
        pytest.raises(StorageError, match=r"1 of 3 are missing.*000000010\.h5"),
        open_result(tmp_path / "r.h5"),
    ):
        pass


def test_a_frame_is_written_once(alone: Any, tmp_path: Path) -> None:
    grid = alone.grid(4, 3)
    recorder = alone.recorder(tmp_path / "r.h5", grid)
    recorder.write(0.0, 7, alone.fields(alone.domain(grid), 0))
    with pytest.raises(ValueError, match="step 7"):
        recorder.write(0.1, 7, alone.fields(alone.domain(grid), 1))


def test_no_frame_no_result(maker: Any, shared_tmp: Path) -> None:
    recorder = maker.recorder(shared_tmp / "r.h5", maker.grid(5, 4))
    with pytest.raises(StorageError, match="no frame"):
        recorder.finish()


def test_a_result_is_not_replaced_unless_forced(maker: Any, shared_tmp: Path) -> None:
    maker.result(shared_tmp / "r.h5", 5, 4)
    before = (shared_tmp / "r.h5").read_bytes()
    with pytest.raises(StorageError, match=r"r\.h5: exists already; use --force .* -o"):
        maker.recorder(shared_tmp / "r.h5", maker.grid(5, 4))
    assert (shared_tmp / "r.h5").read_bytes() == before
    assert names(shared_tmp) == ["r.h5"]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_a_forced_run_keeps_the_old_result_until_it_is_complete(
    maker: Any, shared_tmp: Path, old: bool, new: bool
) -> None:
    path = shared_tmp / "r.h5"
    grid = maker.result(path, 5, 4, frames=2, keep_frames=old)
    recorder = maker.recorder(path, grid, keep_frames=new, force=True)
    recorder.write(0.0, 0, maker.fields(maker.domain(grid), 8))
    with open_result(path) as result:
        np.testing.assert_array_equal(result.read("u", -1), maker.values(grid, "u", 1))
    maker.comm.Barrier()
    recorder.finish()
    with open_result(path) as result:
        assert result.times.tolist() == [0.0]
        np.testing.assert_array_equal(result.read("u", -1), maker.values(grid, "u", 8))
    assert names(shared_tmp) == (["r.h5", "r.h5.frames"] if new else ["r.h5"])


def test_force_deletes_nothing_but_frames(alone: Any, tmp_path: Path) -> None:
    (tmp_path / "r.h5.frames").mkdir()
    (tmp_path / "r.h5.frames/thesis.tex").write_text("mine")
    alone.result(tmp_path / "r.h5", 5, 4, force=True)
    assert (tmp_path / "r.h5.frames/thesis.tex").read_text() == "mine"


def test_a_killed_run_leaves_complete_frames_and_says_so(alone: Any, tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from mpi4py import MPI
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.store.frames import FieldInfo, Recorder
grid = Grid(("x",), (1, 1, 5), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
field = Field("u", regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), "f8")
recorder = Recorder(MPI.COMM_SELF, Path(sys.argv[1]), grid, [FieldInfo("u", "", "")], "f8", {})
for step in range(2):
    field.owned[...] = step
    recorder.write(float(step), step, [field])
os.kill(os.getpid(), signal.SIGKILL)
"""
    clean = {key: text for key, text in os.environ.items() if not key.startswith(("PMI", "OMPI", "PMIX"))}
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "r.h5"], env=clean, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL
    for step in range(2):
        with h5py.File(tmp_path / f"r.h5.frames/{step:09d}.h5", "r") as file:
            assert file["u"][...].tolist() == [[step] * 5]
    with pytest.raises(
        StorageError, match=r"no such file; its run did not finish, but there are frames: '.*r\.h5\.frames'"
    ):
        open_result(tmp_path / "r.h5").__enter__()
    with open_result(tmp_path / "r.h5.frames") as result:
        assert result.times.tolist() == [0.0, 1.0]
        assert [result.read("u", i)[0] for i in range(2)] == [0.0, 1.0]
    with pytest.raises(StorageError, match=r"r\.h5\.frames: 2 complete frames of a run that did not finish"):
        alone.recorder(tmp_path / "r.h5", alone.grid(5))
    alone.result(tmp_path / "r.h5", 5, force=True)
    assert names(tmp_path) == ["r.h5"]


def test_an_abandoned_run_leaves_frames_or_nothing(maker: Any, shared_tmp: Path) -> None:
    grid = maker.grid(5, 4)
    maker.recorder(shared_tmp / "empty.h5", grid).abandon()
    recorder = maker.recorder(shared_tmp / "some.h5", grid)
    recorder.write(0.0, 0, maker.fields(maker.domain(grid), 0))
    recorder.abandon()
    maker.comm.Barrier()
    assert names(shared_tmp) == ["some.h5.frames"]
    assert names(shared_tmp / "some.h5.frames") == ["000000000.h5"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere/r.h5", "directory '.*nowhere' does not exist"),
        ("file/r.h5", "directory '.*file' is no directory"),
        ("directory", "is a directory"),
        ("/proc/r.h5", "cannot write in directory '/proc'"),
    ],
)
def test_an_impossible_place_is_refused_before_computing(maker: Any, shared_tmp: Path, path: str, message: str) -> None:
    if maker.comm.rank == 0:
        (shared_tmp / "file").write_text("")
        (shared_tmp / "directory").mkdir()
    with pytest.raises(StorageError, match=message) as caught:
        maker.recorder(shared_tmp / path, maker.grid(5, 4))
    assert "-o" in str(caught.value)
    assert not (shared_tmp / "directory.frames").exists()


@pytest.mark.parametrize("name", ["time", "x", "entry", "", "a/b"])
def test_a_name_that_the_layout_needs_is_refused(maker: Any, shared_tmp: Path, name: str) -> None:
    with pytest.raises(CaseError, match=f"field '{name}' cannot be stored"):
        Recorder(maker.comm, shared_tmp / "r.h5", maker.grid(5), [FieldInfo(name, "", "")], "f8", {})
    assert names(shared_tmp) == []


def test_a_full_disk_is_seen_before_writing(maker: Any, shared_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = maker.grid(256, 256)
    recorder = maker.recorder(shared_tmp / "r.h5", grid)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 16))
    with pytest.raises(ResourceError, match=r"needs 2\.0 MiB, only 0\.1 MiB is free"):
        recorder.write(0.0, 0, maker.fields(maker.domain(grid), 0))
    assert names(shared_tmp / "r.h5.frames") == []


@pytest.mark.parametrize("scattered", [False, True])
def test_a_write_that_fails_on_one_rank_is_one_error_for_all(
    maker: Any, shared_tmp: Path, monkeypatch: pytest.MonkeyPatch, scattered: bool
) -> None:
    comm, grid = maker.comm, maker.grid(32, 128)
    domain = maker.domain(grid, (1, 1, comm.size) if scattered else (1, comm.size, 1))
    recorder = maker.recorder(shared_tmp / "r.h5", grid)
    recorder.write(0.0, 0, maker.fields(domain, 0))
    fields = maker.fields(domain, 1)
    write_pieces = FrameWriter._write_pieces

    def limited(*arguments: Any) -> None:
        with file_size_limit(4096) if comm.rank == comm.size - 1 else nullcontext():
            write_pieces(*arguments)

    monkeypatch.setattr(FrameWriter, "_write_pieces", limited)
    with pytest.raises(StorageError, match=r"000000001\.h5\.partial: cannot write") as caught:
        recorder.write(1.0, 1, fields)
    monkeypatch.undo()
    assert len(set(comm.allgather(str(caught.value)))) == 1
    recorder.abandon()
    comm.Barrier()
    assert names(shared_tmp / "r.h5.frames") == ["000000000.h5"]
    comm.Barrier()
    recorder.write(1.0, 1, fields)
    recorder.finish()
    with open_result(shared_tmp / "r.h5") as result:
        np.testing.assert_array_equal(result.read("v", 1), maker.values(grid, "v", 1))


def test_gathering_that_fails_leaves_the_frames(maker: Any, shared_tmp: Path) -> None:
    grid = maker.grid(32, 128)
    recorder = maker.recorder(shared_tmp / "r.h5", grid)
    recorder.write(0.0, 0, maker.fields(maker.domain(grid), 0))
    with file_size_limit(4096), pytest.raises(StorageError, match=r"r\.h5\.partial: cannot .* too large"):
        recorder.finish()
    recorder.abandon()
    maker.comm.Barrier()
    assert names(shared_tmp) == ["r.h5.frames"]


def test_gathering_does_without_copies_in_the_kernel(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EXDEV, "another file system")

    alone.result(tmp_path / "kernel.h5", 9, 8)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    alone.result(tmp_path / "plain.h5", 9, 8)
    assert (tmp_path / "plain.h5").read_bytes() == (tmp_path / "kernel.h5").read_bytes()


def test_memory_is_bounded_by_a_slab(alone: Any, tmp_path: Path) -> None:
    grid = alone.grid(64, 256, 256)
    fields = alone.fields(alone.domain(grid), 0, ("u",))
    recorder = alone.recorder(tmp_path / "r.h5", grid, ("u",))
    tracemalloc.start()
    try:
        recorder.write(0.0, 0, fields)
        recorder.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < grid.size * 8 / 4


@pytest.mark.parametrize("is_late", [False, True])
def test_what_is_gathered_from_a_damaged_frame_is_no_result(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """Be it the frame, or its copy alone."""
    recorder, grid = alone.recorder(tmp_path / "a.h5", alone.grid(5, 4)), alone.grid(5, 4)
    for step in range(2):
        recorder.write(step / 2, step, alone.fields(alone.domain(grid), step))
    path = recorder.folder / "000000001.h5"
    with open_result(path) as result:
        at = int(result.file["u"].id.get_offset())
    if is_late:
        copy = combine.copy_bytes

        def wrong(source: int, target: int, start: int, to: int, size: int) -> None:
            copy(source, target, start, to, size)
            os.pwrite(target, b"\1", to)

        monkeypatch.setattr(combine, "copy_bytes", wrong)
    else:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\1")
    with pytest.raises(StorageError, match="though the frame is whole" if is_late else r"000000001\.h5: 'u' at step 1"):
        recorder.finish()
    assert not (tmp_path / "a.h5").exists()
    assert path.exists()
