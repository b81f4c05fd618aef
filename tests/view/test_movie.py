"""Movies: the same bytes on any number of ranks, one scale, whole or not at all, with what is missing named."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.errors import CaseError, SetupError, StorageError, on_root
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.view import film
from parsolve.view.movie import draw_movie
from parsolve.view.scale import Look

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")


def make(path: Path, *shape: int, frames: int = 3, bad: int = -1) -> Path:
    """A result whose u rises from 0 to 1 over x, times the number of the frame; one frame may hold a NaN."""
    cells = (1,) * (3 - len(shape)) + shape
    grid = Grid(tuple("xyz"[: len(shape)]), cells, (0.0, 0.0, 0.0), tuple(1 / n for n in cells), (True, True, True))
    u = Field("u", regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), "f8")
    recorder = Recorder(MPI.COMM_SELF, path, grid, [FieldInfo("u", "temperature", "K")], "f8", {"title": "A $test"})
    for frame in range(frames):
        u.owned[...] = (frame + 1) * np.linspace(0, 1, cells[2])
        if frame == bad:
            u.owned[0, 0, 0] = np.nan
        recorder.write(frame / 4, frame, [u])
    return recorder.finish()


def shown(path: Path) -> list[Any]:
    with Image.open(path) as image:
        found = []
        for n in range(image.n_frames):
            image.seek(n)
            found.append(np.asarray(image.convert("RGB")))
    return found


def test_any_number_of_ranks_makes_the_same_movie(comm: MPI.Intracomm, tmp_path: Path) -> None:
    folder = comm.bcast(tmp_path)
    on_root(comm, lambda: make(folder / "r.h5", 6, 8, bad=1))
    draw_movie(comm, folder / "r.h5", folder / "all.gif")
    if comm.rank == 0:
        one = draw_movie(MPI.COMM_SELF, folder / "r.h5", folder / "one.gif")
        assert one.read_bytes() == (folder / "all.gif").read_bytes()
        first, *_, last = pictures = shown(one)
        assert len(pictures) == 3
        middle = first.shape[0] // 2, slice(0, first.shape[1])
        assert first.shape == last.shape
        assert (first[middle] != last[middle]).any()
        bar = slice(None), slice(int(0.9 * first.shape[1]), None)
        np.testing.assert_array_equal(first[bar], last[bar])  # of colours: one scale for all
    comm.Barrier()


def test_an_error_is_that_of_all_ranks_and_leaves_nothing(comm: MPI.Intracomm, tmp_path: Path) -> None:
    folder = comm.bcast(tmp_path)
    on_root(comm, lambda: make(folder / "r.h5", 8))
    for field, look, error in (("w", Look(), CaseError), ("u", Look(vmin=1.0, vmax=0.0), CaseError)):
        with pytest.raises(error):
            draw_movie(comm, folder / "r.h5", folder / "a.gif", field, look=look)
    with pytest.raises(StorageError):
        draw_movie(comm, folder / "none.h5", folder / "a.gif")
    names = on_root(comm, lambda: [path.name for path in folder.iterdir()])
    assert names == ["r.h5"]


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 4, 5)])
def test_every_dimension_moves_and_frames_under_way_too(tmp_path: Path, shape: tuple[int, ...]) -> None:
    result = make(tmp_path / "r.h5", *shape, frames=2)
    assert len(shown(draw_movie(MPI.COMM_SELF, result, tmp_path / "a.gif", look=Look(log=len(shape) == 3)))) == 2


def test_an_mp4_has_even_sides_and_is_not_replaced(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    result, out = make(tmp_path / "r.h5", 5, 7, frames=2), tmp_path / "-a.mp4"
    assert draw_movie(MPI.COMM_SELF, result, out).read_bytes()[4:8] == b"ftyp"
    before = out.read_bytes()
    with pytest.raises(StorageError, match="exists already"):
        draw_movie(MPI.COMM_SELF, result, out)
    assert draw_movie(MPI.COMM_SELF, result, out, force=True).read_bytes() == before


def test_what_ffmpeg_cannot_do_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "ffmpeg", lambda: "/bin/false")
    with pytest.raises(StorageError, match=r"a\.mp4: cannot write it: ffmpeg says"):
        draw_movie(MPI.COMM_SELF, make(tmp_path / "r.h5", 8, frames=2), tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5"]


def test_gifs_keep_time_though_they_count_hundredths(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    with film.new_film(path, 30.0, "viridis", force=False) as gif:
        for n in range(30):
            gif.add(np.full((4, 4, 3), 8 * n, np.uint8))
    with Image.open(path) as image:
        lasting = [image.seek(n) or image.info["duration"] for n in range(image.n_frames)]
    assert (len(lasting), sum(lasting)) == (30, 1000)


def test_what_is_missing_or_cannot_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fps, message in (("a.avi", 10, r"\.gif, \.mp4"), ("a", 10, "formats"), ("a.gif", 60, "to 50 pictures")):
        with pytest.raises(CaseError, match=message):
            film.check_film(tmp_path / name, fps)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    for name in ("a.mp4", "a.gif"):
        with pytest.raises(SetupError, match=r'pip install "parsolve\[movie\]"'):
            film.check_film(tmp_path / name, 10)
