"""Small messages between ranks of one node: through memory that they share, which takes a fraction of MPI's time."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import LINE
from parsolve.kernels.library import Copy, MailboxEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpi4py import MPI
    from numpy.typing import DTypeLike

    from parsolve.kernels.device import Device

HEAD = LINE  # bytes before the buffers: the number of exchanges begun, on a cache line of its own
HALVES = SIDES = 2


class Mailbox:
    """Buffers for the exchange with both neighbours along an axis; made, used and freed by all ranks together.

    Args:
        comm: ranks of one node.
        peers: the lower and the upper neighbour; None: there is none.
        nbytes: of a buffer; the same on all ranks along the axis.
    """

    def __init__(self, comm: MPI.Intracomm, peers: Sequence[int | None], nbytes: int) -> None:
        from mpi4py import MPI

        self._nbytes, self._apart = nbytes, -(-nbytes // LINE) * LINE
        self._window = MPI.Win.Allocate_shared(HEAD + HALVES * SIDES * self._apart, comm=comm)
        self._own = self._memory(comm.rank)
        self._own[:HEAD] = 0
        self._theirs = [None if peer is None else self._memory(peer) for peer in peers]
        comm.Barrier()

    def _memory(self, rank: int) -> np.ndarray:
        return np.asarray(self._window.Shared_query(rank)[0]).view(np.uint8)

    def sent(self, half: int, side: int, shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
        """The buffer for what goes to the neighbour on a side."""
        return self._buffer(self._own, half, side, shape, dtype)

    def received(self, half: int, side: int, shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
        """The buffer in which the neighbour on a side puts what comes from it."""
        theirs = self._theirs[side]
        assert theirs is not None
        return self._buffer(theirs, half, 1 - side, shape, dtype)

    def _buffer(self, memory: np.ndarray, half: int, side: int, shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
        first = HEAD + (half * SIDES + side) * self._apart
        return memory[first : first + self._nbytes].view(dtype).reshape(shape)

    def bind(
        self, device: Device, packs: Sequence[Copy], unpacks: Sequence[Copy], dtype: str, yielding: bool
    ) -> tuple[Callable[[], int], Callable[[], int]]:
        """What begins and what ends an exchange; copies to and from the buffers are given half by half."""
        entry = MailboxEntry(count=len(packs) // HALVES, yielding=yielding, own=self._own.ctypes.data)
        entry.copy = ctypes.cast(device.function("copy", dtype), ctypes.c_void_p)  # type: ignore[arg-type]
        entry.packs, entry.unpacks = (Copy * len(packs))(*packs), (Copy * len(unpacks))(*unpacks)
        entry.awaited[:] = [None if memory is None else memory.ctypes.data for memory in self._theirs]
        handle = device.library.handle
        return partial(handle.ps_post, ctypes.byref(entry)), partial(handle.ps_collect, ctypes.byref(entry))

    def free(self) -> None:
        """Give the memory back; no exchange can follow."""
        self._own, self._theirs = np.empty(0, np.uint8), []
        self._window.Free()
