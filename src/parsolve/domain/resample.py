"""A field from one grid on another one of the same domain, axis by axis.

Where the cells of one axis are whole parts of those of the other, sums stay: a coarse cell takes the mean of its parts,
a fine one the value at its centre of a straight line through the coarse mean, whose slope is limited so that no new
extremum appears (van Leer, J. Comput. Phys. 23 (1977) 276). Else values are interpolated linearly between centres, and
are constant beyond the outermost ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import SLAB, slabs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from parsolve.domain.grid import Grid, Triple

    Values = NDArray[np.float64]


def resampled(
    read: Callable[[tuple[NDArray[np.intp], ...]], Values], old: Grid, new: Grid, start: Triple, shape: Triple
) -> Values:
    """Return the values of the box (start, shape) of a new grid, float64.

    Args:
        read: gives the values at indices (z, y, x) of an old grid, as `np.ix_` combines them.
        old: whose values they are.
        new: of the same domain, with other numbers of cells.
        start: of the box.
        shape: of the box, in cells of the new grid.
    """
    values = np.empty(shape)
    axes = [_Axis(n, m, p, a) for n, m, p, a in zip(old.cells, new.cells, new.periodic, new.anti, strict=True)]
    for first, extent in slabs(shape, max(1, min(SLAB, SLAB * new.size // old.size))):  # of the old cells that are read
        box = [(a + b, n) for a, b, n in zip(start, first, extent, strict=True)]
        needed = [axis.needed(*part) for axis, part in zip(axes, box, strict=True)]
        part = read(tuple(axis.inside(places) for axis, places in zip(axes, needed, strict=True))).astype(np.float64)
        for d, axis in enumerate(axes):
            signs = axis.signs(needed[d]).reshape([-1 if e == d else 1 for e in range(3)])
            part = np.moveaxis(axis(np.moveaxis(part * signs, d, 0), *box[d]), 0, d)
        values[tuple(slice(a, a + n) for a, n in zip(first, extent, strict=True))] = part + 0.0  # no -0.0
    return values


@dataclass(frozen=True)
class _Axis:
    """From ``old`` cells along an axis to ``new`` ones."""

    old: int
    new: int
    periodic: bool
    anti: bool

    def needed(self, first: int, count: int) -> NDArray[np.intp]:
        """The old cells, also beyond the ends, from which new ones are made."""
        if self.old % self.new == 0:
            parts = self.old // self.new
            return np.arange(first * parts, (first + count) * parts)
        if self.new % self.old == 0:
            parts = self.new // self.old
            return np.arange(first // parts - 1, (first + count - 1) // parts + 2)
        lower = self._lower(first, count)
        return np.arange(lower[0], lower[-1] + 2)

    def inside(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """These cells, but of those beyond an end the ones that are meant."""
        return places % self.old if self.periodic else np.clip(places, 0, self.old - 1)

    def signs(self, places: NDArray[np.intp]) -> Values:
        """The signs with which they are meant."""
        return np.where(self.anti & (places // self.old % 2 != 0), -1.0, 1.0)

    def __call__(self, values: Values, first: int, count: int) -> Values:
        """The new values along axis 0, from those of the needed cells."""
        if self.old == self.new:
            return values
        if self.old % self.new == 0:
            parts = self.old // self.new
            scale = 0.5 ** (parts - 1).bit_length()  # exact, and no sum of parts is beyond all doubles
            total: Values = values[::parts] * scale  # in this order for any box
            for part in range(1, parts):
                total += values[part::parts] * scale
            total /= parts * scale
            pieces = values.reshape(count, parts, *values.shape[1:])
            return np.clip(total, pieces.min(axis=1), pieces.max(axis=1), out=total)
        if self.new % self.old == 0:
            parts = self.new // self.old
            cells = np.arange(first, first + count)
            place = cells // parts - first // parts + 1
            offset = ((cells % parts + 0.5) / parts - 0.5).reshape(-1, *[1] * (values.ndim - 1))
            lines: Values = values[place] + 4 * offset * self._slopes(values / 4)[place]  # no difference overflows
            return lines
        lower = self._lower(first, count)
        weight = (self._centres(first, count) - lower).reshape(-1, *[1] * (values.ndim - 1))
        below = lower - lower[0]
        one, other = values[below], values[below + 1]
        between: Values = (1 - weight) * one + weight * other
        return np.clip(between, np.minimum(one, other), np.maximum(one, other), out=between)

    def _slopes(self, values: Values) -> Values:
        """The limited slope of each cell but the outermost: at most twice the smaller difference, 0 at extrema."""
        slopes, difference = np.zeros_like(values), np.diff(values, axis=0)
        left, right = difference[:-1], difference[1:]
        least = 2 * np.minimum(np.abs(left), np.abs(right))
        limited = np.sign(left) * np.minimum(least, np.abs(left + right) / 2)
        slopes[1:-1] = np.where(np.sign(left) == np.sign(right), limited, 0.0)
        return slopes

    def _centres(self, first: int, count: int) -> Values:
        """The centres of new cells, in old cells from the centre of the first."""
        return np.arange(first + 0.5, first + count) * (self.old / self.new) - 0.5

    def _lower(self, first: int, count: int) -> NDArray[np.intp]:
        """The old cell whose centre is next below that of each new cell."""
        return np.floor(self._centres(first, count)).astype(np.intp)
