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
    from collections.abc import Mapping, Sequence
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
    """Return the plane or line to show; 3-D without a word is cut in the middle of z.

    Raises:
        CaseError: `text` is not "axis=position", or several with commas between them, that leave an axis.
    """
    if text is None:
        middle = sum(range_of(result, "z")) / 2 if len(result.axes) == 3 else None
        return _cut(result, {} if middle is None else {"z": middle})
    if len(result.axes) == 1:
        raise CaseError(f"slice '{text}': the result has one axis, which is shown as a line; leave it out")
    places = _places(result, "slice", text)
    if len(places) == len(result.axes):
        raise CaseError(f"slice '{text}': leaves no axis to show; leave one out")
    return _cut(result, places)


def choose_lines(result: Shown, texts: Sequence[str]) -> list[Cut]:
    """Return the lines to show, which are along the same axis.

    Raises:
        CaseError: one leaves another number of axes than one, or they are along several.
    """
    cuts = []
    for text in texts:
        if len(result.axes) == 1:
            raise CaseError(f"--line {text}: the result has one axis, which is shown as a line; leave it out")
        cuts.append(_cut(result, _places(result, "--line", text)))
        if len(cuts[-1].axes) != 1:
            left = " and ".join(sorted(cuts[-1].axes)) or "no axis"
            example = ",".join(f"{axis}={sum(range_of(result, axis)) / 2:g}" for axis in result.axes[:-1][::-1])
            raise CaseError(f"--line {text}: leaves {left}, where a line has one axis; write e.g. {example}")
    if len({cut.axes for cut in cuts}) > 1:
        axes = " and ".join(sorted({cut.axes[0] for cut in cuts}))
        raise CaseError(f"--line: the lines are along {axes}; in one picture all are along one axis")
    return cuts


def _places(result: Shown, option: str, text: str) -> dict[str, float]:
    """Return the positions of "axis=position", or of several with commas between them.

    Raises:
        CaseError: it is not such a text, or a position is not in the result.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        axis, _, position = (word.strip() for word in part.partition("="))
        if axis not in result.axes:
            axes = ", ".join(sorted(result.axes))
            raise CaseError(f"{option} '{text}': no axis '{axis}' to cut; write axis=position with one of {axes}")
        if axis in found:
            raise CaseError(f"{option} '{text}': {axis} is there twice")
        low, high = range_of(result, axis)
        try:
            found[axis] = float(position)
        except ValueError:
            example = f"{axis}={(low + high) / 2:g}"
            raise CaseError(f"{option} '{text}': '{position}' is not a number; write e.g. {example}") from None
        if not low <= found[axis] <= high:
            raise CaseError(f"{option} '{text}': {axis} is from {low:g} to {high:g}")
    return found


def _cut(result: Shown, places: Mapping[str, float]) -> Cut:
    """Return what is left of a field at some positions: the cells that are nearest."""
    index: list[slice | int] = []
    notes = []
    for axis, count in zip(result.axes, result.grid.shape, strict=True):
        if axis not in places:
            index.append(_thin(count))
            continue
        centres = result.grid.coordinates(axis)
        cell = int(np.argmin(np.abs(centres - places[axis])))
        index.append(cell)
        notes.append(f"{axis} = {centres[cell]:.4g} {result.units(axis)}".rstrip())
    return Cut(tuple(index), tuple(a for a in result.axes if a not in places), ", ".join(notes[::-1]))


def _thin(count: int) -> Any:
    """Return the slice of an axis that reads no more cells than a picture has pixels."""
    return np.s_[:: max(1, math.ceil(count / _PIXELS))]


def choose_times(result: Shown, time: float | None, most: int) -> list[int]:
    """Return which frames to show: the one nearest to `time`, or up to `most`, evenly picked to the last."""
    count = len(result.times)
    if time is None:
        return [count - 1] if most == 1 else sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})
    return [frame_near(result, time)]


def frame_near(result: Shown, time: float) -> int:
    """Return the index of the frame nearest to a time.

    Raises:
        CaseError: the times of the frames begin after it, or end before it.
    """
    first, last = float(result.times[0]), float(result.times[-1])
    slack = 1e-9 * max(abs(first), abs(last))
    if not first - slack <= time <= last + slack:
        raise CaseError(f"{result.path}: no time {time:g}; times are from {first:g} to {last:g}")
    return int(np.argmin(np.abs(result.times - time)))


def position_of(result: Shown, cut: Cut, axis: str) -> NDArray[np.float64]:
    """Return where the cells are that are shown of an axis."""
    return result.grid.coordinates(axis)[cut.index[result.axes.index(axis)]]


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
