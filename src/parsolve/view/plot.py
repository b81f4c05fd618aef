"""Plots of a result: maps in 2-D, a plane of a 3-D field, lines in 1-D, contact sheets over time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.errors import CaseError
from parsolve.store.result import open_result
from parsolve.store.writing import write_whole
from parsolve.view.arrows import Vectors
from parsolve.view.cut import choose_cut, choose_field, choose_lines, choose_times, frame_near, label_of
from parsolve.view.figures import blank, save
from parsolve.view.minus import Minus, opened
from parsolve.view.panels import draw_lines, draw_maps
from parsolve.view.scale import Look, scale_of
from parsolve.view.surface import draw_surface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from parsolve.store.result import Result
    from parsolve.view.cut import Cut, Shown
    from parsolve.view.snapshot import Snapshot

_LINES = 6
_PANELS = 12


@dataclass(frozen=True)
class Wish:
    """What is asked for beside field, time, slice and scale.

    Attributes:
        sheet: up to 12 times with one colour scale.
        times: these times, in one picture.
        lines: values along lines, each "axis=position", in 3-D two with a comma between them.
        minus: a result whose values are taken away.
        vectors: two fields, "u,v", as arrows over the map.
        streamlines: two fields as streamlines over the map.
        isosurface: where a 3-D field has this value.
    """

    sheet: bool = False
    times: Sequence[float] = ()
    lines: Sequence[str] = ()
    minus: Path | None = None
    vectors: str | None = None
    streamlines: str | None = None
    isosurface: float | None = None

    def check(self, time: float | None, slice: str | None) -> None:
        """Refuse what does not go together.

        Raises:
            CaseError: it does not.
        """
        if self.sheet and (time is not None or self.times):
            raise CaseError("a contact sheet shows all times: leave out the time, or the sheet")
        if self.times and time is not None:
            raise CaseError("--time and --times: one of them at a time")
        if self.lines and slice is not None:
            raise CaseError("--line and --slice: one of them at a time")
        if self.isosurface is not None and (
            self.sheet or self.times or self.lines or self.minus or self.vectors or self.streamlines or slice
        ):
            raise CaseError("--isosurface: goes with --field and --time alone")


def draw(
    path: Path | str, field: str | None = None, time: float | None = None, slice: str | None = None,
    out: Path | str | None = None, sheet: bool = False, look: Look | None = None, force: bool = False, **more: Any,
) -> Path:  # fmt: skip
    """Draw a field of a result as PNG (or what the suffix of `out` says); return the picture's path.

    Shown are the first field, the last time (1-D: several times) and the central plane, unless said.
    `time` takes the nearest frame. `slice` is "axis=position", e.g. "z=0.5", and takes one axis away: of a 2-D field
    it leaves a line. `more` is of `Wish`. Nothing is replaced without `force`: without `out` the picture has the names
    of result and field, and a number where that is taken.

    Raises:
        CaseError: unknown field, time, slice or colours, or wishes that do not go together.
        StorageError: the result cannot be read, or the picture cannot be written.
        SetupError: matplotlib is not installed, or pyvista for a surface.
    """
    wish, path, look = Wish(sheet, **more), Path(path), look or Look()
    wish.check(time, slice)
    figure = None if wish.isosurface is not None else blank()
    with open_result(path) as result, opened(wish.minus) as other:
        name = choose_field(result, field)
        target, number = path.with_suffix(f".{name}.png") if out is None else Path(out), out is None
        if figure is None:
            n = choose_times(result, time, 1)[0]
            surface = draw_surface(result, name, n, wish.isosurface or 0.0, target)
            _warn([result.doubt((name, n))])
            return write_whole(target, surface, force=force, number=number)
        cuts = choose_lines(result, wish.lines) or [choose_cut(result, slice)]
        times = _times(result, time, wish, len(cuts[0].axes))
        minus = Minus(result, other, name)
        vectors = Vectors.of(result, wish.vectors, wish.streamlines)
        values = [[minus.read(index, cut) for index in times] for cut in cuts]
        panels = _draw(figure, result, _label(result, name, minus), cuts, times, values, look, other is not None)
        if vectors is not None:
            vectors.draw(panels, result, cuts[0], times)
        _warn(minus.doubt(times))
    return save(figure, target, force, number=number)


def _times(result: Result, time: float | None, wish: Wish, axes: int) -> list[int]:
    """Return which frames to show.

    Raises:
        CaseError: there is no such time, or there are too many.
    """
    if len(wish.times) > _PANELS:
        raise CaseError(f"--times: {len(wish.times)} times, where a picture has room for {_PANELS}")
    if wish.times:
        return sorted({frame_near(result, at) for at in wish.times})
    most = _LINES if axes == 1 and len(wish.lines) < 2 else _PANELS if wish.sheet else 1
    return choose_times(result, time, most)


def figure_of(state: Snapshot, slice: str | None = None, look: Look | None = None) -> Figure:
    """Return a figure of the first field of a state in memory, drawn as `draw` does it.

    Raises:
        CaseError: unknown slice or colours.
        SetupError: matplotlib is not installed.
    """
    figure, name, cut = blank(), choose_field(state, None), choose_cut(state, slice)
    _draw(figure, state, label_of(state, name), [cut], [0], [[state.values[name][cut.index]]], look or Look())
    return figure


def frames_of(result: Result, name: str, times: Sequence[int]) -> Figure:
    """Return a figure of a field at some times, drawn as `draw` does it.

    Raises:
        StorageError: the values cannot be read.
        SetupError: matplotlib is not installed.
    """
    figure, cut = blank(), choose_cut(result, None)
    values = [result.read(name, index, cut.index) for index in times]
    _draw(figure, result, label_of(result, name), [cut], times, [values], Look())
    return figure


def _draw(
    figure: Figure, shown: Shown, label: str, cuts: Sequence[Cut], times: Sequence[int],
    values: Sequence[Sequence[NDArray[Any]]], look: Look, signed: bool = False,
) -> list[Axes]:  # fmt: skip
    """Draw a field over one axis or two at some times, of each cut; return the panels."""
    scale = scale_of([part for of_cut in values for part in of_cut], look, signed)
    panels: list[Any]
    if len(cuts[0].axes) == 1:
        limits = (scale.low, scale.high) if look.vmin is not None or look.vmax is not None else None
        lines = draw_lines(figure, shown, label, cuts, times, values, scale, look.colormap, limits)
        panels = [lines[0].axes]
    else:
        panels = [image.axes for image in draw_maps(figure, shown, label, cuts[0], times, values[0], scale)]
    return panels


def _label(result: Result, name: str, minus: Minus) -> str:
    """Return the name of the field for people, and what is taken away."""
    label = label_of(result, name)
    return label if minus.other is None else f"{label}, minus that of {minus.other.path.name}"


def _warn(doubts: list[str]) -> None:
    """Tell what is not as it was written."""
    for doubt in filter(None, doubts):
        warnings.warn(doubt, stacklevel=3)
