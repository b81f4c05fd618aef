"""Plots of a result: maps in 2-D, a plane of a 3-D field, lines in 1-D, contact sheets over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.case.tables import nearest
from parsolve.domain.grid import AXES
from parsolve.errors import CaseError
from parsolve.store.result import Result, open_result
from parsolve.view.figures import blank, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PIXELS = 2048  # more cells than this along an axis are not seen, so they are not read
_LINES = 6
_PANELS = 12
_COLOURS = "viridis"  # perceptually uniform, also in grey and for colour-blind readers


@dataclass(frozen=True)
class _Cut:
    """The part of a field that is shown: an index, the axes left (slowest first), words for the title."""

    index: tuple[slice | int, ...]
    axes: tuple[str, ...]
    note: str


def draw(
    path: Path | str, field: str | None = None, time: float | None = None, slice: str | None = None,
    out: Path | str | None = None, sheet: bool = False,
) -> Path:  # fmt: skip
    """Draw a field of a result as PNG (or what the suffix of `out` says); return the picture's path.

    Shown are the first field, the last time (1-D: several times) and the central plane, unless said.
    `time` takes the nearest frame. `slice` is "axis=position", e.g. "z=0.5", and takes one axis away. `sheet`
    draws up to 12 times with one colour scale.

    Raises:
        CaseError: unknown field, time or slice.
        StorageError: the result cannot be read, or the picture cannot be written.
        SetupError: matplotlib is not installed.
    """
    figure = blank()
    if sheet and time is not None:
        raise CaseError("a contact sheet shows all times: leave out the time, or the sheet")
    with open_result(path) as result:
        name = result.fields[0] if field is None else field
        if name not in result.fields:
            raise CaseError(f"{path}: no field '{name}'{nearest(name, result.fields, 'fields')}")
        cut = _choose_cut(result, slice)
        times = _choose_times(result, time, _LINES if len(cut.axes) == 1 else _PANELS if sheet else 1)
        values = [result.read(name, index, cut.index) for index in times]
        (_draw_lines if len(cut.axes) == 1 else _draw_maps)(figure, result, name, cut, times, values)
    return save(figure, Path(path).with_suffix(f".{name}.png") if out is None else Path(out))


def _choose_cut(result: Result, text: str | None) -> _Cut:
    """Return the plane or line to show; 3-D without a word is cut in the middle of z."""
    grid = result.grid
    steps = [_thin(count) for count in grid.shape]
    if text is None and len(result.axes) < 3:
        return _Cut(tuple(steps), result.axes, "")
    axis, _, position = (text or "z=").partition("=")
    axis = axis.strip()
    if axis not in result.axes or len(result.axes) == 1:
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
    figure: Figure, result: Result, name: str, cut: _Cut, times: list[int], values: list[NDArray[Any]]
) -> None:
    """Draw a field along one axis, a line a time, early to late from dark to light."""
    from matplotlib import colormaps

    axis = cut.axes[0]
    figure.set_size_inches(7.0, 4.2)
    axes = figure.add_subplot()
    position = result.grid.coordinates(axis)[cut.index[result.axes.index(axis)]]
    for order, (index, line) in enumerate(zip(times, values, strict=True)):
        colour = colormaps[_COLOURS](0.9 * order / max(1, len(times) - 1))
        axes.plot(position, line, color=colour, linewidth=1.6, label=_time_text(result, index))
    axes.set_xlabel(_label(axis, result.units(axis)))
    axes.set_ylabel(_label(result.long_name(name), result.units(name)))
    axes.set_xlim(*_range(result, axis))
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(times) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_title(_title(result, cut.note, None if len(times) > 1 else times[0]), fontsize="medium")


def _draw_maps(
    figure: Figure, result: Result, name: str, cut: _Cut, times: list[int], values: list[NDArray[Any]]
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
    figure.set_size_inches(columns * (width + 0.1) + 1.75, max(1.8, rows * (height + 0.25) + 0.75))
    low, high = _limits(values)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, index, map_ in zip(panels, times, values, strict=False):
        image = panel.imshow(
            map_, origin="lower", extent=(left, right, bottom, top), aspect="equal" if equal else "auto",
            cmap=_COLOURS, vmin=low, vmax=high, interpolation="nearest" if max(map_.shape) < 400 else "antialiased",
        )  # fmt: skip
        _dress(panel, result, cut, index if len(times) > 1 else None)
    for panel in panels[len(times) :]:
        panel.remove()
    bar = figure.colorbar(image, ax=list(panels[: len(times)]), aspect=30, fraction=0.05, pad=0.02)
    bar.set_label(_label(result.long_name(name), result.units(name)))
    bar.outline.set_visible(False)
    figure.suptitle(_title(result, cut.note, times[0] if len(times) == 1 else None), fontsize="medium")


def _dress(panel: Axes, result: Result, cut: _Cut, index: int | None) -> None:
    """Label a panel's outer axes and, on a sheet, say its time."""
    vertical, horizontal = cut.axes
    panel.set_xlabel(_label(horizontal, result.units(horizontal)))
    panel.set_ylabel(_label(vertical, result.units(vertical)))
    panel.label_outer()
    panel.set_facecolor("0.85")  # shows through where a value is not finite
    if index is not None:
        panel.set_title(_time_text(result, index), fontsize="small")


def _limits(values: list[NDArray[Any]]) -> tuple[float, float]:
    """Return the colour range over all panels; never empty."""
    finite = [part[np.isfinite(part)] for part in values]
    low = min((float(part.min()) for part in finite if part.size), default=0.0)
    high = max((float(part.max()) for part in finite if part.size), default=1.0)
    if high > low:
        return low, high
    margin = 0.5 * abs(low) or 0.5
    return low - margin, high + margin


def _range(result: Result, axis: str) -> tuple[float, float]:
    """Return where an axis begins and ends."""
    place = AXES.index(axis)
    grid = result.grid
    return grid.lower[place], grid.lower[place] + grid.cells[place] * grid.spacing[place]


def _title(result: Result, note: str, index: int | None) -> str:
    """Return the title: the case, the time and the cut, as far as there is one."""
    time = None if index is None else _time_text(result, index)
    return ", ".join(part for part in (result.provenance.get("title"), time, note) if part)


def _time_text(result: Result, index: int) -> str:
    """Return a time with its unit."""
    return f"t = {result.times[index]:.4g} {result.units('time')}".rstrip()


def _label(name: str, units: str) -> str:
    """Return an axis label with its unit."""
    return f"{name} ({units})" if units else name
