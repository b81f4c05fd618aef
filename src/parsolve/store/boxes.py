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

from parsolve.domain.grid import split
from parsolve.errors import agreed

if TYPE_CHECKING:
    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain

SLAB = 4 << 20  # bytes packed and written at once: large for the disk, small enough to stay in cache between the two


class BoxWriter:
    """Writes this rank's share of the layers; memory is bounded by a slab or, if larger, one layer. Collective."""

    def __init__(self, domain: Subdomain, dtype: np.dtype[np.generic]) -> None:
        from mpi4py import MPI

        cells, shape = domain.grid.cells, domain.shape
        # Layers are counted along the slowest axis that has more than one cell.
        self._axis = axis = next((place for place in range(3) if cells[place] > 1), 2)
        self._start = domain.start[axis]
        self._layer = domain.grid.size // cells[axis]  # cells of a whole layer
        self._part = math.prod(shape) // shape[axis]  # cells of a layer in this box
        self._cells = cells
        self._kind = MPI.Datatype.fromcode(dtype.char)
        self._group = domain.comm.Split(domain.coords[axis], domain.comm.rank)
        self._boxes: list[tuple[list[int], list[int]]] = self._group.allgather((list(domain.start), list(shape)))
        size = self._group.size
        most = max(1, SLAB // (self._layer * dtype.itemsize))
        rounds = -(-shape[axis] // (most * size))
        self._bounds = split(shape[axis], rounds * size)
        most = -(-shape[axis] // (rounds * size))
        with agreed(domain.comm):
            self._packed = np.empty(most * size * self._part, dtype)
            self._slab = np.empty(most * self._layer if size > 1 else 0, dtype)

    def write(self, file: MPI.File, offset: int, owned: NDArray[np.generic]) -> MPI.Exception | None:
        """Write the boxes of one array, which begins at a byte offset; return what failed here, if anything.

        A rank that cannot write still takes part in the exchange, so that the others do not wait for it.
        """
        from mpi4py import MPI

        error: MPI.Exception | None = None
        size = self._group.size
        for block in range(0, len(self._bounds) - 1, size):
            bounds = self._bounds[block : block + size + 1]
            packed = self._pack(owned, bounds)
            first = bounds[self._group.rank]
            values = packed if size == 1 else self._exchange(packed, bounds)
            if values.size and error is None:
                try:
                    status = MPI.Status()
                    file.Write_at(offset + (self._start + first) * self._layer * values.itemsize, values, status)
                    if status.Get_count(MPI.BYTE) != values.nbytes:  # some libraries raise nothing
                        raise MPI.Exception(MPI.ERR_IO)
                except MPI.Exception as caught:
                    error = caught
        return error

    def free(self) -> None:
        """Give the group's communicator back; collective."""
        self._group.Free()

    def _pack(self, owned: NDArray[np.generic], bounds: list[int]) -> NDArray[np.generic]:
        """Return the layers of a round of this box as one run of memory."""
        part = owned[(slice(None),) * self._axis + (slice(bounds[0], bounds[-1]),)]
        packed = self._packed[: part.size]
        np.copyto(packed.reshape(part.shape), part)
        return packed

    def _exchange(self, packed: NDArray[np.generic], bounds: list[int]) -> NDArray[np.generic]:
        """Return this rank's whole layers, put together from the boxes of its group; collective."""
        ranks = range(self._group.size)
        item = packed.itemsize
        counts = [(bounds[rank + 1] - bounds[rank]) * self._part for rank in ranks]
        starts = [(bounds[rank] - bounds[0]) * self._part * item for rank in ranks]
        layers = bounds[self._group.rank + 1] - bounds[self._group.rank]
        slab = self._slab[: layers * self._layer]
        kinds = [self._box_in_slab(box, layers) for box in self._boxes] if layers else [self._kind for _ in ranks]
        try:
            self._group.Alltoallw(
                [packed, counts, starts, [self._kind for _ in ranks]],
                [slab, [min(layers, 1) for _ in ranks], [0 for _ in ranks], kinds],
            )
        finally:
            for kind in kinds if layers else ():
                kind.Free()
        return slab

    def _box_in_slab(self, box: tuple[list[int], list[int]], layers: int) -> MPI.Datatype:
        """Return the place of another rank's box in a slab of whole layers, as an MPI type."""
        whole, shape, start = list(self._cells), list(box[1]), list(box[0])
        whole[self._axis] = shape[self._axis] = layers
        start[self._axis] = 0
        return self._kind.Create_subarray(whole, shape, start).Commit()
