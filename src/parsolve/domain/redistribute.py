"""Values moved between ranks: each has the cells of one box of the grid and gets those of another."""

from __future__ import annotations

from itertools import pairwise, product, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.field import Box
from parsolve.errors import agreed

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain, Triple

PIECE = 1 << 20  # bytes sent at once: they take far longer than a message, and are in cache still when unpacked
TAG = 1001  # halo exchanges use small numbers
NOTHING = Box((0, 0, 0), (0, 0, 0))


class Redistribution:
    """A plan, made once, that turns arrays over the boxes that ranks have into arrays over those that they want.

    Ranks whose boxes meet send each other packed pieces: rank r to r + s while it receives from r - s, s = 1, 2, ...
    So memory beside source and target is two pieces, no count is large, and there are no MPI types to free (with them,
    which MPI packs itself, it takes three times as long: MPICH 5).

    Args:
        comm: its ranks take part in each call; making the plan sends nothing.
        have: the box of global cells of each rank, the same list on all; none in two boxes.
        want: likewise; these may overlap. Boxes of both kinds may be empty.
    """

    def __init__(self, comm: MPI.Comm, have: Sequence[Box], want: Sequence[Box]) -> None:
        rank, size = comm.rank, comm.size
        self._comm = comm
        self._have, self._want = have[rank], want[rank]
        # To whom, from whom, and the boxes of these messages; first of all to itself.
        self._steps: list[tuple[int, int, Box, Box]] = []
        for s in range(size):
            to, origin = (rank + s) % size, (rank - s) % size
            sent, received = _common(have[rank], want[to]), _common(have[origin], want[rank])
            if not (sent.is_empty and received.is_empty):
                self._steps.append((to, origin, sent, received))

    @property
    def shape(self) -> Triple:
        """Shape (z, y, x) of this rank's target."""
        return _shape(self._want)

    def __call__(self, source: NDArray[Any], target: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the values of the cells that this rank wants; collective.

        Args:
            source: over the box that this rank has, of any type and strides.
            target: over the box that it wants, of the same type, to be filled; by default a new array. Cells that no
                rank has stay as they are, in a new array 0.

        Raises:
            ResourceError: no memory for a new target on some rank; the same on all.
        """
        if target is None:
            with agreed(self._comm):
                target = np.zeros(self.shape, source.dtype)
        if (source.shape, target.shape, target.dtype) != (_shape(self._have), self.shape, source.dtype):
            raise ValueError(f"the plan takes {_shape(self._have)} to {self.shape}, not {source.shape} {source.dtype} "
                             f"to {target.shape} {target.dtype}")  # fmt: skip
        for to, origin, sent, received in self._steps:
            out, into = _part(source, self._have, sent), _part(target, self._want, received)
            if to == self._comm.rank:
                into[...] = out
            else:
                for piece, space in zip_longest(_pieces(out), _pieces(into), fillvalue=out[:0]):
                    self._exchange(piece, to, space, origin)
        return target

    def _exchange(self, sent: NDArray[Any], to: int, received: NDArray[Any], origin: int) -> None:
        """Send a piece and receive one; an empty one is none."""
        from mpi4py import MPI

        out = np.ascontiguousarray(sent)
        into = received if received.flags.c_contiguous else np.empty(received.shape, received.dtype)
        self._comm.Sendrecv(
            _bytes(out), to if out.size else MPI.PROC_NULL, TAG,
            _bytes(into), origin if into.size else MPI.PROC_NULL, TAG,
        )  # fmt: skip
        if into is not received:
            received[...] = into


def boxes(subdomain: Subdomain) -> list[Box]:
    """Return the box of global cells that each rank owns."""
    places = product(*map(pairwise, subdomain.starts))
    return [Box((z[0], y[0], x[0]), (z[1], y[1], x[1])) for z, y, x in places]


def gather(values: NDArray[Any], subdomain: Subdomain, root: int = 0) -> NDArray[Any] | None:
    """Return the owned ``values`` of all ranks as one array of the grid's shape, on one rank; None elsewhere.

    Collective. ``gather(field.owned, field.subdomain)`` is a whole field.

    Raises:
        ResourceError: no memory for it; the same on all ranks.
    """
    whole = _assemble(values, subdomain, (root,))
    return whole if subdomain.comm.rank == root else None


def allgather(values: NDArray[Any], subdomain: Subdomain) -> NDArray[Any]:
    """Return the owned ``values`` of all ranks as one array of the grid's shape, on every rank; collective.

    Raises:
        ResourceError: as ``gather``.
    """
    return _assemble(values, subdomain, range(subdomain.comm.size))


def _assemble(values: NDArray[Any], subdomain: Subdomain, roots: Container[int]) -> NDArray[Any]:
    """The whole array on some ranks, nothing on the others."""
    comm, grid = subdomain.comm, subdomain.grid
    whole = Box((0, 0, 0), grid.cells)
    want = [whole if rank in roots else NOTHING for rank in range(comm.size)]
    got = Redistribution(comm, boxes(subdomain), want)(values)
    return got.reshape(grid.shape) if got.size else got


def _pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Views of at most PIECE bytes, or one cell, that make up an array; the same cuts for the same shape and type."""
    if values.size > max(1, PIECE // values.itemsize):
        axis = next(d for d, n in enumerate(values.shape) if n > 1)
        for half in np.array_split(values, 2, axis):
            yield from _pieces(half)
    elif values.size:
        yield values


def _bytes(piece: NDArray[Any]) -> NDArray[np.uint8]:
    return piece.reshape(-1).view(np.uint8)


def _shape(box: Box) -> Triple:
    z, y, x = (max(0, hi - lo) for lo, hi in zip(box.lo, box.hi, strict=True))
    return z, y, x


def _common(a: Box, b: Box) -> Box:
    """The cells that two boxes share."""
    z, y, x = map(max, a.lo, b.lo)
    above_z, above_y, above_x = map(min, a.hi, b.hi)
    box = Box((z, y, x), (above_z, above_y, above_x))
    return NOTHING if box.is_empty else box


def _part(values: NDArray[Any], box: Box, part: Box) -> NDArray[Any]:
    """The values in a part of the box that an array covers."""
    return values[tuple(slice(a - o, b - o) for a, b, o in zip(part.lo, part.hi, box.lo, strict=True))]
