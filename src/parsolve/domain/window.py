"""Some of the owned cells of a rank as if they were all that it owns: fields that show a part of others."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from parsolve.domain.field import Field
from parsolve.domain.grid import Subdomain, Triple


@dataclass(frozen=True)
class Part(Subdomain):
    """A box of the owned cells of a rank; reductions over ranks add up what the parts give.

    Attributes:
        first: its first cell, counted from the first that the rank owns.
        extent: its cells.
    """

    first: Triple = (0, 0, 0)
    extent: Triple = (0, 0, 0)

    @classmethod
    def of(cls, sub: Subdomain, first: Triple, extent: Triple) -> Part:
        """The part of a subdomain."""
        return cls(**{f.name: getattr(sub, f.name) for f in fields(Subdomain)}, first=first, extent=extent)

    @cached_property
    def start(self) -> Triple:
        """Global index of the first cell."""
        z, y, x = (edges[c] + n for edges, c, n in zip(self.starts, self.coords, self.first, strict=True))
        return z, y, x

    @cached_property
    def stop(self) -> Triple:
        """Global index after the last cell."""
        z, y, x = (a + n for a, n in zip(self.start, self.extent, strict=True))
        return z, y, x

    @cached_property
    def shape(self) -> Triple:
        """Its cells (z, y, x)."""
        return self.extent


def window(f: Field, part: Part) -> Field:
    """A field that shows the cells of a part of another, and the cells around them as its ghosts."""
    shown = Field.__new__(Field)
    shown.name, shown.subdomain, shown.dtype, shown.origin, shown.memory = f.name, part, f.dtype, f.origin, f.memory
    box = tuple(slice(a, a + n) for a, n in zip(part.first, part.extent, strict=True))
    around = tuple(slice(s.start, s.stop + 2 * g) for s, g in zip(box, f.origin, strict=True))
    shown.array, shown.owned = f.array[around], f.owned[box]
    return shown


def parts(sub: Subdomain, most: int) -> list[Part]:
    """The owned cells in whole layers along the first axis that the grid has, so many cells or a layer in each."""
    axis = sub.grid.present.index(True)
    cells, count = sub.shape[0] * sub.shape[1] * sub.shape[2], sub.shape[axis]
    step = max(1, most * count // max(1, cells))
    found = []
    for n in range(0, count, step):
        first, extent = [0, 0, 0], [*sub.shape]
        first[axis], extent[axis] = n, min(step, count - n)
        found.append(Part.of(sub, (first[0], first[1], first[2]), (extent[0], extent[1], extent[2])))
    return found


def scratch(like: Field, part: Part, name: str, colour: int) -> Field:
    """A new field for the values of a part of another one, which kernels take together with windows of that one.

    Strides differ from those of a field of its own only along axes of one cell.
    """
    f, strides = Field(name, part, like.dtype, colour), like.array.strides
    f.array, f.owned = (np.lib.stride_tricks.as_strided(a, a.shape, strides) for a in (f.array, f.owned))
    return f


def moved(f: Field, part: Part) -> Field:
    """The same memory for another part of the same shape."""
    there = copy(f)
    there.subdomain = part
    return there
