"""The frames that a run left are one result, the bits of which are those that the run would have given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.__main__ import main
from parsolve.case import Case
from parsolve.errors import ResourceError, StorageError
from parsolve.run import run
from parsolve.store import claims
from parsolve.store.compare import compare
from parsolve.store.gather import gather
from parsolve.store.result import open_result
from parsolve.store.rows import RowFile
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


def case(lab: Any, **more: Any) -> Case:
    keep = {"output": {"every_steps": 2, "keep_frames": True}}
    rates = {"u": "laplace(u)", "v": "dx(u) - v"}
    return Case.from_dict(lab.case(rates, 9, 8, time={"steps": 4, "dt": 1e-5}, **keep) | more)


def leave(lab: Any, comm: MPI.Intracomm, path: Path) -> Path:
    """Leave three frames of a run and no result of this name, beside `whole.h5`, what it would be."""
    run(case(lab), comm, path)
    run(case(lab, output={"every_steps": 2}), comm, path.with_name("whole.h5"))
    if comm.rank == 0:
        path.unlink()
    comm.Barrier()
    return path


@pytest.fixture
def left(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> Path:
    return leave(lab, solo, tmp_path / "a.h5")


@pytest.mark.mpi
def test_what_is_gathered_is_what_the_run_would_have_given(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    left = leave(lab, comm, shared_tmp / "a.h5")
    done = gather(comm, left)
    assert done.result == str(left)
    assert len(done.times) == 3
    assert not done.damaged
    assert compare(left, left.with_name("whole.h5")).equal
    assert verify(comm, [left]).whole == [str(left)]
    assert gather(comm, left.with_name("a.h5.frames"), left.with_name("b.h5")).times == done.times


def test_a_damaged_frame_is_left_out_and_told(
    left: Path, solo: MPI.Intracomm, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = left.with_name("a.h5.frames") / "000000002.h5"
    data = bytearray(frame.read_bytes())
    data[-100] ^= 1
    frame.write_bytes(data)
    assert main(["gather", str(left), "--json"]) == 5
    out, err = capfd.readouterr()
    assert "000000002.h5" in err
    assert json.loads(out)["times"] == [0.0, pytest.approx(4e-5)]
    with open_result(left) as result:
        assert result.steps.tolist() == [0, 4]


def test_what_is_there_is_replaced_only_if_asked_and_a_result(left: Path, solo: MPI.Intracomm) -> None:
    left.write_text("mine")
    with pytest.raises(StorageError, match="--force"):
        gather(solo, left)
    with pytest.raises(StorageError, match="no result of parsolve"):
        gather(solo, left, force=True)
    assert left.read_text() == "mine"
    other = left.with_name("whole.h5")
    before = other.read_bytes()
    with pytest.raises(StorageError, match="--force"):
        gather(solo, left, other)
    assert other.read_bytes() == before
    gather(solo, left, other, force=True)
    assert len(list(left.parent.iterdir())) == 3  # nothing unfinished is left


def test_where_a_run_writes_nothing_is_gathered(left: Path, solo: MPI.Intracomm) -> None:
    claim = claims.take(left)
    with pytest.raises(StorageError, match="another run"):
        gather(solo, left)
    claim.release()
    assert gather(solo, left).times


def test_frames_of_another_run_are_no_part_of_it(lab: Any, left: Path, solo: MPI.Intracomm) -> None:
    other = left.with_name("other.h5")
    finer = lab.case({"u": "laplace(u)", "v": "0"}, 9, 10, time={"steps": 6, "dt": 1e-5},
                     output={"every_steps": 6, "keep_frames": True})  # fmt: skip
    run(Case.from_dict(finer), solo, other)
    frame = "000000006.h5"
    (left.with_name("a.h5.frames") / frame).write_bytes((other.with_name("other.h5.frames") / frame).read_bytes())
    done = gather(solo, left)
    (text,) = done.damaged
    assert text.endswith("000000006.h5: is of another run than the frames beside it")
    assert len(done.times) == 3
    assert verify(solo, [left]).whole == [str(left)]


def test_rows_that_there_is_no_memory_to_look_at_are_told_on_all_ranks(
    lab: Any, comm: MPI.Intracomm, shared_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(case(lab, slices={"all": {}}), comm, shared_tmp / "a.h5")

    def full(path: Path) -> None:
        raise MemoryError("of a row")

    monkeypatch.setattr(RowFile, "of", full)
    with pytest.raises(ResourceError, match="rank 0: not enough memory"):
        gather(comm, shared_tmp / "a.h5", shared_tmp / "b.h5")
    comm.Barrier()
    assert not [*shared_tmp.glob("*b.h5*")]


def test_without_frames_there_is_nothing_to_gather(solo: MPI.Intracomm, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no frames of a run"):
        gather(solo, tmp_path / "none.h5")
