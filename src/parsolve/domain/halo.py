"""The ghost cells of fields: exchanged with neighbours, wrapped, or filled from boundary conditions.

Axes are served in the order x, y, z; what goes along an axis includes the ghosts of the axes before it, so that corners
arrive without messages of their own, and a ghost has the same bits on every decomposition.  Everything is planned once:
packed buffers, persistent requests, lists of copies.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.boundary import NO_FLUX, Condition, Conditions, Face, ghost_weights, slope_weights
from parsolve.domain.cores import node_cores
from parsolve.domain.grid import AXES, Subdomain, Triple
from parsolve.errors import CaseError
from parsolve.kernels.library import Copy, Ghost, core

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Sequence

    from mpi4py import MPI

    from parsolve.domain.field import Field

ENDS = ("min", "max")
Range = tuple[int, int]
Slab = list[Range]


class BoundaryFill:
    """Physical ghosts of fields on the sides of one axis.

    Args:
        fields: fields of one layout.
        conditions: by field and side; a side without one has no flux.
        axis: 0 = z, 1 = y, 2 = x.
        depth: how many ghosts.
        points: how many owned cells a Dirichlet condition reads.
        slab: tangential ranges (z, y, x) in owned indices; the one along the axis is not read.
        sides: 0 for the lower face, 1 for the upper.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Conditions,
        axis: int,
        depth: int,
        points: int,
        slab: Slab,
        sides: Sequence[int] = (0, 1),
    ) -> None:
        self.keep: list[np.ndarray] = []
        self.varying: list[tuple[Face, np.ndarray, Triple]] = []
        self.time: float | None = None
        ghosts = []
        for f in fields:
            for side in sides:
                if f.subdomain.is_physical(axis, side):
                    name = f"{AXES[axis]}{ENDS[side]}"
                    condition = conditions.get(f.name, {}).get(name, NO_FLUX)
                    ghosts.append(self._side(f, condition, axis, side, depth, points, slab))
        self.count = len(ghosts)
        self.list = (Ghost * len(ghosts))(*ghosts)
        if ghosts:
            self._fill = partial(core().function("ghost", fields[0].dtype.name), self.list, len(ghosts))

    def __call__(self, time: float) -> None:
        """Fill the ghosts with the values of the conditions at a time."""
        self.evaluate(time)
        self._fill()

    def evaluate(self, time: float) -> None:
        """Evaluate the conditions that vary."""
        if time != self.time:
            for face, values, start in self.varying:
                values[...] = face(time, start, values.shape)
            self.time = time

    def _side(self, f: Field, condition: Condition, axis: int, side: int, depth: int, points: int, slab: Slab) -> Ghost:
        sub = f.subdomain
        points = min(condition.points(points), sub.shape[axis])
        ghost = Ghost(field=f.address, axis=axis, depth=depth, points=points)
        ghost.first = sub.shape[axis] - 1 if side else 0
        ghost.inward = -1 if side else 1
        ghost.lo[:], ghost.hi[:] = [a for a, _ in slab], [b for _, b in slab]
        ghost.stride[:] = f.stride
        a, b = condition.a, condition.b
        mixed = callable(a) or callable(b)
        spacing = sub.grid.spacing[axis]
        try:
            weights, values = ghost_weights(
                1.0 if callable(a) or callable(b) else a, 0.0 if callable(a) or callable(b) else b,
                spacing, points, depth, condition.c,
            )  # fmt: skip
        except ZeroDivisionError as error:
            raise CaseError(f"boundary.{f.name}.{AXES[axis]}{ENDS[side]}: {error}") from None
        for k in range(depth):
            ghost.weight[k][:points] = weights[k].tolist()
            ghost.value_weight[k] = float(values[k])
        faces = {"value": condition.value}
        if mixed:
            slope, ghost.slope_value = slope_weights(spacing, points)
            ghost.slope[:points] = slope.tolist()
            faces |= {"a": a, "b": b}
        for name, face in faces.items():
            self._set_face(ghost, name, face, condition.varies, sub, axis, side, slab)
        return ghost

    def _set_face(
        self,
        ghost: Ghost,
        name: str,
        face: float | Face,
        varies: bool,
        sub: Subdomain,
        axis: int,
        side: int,
        slab: Slab,
    ) -> None:
        """Give the ghost an array over the face, to be evaluated now or at every new time."""
        if name == "value" and not callable(face):
            ghost.constant = face
            return
        shape = [b - a for a, b in slab]
        start = [s + a for s, (a, _) in zip(sub.start, slab, strict=True)]
        shape[axis], start[axis] = 1, -1 if side == 0 else sub.grid.cells[axis]
        values = np.empty(shape)
        self.keep.append(values)
        setattr(ghost, name, values.ctypes.data)
        ghost.value_stride[:] = [s // 8 for s in values.strides]
        z, y, x = start
        if not callable(face):
            values[...] = face
        elif varies:
            self.varying.append((face, values, (z, y, x)))
        else:
            values[...] = face(0.0, (z, y, x), values.shape)


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
        depth: ghosts exchanged with neighbours.
        deep: exchange all ghosts that there are instead.
        boundary_depth: ghosts beyond physical faces.
        points: owned cells that a boundary condition reads.
        yielding: give the core to other ranks while waiting, where there are more ranks than cores.
        signed: change the sign across the end of an anti-periodic axis.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Conditions,
        *,
        depth: int,
        boundary_depth: int,
        points: int,
        yielding: bool = False,
        signed: bool = True,
        deep: bool = False,
        without: Sequence[int] = (),
    ) -> None:
        self.fields = list(fields)
        self.subdomain = fields[0].subdomain
        self.depth = self.subdomain.ghosts if deep else (depth, depth, depth)
        self.boundary_depth = boundary_depth
        self.yielding = yielding
        self.signed = signed
        self.bytes_sent = 0
        self._copy = core().function("copy", fields[0].dtype.name)
        self._keep: list[object] = []
        self._phases: list[_Phase] = []
        axes = [axis for axis in (2, 1, 0) if self.subdomain.grid.present[axis] and axis not in without]
        for axis in axes:
            phase = _Phase()
            fill = BoundaryFill(fields, conditions, axis, boundary_depth, points, self._slab(axis))
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
        """Free the persistent requests."""
        for phase in self._phases:
            for request in phase.requests:
                request.Free()
            phase.requests = []

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
        """Persistent messages with both neighbours; a slab that is contiguous is sent and received where it is."""
        planes = axis < 2 and not any(self.subdomain.grid.present[:axis])
        if planes and not (self.subdomain.grid.anti[axis] and self.signed):
            self._plane_messages(axis, phase)
        else:
            self._packed_messages(axis, phase)

    def _plane_messages(self, axis: int, phase: _Phase) -> None:
        """Whole planes, with ghosts and padding, of each field; tag = 2 axis + direction + 6 number of the field."""
        comm, n, depth = self.subdomain.comm, self.subdomain.shape[axis], self.depth[axis]
        for side in (0, 1):
            peer = self.subdomain.neighbour(axis, side)
            if peer is None:
                continue
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
        comm, n, depth = self.subdomain.comm, self.subdomain.shape[axis], self.depth[axis]
        packs: list[Copy] = []
        unpacks: list[Copy] = []
        for side in (0, 1):
            peer = self.subdomain.neighbour(axis, side)
            if peer is None:
                continue
            inside, outside = self._slab(axis), self._slab(axis)
            inside[axis] = (n - depth, n) if side else (0, depth)
            outside[axis] = (n, n + depth) if side else (-depth, 0)
            shape = (len(self.fields), *(b - a for a, b in inside))
            sent, received = (np.empty(shape, self.fields[0].dtype) for _ in range(2))
            self._keep += [sent, received]
            self.bytes_sent += sent.nbytes
            packs += [_copy(_Part.of(f, inside), _Part.of_array(sent[i])) for i, f in enumerate(self.fields)]
            crosses = self.subdomain.coords[axis] == (self.subdomain.processes[axis] - 1) * side
            factor = _sign(self.subdomain, axis, crosses and self.signed)
            unpacks += [
                _copy(_Part.of_array(received[i]), _Part.of(f, outside), factor) for i, f in enumerate(self.fields)
            ]
            phase.requests.append(comm.Recv_init(received, source=peer, tag=2 * axis + 1 - side))
            phase.requests.append(comm.Send_init(sent, dest=peer, tag=2 * axis + side))
        phase.before.append(self._copies(packs))
        phase.after.append(self._copies(unpacks))

    def _copies(self, copies: Sequence[Copy]) -> Callable[[float], object]:
        array: ctypes.Array[Copy] = (Copy * len(copies))(*copies)
        launch = partial(self._copy, array, len(copies))
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
        z, y, x = (slice(a + o, b + o) for (a, b), o in zip(slab, f.origin, strict=True))
        return cls.of_array(f.array[z, y, x])

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


def is_crowded(comm: MPI.Intracomm) -> bool:
    """Whether the ranks of this node are more than the cores they may use; collective."""
    from mpi4py import MPI

    ranks, cores = node_cores(comm)
    return bool(comm.allreduce(ranks > len(cores), op=MPI.LOR))
