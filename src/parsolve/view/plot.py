"""Plots of a result: maps in 2-D, a plane of a 3-D field, lines in 1-D, contact sheets over time."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.errors import CaseError
from parsolve.store.result import open_result
from parsolve.view.cut import choose_cut, choose_field, choose_times, label_of
from parsolve.view.figures import blank, save
from parsolve.view.panels import draw_lines, draw_maps
from parsolve.view.scale import Look, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from parsolve.view.cut import Cut, Shown
    from parsolve.view.snapshot import Snapshot

_LINES = 6
_PANELS = 12


def draw(
    path: Path | str, field: str | None = None, time: float | None = None, slice: str | None = None,
    out: Path | str | None = None, sheet: bool = False, look: Look | None = None, force: bool = False,
) -> Path:  # fmt: skip
    """Draw a field of a result as PNG (or what the suffix of `out` says); return the picture's path.

    Shown are the first field, the last time (1-D: several times) and the central plane, unless said.
    `time` takes the nearest frame. `slice` is "axis=position", e.g. "z=0.5", and takes one axis away: of a 2-D field
    it leaves a line. `sheet` draws up to 12 times with one colour scale. Nothing is replaced without `force`: without
    `out` the picture has the names of result and field, and a number where that is taken.

    Raises:
        CaseError: unknown field, time, slice or colours.
        StorageError: the result cannot be read, or the picture cannot be written.
        SetupError: matplotlib is not installed.
    """
    figure, path, look = blank(), Path(path), look or Look()
    if sheet and time is not None:
        raise CaseError("a contact sheet shows all times: leave out the time, or the sheet")
    with open_result(path) as result:
        name = choose_field(result, field)
        cut = choose_cut(result, slice)
        times = choose_times(result, time, _LINES if len(cut.axes) == 1 else _PANELS if sheet else 1)
        values = [result.read(name, index, cut.index) for index in times]
        if doubt := result.doubt(*((name, index) for index in times)):
            warnings.warn(doubt, stacklevel=2)
        _draw(figure, result, name, cut, times, values, look)
    return save(figure, path.with_suffix(f".{name}.png") if out is None else Path(out), force, number=out is None)


def figure_of(state: Snapshot, slice: str | None = None, look: Look | None = None) -> Figure:
    """Return a figure of the first field of a state in memory, drawn as `draw` does it.

    Raises:
        CaseError: unknown slice or colours.
        SetupError: matplotlib is not installed.
    """
    figure, name, cut = blank(), choose_field(state, None), choose_cut(state, slice)
    _draw(figure, state, name, cut, [0], [state.values[name][cut.index]], look or Look())
    return figure


def _draw(
    figure: Figure, shown: Shown, name: str, cut: Cut, times: Sequence[int], values: Sequence[NDArray[Any]], look: Look
) -> None:
    """Draw a field over one axis or two at some times."""
    scale, label = scale_of(values, look), label_of(shown, name)
    if len(cut.axes) == 1:
        limits = (scale.low, scale.high) if look.vmin is not None or look.vmax is not None else None
        draw_lines(figure, shown, label, cut, times, values, scale, look.colormap, limits)
    else:
        draw_maps(figure, shown, label, cut, times, values, scale)
