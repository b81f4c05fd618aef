"""The process grid: how many ranks along each axis."""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import AXES, Grid, Triple
from parsolve.errors import CaseError, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A subdomain thinner than this along a split axis is mostly halo; x is split rather than going below it.
THIN = 8
MOST_RANKS = 2**31 - 1  # that MPI can count


def choose_processes(
    grid: Grid, size: int, ghost: int, closure: int = 1, processes: Mapping[str, int] | None = None
) -> Triple:
    """Process grid (z, y, x) with enough cells a rank along each split axis.

    Args:
        grid: the global grid.
        size: number of ranks.
        ghost: depth of the ghost cells.
        closure: owned cells that a boundary condition reads.
        processes: ranks along each axis, or None: least halo surface, with x whole where that leaves no slivers.

    Raises:
        SetupError: more ranks than the grid can be split into.
        CaseError: a process grid that does not fit.
    """
    least = max(ghost, closure)
    chosen = best_processes(grid, size, least) if processes is None else given_processes(grid, size, processes)
    for d, axis in enumerate(AXES):
        smallest = grid.cells[d] // chosen[d]
        if chosen[d] > 1 and smallest < least:
            raise SetupError(
                f"axis {axis}: {grid.cells[d]} cells over {chosen[d]} ranks leave {smallest} a rank, but the ghost "
                f"depth is {least}; use fewer ranks along {axis}"
            )
        if grid.present[d] and not grid.periodic[d] and grid.cells[d] < closure:
            needed = f"the boundary condition needs at least {closure} cells"
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
    """Process grid (z, y, x) with the least halo surface a rank; x stays whole while slabs have THIN cells.

    Raises:
        SetupError: with so many ranks some would have fewer than ``least`` cells along an axis.
    """
    z, y, x = (max(1, n // least) if there else 1 for n, there in zip(grid.cells, grid.present, strict=True))

    def thinnest(p: Triple) -> float:
        return min((n // q for n, q in zip(grid.cells, p, strict=True) if q > 1), default=math.inf)

    def surface(p: Triple) -> float:
        nz, ny, nx = (n / q for n, q in zip(grid.cells, p, strict=True))
        return (p[0] > 1) * ny * nx + (p[1] > 1) * nz * nx + (p[2] > 1) * nz * ny

    fitting = factorizations(size, (z, y, x)) if size <= min(z * y * x, MOST_RANKS) else ()
    best = min(fitting, key=lambda p: (thinnest(p) < THIN, p[2] > 1, surface(p), p[2], p[1]), default=None)
    if best is None:
        cells = " x ".join(str(n) for n in reversed(grid.shape))
        raise SetupError(
            f"{size} ranks for {cells} cells leave subdomains thinner than the ghost depth {least}; "
            f"use at most {_most_ranks(size, (z, y, x))} ranks"
        )
    return best


def factorizations(size: int, most: Triple | None = None) -> Iterator[Triple]:
    """All (z, y, x) with z*y*x = size, none of them larger than that of ``most``."""
    small = [n for n in range(1, math.isqrt(size) + 1) if size % n == 0]
    divisors = sorted({*small, *(size // n for n in small)})
    along = [[n for n in divisors if n <= bound] for bound in most or (size, size, size)]
    for z, y in product(along[0], along[1]):
        x, rest = divmod(size, z * y)
        if not rest and x <= along[2][-1]:
            yield z, y, x


def _most_ranks(size: int, most: Triple) -> int:
    """The largest z*y*x below a size with none of them larger than that of ``most``.

    Of the factors the smallest is at most the cube root of the product, and the next at most the root of the rest.
    """
    bound = min(size - 1, math.prod(most), MOST_RANKS)
    best = 1
    for small, middle, large in permutations(most):
        for a in range(1, min(small, round(bound ** (1 / 3)) + 1) + 1):
            b = np.arange(1, min(middle, math.isqrt(bound // a)) + 1)
            best = max(best, int((a * b * np.minimum(large, bound // (a * b))).max(initial=1)))
            if best == bound:
                return best
    return best
