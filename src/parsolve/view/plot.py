"""Plots of a result: maps in 2-D, a plane of a 3-D field, lines in 1-D, contact sheets over time."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.case.tables import nearest
from parsolve.domain.grid import AXES
from parsolve.errors import CaseError
from parsolve.store.result import Result, open_result
from parsolve.view.figures import blank, fitted, plain, save
from parsolve.view.scale import Look, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PIXELS = 2048  # more cells than this along an axis are not seen, so they are not read
_LINES = 6
_PANELS = 12


@dataclass(frozen=True)
class _Cut:
    """The part of a field that is shown: an index, the axes left (slowest first), words for the title."""

    index: tuple[slice | int, ...]
    axes: tuple[str, ...]
    note: str


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
        name = result.fields[0] if field is None else field
        if name not in result.fields:
            raise CaseError(f"{path}: no field '{name}'{nearest(name, result.fields, 'fields')}")
        cut = _choose_cut(result, slice)
        times = _choose_times(result, time, _LINES if len(cut.axes) == 1 else _PANELS if sheet else 1)
        values = [result.read(name, index, cut.index) for index in times]
        if doubt := result.doubt(*((name, index) for index in times)):
            warnings.warn(doubt, stacklevel=2)
        (_draw_lines if len(cut.axes) == 1 else _draw_maps)(figure, result, name, cut, times, values, look)
    return save(figure, path.with_suffix(f".{name}.png") if out is None else Path(out), force, number=out is None)


def _choose_cut(result: Result, text: str | None) -> _Cut:
    """Return the plane or line to show; 3-D without a word is cut in the middle of z."""
    grid = result.grid
    steps = [_thin(count) for count in grid.shape]
    if text is None and len(result.axes) < 3:
        return _Cut(tuple(steps), result.axes, "")
    axis, _, position = (text or "z=").partition("=")
    axis = axis.strip()
    if len(result.axes) == 1:
        raise CaseError(f"slice '{text}': the result has one axis, which is shown as a line; leave it out")
    if axis not in result.axes:
        axes = ", ".join(sorted(result.axes))
        raise CaseError(f"slice '{text}': no axis '{axis}' to cut; write axis=position with one of {axes}")
    place = result.axes.index(axis)
    centres, (low, high) = grid.coordinates(axis), _range(result, axis)
    middle = (low + high) / 2
    try:
        value = float(position) if text is not None else middle
    except ValueError:
        raise CaseError(f"slice '{text}': '{position}' is not a number; write e.g. {axis}={middle:g}") from None
    if not low <= value <= high:
        raise CaseError(f"slice '{text}': {axis} is from {low:g} to {high:g}")
    cell = int(np.argmin(np.abs(centres - value)))
    index = (*steps[:place], cell, *steps[place + 1 :])
    return _Cut(index, tuple(a for a in result.axes if a != axis), f"{axis} = {centres[cell]:.4g}")


def _thin(count: int) -> Any:
    """Return the slice of an axis that reads no more cells than a picture has pixels."""
    return np.s_[:: max(1, math.ceil(count / _PIXELS))]


def _choose_times(result: Result, time: float | None, most: int) -> list[int]:
    """Return which frames to show: the one nearest to `time`, or up to `most`, evenly picked to the last."""
    count = len(result.times)
    if time is None:
        return [count - 1] if most == 1 else sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})
    first, last = float(result.times[0]), float(result.times[-1])
    slack = 1e-9 * max(abs(first), abs(last))
    if not first - slack <= time <= last + slack:
        raise CaseError(f"{result.path}: no time {time:g}; times are from {first:g} to {last:g}")
    return [int(np.argmin(np.abs(result.times - time)))]


def _draw_lines(
    figure: Figure, result: Result, name: str, cut: _Cut, times: list[int], values: list[NDArray[Any]], look: Look
) -> None:
    """Draw a field along one axis, a line a time, early to late from dark to light."""
    from matplotlib import colormaps

    axis, scale = cut.axes[0], scale_of(values, look)
    figure.set_size_inches(7.0, 4.2)
    axes = figure.add_subplot()
    position = result.grid.coordinates(axis)[cut.index[result.axes.index(axis)]]
    for order, (index, line) in enumerate(zip(times, values, strict=True)):
        colour = colormaps[look.colormap or "viridis"](0.9 * order / max(1, len(times) - 1))
        axes.plot(position, scale.shown(line), color=colour, linewidth=1.6, label=plain(_time_text(result, index)))
    axes.set_yscale("log" if scale.log else "linear")
    axes.set_xlabel(_label(result, axis))
    axes.set_ylabel(**_words(figure, "ylabel", _label(result, name), 3.4))
    axes.set_xlim(*_range(result, axis))
    if look.vmin is not None or look.vmax is not None:
        axes.set_ylim(scale.low, scale.high)
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(times) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _set_title(figure, result, cut, times)


def _draw_maps(
    figure: Figure, result: Result, name: str, cut: _Cut, times: list[int], values: list[NDArray[Any]], look: Look
) -> None:
    """Draw a field over two axes, a panel a time, all with one colour scale."""
    vertical, horizontal = cut.axes
    (left, right), (bottom, top) = _range(result, horizontal), _range(result, vertical)
    ratio = (top - bottom) / (right - left)
    equal = 0.1 <= ratio <= 10.0  # a thinner domain would be a line
    columns = math.ceil(math.sqrt(len(times))) if ratio <= 1.0 or len(times) < 4 else math.ceil(len(times) / 2)
    rows = math.ceil(len(times) / columns)
    columns = math.ceil(len(times) / rows)
    width = 5.2 if len(times) == 1 else 2.2
    height = width * (min(ratio, 2.0) if equal else 0.6)
    tall = max(1.8, rows * (height + 0.25) + 0.75)
    figure.set_size_inches(columns * (width + 0.1) + 1.75, tall)
    scale = scale_of(values, look)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, index, map_ in zip(panels, times, values, strict=False):
        image = panel.imshow(
            scale.shown(map_), origin="lower", extent=(left, right, bottom, top), aspect="equal" if equal else "auto",
            cmap=scale.colormap, norm=scale.norm(), interpolation="nearest" if max(map_.shape) < 400 else "antialiased",
        )  # fmt: skip
        _dress(panel, result, cut, index if len(times) > 1 else None)
    for panel in panels[len(times) :]:
        panel.remove()
    bar = figure.colorbar(image, ax=list(panels[: len(times)]), aspect=30, fraction=0.05, pad=0.02)
    bar.set_label(**_words(figure, "label", _label(result, name), tall - 0.5))
    bar.outline.set_visible(False)
    _set_title(figure, result, cut, times)


def _dress(panel: Axes, result: Result, cut: _Cut, index: int | None) -> None:
    """Label a panel's outer axes and, on a sheet, say its time."""
    vertical, horizontal = cut.axes
    panel.set_xlabel(_label(result, horizontal))
    panel.set_ylabel(_label(result, vertical))
    panel.label_outer()
    panel.set_facecolor("0.85")  # shows through where there is no value to show
    if index is not None:
        panel.set_title(plain(_time_text(result, index)), fontsize="small")


def _set_title(figure: Figure, result: Result, cut: _Cut, times: list[int]) -> None:
    """Set the title: the case, the time where there is one, and the cut."""
    time = _time_text(result, times[0]) if len(times) == 1 else ""
    title = ", ".join(part for part in (result.provenance.get("title"), time, cut.note) if part)
    figure.suptitle(**_words(figure, "t", title, figure.get_figwidth()))


def _words(figure: Figure, key: str, text: str, inches: float) -> dict[str, Any]:
    """Return a text that is no longer than so many inches, as arguments of matplotlib."""
    words = fitted(figure, text, inches)
    return {key: words.pop("text"), **words}


def _range(result: Result, axis: str) -> tuple[float, float]:
    """Return where an axis begins and ends."""
    place = AXES.index(axis)
    grid = result.grid
    return grid.lower[place], grid.lower[place] + grid.cells[place] * grid.spacing[place]


def _time_text(result: Result, index: int) -> str:
    """Return a time with its unit."""
    return f"t = {result.times[index]:.4g} {result.units('time')}".rstrip()


def _label(result: Result, name: str) -> str:
    """Return the name of a field or an axis, what it means and its unit, as far as the result says."""
    meaning, units = result.long_name(name), result.units(name)
    more = f", {meaning}" if meaning != name else ""
    return f"{name}{more}" + (f" ({units})" if units else "")
