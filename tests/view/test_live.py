"""A picture of a run while it goes on: of its newest frame, at most so often, and never in its way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.errors import StorageError
from parsolve.run import run
from parsolve.simulation import make_case
from parsolve.store.result import open_result
from parsolve.view import live
from parsolve.view.figures import picture_of
from parsolve.view.plot import frames_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mpi4py import MPI

    Make = Callable[..., Path]


def drawn(path: Path, picture: Path) -> bytes:
    with open_result(path) as result:
        return picture_of(frames_of(result, result.fields[0], [len(result.times) - 1]), picture)


def test_it_is_of_the_newest_frame_at_most_so_often(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    now, told = [1.0], list[str]()
    monkeypatch.setattr(live, "monotonic", lambda: now[0])
    first, second, third = (make(f"{n}.h5", 6, 5, add=n) for n in range(3))
    result, picture = tmp_path / "a.h5", tmp_path / "a.live.png"
    shown = live.LivePicture(None, told.append)
    for frame, seconds, expected in ((first, 0, first), (second, 1, first), (third, 2, third), (second, 1, third)):
        now[0] += seconds
        shown.show(result, frame)
        assert picture.read_bytes() == drawn(expected, picture)
    shown.finish()
    assert picture.read_bytes() == drawn(second, picture)
    picture.unlink()
    shown.finish(third)  # has its picture already
    assert not picture.exists()
    shown.show(result, second)
    shown.finish(third)
    assert picture.read_bytes() == drawn(third, picture)
    assert told == []


def test_what_goes_wrong_is_told_once_and_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = live.LivePicture(tmp_path / "a.png", told.append)
    for _ in range(2):
        shown.show(tmp_path / "a.h5", tmp_path / "none.h5")
        shown.finish()
    assert [text.split(";")[0] for text in told] == ['--live: plots need matplotlib: pip install "parsolve[plot]"']
    for name in (tmp_path, tmp_path / "none" / "a.png"):
        with pytest.raises(StorageError):
            live.check_picture(name)


def test_the_first_rank_is_told_of_each_frame(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    case, told = make_case(lab.case("heat", 24, 20, time={"steps": 7}, output={"every_steps": 3})), list[Any]()
    run(case, comm, shared_tmp / "a.h5", shown=lambda result, frame: told.append((result.name, int(frame.stem))))
    assert told == ([("a.h5", step) for step in (0, 3, 6, 7)] if comm.rank == 0 else [])
