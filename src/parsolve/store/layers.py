"""All ranks' boxes of an array as runs of whole layers, each of which one rank writes.

A box is one run of bytes in the file only where the slowest axis alone is split. Otherwise the ranks that share the
same layers first exchange them, so that each holds whole layers; then too every write is large, contiguous and
independent. MPI-IO's collective writes do much the same, but when one rank cannot write, others may wait for ever
(tried: Open MPI 5).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.field import Box
from parsolve.domain.grid import split
from parsolve.domain.redistribute import NOTHING, Redistribution, boxes
from parsolve.errors import agreed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain, Triple

SLAB = 4 << 20  # bytes written at once: large for the disk, small enough to stay in cache after packing


class Layers:
    """A rank's share of the layers, in slabs; memory is bounded by a slab or, if larger, one layer. Collective."""

    def __init__(self, domain: Subdomain, dtype: np.dtype[np.generic]) -> None:
        comm, cells = domain.comm, domain.grid.cells
        # Layers are counted along the slowest axis that has more than one cell.
        axis = next((d for d in range(3) if cells[d] > 1), 2)
        layer = domain.grid.size // cells[axis] * dtype.itemsize  # bytes
        have = boxes(domain)
        first, last = domain.start[axis], domain.stop[axis]
        group = [rank for rank, box in enumerate(have) if box.lo[axis] == first]  # shares these layers
        most = max(1, SLAB // layer) * len(group)  # layers of a round
        bounds = [first + n for n in split(last - first, -(-(last - first) // most) * len(group))]
        self._rounds: list[tuple[int, Redistribution]] = []  # where a slab begins, and how it comes here
        for start in range(0, len(bounds) - 1, len(group)):
            want = [NOTHING] * comm.size
            for place, rank in enumerate(group, start):
                want[rank] = _whole(cells, axis, bounds[place], bounds[place + 1])
            self._rounds.append((want[comm.rank].lo[axis] * layer, Redistribution(comm, have, want)))
        with agreed(comm):
            self._slab = np.empty(max(math.prod(plan.shape) for _, plan in self._rounds), dtype)

    def empty(self) -> list[NDArray[Any]]:
        """Return arrays into which the slabs of an array fit."""
        return [np.empty(plan.shape, self._slab.dtype) for _, plan in self._rounds]

    def slabs(self, owned: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield this rank's slabs of an array: the byte where each begins, and its values, which hold until the next.

        Collective: all are to be taken, even by a rank that cannot write them, as others wait for what it sends.
        """
        for start, plan in self._rounds:
            yield start, plan(owned, self._slab[: math.prod(plan.shape)].reshape(plan.shape))


def _whole(cells: Triple, axis: int, lower: int, upper: int) -> Box:
    """The box of whole layers along an axis."""
    lo, hi = [0, 0, 0], list(cells)
    lo[axis], hi[axis] = lower, upper
    return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))
