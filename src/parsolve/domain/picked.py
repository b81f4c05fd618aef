"""Some cells of a grid as a grid of their own: those of a plane, a line or a box, or every k-th of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parsolve.domain.field import Box
from parsolve.domain.grid import AXES, Grid, Triple
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 1e-9  # cells: what is nearer to an end is there
Place = float | tuple[float, float] | None  # of an axis: a point, a range, or all of it


@dataclass(frozen=True, kw_only=True)
class Picked(Grid):
    """Cells of a grid at equal distances; an axis of which one was picked at a point is none of its own.

    As a plane or line has no width, its ``lower`` end along that axis is the centre of the cells.

    Attributes:
        whole: the grid.
        first: the first cell that is picked, along z, y, x.
        stride: the distance of two of them in cells.
    """

    whole: Grid
    first: Triple
    stride: Triple

    @classmethod
    def at(cls, grid: Grid, places: Mapping[str, Place], strides: Mapping[str, int]) -> Picked:
        """The cells at these places: the one that has a point in it, of a face the one above; centres in a range.

        Raises:
            CaseError: a place is outside the grid, or has no cell; it begins with the axis.
        """
        found = [_along(grid, d, places.get(axis), strides.get(axis, 1)) for d, axis in enumerate(AXES)]
        first, cells, stride, lower, spacing, periodic = zip(*found, strict=True)
        names = tuple(name for name in grid.names if not isinstance(places.get(name), int | float))
        return cls(names, cells, lower, spacing, periodic, whole=grid, first=first, stride=stride)

    def coordinates(self, axis: str) -> np.ndarray:
        """Centres of the cells along an axis, with the bits that they have in the whole grid."""
        d = AXES.index(axis)
        return self.whole.coordinates(axis)[self.first[d] :: self.stride[d]][: self.cells[d]]

    def box(self, start: Triple, stop: Triple) -> Box:
        """The picked cells, counted as they are picked, among cells [start, stop) of the whole grid."""
        rules = tuple(zip(self.first, self.stride, self.cells, strict=True))
        (za, ya, xa), (zb, yb, xb) = (
            [min(max(-((f - at) // k), 0), n) for at, (f, k, n) in zip(ends, rules, strict=True)]
            for ends in (start, stop)
        )
        return Box((za, ya, xa), (zb, yb, xb))

    def most(self, shape: Triple) -> int:
        """How many picked cells there are at most among so many along each axis of the whole grid."""
        return math.prod(min(n, -(-there // k)) for n, there, k in zip(self.cells, shape, self.stride, strict=True))

    def of_values(self, values: NDArray[Any], start: Triple) -> NDArray[Any]:
        """The values of the picked cells among those of cells of the whole grid that begin at ``start``; a view."""
        nz, ny, nx = (a + n for a, n in zip(start, values.shape, strict=True))
        box, rules = self.box(start, (nz, ny, nx)), zip(self.first, self.stride, start, strict=True)
        firsts = [f + low * k - a for low, (f, k, a) in zip(box.lo, rules, strict=True)]
        counts = [max(0, b - a) for a, b in zip(box.lo, box.hi, strict=True)]
        places = zip(firsts, counts, self.stride, strict=True)
        return values[tuple(slice(f, f + n * k, k) if n else slice(0, 0) for f, n, k in places)]

    @property
    def text(self) -> str:
        """Where they are, in words."""
        said = [
            f"{name} = {self.whole.coordinates(name)[self.first[d]]:.6g}"
            for d, name in reversed([*enumerate(AXES)])
            if name in self.whole.names and name not in self.names
        ]
        for name in self.names:
            d, ends = AXES.index(name), self.coordinates(name)[[0, -1]]
            every = f", every {self.stride[d]} cells" if self.stride[d] > 1 else ""
            said.append(f"{name} from {ends[0]:.6g} to {ends[1]:.6g}{every}")
        return "; ".join(said)


def _along(grid: Grid, d: int, place: Place, stride: int) -> tuple[int, int, int, float, float, bool]:
    """Along an axis: first cell, how many, stride, lower end, distance, whether they close on themselves."""
    cells, low, width, axis = grid.cells[d], grid.lower[d], grid.spacing[d], AXES[d]
    for at in place if isinstance(place, tuple) else (place,):
        if at is not None and not -ROUNDING <= (at - low) / width <= cells + ROUNDING:
            raise CaseError(f"{axis}: {at:g} is outside the grid, which is from {low:g} to {low + cells * width:g}")
    if is_point := isinstance(place, int | float):
        first, count, stride = min(max(math.floor((place - low) / width), 0), cells - 1), 1, 1
    elif place is None:
        first, count = 0, -(-cells // stride)
    else:
        near, centres = ROUNDING * width, grid.coordinates(axis)
        first, stop = (int(centres.searchsorted(end)) for end in (place[0] - near, place[1] + near))
        if first >= stop:
            raise CaseError(f"{axis}: no centre of a cell is from {place[0]:g} to {place[1]:g}; give a point for one")
        count = -(-(stop - first) // stride)
    closes = grid.periodic[d] and first == 0 and count * stride == cells
    distance, centre = stride * width, low + (first + 0.5) * width
    return first, count, stride, centre if is_point else centre - 0.5 * distance, distance, closes
