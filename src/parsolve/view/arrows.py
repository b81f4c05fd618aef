"""Two fields as the parts of a vector, over a map: arrows or streamlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import CaseError
from parsolve.view.cut import choose_field, position_of
from parsolve.view.figures import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from parsolve.store.result import Result
    from parsolve.view.cut import Cut

_ACROSS, _ACROSS_SMALL = 24, 14  # arrows along the longer axis, in a picture and in each of several
_LINES = 128  # cells along an axis from which streamlines are found


@dataclass(frozen=True)
class Vectors:
    """The two fields, along the horizontal and the vertical axis, and how they are drawn."""

    fields: tuple[str, str]
    option: str

    @classmethod
    def of(cls, result: Result, vectors: str | None, streamlines: str | None) -> Vectors | None:
        """Return what two options ask for, if anything.

        Raises:
            CaseError: both are given, or one does not name two fields.
        """
        if vectors is not None and streamlines is not None:
            raise CaseError("--vectors and --streamlines: one of them at a time")
        option, text = ("--vectors", vectors) if vectors is not None else ("--streamlines", streamlines)
        if text is None:
            return None
        names = [name.strip() for name in text.split(",")]
        if len(names) != 2:
            raise CaseError(f"{option} {text}: two fields are due, along x and y of the picture, as {option} u,v")
        first, second = (choose_field(result, name) for name in names)
        return cls((first, second), option)

    def draw(self, panels: Sequence[Axes], result: Result, cut: Cut, times: Sequence[int]) -> None:
        """Draw them over panels, each at its time; arrows of all panels have one scale.

        Raises:
            CaseError: the picture has not two axes of at least two cells.
            StorageError: they cannot be read.
        """
        if len(cut.axes) != 2:
            raise CaseError(f"{self.option}: needs a picture with two axes, and this one has {cut.axes[0]} alone")
        places = {axis: position_of(result, cut, axis) for axis in cut.axes}
        steps = self._steps(places, len(panels))
        chosen = tuple(slice(step // 2, None, step) for step in steps)
        positions = [places[axis][some] for axis, some in zip(cut.axes, chosen, strict=True)][::-1]
        if self.option == "--streamlines" and min(map(len, positions)) < 2:
            raise CaseError("--streamlines: needs at least two cells along each axis")
        parts = [[self._read(result, name, n, cut, chosen) for name in self.fields] for n in times]
        with np.errstate(over="ignore"):
            most = max(float(np.nanmax(np.hypot(*pair), initial=0.0)) for pair in parts)
        for panel, (across, up) in zip(panels, parts, strict=True):
            limits = panel.get_xlim(), panel.get_ylim()
            if self.option == "--streamlines":
                _streamlines(panel, positions, across, up, 1.1 if len(panels) == 1 else 0.6)
            elif most > 0:
                self._arrows(panel, positions, across / most, up / most, panel is panels[-1], result, most)
            panel.set(xlim=limits[0], ylim=limits[1])

    def _steps(self, places: Mapping[str, NDArray[Any]], panels: int) -> list[int]:
        """Return how many cells along each axis there are for an arrow, or for a point of streamlines."""
        arrows, least = (_ACROSS if panels == 1 else _ACROSS_SMALL), 1
        if self.option == "--streamlines":
            arrows, least = _LINES, 2
        step = round(max(map(len, places.values())) / arrows)
        return [max(1, min(step, len(place) // least)) for place in places.values()]

    def _read(self, result: Result, name: str, n: int, cut: Cut, chosen: tuple[slice, ...]) -> NDArray[np.float64]:
        values = result.read(name, n, cut.index)[chosen].astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)

    def _arrows(
        self, panel: Axes, positions: Sequence[NDArray[Any]], across: NDArray[Any], up: NDArray[Any], keyed: bool,
        result: Result, most: float,
    ) -> None:  # fmt: skip
        arrows = panel.quiver(
            *positions, across, up, scale=max(8, len(positions[0])), scale_units="width", units="width", width=0.004,
            headwidth=3.5, headlength=4.0, headaxislength=3.6, minlength=0.2, pivot="middle", color="white",
            edgecolor="black", linewidth=0.4,
        )  # fmt: skip
        if keyed:
            names, units = ", ".join(self.fields), result.units(self.fields[0])
            text = plain(f"({names}): {most:.3g} {units}".rstrip())
            panel.quiverkey(
                arrows, 0.955, 0.025, 1.0, text, labelpos="W", coordinates="figure", color="black",
                fontproperties={"size": 8},
            )  # fmt: skip


def _streamlines(
    panel: Axes, positions: Sequence[NDArray[Any]], across: NDArray[Any], up: NDArray[Any], density: float
) -> None:
    """Draw lines along the vectors, black within white, to be seen on every colour."""
    from matplotlib.patheffects import Normal, withStroke

    if not (np.hypot(across, up) > 0).any():
        return
    x, y = (np.linspace(position[0], position[-1], len(position)) for position in positions)
    u, v = (np.ma.masked_invalid(part) for part in (across, up))
    lines = panel.streamplot(x, y, u, v, color="black", linewidth=0.8, density=density, arrowsize=0.8)
    lines.lines.set_path_effects([withStroke(linewidth=2.0, foreground="white", alpha=0.6), Normal()])
