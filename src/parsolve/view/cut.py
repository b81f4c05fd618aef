"""What of a result is shown: a field, a plane or line of it, which times; and what the axes are called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from parsolve.case.tables import nearest
from parsolve.domain.grid import AXES
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.domain.grid import Grid

_PIXELS = 2048  # more cells than this along an axis are not seen, so they are not read


class Shown(Protocol):
    """What is known beside the values: of a result, or of a state in memory."""

    @property
    def path(self) -> Path:
        """What it is called in messages."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes, slowest first."""

    @property
    def grid(self) -> Grid:
        """Of the fields."""

    @property
    def times(self) -> NDArray[np.float64]:
        """Of the frames."""

    @property
    def provenance(self) -> dict[str, str]:
        """Where it comes from, the title among it."""

    def units(self, name: str) -> str:
        """Return the unit of a field, an axis or the time; empty if it has none."""

    def long_name(self, name: str) -> str:
        """Return what a field or an axis means."""


@dataclass(frozen=True)
class Cut:
    """The part of a field that is shown: an index, the axes left (slowest first), words for the title."""

    index: tuple[slice | int, ...]
    axes: tuple[str, ...]
    note: str


def choose_field(result: Shown, name: str | None) -> str:
    """Return the name of the field to show, the first one unless said.

    Raises:
        CaseError: there is none of this name.
    """
    if name is not None and name not in result.fields:
        raise CaseError(f"{result.path}: no field '{name}'{nearest(name, result.fields, 'fields')}")
    return result.fields[0] if name is None else name


def choose_cut(result: Shown, text: str | None) -> Cut:
    """Return the plane or line to show; 3-D without a word is cut in the middle of z."""
    grid = result.grid
    steps = [_thin(count) for count in grid.shape]
    if text is None and len(result.axes) < 3:
        return Cut(tuple(steps), result.axes, "")
    axis, _, position = (text or "z=").partition("=")
    axis = axis.strip()
    if len(result.axes) == 1:
        raise CaseError(f"slice '{text}': the result has one axis, which is shown as a line; leave it out")
    if axis not in result.axes:
        axes = ", ".join(sorted(result.axes))
        raise CaseError(f"slice '{text}': no axis '{axis}' to cut; write axis=position with one of {axes}")
    place = result.axes.index(axis)
    centres, (low, high) = grid.coordinates(axis), range_of(result, axis)
    middle = (low + high) / 2
    try:
        value = float(position) if text is not None else middle
    except ValueError:
        raise CaseError(f"slice '{text}': '{position}' is not a number; write e.g. {axis}={middle:g}") from None
    if not low <= value <= high:
        raise CaseError(f"slice '{text}': {axis} is from {low:g} to {high:g}")
    cell = int(np.argmin(np.abs(centres - value)))
    index = (*steps[:place], cell, *steps[place + 1 :])
    return Cut(index, tuple(a for a in result.axes if a != axis), f"{axis} = {centres[cell]:.4g}")


def _thin(count: int) -> Any:
    """Return the slice of an axis that reads no more cells than a picture has pixels."""
    return np.s_[:: max(1, math.ceil(count / _PIXELS))]


def choose_times(result: Shown, time: float | None, most: int) -> list[int]:
    """Return which frames to show: the one nearest to `time`, or up to `most`, evenly picked to the last."""
    count = len(result.times)
    if time is None:
        return [count - 1] if most == 1 else sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})
    first, last = float(result.times[0]), float(result.times[-1])
    slack = 1e-9 * max(abs(first), abs(last))
    if not first - slack <= time <= last + slack:
        raise CaseError(f"{result.path}: no time {time:g}; times are from {first:g} to {last:g}")
    return [int(np.argmin(np.abs(result.times - time)))]


def range_of(result: Shown, axis: str) -> tuple[float, float]:
    """Return where an axis begins and ends."""
    place = AXES.index(axis)
    grid = result.grid
    return grid.lower[place], grid.lower[place] + grid.cells[place] * grid.spacing[place]


def time_text(result: Shown, index: int) -> str:
    """Return a time with its unit."""
    return f"t = {result.times[index]:.4g} {result.units('time')}".rstrip()


def label_of(result: Shown, name: str) -> str:
    """Return the name of a field or an axis, what it means and its unit, as far as the result says."""
    meaning, units = result.long_name(name), result.units(name)
    more = f", {meaning}" if meaning != name else ""
    return f"{name}{more}" + (f" ({units})" if units else "")
