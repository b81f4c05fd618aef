"""All ranks' boxes of an array into one file, each rank writing runs of whole layers.

A box is one run of bytes in the file only where the slowest axis alone is split. Otherwise the ranks that share the
same layers first exchange them, so that each holds whole layers; then too every write is large, contiguous and
independent. MPI-IO's collective writes do much the same, but when one rank cannot write, others may wait for ever
(tried: Open MPI 5).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import Box
from parsolve.domain.grid import split
from parsolve.domain.redistribute import NOTHING, Redistribution
from parsolve.errors import agreed

if TYPE_CHECKING:
    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain, Triple

SLAB = 4 << 20  # bytes written at once: large for the disk, small enough to stay in cache after packing


class BoxWriter:
    """Writes this rank's share of the layers; memory is bounded by a slab or, if larger, one layer. Collective."""

    def __init__(self, domain: Subdomain, dtype: np.dtype[np.generic]) -> None:
        comm, cells = domain.comm, domain.grid.cells
        # Layers are counted along the slowest axis that has more than one cell.
        axis = next((d for d in range(3) if cells[d] > 1), 2)
        self._layer = domain.grid.size // cells[axis] * dtype.itemsize  # bytes
        have = comm.allgather(Box(domain.start, domain.stop))
        first, last = domain.start[axis], domain.stop[axis]
        group = [rank for rank, box in enumerate(have) if box.lo[axis] == first]  # shares these layers
        most = max(1, SLAB // self._layer) * len(group)  # layers of a round
        rounds = -(-(last - first) // most)
        bounds = [first + layer for layer in split(last - first, rounds * len(group))]
        self._rounds: list[tuple[int, Redistribution]] = []  # the first layer that is written, and how it comes here
        for start in range(0, len(bounds) - 1, len(group)):
            want = [NOTHING] * comm.size
            for place, rank in enumerate(group, start):
                want[rank] = _layers(domain.grid.cells, axis, bounds[place], bounds[place + 1])
            self._rounds.append((want[comm.rank].lo[axis], Redistribution(comm, have, want)))
        with agreed(comm):
            self._slab = np.empty(max(math.prod(plan.shape) for _, plan in self._rounds), dtype)

    def write(self, file: MPI.File, offset: int, owned: NDArray[np.generic]) -> MPI.Exception | None:
        """Write the boxes of one array, which begins at a byte offset; return what failed here, if anything.

        A rank that cannot write still takes part in the exchange, so that the others do not wait for it.
        """
        from mpi4py import MPI

        error: MPI.Exception | None = None
        for first, plan in self._rounds:
            values = plan(owned, self._slab[: math.prod(plan.shape)].reshape(plan.shape))
            if values.size and error is None:
                try:
                    status = MPI.Status()
                    file.Write_at(offset + first * self._layer, values, status)
                    if status.Get_count(MPI.BYTE) != values.nbytes:  # some libraries raise nothing
                        raise MPI.Exception(MPI.ERR_IO)
                except MPI.Exception as caught:
                    error = caught
        return error


def _layers(cells: Triple, axis: int, lower: int, upper: int) -> Box:
    """The box of whole layers along an axis."""
    lo, hi = [0, 0, 0], list(cells)
    lo[axis], hi[axis] = lower, upper
    return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))
