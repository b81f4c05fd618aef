"""Packed results hold the same bits, are the same bytes on any ranks, and damage in them is found and told."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import xarray

from parsolve.case import Case
from parsolve.errors import CaseError, ResourceError, SetupError, StorageError
from parsolve.run import run
from parsolve.store import filters, packing
from parsolve.store.compare import compare
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.store.gather import gather
from parsolve.store.integrity import content_hashes
from parsolve.store.packing import Packing, chunk_of, write_packed
from parsolve.store.result import open_result
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


def case(lab: Any, **output: Any) -> Case:
    rates = {"u": "laplace(u)", "v": "dx(u) - v"}
    return Case.from_dict(
        lab.case(rates, 19, 28, 5, time={"steps": 4, "dt": 1e-5}, output={"every_steps": 2, **output})
    )


@pytest.fixture
def whole(alone: Any, tmp_path: Path) -> Path:
    """A result of three times."""
    alone.result(tmp_path / "whole.h5", 5, 28, 19)
    return tmp_path / "whole.h5"


def pack(comm: MPI.Intracomm, source: Path, path: Path, how: Packing | None) -> Path:
    with open_result(source) as result:
        content, moments = result.content(), result.moments()
    write_packed(comm, path, content, moments, how)
    return path


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_a_run_packs_its_result(lab: Any, comm: MPI.Intracomm, shared_tmp: Path, method: str) -> None:
    packed, plain = shared_tmp / "packed.h5", shared_tmp / "plain.h5"
    run(case(lab, compression=method), comm, packed)
    run(case(lab), comm, plain)
    assert compare(packed, plain).equal
    assert verify(comm, [packed]).whole == [str(packed)]
    with h5py.File(packed) as file, h5py.File(plain) as other:
        assert file["u"].shuffle
        assert content_hashes(file, ["u", "v"]) == content_hashes(other, ["u", "v"]) != {}
    with xarray.open_dataset(packed, engine="h5netcdf") as one, xarray.open_dataset(plain, engine="h5netcdf") as two:
        assert one.equals(two)


@pytest.mark.parametrize("how", [Packing("gzip", 9, {"y": 20, "z": 2}), Packing("zstd"), None])
def test_it_is_the_same_bytes_on_any_ranks(
    lab: Any, comm: MPI.Intracomm, solo: MPI.Intracomm, shared_tmp: Path, how: Packing | None
) -> None:
    source = shared_tmp / "whole.h5"
    run(case(lab), comm, source)
    together = pack(comm, source, shared_tmp / "together.h5", how)
    alone = pack(solo, source, shared_tmp / f"alone-{comm.rank}.h5", how)
    assert together.read_bytes() == alone.read_bytes()
    assert compare(together, source).equal
    comm.Barrier()


def test_frames_of_a_stopped_run_are_packed_as_its_case_says(alone: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    grid = alone.grid(5, 28, 19)
    known = {"case": "[output]\ncompression = 'gzip'"}
    with Recorder(solo, tmp_path / "a.h5", grid, [FieldInfo("u", "u", "1")], "f8", known) as recorder:
        recorder.write(0.0, 0, alone.fields(alone.domain(grid), 0, ("u",)))
    gather(solo, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["u"].compression == "gzip"
        assert np.array_equal(file["u"][0], alone.values(grid, "u", 0))


def test_it_goes_on_and_is_packed_anew(whole: Path, solo: MPI.Intracomm) -> None:
    once = pack(solo, whole, whole.with_name("once.h5"), Packing("gzip"))
    twice = pack(solo, once, whole.with_name("twice.h5"), Packing("zstd", 1))
    back = pack(solo, twice, whole.with_name("back.h5"), None)
    assert compare(back, whole).equal
    with h5py.File(back) as file, h5py.File(whole) as first:
        assert content_hashes(file, ["u", "v"]) == content_hashes(first, ["u", "v"])


@pytest.mark.parametrize("place", ["chunk", "coordinate", "end"])
def test_damage_is_found_and_told(whole: Path, solo: MPI.Intracomm, place: str) -> None:
    path = pack(solo, whole, whole.with_name("packed.h5"), Packing("gzip"))
    with h5py.File(path) as file:
        chunk = file["v"].id.get_chunk_info(1)
        at = {
            "chunk": chunk.byte_offset + chunk.size // 2,
            "coordinate": file["x"].id.get_offset(),
            "end": path.stat().st_size - 60,
        }[place]
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    damaged = verify(solo, [path]).damaged
    assert damaged
    assert all(str(path) in text for text in damaged)
    assert any("'v' at step 10" in text for text in damaged) == (place == "chunk")
    assert not any("'u'" in text for text in damaged)


def test_a_damaged_source_is_not_packed(whole: Path, solo: MPI.Intracomm) -> None:
    with h5py.File(whole) as file:
        at = file["u"].id.get_offset() + 100
    data = bytearray(whole.read_bytes())
    data[at] ^= 1
    whole.write_bytes(data)
    with pytest.raises(StorageError, match="'u' at step 0 is damaged"):
        pack(solo, whole, whole.with_name("packed.h5"), Packing("gzip"))


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_disk_that_fails_is_an_error_at_any_call(
    alone: Any, tmp_path: Path, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    whole = tmp_path / "whole.h5"
    alone.result(whole, 6, frames=2, names=("u",))
    real, calls = getattr(os, call), [0, 0]

    def fails(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == calls[1]:
            raise OSError(errno.ENOSPC, "full")
        return real(*args)

    monkeypatch.setattr(os, call, fails)
    path, is_written = whole.with_name("packed.h5"), False
    while not is_written:
        calls[:] = 0, calls[1] + (3 if call == "pwrite" else 1)
        with suppress(ResourceError):
            pack(solo, whole, path, Packing("gzip"))
            is_written = True
    assert calls[1] > (10 if call == "pwrite" else 2)
    assert verify(solo, [path]).whole == [str(path)]


def test_chunks_are_whole_layers_or_as_wished() -> None:
    assert chunk_of("zyx", (100, 200, 300), 8, None) == [2, 200, 300]
    assert chunk_of("zyx", (9, 4096, 4096), 8, None) == [1, 32, 4096]
    assert chunk_of("x", (1 << 20,), 4, None) == [1 << 18]
    assert chunk_of("zyx", (100, 200, 300), 8, {"y": 64, "x": 1000}) == [100, 64, 300]


def test_chunks_that_cost_more_than_they_hold_are_refused(whole: Path, solo: MPI.Intracomm) -> None:
    with pytest.raises(StorageError, match="--chunks of 4096"):
        pack(solo, whole, whole.with_name("packed.h5"), Packing("gzip", None, {"x": 3, "y": 3, "z": 3}))


def test_what_is_not_installed_is_told(
    lab: Any, whole: Path, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(solo, whole, whole.with_name("packed.h5"), Packing("zstd"))
    for module in (packing, filters):
        monkeypatch.setattr(module, "has_filter", lambda code: code != filters.ZSTD)
    with pytest.raises(SetupError, match="compress"), open_result(path):
        pass
    with pytest.raises(SetupError, match="hdf5plugin"):
        run(case(lab, compression="zstd"), solo, whole.with_name("other.h5"))
    assert not whole.with_name("other.h5.frames").exists()


def test_kept_frames_are_not_packed(lab: Any) -> None:
    with pytest.raises(CaseError, match="keep_frames"):
        case(lab, compression="gzip", keep_frames=True)


def test_fields_of_any_bits_come_back(whole: Path, solo: MPI.Intracomm) -> None:
    path = pack(solo, whole, whole.with_name("packed.h5"), Packing("zstd", 19, {"x": 13, "y": 20, "z": 3}))
    with h5py.File(whole) as one, h5py.File(path) as two:
        assert np.array_equal(one["u"][...].view("u8"), two["u"][...].view("u8"))
