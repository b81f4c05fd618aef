"""Who owns what: the global grid and the subdomain of a rank.  Axes are ordered (z, y, x)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.cores import Placement, alone, placement
from parsolve.kernels.device import Device, find_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mpi4py import MPI

    from parsolve.case import Axis

AXES = ("z", "y", "x")
Triple = tuple[int, int, int]
Starts = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
SLAB = 1 << 18  # cells of values that are evaluated or read in one go


@dataclass(frozen=True)
class Grid:
    """Cell-centred grid; an axis that is not in ``names`` has one cell and no ghosts.

    Attributes:
        names: axes present, x first.
        cells: number of cells (z, y, x).
        lower: coordinate of the lower face of the first cell.
        spacing: cell size.
        periodic: whether the axis closes on itself.
        anti: whether it does so with the opposite sign.
    """

    names: tuple[str, ...]
    cells: Triple
    lower: tuple[float, float, float]
    spacing: tuple[float, float, float]
    periodic: tuple[bool, bool, bool]
    anti: tuple[bool, bool, bool] = (False, False, False)

    @classmethod
    def of(cls, axes: Mapping[str, Axis]) -> Grid:
        """Grid of the ``[grid]`` table of a case."""
        names = tuple(name for name in "xyz" if name in axes)
        cells, lower, spacing, periodic, anti = zip(*(_numbers(axes.get(name)) for name in AXES), strict=True)
        return cls(names, cells, lower, spacing, periodic, anti)

    @property
    def ndim(self) -> int:
        """Number of axes present."""
        return len(self.names)

    @property
    def size(self) -> int:
        """Number of cells."""
        nz, ny, nx = self.cells
        return nz * ny * nx

    @property
    def present(self) -> tuple[bool, bool, bool]:
        """Whether z, y, x are axes of the grid."""
        z, y, x = (name in self.names for name in AXES)
        return z, y, x

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells of the axes present, slowest first, as NumPy writes it."""
        return tuple(n for n, present in zip(self.cells, self.present, strict=True) if present)

    def side_shape(self, side: str) -> Triple:
        """Shape (z, y, x) of the layer of cells at a side such as "xmin"."""
        z, y, x = (1 if axis == side[0] else n for axis, n in zip(AXES, self.cells, strict=True))
        return z, y, x

    def coordinates(self, axis: str) -> np.ndarray:
        """Cell centres along an axis: lower + (i + 1/2) spacing."""
        d = AXES.index(axis)
        centres = np.arange(self.cells[d], dtype=np.float64)
        centres += 0.5
        centres *= self.spacing[d]
        centres += self.lower[d]
        return centres


def _numbers(axis: Axis | None) -> tuple[int, float, float, bool, bool]:
    """Cells, lower end, spacing, periodic and anti-periodic of an axis; of an absent one: a single cell."""
    if axis is None:
        return 1, 0.0, 1.0, True, False
    low, high = map(float, axis.range)
    return axis.cells, low, (high - low) / axis.cells, axis.periodic is not False, axis.periodic == "anti"


@dataclass(frozen=True)
class Subdomain:
    """What a rank owns: cells [start, stop) of the grid, with ghosts around it on each axis present.

    Attributes:
        starts: along z, y, x the first cell of each rank of the process grid, and the end.
        ghosts: depth of the ghost cells (z, y, x), 0 along an absent axis.
        device: where its fields live.
        threads: of the rank, which work on it together.
        placement: how the ranks sit on nodes.
    """

    grid: Grid
    comm: MPI.Intracomm
    starts: Starts
    ghosts: Triple
    device: Device
    threads: int = 1
    placement: Placement = field(default_factory=alone)

    @cached_property
    def processes(self) -> Triple:
        """Ranks along z, y, x."""
        z, y, x = (len(edges) - 1 for edges in self.starts)
        return z, y, x

    @property
    def is_crowded(self) -> bool:
        """Whether a node has more threads of ranks than cores."""
        return self.placement.is_crowded(self.threads)

    @cached_property
    def coords(self) -> Triple:
        """Position of this rank in the process grid."""
        z, y, x = np.unravel_index(self.comm.rank, self.processes)
        return int(z), int(y), int(x)

    @cached_property
    def start(self) -> Triple:
        """Global index of the first owned cell."""
        z, y, x = (edges[c] for edges, c in zip(self.starts, self.coords, strict=True))
        return z, y, x

    @cached_property
    def stop(self) -> Triple:
        """Global index after the last owned cell."""
        z, y, x = (edges[c + 1] for edges, c in zip(self.starts, self.coords, strict=True))
        return z, y, x

    @cached_property
    def shape(self) -> Triple:
        """Owned cells (z, y, x)."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    def neighbour(self, axis: int, side: int) -> int | None:
        """Rank beyond the lower (side 0) or upper (1) face along an axis; None at the edge of the domain.

        On a periodic axis that is not split the neighbour is the rank itself.
        """
        coords = list(self.coords)
        coords[axis] += 1 if side else -1
        if not 0 <= coords[axis] < self.processes[axis]:
            if not self.grid.periodic[axis]:
                return None
            coords[axis] %= self.processes[axis]
        return int(np.ravel_multi_index(coords, self.processes))

    def is_physical(self, axis: int, side: int) -> bool:
        """Whether the face is part of the boundary of the domain."""
        return self.grid.present[axis] and self.neighbour(axis, side) is None


def regular(
    grid: Grid, comm: MPI.Intracomm, processes: Triple, depth: int, *, multiple: int = 1, device: Device | None = None
) -> Subdomain:
    """The subdomain of this rank in nearly equal boxes, with so many ghosts along each axis present; collective.

    With ``multiple`` = 2^levels boxes begin at multiples of it, so that the grid can be coarsened on each rank.
    """
    z, y, x = (depth if present else 0 for present in grid.present)
    starts = split_grid(grid, processes, multiple)
    return Subdomain(grid, comm, starts, (z, y, x), device or find_device(), placement=placement(comm))


def split_grid(grid: Grid, processes: Triple, multiple: int = 1) -> Starts:
    """Starts of nearly equal boxes along z, y, x, each at a multiple of a number."""
    z, y, x = (
        tuple(split(n, p, multiple if present else 1))
        for n, p, present in zip(grid.cells, processes, grid.present, strict=True)
    )
    return z, y, x


def smallest_and_largest(grid: Grid, processes: Triple) -> tuple[Triple, Triple]:
    """Shapes (z, y, x) of the smallest and the largest box of ``split_grid``."""
    z, y, x = ((n // p, -(-n // p)) for n, p in zip(grid.cells, processes, strict=True))
    return (z[0], y[0], x[0]), (z[1], y[1], x[1])


def split(cells: int, parts: int, multiple: int = 1) -> list[int]:
    """Starts of ``parts`` nearly equal pieces and the end.

    The first ``cells % parts`` pieces have one cell more.  With ``multiple`` pieces of so many cells are shared out;
    what is left over belongs to the last one.
    """
    size, more = divmod(cells // multiple, parts)
    return [*((i * size + min(i, more)) * multiple for i in range(parts)), cells]


def slabs(shape: Triple, most: int = SLAB) -> Iterator[tuple[Triple, Triple]]:
    """Starts and shapes of boxes of at most so many cells that make up a box of this shape; most are whole layers."""
    if shape[0] * shape[1] * shape[2] <= most:
        yield (0, 0, 0), shape
        return
    axis = next(d for d in range(3) if shape[d] > 1)
    step = max(1, most * shape[axis] // (shape[0] * shape[1] * shape[2]))
    for first in range(0, shape[axis], step):
        extent = [*shape]
        extent[axis] = min(step, shape[axis] - first)
        for inner, part in slabs((extent[0], extent[1], extent[2]), most):
            start = [*inner]
            start[axis] += first
            yield (start[0], start[1], start[2]), part
