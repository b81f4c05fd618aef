"""The ghost cells of fields: exchanged with neighbours, wrapped, or filled from boundary conditions.

Axes are served in the order x, y, z; what goes along an axis includes the ghosts of the axes before it, so that corners
arrive without messages of their own, and a ghost has the same bits on every decomposition.  Everything is planned once:
packed buffers, persistent requests, lists of copies.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.boundary import BoundaryFill, Conditions, Slab
from parsolve.domain.mailbox import Mailbox
from parsolve.kernels.library import Copy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpi4py import MPI

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Subdomain, Triple

SMALL = 64 << 10  # bytes to a neighbour that go through a mailbox; how measured: benchmarks/NOTES.md


@dataclass
class _Phase:
    """What one axis needs: work before its messages, the messages, and work after."""

    before: list[Callable[[float], object]] = field(default_factory=list)
    requests: list[MPI.Prequest] = field(default_factory=list)
    after: list[Callable[[float], object]] = field(default_factory=list)


class HaloExchange:
    """Fills the ghosts of some fields of one subdomain: ``start``, interior work, ``finish``; or ``fill`` for both.

    Ghosts along ``late_axes`` are complete only after ``finish``, the others after ``start``.

    Args:
        fields: fields of one layout and type.
        conditions: boundary conditions by field and side.
        depth: ghosts exchanged with neighbours along (z, y, x), or a number for all axes.
        boundary_depth: ghosts beyond physical faces.
        base: owned cells that a Dirichlet condition reads.
        yielding: give the core to other ranks while waiting; by default where there are more ranks than cores.
        signed: change the sign across the end of an anti-periodic axis.
        without: axes that are left alone.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Conditions,
        *,
        depth: int | Triple,
        boundary_depth: int,
        base: int,
        yielding: bool | None = None,
        signed: bool = True,
        without: Sequence[int] = (),
    ) -> None:
        self.fields = list(fields)
        self.subdomain = fields[0].subdomain
        self.depth = (depth, depth, depth) if isinstance(depth, int) else depth
        self.boundary_depth = boundary_depth
        self.yielding = self.subdomain.is_crowded if yielding is None else yielding
        self.signed = signed
        self.bytes_sent = 0
        self._keep: list[object] = []
        self._phases: list[_Phase] = []
        self._mailboxes: list[Mailbox] = []
        axes = [axis for axis in (2, 1, 0) if self.subdomain.grid.present[axis] and axis not in without]
        for axis in axes:
            phase = _Phase()
            fill = BoundaryFill(fields, conditions, axis, boundary_depth, base, self._slab(axis))
            if fill.count:
                phase.before.append(fill)
            if self.subdomain.processes[axis] > 1:
                self._messages(axis, phase)
            elif self.subdomain.grid.periodic[axis]:
                wraps = wrap_copies(self.fields, axis, self.depth[axis], self._slab(axis), signed=self.signed)
                phase.before.append(self._copies(wraps))
            self._phases.append(phase)
        self._first = next((i for i, axis in enumerate(axes) if self.subdomain.processes[axis] > 1), len(axes))
        self.late_axes = tuple(axes[self._first :])

    @property
    def is_split(self) -> bool:
        """Whether there are messages at all."""
        return self._first < len(self._phases)

    def start(self, time: float) -> None:
        """Do what needs no message, and start the first messages."""
        for phase in self._phases[: self._first + 1]:
            for work in phase.before:
                work(time)
        if self.is_split:
            _start(self._phases[self._first].requests)

    def finish(self, time: float) -> None:
        """Complete all ghosts; the time must be that of ``start``."""
        for phase in self._phases[self._first :]:
            if phase is not self._phases[self._first]:
                for work in phase.before:
                    work(time)
                _start(phase.requests)
            self._wait(phase.requests)
            for work in phase.after:
                work(time)

    def fill(self, time: float) -> None:
        """Complete all ghosts."""
        self.start(time)
        self.finish(time)

    def free(self) -> None:
        """Free the persistent requests and the memory that is shared; collective."""
        for phase in self._phases:
            for request in phase.requests:
                request.Free()
            phase.requests = []
        for mailbox in self._mailboxes:
            mailbox.free()
        self._mailboxes = []

    def _wait(self, requests: Sequence[MPI.Prequest]) -> None:
        if not requests:
            return
        if self.yielding:
            while not requests[0].Testall(requests):
                os.sched_yield()
        else:
            requests[0].Waitall(requests)

    def _slab(self, axis: int) -> Slab:
        """Tangential ranges: with ghosts along the axes served before, owned cells along the others."""
        slab = []
        for d, n in enumerate(self.subdomain.shape):
            physical = (self.subdomain.is_physical(d, side) for side in (0, 1))
            low, high = (self.boundary_depth if p else self.depth[d] for p in physical)
            slab.append((-low, n + high) if d > axis else (0, n))
        return slab

    def _messages(self, axis: int, phase: _Phase) -> None:
        """Exchange with both neighbours by what is fastest.

        Small slabs go through a mailbox where all ranks share a node, contiguous ones by persistent messages from where
        they are, others by packed ones.
        """
        planes = axis < 2 and not any(self.subdomain.grid.present[:axis])
        if self._is_small(axis):
            self._mailbox_messages(axis, phase)
        elif planes and not (self.subdomain.grid.anti[axis] and self.signed):
            self._plane_messages(axis, phase)
        else:
            self._packed_messages(axis, phase)

    def _plane_messages(self, axis: int, phase: _Phase) -> None:
        """Whole planes, with ghosts and padding, of each field; tag = 2 axis + direction + 6 number of the field."""
        comm, n, depth = self.subdomain.comm, self.subdomain.shape[axis], self.depth[axis]
        for side, peer in self._peers(axis):
            for i, f in enumerate(self.fields):
                planes = f.memory if axis == 0 else f.memory.reshape(-1, f.memory.shape[2])
                first = f.origin[axis] + (n if side else 0)
                received = planes[first : first + depth] if side else planes[first - depth : first]
                sent = planes[first - depth : first] if side else planes[first : first + depth]
                self.bytes_sent += sent.nbytes
                phase.requests.append(comm.Recv_init(received, source=peer, tag=2 * axis + 1 - side + 6 * i))
                phase.requests.append(comm.Send_init(sent, dest=peer, tag=2 * axis + side + 6 * i))

    def _packed_messages(self, axis: int, phase: _Phase) -> None:
        """One buffer for all fields; tag = 2 axis + direction."""
        comm, packs, unpacks = self.subdomain.comm, [], []
        for side, peer in self._peers(axis):
            sent, received = (np.empty(self._slab_shape(axis), self.fields[0].dtype) for _ in range(2))
            self._keep += [sent, received]
            self.bytes_sent += sent.nbytes
            packs += self._packs(axis, side, sent)
            unpacks += self._unpacks(axis, side, received)
            phase.requests.append(comm.Recv_init(received, source=peer, tag=2 * axis + 1 - side))
            phase.requests.append(comm.Send_init(sent, dest=peer, tag=2 * axis + side))
        phase.before.append(self._copies(packs))
        phase.after.append(self._copies(unpacks))

    def _mailbox_messages(self, axis: int, phase: _Phase) -> None:
        """Buffers in memory that all ranks share, used in turn."""
        sub, shape, dtype = self.subdomain, self._slab_shape(axis), self.fields[0].dtype
        nbytes = prod(shape) * dtype.itemsize
        mailbox = Mailbox(sub.comm, [sub.neighbour(axis, side) for side in (0, 1)], nbytes)
        packs, unpacks = [], []
        for half in (0, 1):
            for side, _ in self._peers(axis):
                packs += self._packs(axis, side, mailbox.sent(half, side, shape, dtype))
                unpacks += self._unpacks(axis, side, mailbox.received(half, side, shape, dtype))
        self.bytes_sent += nbytes * len(self._peers(axis))
        post, collect = mailbox.bind(sub.device, packs, unpacks, dtype.name, self.yielding)
        phase.before.append(lambda time: post())
        phase.after.append(lambda time: collect())
        self._mailboxes.append(mailbox)

    def _is_small(self, axis: int) -> bool:
        """Whether what goes along an axis is small on all ranks, and these share a node; collective."""
        from mpi4py import MPI

        nbytes = prod(self._slab_shape(axis)) * self.fields[0].dtype.itemsize
        return self.subdomain.placement.on_one_node and self.subdomain.comm.allreduce(nbytes, op=MPI.MAX) <= SMALL

    def _peers(self, axis: int) -> list[tuple[int, int]]:
        """Sides of an axis on which there is a neighbour, and its rank."""
        found = [(side, self.subdomain.neighbour(axis, side)) for side in (0, 1)]
        return [(side, peer) for side, peer in found if peer is not None]

    def _slab_shape(self, axis: int) -> tuple[int, ...]:
        """Shape of what goes to a neighbour, all fields together."""
        extents = [b - a for a, b in self._slab(axis)]
        extents[axis] = self.depth[axis]
        return (len(self.fields), *extents)

    def _packs(self, axis: int, side: int, buffer: np.ndarray) -> list[Copy]:
        n, depth, inside = self.subdomain.shape[axis], self.depth[axis], self._slab(axis)
        inside[axis] = (n - depth, n) if side else (0, depth)
        return [_copy(_Part.of(f, inside), _Part.of_array(buffer[i])) for i, f in enumerate(self.fields)]

    def _unpacks(self, axis: int, side: int, buffer: np.ndarray) -> list[Copy]:
        n, depth, outside = self.subdomain.shape[axis], self.depth[axis], self._slab(axis)
        outside[axis] = (n, n + depth) if side else (-depth, 0)
        crosses = self.subdomain.coords[axis] == (self.subdomain.processes[axis] - 1) * side
        factor = _sign(self.subdomain, axis, crosses and self.signed)
        return [_copy(_Part.of_array(buffer[i]), _Part.of(f, outside), factor) for i, f in enumerate(self.fields)]

    def _copies(self, copies: Sequence[Copy]) -> Callable[[float], object]:
        launch = self.fields[0].device.copies(copies, self.fields[0].dtype.name)
        return lambda time: launch()


def wrap_copies(fields: Sequence[Field], axis: int, depth: int, slab: Slab, *, signed: bool = True) -> list[Copy]:
    """Copies of a periodic axis that a rank owns whole; plane by plane where it is thinner than its ghosts."""
    sub = fields[0].subdomain
    n = sub.shape[axis]
    if n >= depth:
        pairs = [((n - depth, n), (-depth, 0), 1), ((0, depth), (n, n + depth), 1)]
    else:
        planes = [*range(-depth, 0), *range(n, n + depth)]
        pairs = [((g % n, g % n + 1), (g, g + 1), abs(g // n)) for g in planes]
    copies = []
    for source, target, rounds in pairs:
        a, b = list(slab), list(slab)
        a[axis], b[axis] = source, target
        factor = _sign(sub, axis, rounds % 2 == 1 and signed)
        copies += [_copy(_Part.of(f, a), _Part.of(f, b), factor) for f in fields]
    return copies


def _sign(sub: Subdomain, axis: int, crosses: bool) -> float:
    """-1 for values that come across the end of an anti-periodic axis, else 1."""
    return -1.0 if crosses and sub.grid.anti[axis] else 1.0


@dataclass(frozen=True)
class _Part:
    address: int
    extent: Triple
    stride: Triple

    @classmethod
    def of(cls, f: Field, slab: Slab) -> _Part:
        (za, zb), (ya, yb), (xa, xb) = slab
        sz, sy, sx = f.stride
        ahead = f.dtype.itemsize * (za * sz + ya * sy + xa * sx)
        return cls(f.address + ahead, (zb - za, yb - ya, xb - xa), f.stride)

    @classmethod
    def of_array(cls, array: np.ndarray) -> _Part:
        z, y, x = array.shape
        sz, sy, sx = (s // array.itemsize for s in array.strides)
        return cls(array.ctypes.data, (z, y, x), (sz, sy, sx))


def _copy(source: _Part, target: _Part, factor: float = 1.0) -> Copy:
    copy = Copy(source=source.address, target=target.address, factor=factor)
    copy.extent[:], copy.source_stride[:], copy.target_stride[:] = source.extent, source.stride, target.stride
    return copy


def _start(requests: list[MPI.Prequest]) -> None:
    if requests:
        requests[0].Startall(requests)
