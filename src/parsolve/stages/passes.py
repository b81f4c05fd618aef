"""Several updates in one pass through memory, as time-skewed tiles (cext/pipeline.c).

Before a pass the ghosts are exchanged once, as deep as all stages reach together; along axes where ghosts come from
other cells each stage is computed on a box that is smaller than that of the stage before by what it reads.  Axes that
lie whole in a tile are closed there, and physical ghosts are made there: both are stages themselves.  The same kernels
compute the same cells from the same values as in the plain order, so the bits are the same.
"""

from __future__ import annotations

import ctypes
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from parsolve.domain.boundary import BoundaryFill
from parsolve.domain.field import LINE, Box, Field
from parsolve.domain.halo import wrap_copies
from parsolve.errors import SetupError
from parsolve.kernels.library import CompiledKernel, Copy, PassEntry, StageEntry
from parsolve.stages.blocking import edge_lag, is_closed, is_deep, lags, tiled_axes
from parsolve.stages.operator import set_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.halo import HaloExchange
    from parsolve.kernels.library import Args
    from parsolve.stages.blocking import Tile
    from parsolve.stages.operator import Exchanges, Norm, Operator, StageKernel, Update

KERNEL, COPY, GHOST, NORM = 0, 1, 2, 3
NO_AXIS = -1


class Pass:
    """Updates in one pass, then norms of what they gave; made by ``build``, and not changed any more.

    Args:
        entry: what cext/pipeline.c is told.
        exchange: fills the ghosts that come from elsewhere.
        timed, scaled, noisy, fills: what takes the time, the scale or the noise of an update, with its number.
        keep: what must live as long as the entry.
    """

    def __init__(
        self,
        entry: PassEntry,
        run: Callable[..., int],
        exchange: HaloExchange | None,
        timed: Sequence[tuple[Args, int]],
        scaled: Sequence[tuple[Args, int]],
        noisy: Sequence[tuple[Args, int]],
        fills: Sequence[tuple[BoundaryFill, int]],
        norms: Sequence[Norm],
        keep: Sequence[object],
    ) -> None:
        self._entry, self._exchange, self._norms, self._keep = entry, exchange, tuple(norms), tuple(keep)
        self._timed, self._scaled, self._noisy, self._fills = tuple(timed), tuple(scaled), tuple(noisy), tuple(fills)
        self._run: Callable[[], int] = partial(run, ctypes.byref(entry))
        self._scales: Sequence[float] = ()

    def set_noise(self, draws: Sequence[tuple[int, float]]) -> None:
        """Set the step and the strength of the noise of each update; without, there is none."""
        for args, n in self._noisy:
            set_noise(args, *draws[n])

    def __call__(self, times: Sequence[float], scales: Sequence[float], tile: Tile | None = None) -> float:
        """Run all, each update at its time and with its scale; collective.

        Args:
            times: of each update.
            scales: of each update.
            tile: cells along the axes that tiles march along and that is cut into strips; it changes no bits.

        Returns:
            Seconds, without the exchange.
        """
        if scales != self._scales:
            self._scales = scales
            for args, n in self._scaled:
                args.scale = scales[n]
        if self._exchange is not None:
            self._exchange.fill(times[0])
        for args, n in self._timed:
            args.time = times[n]
        for fill, n in self._fills:
            fill.evaluate(times[n])
        for norm in self._norms:
            norm.result.value = 0.0
        p = self._entry
        if tile is not None:
            p.tile[p.march], p.tile[p.strip] = tile
        begin = perf_counter()
        status = self._run()
        seconds = perf_counter() - begin
        if status:
            raise SetupError(f"a kernel returned status {status}")
        return seconds


def build(updates: Sequence[Update], norms: Sequence[Norm], exchanges: Exchanges, *, whole: bool = False) -> Pass:
    """The pass of some updates; collective, as its exchange is made here.

    Args:
        updates: in order; their kernels are compiled, and none needs a sum over the grid.
        norms: taken after the last update.
        exchanges: makes the exchange, and owns it.
        whole: the subdomain is a single tile, which closes all axes that are not split.

    Raises:
        SetupError: there are fewer ghosts than the stages reach together.
    """
    builder = _Builder(updates, whole)
    sub, reach = builder.sub, builder.left
    if any(is_deep(sub.grid, sub.processes, d, whole) and reach > sub.ghosts[d] for d in range(3)):
        raise SetupError(f"the stages of a pass reach {reach} cells, more than there are ghosts: {sub.ghosts}")
    for n, update in enumerate(updates):
        builder.add_update(update, n)
    for norm in norms:
        builder.add_norm(norm)
    entry = builder.entry()
    fields = list(builder.live.values())
    exchange = None
    if fields:
        closed = [axis for axis in range(3) if is_closed(sub.grid, sub.processes, axis, whole)]
        exchange = exchanges.find(fields, builder.operators, sub.ghosts, closed)
    run = sub.device.library.handle.ps_pipeline
    taken = (builder.timed, builder.scaled, builder.noisy, builder.fills)
    return Pass(entry, run, exchange, *taken, norms, builder.keep)


class _Builder:
    """Puts stages behind each other.

    Attributes:
        live: fields whose ghosts a pass needs from elsewhere: read, beyond the owned cells, before they are written.
    """

    def __init__(self, updates: Sequence[Update], whole: bool) -> None:
        first = next(iter(updates[0].out.values()))
        self.sub, self.device, self.dtype = first.subdomain, first.device, first.dtype
        self.whole = whole
        self.operators = [update.operator for update in updates]
        self.left = sum(op.reach for op in self.operators)  # what later stages reach
        self.corners = any(op.corners for op in self.operators)
        self.closure = max(op.closure for op in self.operators)
        self.depth = max(op.radius for op in self.operators)  # of physical ghosts
        self.live: dict[int, Field] = {}
        self.entries: list[StageEntry] = []
        self.timed: list[tuple[Args, int]] = []
        self.scaled: list[tuple[Args, int]] = []
        self.noisy: list[tuple[Args, int]] = []
        self.fills: list[tuple[BoundaryFill, int]] = []
        self.keep: list[object] = []
        self._lag, self._last = [0, 0, 0], 0  # of the last kernel: its lag, and how many neighbours it reads
        self._kernels = 0
        self._touched: dict[int, None] = {}
        self._ghosts: dict[int, int] = {}  # by field, how deep they are now
        self._written: set[int] = set()
        self._fixed = {id(f) for u in updates for name, f in u.others.items() if name not in u.operator.intermediate}

    def entry(self) -> PassEntry:
        """What cext/pipeline.c is told."""
        entries = self.entries
        march, strip = tiled_axes(self.sub.grid.present)
        p = PassEntry(
            count=len(entries), kernels=self._kernels, march=march, strip=strip, field_count=len(self._touched),
            reach=self.depth, size=self.dtype.itemsize, threads=self.sub.threads,
        )  # fmt: skip
        p.stages = (StageEntry * len(entries))(*entries)
        p.fields = (ctypes.c_void_p * len(self._touched))(*self._touched)
        p.lo[:] = [min(e.lo[d] for e in entries) for d in range(3)]
        p.hi[:] = [max(e.hi[d] + e.lag[d] for e in entries) for d in range(3)]
        p.tile[:] = [b - a for a, b in zip(p.lo, p.hi, strict=True)]
        p.done = (ctypes.c_int64 * (1 if march == strip else p.hi[strip] - p.lo[strip]))()
        return p

    def add_update(self, update: Update, n: int) -> None:
        """Append the stages of an update, and before each the ghosts that it reads."""
        op = update.operator
        self._add_ghosts([update.state[name] for name in op.exchanged], op, n)
        for stage in op.stages:
            args = self._add_kernel(update, stage, n)
            if update.adds(stage):
                self.scaled.append((args, n))
            elif stage in op.defines:
                self._add_ghosts(update.outputs(stage), op, n)

    def add_norm(self, norm: Norm) -> None:
        """Append a norm."""
        entry = self._entry(NORM, norm.function, self._box())
        entry.args, entry.worst = ctypes.pointer(norm.args), ctypes.pointer(norm.result)

    def _add_kernel(self, update: Update, stage: StageKernel, n: int) -> Args:
        radius = update.operator.reads(stage)
        if stage not in update.operator.results[1:]:  # which run beside the first
            self.left -= radius
            if self._kernels or (self.entries and self.corners):
                # Behind what it reads, a kernel or closed rows, and behind what still reads what it writes.
                self._lag = [a + b for a, b in zip(self._lag, self._lags(max(radius, self._last)), strict=True)]
        self._kernels, self._last = self._kernels + 1, radius
        box = self._box()
        bound = update.bind(stage, box)
        assert isinstance(stage.kernel, CompiledKernel)
        entry = self._entry(KERNEL, stage.kernel.function, box)
        entry.args = ctypes.pointer(bound.args)
        self.keep += [bound, stage.kernel]
        inputs, outputs, terms = update.inputs(stage), update.outputs(stage), update.added(stage)
        entry.count = len(inputs) + len(outputs) + len(terms)
        self._touched |= dict.fromkeys(f.address for f in (*inputs, *outputs, *terms))
        read = [*(inputs if self.left + radius else []), *(terms if self.left else [])]
        self.live |= {id(f): f for f in read if id(f) not in self._written | self._fixed}
        for f in outputs:
            self._written.add(id(f))
            self._ghosts.pop(id(f), None)
        if stage.timed:
            self.timed.append((bound.args, n))
        if stage.noisy:
            self.noisy.append((bound.args, n))
        return bound.args

    def _add_ghosts(self, fields: Sequence[Field], op: Operator, n: int) -> None:
        """Ghosts along x, y, z, as many as a stage reads: closed ends and, of what is made here, physical ones."""
        sub, box = self.sub, self._box()
        fields = [f for f in fields if self._ghosts.get(id(f), 0) < op.radius]
        if not fields:
            return
        made = id(fields[0]) in self._written  # else they were exchanged
        for axis in (2, 1, 0):
            if is_closed(sub.grid, sub.processes, axis, self.whole):
                self._add_wrap(fields, axis, op.radius, self._slab(axis, box, op, not made))
            for side in (0, 1):
                if sub.is_physical(axis, side) and made:
                    self._add_fill(fields, axis, side, self._slab(axis, box, op), op, n)
        self._ghosts |= {id(f): op.radius for f in fields}

    def _slab(self, axis: int, box: Box, op: Operator, exchanged: bool = False) -> Box:
        """Tangential range of ghosts along an axis: with the ghosts that are there, where any kernel reads corners."""
        sub, lo, hi = self.sub, list(box.lo), list(box.hi)
        for d in range(3):
            wide = op.corners and (d > axis or exchanged) and d != axis and sub.grid.present[d]
            closed = is_closed(sub.grid, sub.processes, d, self.whole)
            if wide and (closed or sub.is_physical(d, 0)):
                lo[d] = -op.radius
            if wide and (closed or sub.is_physical(d, 1)):
                hi[d] = sub.shape[d] + op.radius
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))

    def _add_wrap(self, fields: Sequence[Field], axis: int, depth: int, box: Box) -> None:
        wraps = wrap_copies(fields, axis, depth, [(0, 1)] * 3)
        copies = (Copy * len(wraps))(*wraps)
        entry = self._entry(COPY, self.device.function("copy", self.dtype.name), box)
        entry.axis, entry.copy, entry.count, entry.size = axis, copies, len(copies), self.dtype.itemsize
        self.keep.append(copies)

    def _add_fill(self, fields: Sequence[Field], axis: int, side: int, box: Box, op: Operator, n: int) -> None:
        sub, slab = self.sub, list(zip(box.lo, box.hi, strict=True))
        fill = BoundaryFill(fields, op.conditions, axis, op.radius, op.base, slab, sides=(side,))
        entry = self._entry(GHOST, self.device.function("ghost", self.dtype.name), box)
        entry.axis = axis
        entry.trigger = sub.shape[axis] - 1 if side else max(ghost.points for ghost in fill.list) - 1
        entry.ghost, entry.count = fill.list, fill.count
        for d in range(axis + 1, 3):  # a line of ghosts that begins among ghosts along d waits for those
            if box.lo[d] < 0 and sub.is_physical(d, 0) and self._lags(op.radius)[d]:
                entry.lag[d] += edge_lag(op.radius, self.closure)
        self.keep.append(fill)
        if fill.varying:
            self.fills.append((fill, n))

    def _entry(self, kind: int, function: Callable[..., int], box: Box) -> StageEntry:
        entry = StageEntry(kind=kind, axis=NO_AXIS)
        entry.function = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        entry.lag[:] = self._lag
        entry.lo[:], entry.hi[:] = box.lo, box.hi
        self.entries.append(entry)
        return entry

    def _lags(self, radius: int) -> list[int]:
        """How far a stage is behind the one before: what it reads; along x whole cache lines, to keep rows aligned."""
        if self.whole:
            return [0, 0, 0]
        z, y, x = lags(self.sub.grid, radius, self.depth, self.closure, self.corners)
        return [z, y, -(-x // self._lane) * self._lane]

    @property
    def _lane(self) -> int:
        return LINE // self.dtype.itemsize

    def _box(self) -> Box:
        """Owned cells and, where ghosts were exchanged, as many beyond as later stages need.

        Along x as many as fill whole cache lines: the values of those that are too many are not used.
        """
        sub = self.sub
        lo, hi = [], []
        for d, n in enumerate(sub.shape):
            lane = self._lane if d == 2 else 1
            deep = sub.grid.present[d] and is_deep(sub.grid, sub.processes, d, self.whole)
            low, high = (self.left if deep and not sub.is_physical(d, side) else 0 for side in (0, 1))
            lo.append(-low // lane * lane)
            hi.append(-(-(n + high) // lane) * lane if high else n)
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))
