"""Many files: each ends by itself, in the same way on ranks, in processes and on Dask."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.ensemble.files import gather_works, refuse_record, spread
from parsolve.ensemble.journal import Done, Work
from parsolve.errors import StorageError
from parsolve.store.compare import compare

if TYPE_CHECKING:
    from mpi4py import MPI

GZIP = {"packing": {"method": "gzip", "level": None, "cells": None}, "force": False}


def results(alone: Any, folder: Path, count: int = 5) -> Path:
    """A folder of results, of which number 2 is broken, and other things."""
    (folder / "deep").mkdir(parents=True)
    for n in range(count):
        alone.result(folder / ("deep" if n % 2 else "") / f"{n}.h5", 4 + n, 6)
    data = bytearray((folder / "2.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "2.h5").write_bytes(data)
    (folder / "note.txt").write_text("a note")
    return folder


def ended(done: list[Done]) -> list[tuple[str, bool, str]]:
    return [(Path(one.file).name, bool(one.error), Path(str(one.target)).name) for one in done]


def silent(done: Done, count: int) -> None:
    """Tell nobody."""


def test_one_that_is_broken_leaves_the_others_alone(alone: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    if comm.rank == 0:
        results(alone, shared_tmp / "study")
    comm.Barrier()
    works = gather_works("repack", [shared_tmp / "study"], shared_tmp / "packed", ".h5", GZIP)
    told: list[int] = []
    done = spread(works, comm, None, lambda _, count: told.append(count))
    if comm.rank == 0:
        assert done is not None
        assert told == [1, 2, 3, 4, 5]
        assert [Path(one.file).name for one in done if one.error] == ["2.h5"]
        assert "damaged" in next(one.error for one in done if one.error)
        for n in (0, 1, 3, 4):
            place = Path("deep" if n % 2 else "") / f"{n}.h5"
            assert compare(shared_tmp / "study" / place, shared_tmp / "packed" / "study" / place).equal
        assert not (shared_tmp / "packed" / "study" / "2.h5").exists()
    comm.Barrier()


def test_more_ranks_than_files_do_one_together(alone: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    if comm.rank == 0:
        alone.result(shared_tmp / "a.h5", 40, 60)
    comm.Barrier()
    for where, target in ((comm, "b.h5"), (None, f"c{comm.rank}.h5")):
        if where is None and comm.rank > 0:
            continue
        work = Work("repack", shared_tmp / "a.h5", shared_tmp / target, GZIP)
        done = spread([work], where if where is not None else alone.comm, None, silent)
        assert done is None or not done[0].error
    if comm.rank == 0:
        assert (shared_tmp / "b.h5").read_bytes() == (shared_tmp / "c0.h5").read_bytes()
    comm.Barrier()


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_other_engines_do_the_same(alone: Any, solo: MPI.Intracomm, tmp_path: Path, engine: str) -> None:
    study = results(alone, tmp_path / "study")
    expected = spread(gather_works("repack", [study], tmp_path / "one", ".h5", GZIP), solo, None, silent)
    works = gather_works("repack", [study], tmp_path / "two", ".h5", GZIP)
    if engine == "processes":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            done = spread(works, pool, None, silent)
    else:
        distributed = pytest.importorskip("distributed")
        with (
            distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            done = spread(works, client, None, silent)
    assert expected is not None
    assert done is not None
    assert ended(done) == ended(expected)
    for one, other in zip(expected, done, strict=True):
        assert one.error or Path(str(one.target)).read_bytes() == Path(str(other.target)).read_bytes()


def test_folders_keep_their_form(alone: Any, tmp_path: Path) -> None:
    study = results(alone, tmp_path / "study")
    works = gather_works("convert", [study, study / "0.h5"], tmp_path / "out", ".nc", {})
    assert [work.target for work in works] == [
        tmp_path / "out" / name for name in ("study/0.nc", "study/2.nc", "study/4.nc", "study/deep/1.nc", "study/deep/3.nc", "0.nc")
    ]  # fmt: skip
    copied = gather_works("copy", [study], tmp_path / "out", None, {})
    assert {work.source.name for work in copied} == {"0.h5", "1.h5", "2.h5", "3.h5", "4.h5", "note.txt"}
    beside = gather_works("convert", [study], None, ".csv", {})
    assert {work.target for work in beside} == {work.source.with_suffix(".csv") for work in beside}


def test_frames_without_a_result_are_one(alone: Any, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for name in ("a", "b"):
        alone.result(tmp_path / "s" / f"{name}.h5", 4, 5, keep_frames=True)
    (tmp_path / "s" / "a.h5").unlink()
    works = gather_works("convert", [tmp_path / "s"], None, ".nc", {})
    assert {(work.source.name, str(work.target)) for work in works} == {
        ("b.h5", str(tmp_path / "s" / "b.nc")),
        ("a.h5.frames", str(tmp_path / "s" / "a.nc")),
    }


def test_two_files_do_not_become_one(alone: Any, tmp_path: Path) -> None:
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        alone.result(tmp_path / folder / "a.h5", 4, 5)
    with pytest.raises(StorageError, match="what both"):
        gather_works("copy", [tmp_path / "p" / "a.h5", tmp_path / "q" / "a.h5"], tmp_path / "out", None, {})


def test_what_is_read_is_not_replaced(alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("X/B", "B"):
        (tmp_path / folder).mkdir(parents=True)
        alone.result(tmp_path / folder / "r.h5", 4, 5)
    with pytest.raises(StorageError, match="is read here"):
        gather_works("copy", [tmp_path / "X" / "B", tmp_path / "B" / "r.h5"], tmp_path, None, {"force": True})
    with pytest.raises(StorageError, match="in a folder that is read"):
        gather_works("copy", [tmp_path / "X"], tmp_path / "X" / "out", None, {})
    assert not (tmp_path / "X" / "out").exists()
    with pytest.raises(StorageError, match="give another --record"):
        refuse_record(tmp_path / "X" / "record", [tmp_path / "X"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all")
def test_what_cannot_be_read_is_not_left_out(alone: Any, tmp_path: Path) -> None:
    alone.result(tmp_path / "a.h5", 4, 5)
    alone.result(tmp_path / "b.h5", 4, 5)
    (tmp_path / "a.h5").chmod(0)
    assert len(gather_works("stats", [tmp_path], None, None, {})) == 2
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(StorageError, match="locked"):
        gather_works("stats", [tmp_path], None, None, {})


def test_an_index_is_copied_with_its_frames_and_a_folder_with_its_links(alone: Any, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    alone.result(tmp_path / "s" / "a.h5", 4, 5, keep_frames=True)
    (tmp_path / "s" / "link").symlink_to("a.h5.frames")
    (tmp_path / "s" / "other.h5").symlink_to("a.h5")
    alone_ = gather_works("copy", [tmp_path / "s" / "a.h5"], tmp_path / "o", None, {})
    assert {str(work.target).removeprefix(f"{tmp_path}/o/") for work in alone_} == {
        "a.h5", "a.h5.frames/000000000.h5", "a.h5.frames/000000010.h5", "a.h5.frames/000000020.h5",
    }  # fmt: skip
    names = {work.source.name for work in gather_works("copy", [tmp_path / "s"], tmp_path / "o", None, {})}
    assert names >= {"link", "other.h5", "a.h5", "000000010.h5"}
    assert {work.source.name for work in gather_works("stats", [tmp_path / "s"], None, None, {})} == {
        "a.h5",
        "other.h5",
    }


def test_the_same_file_given_twice_is_done_once(alone: Any, tmp_path: Path) -> None:
    alone.result(tmp_path / "a.h5", 4, 5)
    assert len(gather_works("stats", [tmp_path / "a.h5", tmp_path / "a.h5"], None, None, {})) == 1


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=name):
        gather_works("stats", [tmp_path / name], None, None, {})
