"""Who owns what: the global grid and the subdomain of a rank.  Axes are ordered (z, y, x)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.cores import on_one_node
from parsolve.errors import CaseError, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mpi4py import MPI

    from parsolve.case import Axis

AXES = ("z", "y", "x")
Triple = tuple[int, int, int]
# A subdomain thinner than this along a split axis is mostly halo; x is split rather than going below it.
THIN = 8
SLAB = 1 << 20  # cells of values that are evaluated or read in one go


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

    def coordinates(self, axis: str) -> np.ndarray:
        """Cell centres along an axis: lower + (i + 1/2) spacing."""
        d = AXES.index(axis)
        return self.lower[d] + (np.arange(self.cells[d]) + 0.5) * self.spacing[d]


def _numbers(axis: Axis | None) -> tuple[int, float, float, bool, bool]:
    """Cells, lower end, spacing, periodic and anti-periodic of an axis; of an absent one: a single cell."""
    if axis is None:
        return 1, 0.0, 1.0, True, False
    low, high = map(float, axis.range)
    return axis.cells, low, (high - low) / axis.cells, axis.periodic is not False, axis.periodic == "anti"


@dataclass(frozen=True)
class Subdomain:
    """What a rank owns: cells [start, stop) of the grid, with ghosts around it on each axis present.

    ``ghost``, ``deep`` and ``whole`` are those of its ``Halo``; ``threads`` of the rank work on it together.
    """

    grid: Grid
    comm: MPI.Intracomm
    processes: Triple
    ghost: int
    deep: int = 0
    whole: bool = False
    threads: int = 1

    @cached_property
    def coords(self) -> Triple:
        """Position of this rank in the process grid."""
        return self._coords(self.comm.rank)

    def _coords(self, rank: int) -> Triple:
        z, y, x = np.unravel_index(rank, self.processes)
        return int(z), int(y), int(x)

    @cached_property
    def start(self) -> Triple:
        """Global index of the first owned cell."""
        z, y, x = (split(n, p)[c] for n, p, c in zip(self.grid.cells, self.processes, self.coords, strict=True))
        return z, y, x

    @cached_property
    def stop(self) -> Triple:
        """Global index after the last owned cell."""
        z, y, x = (split(n, p)[c + 1] for n, p, c in zip(self.grid.cells, self.processes, self.coords, strict=True))
        return z, y, x

    @property
    def shape(self) -> Triple:
        """Owned cells (z, y, x)."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def ghosts(self) -> Triple:
        """Depth of ghost cells (z, y, x)."""
        return ghost_depths(self.grid, self.processes, Halo(self.ghost, deep=self.deep, whole=self.whole))

    @cached_property
    def is_on_one_node(self) -> bool:
        """Whether all ranks run on one node; collective at first."""
        return on_one_node(self.comm)

    def is_deep(self, axis: int) -> bool:
        """Whether ghosts along an axis are exchanged as deep as a pass needs."""
        return is_deep(self.grid, self.processes, axis, self.whole)

    def is_closed(self, axis: int) -> bool:
        """Whether the tiles of a pass close the axis themselves."""
        return is_closed(self.grid, self.processes, axis, self.whole)

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


def split(cells: int, parts: int) -> list[int]:
    """Starts of ``parts`` nearly equal pieces and the end: the first ``cells % parts`` pieces have one cell more."""
    size, more = divmod(cells, parts)
    return [i * size + min(i, more) for i in range(parts + 1)]


def slabs(shape: Triple) -> Iterator[tuple[Triple, Triple]]:
    """Starts and shapes of slabs of at most SLAB cells, or one layer, that make up a box of this shape."""
    axis = 0 if shape[0] > 1 else 1
    layer = max(1, shape[0] * shape[1] * shape[2] // max(1, shape[axis]))
    step = max(1, SLAB // layer)
    for first in range(0, shape[axis], step):
        start, extent = [0, 0, 0], list(shape)
        start[axis], extent[axis] = first, min(step, shape[axis] - first)
        yield (start[0], start[1], start[2]), (extent[0], extent[1], extent[2])


@dataclass(frozen=True)
class Halo:
    """What a subdomain needs: depth of ghost cells, and owned cells that a physical boundary reads.

    ``deep``: depth where several stages run between two exchanges; 0: as ``ghost``.
    ``whole``: in such a pass the subdomain is a single tile.
    """

    ghost: int
    closure: int = 1
    deep: int = 0
    whole: bool = False


def is_closed(grid: Grid, processes: Triple, axis: int, whole: bool) -> bool:
    """Whether the tiles of a pass reach from end to end of a periodic axis: rows in 3-D, all axes of a single tile."""
    rows = grid.ndim == 3 and axis == 2
    return grid.present[axis] and grid.periodic[axis] and processes[axis] == 1 and (rows or whole)


def is_deep(grid: Grid, processes: Triple, axis: int, whole: bool) -> bool:
    """Whether a pass needs deep ghosts along an axis: values come from beyond, and tiles do not close it."""
    periodic = grid.present[axis] and grid.periodic[axis]
    return processes[axis] > 1 or (periodic and not is_closed(grid, processes, axis, whole))


def ghost_depths(grid: Grid, processes: Triple, halo: Halo) -> Triple:
    """Depth of ghost cells (z, y, x): none on an absent axis, deep where they are exchanged."""
    z, y, x = (
        0 if not present else max(halo.ghost, halo.deep) if is_deep(grid, processes, d, halo.whole) else halo.ghost
        for d, present in enumerate(grid.present)
    )
    return z, y, x


def decompose(
    grid: Grid, comm: MPI.Intracomm, halo: Halo, processes: Mapping[str, int] | None = None, threads: int = 1
) -> Subdomain:
    """Subdomain of this rank.

    Args:
        grid: the global grid.
        comm: its ranks share the grid.
        halo: depth of the ghost cells.
        processes: ranks along each axis, or None: least halo surface, with x whole where that leaves no slivers.
        threads: that each rank works with.

    Raises:
        SetupError: more ranks than the grid can be split into.
        CaseError: a process grid that does not fit.
    """
    chosen = choose_processes(grid, comm.size, halo, processes)
    return Subdomain(grid, comm, chosen, halo.ghost, halo.deep, halo.whole, threads)


def choose_processes(grid: Grid, size: int, halo: Halo, processes: Mapping[str, int] | None) -> Triple:
    """Process grid (z, y, x), given or the best, with enough cells a rank along each split axis.

    Raises:
        SetupError, CaseError: as ``decompose``.
    """
    least = max(halo.ghost, halo.closure)
    chosen = best_processes(grid, size, least) if processes is None else given_processes(grid, size, processes)
    for d, axis in enumerate(AXES):
        smallest = grid.cells[d] // chosen[d]
        if chosen[d] > 1 and smallest < least:
            raise SetupError(
                f"axis {axis}: {grid.cells[d]} cells over {chosen[d]} ranks leave {smallest} a rank, but the ghost "
                f"depth is {least}; use fewer ranks along {axis}"
            )
        if grid.present[d] and not grid.periodic[d] and grid.cells[d] < halo.closure:
            needed = f"the boundary condition needs at least {halo.closure} cells"
            raise CaseError(f"grid.{axis}.cells: {needed}; use order = 2")
    return chosen


def given_processes(grid: Grid, size: int, processes: Mapping[str, int]) -> Triple:
    """Process grid (z, y, x) of ``run.processes``."""
    wrong = [axis for axis in processes if axis not in grid.names]
    if wrong:
        raise CaseError(f"run.processes.{wrong[0]}: the grid has only {', '.join(grid.names)}")
    z, y, x = (processes.get(axis, 1) for axis in AXES)
    if z * y * x != size:
        text = " x ".join(str(processes.get(axis, 1)) for axis in grid.names)
        raise SetupError(
            f"run.processes: {text} is {z * y * x} ranks, but there are {size}; start with that many or leave it out"
        )
    return z, y, x


def best_processes(grid: Grid, size: int, least: int) -> Triple:
    """Process grid (z, y, x) with the least halo surface a rank; x stays whole while slabs have THIN cells."""

    def thinnest(p: Triple) -> int:
        return min((n // q for n, q in zip(grid.cells, p, strict=True) if q > 1), default=THIN)

    def surface(p: Triple) -> float:
        nz, ny, nx = (n / q for n, q in zip(grid.cells, p, strict=True))
        return (p[0] > 1) * ny * nx + (p[1] > 1) * nz * nx + (p[2] > 1) * nz * ny

    def fits(p: Triple) -> bool:
        splits_present = all(present or q == 1 for present, q in zip(grid.present, p, strict=True))
        return splits_present and thinnest(p) >= least

    fitting = [p for p in factorizations(size) if fits(p)]
    if not fitting:
        most = max(n for n in range(1, size) if any(fits(p) for p in factorizations(n)))
        cells = " x ".join(str(n) for n in reversed(grid.shape))
        raise SetupError(
            f"{size} ranks for {cells} cells leave subdomains thinner than the ghost depth {least}; "
            f"use at most {most} ranks"
        )
    return min(fitting, key=lambda p: (thinnest(p) < THIN, p[2] > 1, surface(p), p[2], p[1]))


def factorizations(size: int) -> Iterator[Triple]:
    """All (z, y, x) with z*y*x = size."""
    for z in range(1, size + 1):
        if size % z == 0:
            for y in range(1, size // z + 1):
                if size // z % y == 0:
                    yield z, y, size // z // y
