"""What was measured, over time: a panel for each measure."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parsolve.case.tables import nearest
from parsolve.errors import CaseError, StorageError
from parsolve.store.files import is_file
from parsolve.store.places import find_folder
from parsolve.store.result import open_result
from parsolve.store.series import MEANINGS, series_of
from parsolve.view.cut import label_of
from parsolve.view.figures import blank, save
from parsolve.view.panels import words
from parsolve.view.scale import SEQUENTIAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from parsolve.store.series import Series

_PANELS = 12
_ROUNDING = 1e-10  # of the largest value: what changes less does not change
_LARGEST = {False: sys.float_info.max / 8, True: 1e250}  # that matplotlib finds limits for, on which scale
_FEW = 40  # values that are shown as dots too


def draw_series(
    path: Path | str, names: Sequence[str] = (), out: Path | str | None = None, log: bool = False, force: bool = False
) -> Path:
    """Draw the time series of a result, or of a run under way, all or some by name; return the picture's path.

    Without `out` the picture is named as the result, with ".series.png", and numbered where that is taken.

    Raises:
        CaseError: there are none, none of a name, or more than a picture has room for.
        StorageError: they cannot be read, or the picture cannot be written.
        SetupError: matplotlib is not installed.
    """
    figure, path = blank(), Path(path)
    title, time, known = measured(path)
    draw_panels(figure, choose(path, known, names), title, time, log)
    target = path.with_suffix(".series.png") if out is None else Path(out)
    return save(figure, target, force, number=out is None)


def measured(path: Path) -> tuple[str, str, list[Series]]:
    """Return title, name of the time for people, and time series, of a result or of a run under way.

    Raises:
        StorageError: they cannot be read, or there is neither.
    """
    if is_file(path):
        with open_result(path) as result:
            if doubt := result.doubt():
                warnings.warn(doubt, stacklevel=3)
            label = label_of(result, "time").removeprefix("time, ")
            return result.provenance.get("title", ""), label, result.series
    folder = find_folder(path, Path.is_dir)[0] or path
    if not folder.is_dir():
        raise StorageError(f"{path}: no such file, and no folder of a run")
    return "", "time", series_of(folder)


def choose(path: Path, known: Sequence[Series], names: Sequence[str]) -> list[Series]:
    """Return the series of some names, or all.

    Raises:
        CaseError: there are none, none of a name, or more than a picture has room for.
    """
    by_name = {series.name: series for series in known}
    if not known:
        raise CaseError(f"{path}: nothing was measured; [measure] of the case says what is")
    for name in names:
        if name not in by_name:
            raise CaseError(f"{path}: no measure '{name}'{nearest(name, by_name, 'measures')}")
    chosen = [by_name[name] for name in dict.fromkeys(names or by_name)]
    if len(chosen) > _PANELS:
        raise CaseError(f"--series: {len(chosen)} measures, and a picture has room for {_PANELS}; name some of them")
    return chosen


def draw_panels(figure: Figure, chosen: Sequence[Series], title: str, time: str, log: bool = False) -> None:
    """Draw series below each other, over the same time."""
    count = len(chosen)
    figure.set_size_inches(7.0, 4.2 if count == 1 else 0.9 + 1.5 * count)
    for axes, series in zip(figure.subplots(count, 1, sharex=True, squeeze=False).ravel(), chosen, strict=True):
        _draw(figure, axes, series, log, 3.4 if count == 1 else 1.3)
    axes.set_xlabel(**words(figure, "xlabel", time, 6.0))
    figure.suptitle(**words(figure, "t", title, figure.get_figwidth()))


def name_of(series: Series) -> str:
    """Return the name of a measure, what it means and its unit, as far as that is known."""
    meaning = f", {series.long_name}" if series.long_name not in ("", series.name) else ""
    return f"{series.name}{meaning}" + ("" if series.units in ("", "1") else f" ({series.units})")


def _draw_several(figure: Figure, axes: Axes, series: Series, log: bool, inches: float) -> None:
    """Draw several numbers over time as colours along their coordinate."""
    from matplotlib.colors import LogNorm

    assert series.coordinate is not None
    shown = _with_place(series.values, log)
    if np.isfinite(shown).any():
        norm, places = LogNorm() if log else None, (series.times, series.coordinate.values)
        mesh = axes.pcolormesh(*map(_edges, places), shown.T, cmap=SEQUENTIAL, norm=norm, rasterized=True)
        figure.colorbar(mesh, cax=axes.inset_axes((1.01, 0.0, 0.015, 1.0)))
    else:
        why = "nothing was measured yet" if not len(shown) else "no value to show"
        axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color="0.4")
    meaning = MEANINGS.get(series.coordinate.word, series.coordinate.word)
    axes.set_ylabel(**words(figure, "ylabel", f"{meaning} of {name_of(series)}", inches))


def _with_place(values: NDArray[np.float64], log: bool) -> NDArray[np.float64]:
    """Return values, those that have no place on the scale not a number."""
    return np.where((np.abs(values) <= _LARGEST[log]) & ((values > 0) | (not log)), values, np.nan)


def _edges(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of the cells around some places, half way between them; a single one has some room too."""
    if len(places) == 1:
        room = max(0.5, 0.1 * abs(float(places[0])))
        return np.array([places[0] - room, places[0] + room])
    between = places[:-1] / 2 + places[1:] / 2
    return np.array([2 * places[0] - between[0], *between, 2 * places[-1] - between[-1]])


def _draw(figure: Figure, axes: Axes, series: Series, log: bool, inches: float) -> None:
    if series.coordinate is not None:
        _draw_several(figure, axes, series, log, inches)
        return
    shown = _with_place(series.values, log)
    axes.plot(series.times, shown, color="#35608d", linewidth=1.4, marker="." if len(shown) <= _FEW else None)
    axes.set_ylabel(**words(figure, "ylabel", name_of(series), inches))
    axes.ticklabel_format(axis="y", useOffset=False)
    known = shown[np.isfinite(shown)]
    if known.size and np.ptp(known) <= _ROUNDING * np.abs(known).max():  # not as if rounding were a change
        middle, room = float(known.mean()), 0.1 * float(np.abs(known).max()) or 1.0
        axes.set_ylim(middle - room, middle + room)
    if log and known.size:
        axes.set_yscale("log")
    if not known.size:
        why = "nothing was measured yet" if not len(shown) else "no value to show"
        axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color="0.4")
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
