"""Damage of any byte of a result, a frame or a checkpoint is found, with its file, field and bytes; on any ranks."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.__main__ import main
from parsolve.case import Case
from parsolve.errors import StorageError
from parsolve.run import run
from parsolve.store.hashes import BLOCK
from parsolve.store.integrity import content_hashes, read_table
from parsolve.store.result import open_result
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

TIME = {"steps": 4, "dt": 1e-5}


@pytest.fixture
def made(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> Path:
    """A result of two fields and three times, with its frames and checkpoints."""
    case = lab.case({"u": "laplace(u)", "v": "dx(u) - v"}, 9, 8, time=TIME,
                    output={"every_steps": 2, "keep_frames": True}, checkpoint={"every_steps": 3})  # fmt: skip
    run(Case.from_dict(case), solo, tmp_path / "index.h5")
    run(Case.from_dict(case | {"output": {"every_steps": 2}}), solo, tmp_path / "a.h5")
    return tmp_path


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def test_what_is_whole_is_said_to_be(made: Path, solo: MPI.Intracomm) -> None:
    report = verify(solo, [made / "a.h5", made / "index.h5", made / "index.h5.frames", made / "a.h5.frames"])
    assert not report.damaged + report.unknown
    assert len(report.whole) == 2 + (3 + 2) + 2


def test_any_bit_is_missed(made: Path, solo: MPI.Intracomm) -> None:
    """Of values the field, the step and the bytes are named; of the rest that it is the rest."""
    path = made / "a.h5"
    with open_result(path) as result:
        table = read_table(path, result.file, result.fields, result.steps.tolist())
    assert table is not None
    total = 3 * table.size
    rng, whole = np.random.default_rng(3), path.read_bytes()
    bits = rng.integers(8 * len(whole), size=24).tolist()
    bits += [8 * int(start + rng.integers(total)) + 3 for start in table.values.values() for _ in range(4)]
    bits += [8 * (start + int(rng.integers(16))) for start in (*table.rows.values(), table.rest)]
    for bit in bits:
        flip(path, bit)
        found = verify(solo, [path])
        assert found.damaged, bit
        assert not found.whole
        assert all(str(path) in text for text in found.damaged)
        for name, start in table.values.items():
            n = (bit // 8 - start) // table.size
            if 0 <= n < 3:
                at = start + n * table.size
                text = f"'{name}' at step {2 * n} is damaged in bytes {at} to {at + min(table.size, BLOCK)}"
                assert found.damaged == [f"{path}: {text}"]
        path.write_bytes(whole)


def test_what_is_cut_or_swapped_is_missed(made: Path, solo: MPI.Intracomm) -> None:
    path, frames = made / "a.h5", made / "index.h5.frames"
    whole = path.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert verify(solo, [path]).damaged
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:  # one time in the place of another
        file["u"][0] = file["u"][1]
    assert any("'u' at step 0" in text for text in verify(solo, [path]).damaged)
    first = (frames / "000000000.h5").read_bytes()
    (frames / "000000002.h5").unlink()
    assert any("000000002" in text for text in verify(solo, [made / "index.h5"]).damaged)
    shutil.copy(frames / "000000000.h5", frames / "000000002.h5")
    (text,) = verify(solo, [frames]).damaged
    assert text.endswith("000000002.h5: damaged: is the frame of step 0")
    assert (frames / "000000000.h5").read_bytes() == first
    with pytest.raises(StorageError, match="no such file"):
        verify(solo, [made / "nothing.h5"])


def test_it_goes_on_with_the_rest(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flip(made / "index.h5.frames/000000002.h5", 8 * 20_000)
    manifest = next((made / "index.h5.frames").glob("*.json"))
    flip(manifest, 99)
    code = main(["verify", str(made / "index.h5.frames"), str(made / "a.h5"), "--json"])
    found = json.loads(capfd.readouterr().out)
    assert code == 5
    assert len(found["damaged"]) == 2
    assert str(made / "a.h5") in found["whole"]


def test_the_hash_of_a_field_is_that_of_its_values(made: Path, lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    """Not of the run: the same in two results of the same values, another where one value differs in a bit."""
    with open_result(made / "a.h5") as result:
        hashes = content_hashes(result.file, result.fields)
    case = lab.case({"u": "laplace(u)", "v": "dx(u) - v"}, 9, 8, time=TIME, output={"every_steps": 2}, title="another")
    run(Case.from_dict(case), solo, tmp_path / "b.h5")
    with open_result(tmp_path / "b.h5") as result:
        assert content_hashes(result.file, result.fields) == hashes
    assert len(set(hashes.values())) == 2


@pytest.mark.mpi(min_size=2)
def test_hashes_do_not_depend_on_ranks(lab: Any, comm: MPI.Intracomm, solo: MPI.Intracomm, shared_tmp: Path) -> None:
    case = Case.from_dict(lab.case({"u": "laplace(u)"}, 700, 600, time={"steps": 1, "dt": 1e-9}))
    run(case, comm, shared_tmp / "many.h5")
    if comm.rank == 0:
        run(case, solo, shared_tmp / "one.h5")
    comm.barrier()
    assert not verify(comm, [shared_tmp / "many.h5", shared_tmp / "one.h5"]).damaged
    found = []
    for name in ("many.h5", "one.h5"):
        with open_result(shared_tmp / name) as result:
            found.append(content_hashes(result.file, result.fields))
    assert found[0] == found[1]
    comm.barrier()
    if comm.rank == 0:
        with open_result(shared_tmp / "one.h5") as result:
            at = int(result.file["u"].id.get_offset())
        flip(shared_tmp / "one.h5", 8 * (at + BLOCK + 5))
    comm.barrier()
    (text,) = verify(comm, [shared_tmp / "one.h5"]).damaged
    assert f"'u' at step 0 is damaged in bytes {at + BLOCK} to" in text if comm.rank == 0 else text


def test_a_frame_of_another_run_is_missed(made: Path, lab: Any, solo: MPI.Intracomm) -> None:
    """Of the same step of the same case: only the name of the run differs."""
    case = lab.case({"u": "laplace(u)", "v": "dx(u) - v"}, 9, 8, time=TIME,
                    output={"every_steps": 2, "keep_frames": True})  # fmt: skip
    run(Case.from_dict(case), solo, made / "other.h5")
    shutil.copy(made / "other.h5.frames/000000002.h5", made / "index.h5.frames")
    for path in (made / "index.h5", made / "index.h5.frames"):
        (text,) = verify(solo, [path]).damaged
        assert text.endswith("000000002.h5: is of another run than the frames beside it")
    with pytest.raises(StorageError, match="not a frame of the same run"), open_result(made / "index.h5.frames"):
        pass


def test_an_index_has_the_hashes_of_the_gathered_result(made: Path) -> None:
    found = []
    for name in ("a.h5", "index.h5", "index.h5.frames"):
        with open_result(made / name) as result:
            found.append(content_hashes(result.file, result.fields))
    assert found[0] == found[1] == found[2]
    assert set(found[0]) == {"u", "v"}
