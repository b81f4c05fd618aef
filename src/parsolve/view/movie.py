"""A moving picture of all frames of a result, with one scale; each rank draws its share, rank 0 puts them together."""

from __future__ import annotations

import math
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import ParsolveError, agree, agreed, on_root
from parsolve.store.result import open_result
from parsolve.store.writing import failure, refuse_there
from parsolve.view.cut import choose_cut, choose_field, label_of
from parsolve.view.figures import blank
from parsolve.view.film import check_film, new_film
from parsolve.view.panels import draw_lines, draw_maps, set_title
from parsolve.view.scale import SEQUENTIAL, Look, Scale, extremes, scale_of

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.store.result import Result
    from parsolve.view.cut import Cut
    from parsolve.view.film import Film, Picture

FPS = 10.0
_DPI = 150
_MARGIN = 0.04  # above and below lines


def draw_movie(
    comm: MPI.Intracomm, path: Path, out: Path, field: str | None = None, fps: float = FPS, slice: str | None = None,
    look: Look | None = None, force: bool = False,
) -> Path:  # fmt: skip
    """Draw all frames of a result as GIF or MP4, by the suffix of `out`, and return `out`; collective.

    Shown are the first field and the central plane, unless said, as `plot` does, with one scale for all frames. The
    same pictures come about on any number of ranks, and no rank has more than two at a time. Nothing is replaced
    without `force`.

    Raises:
        CaseError: unknown field, slice or colours; another format, or a speed that it has not.
        StorageError: the result cannot be read, or the movie cannot be written.
        SetupError: matplotlib, pillow or imageio-ffmpeg is not installed.
    """
    look = look or Look()

    def refused() -> None:
        check_film(out, fps)
        refuse_there(out, force)

    on_root(comm, refused)
    with ExitStack() as owner:
        with agreed(comm):
            figure = blank(dpi=_DPI)
            result = owner.enter_context(open_result(path))
            name = choose_field(result, field)
            cut = choose_cut(result, slice)
        count = min(comm.allgather(len(result.times)))  # a run under way may have written another meanwhile
        scale = _common_scale(comm, result, name, cut, count, look)
        with agreed(comm):
            scene = _Scene(figure, result, name, cut, count, scale, look.colormap)
        colormap = scale.colormap if len(cut.axes) == 2 else look.colormap or SEQUENTIAL
        _shoot(comm, scene, count, out, fps, colormap, force)
    return out


def _common_scale(comm: MPI.Intracomm, result: Result, name: str, cut: Cut, count: int, look: Look) -> Scale:
    """Return the scale for all frames, and warn of those that are not as they were written; collective."""
    mine = range(comm.rank, count, comm.size)
    ends, doubt = [np.empty(0)], ""
    with agreed(comm):
        ends += [extremes(result.read(name, n, cut.index), look.log) for n in mine]
        doubt = result.doubt(*((name, n) for n in mine)) if mine else ""
        ends = [extremes(np.concatenate(ends), False)]
    if comm.rank == 0:
        for text in dict.fromkeys(filter(None, comm.gather(doubt) or [])):
            warnings.warn(text, stacklevel=3)
    else:
        comm.gather(doubt)
    known = comm.allgather(ends[0])
    with agreed(comm):
        return scale_of(known, look)
    raise AssertionError("all ranks agreed")


class _Scene:
    """The picture of which every frame shows another time, and nothing moves but the values."""

    def __init__(
        self, figure: Any, result: Result, name: str, cut: Cut, count: int, scale: Scale, colormap: str | None
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self._figure, self._result, self._name, self._cut, self._scale = figure, result, name, cut, scale
        self._texts = _time_texts(result, count)
        label, first = label_of(result, name), [result.read(name, 0, cut.index)]
        self._artist: Any
        if len(cut.axes) == 1:
            limits = scale.low, scale.high
            if not scale.log:
                more = _MARGIN * (scale.high / 2 - scale.low / 2) * 2
                limits = scale.low - more, scale.high + more
            (self._artist,) = draw_lines(figure, result, label, [cut], [0], [first], scale, colormap, limits)
        else:
            (self._artist,) = draw_maps(figure, result, label, cut, [0], first, scale)
        width, height = (2 * math.ceil(inches * _DPI / 2) / _DPI for inches in figure.get_size_inches())
        figure.set_size_inches(width, height)
        self._canvas = FigureCanvasAgg(figure)
        set_title(figure, result, cut.note, [0], max(self._texts, key=len))
        figure.draw_without_rendering()  # finds the places, which stay
        figure.set_layout_engine("none")

    def picture(self, n: int) -> Picture:
        """Return the picture of the frame of an index.

        Raises:
            StorageError: it cannot be read.
        """
        values = self._scale.shown(self._result.read(self._name, n, self._cut.index))
        (self._artist.set_ydata if len(self._cut.axes) == 1 else self._artist.set_data)(values)
        set_title(self._figure, self._result, self._cut.note, [n], self._texts[n])
        self._canvas.draw()
        return np.ascontiguousarray(np.asarray(self._canvas.buffer_rgba())[..., :3])


def _time_texts(result: Result, count: int) -> list[str]:
    """Return the time of each frame with as many decimals as the others, so that texts do not jump."""
    times, unit = result.times[:count], result.units("time")
    most = float(np.abs(times).max())
    digits = 3 - math.floor(math.log10(most)) if most > 0 else 0
    form = f".{max(0, digits)}f" if digits <= 6 and most < 1e6 else ".3e"
    return [f"t = {time:{form}} {unit}".rstrip() for time in times]


def _shoot(
    comm: MPI.Intracomm, scene: _Scene, count: int, out: Path, fps: float, colormap: str, force: bool
) -> None:  # fmt: skip
    """Draw the frames, as many at once as there are ranks, and put them together; collective."""
    with ExitStack() as owner:
        film: Film | None = None
        with agreed(comm):
            if comm.rank == 0:
                film = owner.enter_context(new_film(out, fps, colormap, force))
        for first in range(0, count, comm.size):
            picture = None
            with agreed(comm):
                if first + comm.rank < count:
                    picture = scene.picture(first + comm.rank)
            agree(comm, _collect(comm, out, film, picture, min(comm.size, count - first)))
        with agreed(comm):
            owner.close()


def _collect(
    comm: MPI.Intracomm, out: Path, film: Film | None, picture: Picture | None, count: int
) -> ParsolveError | None:
    """Let rank 0 add the pictures of the first ranks to the film, in their order; return what went wrong."""
    if picture is None:
        return None
    if film is None:
        comm.Send(picture, 0)
        return None
    error: ParsolveError | None = None
    other: NDArray[np.uint8] = np.empty_like(picture)
    for source in range(count):
        if source:
            comm.Recv(other, source)
        try:
            if error is None:
                film.add(other if source else picture)
        except ParsolveError as caught:
            error = caught
        except OSError as caught:
            error = failure(out, "write it", caught)
    return error
