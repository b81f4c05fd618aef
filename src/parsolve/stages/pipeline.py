"""One or more steps in one pass through memory: the stages of a stepper as time-skewed tiles (cext/pipeline.c).

Between two passes the ghosts are exchanged once, as deep as all stages reach together; along axes where ghosts come
from other cells each stage is computed on a box that is smaller by a radius than that of the stage before.  Axes that
lie whole in a tile are closed there, and physical ghosts are made there: both are stages themselves.  The same kernels
compute the same cells from the same values as step by step, so the bits are the same.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, field
from functools import partial
from operator import mul
from time import perf_counter
from typing import TYPE_CHECKING

from parsolve.domain.boundary import BoundaryFill
from parsolve.domain.field import LINE, Box, Field, bind
from parsolve.domain.halo import HaloExchange, wrap_copies
from parsolve.errors import SetupError
from parsolve.kernels.library import CompiledKernel, Copy, PassEntry, StageEntry, core
from parsolve.march.stepper import RungeKuttaStepper
from parsolve.stages.blocking import edge_lag, lags, tiled_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.field import Bound
    from parsolve.kernels.library import Args
    from parsolve.march.stepper import Stepper
    from parsolve.stages.blocking import Tile
    from parsolve.stages.evaluation import Evaluation, StageKernel, State

KERNEL, COPY, GHOST, NORM = 0, 1, 2, 3
NO_AXIS = -1


@dataclass(frozen=True)
class Update:
    """One evaluation of a pass, in step number ``step``, at ``c`` dt after its begin; ``scale`` is that of the rate."""

    evaluation: Evaluation
    step: int
    c: float
    scale: Callable[[float], float]


def updates(stepper: Stepper, steps: int, parity: int) -> list[Update]:
    """The evaluations of some steps of a stepper; of an adaptive one with that of its error."""
    if not isinstance(stepper, RungeKuttaStepper):
        return [Update(stepper.plans[(parity + n) % 2], n, 0.0, lambda dt: dt * dt) for n in range(steps)]
    found = []
    for n in range(steps):
        plan = stepper.plans[(parity + n) % len(stepper.plans)]
        rows = zip(stepper.scheme.rows, plan, strict=True)
        found += [Update(p, n, float(row.c), partial(mul, float(row.beta))) for row, p in rows]
    if stepper.errors:
        assert stepper.scheme.error is not None
        beta = float(stepper.scheme.error.beta)
        found.append(Update(stepper.errors[parity].evaluation, 0, 1.0, partial(mul, beta)))
    return found


def carried(stepper: Stepper, parity: int) -> list[State]:
    """Registers that hold the state between steps, the current one first."""
    first = updates(stepper, 1, parity)[0].evaluation
    return [first.state, *(term for term in first.terms if term is not first.state)]


def exchange_of(stepper: Stepper, steps: int, parity: int) -> HaloExchange:
    """What fills the ghosts before a pass of so many steps; a single kernel needs those of the current state alone."""
    work, rates = stepper.work, stepper.work.rates
    registers = carried(stepper, parity)
    alone = len(updates(stepper, steps, parity)) * (len(rates.defines) + 1) == 1
    return HaloExchange(
        [register[name] for register in registers[: 1 if alone else None] for name in work.unknowns],
        rates.conditions,
        depth=rates.ghost,
        boundary_depth=rates.radius,
        points=rates.points,
        yielding=work.yielding,
        deep=True,
        without=[axis for axis in range(3) if work.subdomain.is_closed(axis)],
    )


@dataclass
class Pipeline:
    """A pass of some steps over the fields of a stepper.

    Attributes:
        steps: how many.
        parity: of the stepper at the beginning.
        exchange: fills the ghosts along axes that are not closed in the tiles.
        tile: cells of a tile along the axes that it marches along and that is cut into strips; None: all.
        seconds: of the last pass, without the exchange.
    """

    stepper: Stepper
    steps: int
    parity: int
    exchange: HaloExchange
    tile: Tile | None
    seconds: float = math.inf
    dt: float = 0.0
    _entries: list[StageEntry] = field(default_factory=list)
    _keep: list[object] = field(default_factory=list)
    _scaled: list[tuple[Args, Callable[[float], float]]] = field(default_factory=list)
    _timed: list[tuple[Args, int, float]] = field(default_factory=list)
    _fills: list[tuple[BoundaryFill, int, float]] = field(default_factory=list)
    _norms: list[Args] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work = self.stepper.work
        self._sub, self._rates = self.work.subdomain, self.work.rates
        self._radius = self._rates.radius
        source = carried(self.stepper, self.parity)[0]
        first = source[self.work.unknowns[0]]
        self._size = first.dtype.itemsize
        self._type = first.dtype.name
        self._kernels = 0
        self._lag = [0, 0, 0]
        self._touched: dict[int, None] = {}
        self._worst = ctypes.c_double()
        found = updates(self.stepper, self.steps, self.parity)
        self._left = len(found) * (len(self._rates.defines) + 1) * self._radius
        self._add_ghosts([source[name] for name in self._rates.exchanged], 0, 0.0)
        for update in found:
            self._add_update(update)
        if isinstance(self.stepper, RungeKuttaStepper) and self.stepper.errors:
            self._add_norms([norm.args for norm in self.stepper.errors[self.parity].norms])
        self._pass = self._bound()
        self._run: Callable[[], int] = partial(core().handle.ps_pipeline, ctypes.byref(self._pass))

    def _bound(self) -> PassEntry:
        """What cext/pipeline.c is told."""
        entries = self._entries
        march, strip = tiled_axes(self._sub.grid.present)
        p = PassEntry(
            count=len(entries), kernels=self._kernels, march=march, strip=strip,
            field_count=len(self._touched), reach=self._radius, size=self._size, threads=self._sub.threads,
        )  # fmt: skip
        p.stages = (StageEntry * len(entries))(*entries)
        p.fields = (ctypes.c_void_p * len(self._touched))(*self._touched)
        p.lo[:] = [min(e.lo[d] for e in entries) for d in range(3)]
        p.hi[:] = [max(e.hi[d] + e.lag[d] for e in entries) for d in range(3)]
        p.tile[:] = [b - a for a, b in zip(p.lo, p.hi, strict=True)]
        if self.tile is not None:
            p.tile[march], p.tile[strip] = self.tile
        p.done = (ctypes.c_int64 * (p.hi[strip] - p.lo[strip]))()
        return p

    def __call__(self, times: Sequence[float], dt: float, tolerance: float = 0.0) -> float:
        """Take the steps that begin at ``times``; of an adaptive stepper the error over the tolerance."""
        if dt != self.dt:
            self.dt = dt
            for args, scale in self._scaled:
                args.scale = scale(dt)
        self.exchange.fill(times[0])
        for args, step, c in self._timed:
            args.time = times[step] + c * dt
        for fill, step, c in self._fills:
            fill.evaluate(times[step] + c * dt)
        for args in self._norms:
            args.coefficient[:2] = [tolerance, tolerance]
        self._worst.value = 0.0
        begin = perf_counter()
        status = self._run()
        self.seconds = perf_counter() - begin
        if status:
            raise SetupError(f"a kernel returned status {status}")
        return self._worst.value

    def set_tile(self, tile: Tile) -> None:
        """Change the tile; the bits stay."""
        self.tile = tile
        p = self._pass
        p.tile[p.march], p.tile[p.strip] = tile

    def _add_update(self, update: Update) -> None:
        rates, e, step, c = self._rates, update.evaluation, update.step, update.c
        fields = {**e.state, **self.stepper.others}
        if self._kernels:
            self._add_ghosts([e.state[name] for name in rates.exchanged], step, c)
        for define in rates.defines:
            outputs = [fields[name] for name in define.outputs]
            self._add_kernel(define, fields, outputs, [], [], step, c)
            self._add_ghosts(outputs, step, c)
        outputs = [e.out[name] for name in rates.rate.outputs]
        terms = [[term[name] for name in rates.rate.outputs] for term in e.terms]
        self._scaled.append((self._add_kernel(rates.rate, fields, outputs, terms, e.weights, step, c), update.scale))

    def _add_kernel(
        self, stage: StageKernel, fields: State, outputs: Sequence[Field], terms: Sequence[Sequence[Field]],
        weights: Sequence[float], step: int, c: float,
    ) -> Args:  # fmt: skip
        self._left -= self._radius
        if self._kernels or (self._entries and self._rates.corners):  # behind what it reads: a kernel, or closed rows
            self._lag = [lag + more for lag, more in zip(self._lag, self._lags, strict=True)]
        self._kernels += 1
        box = self._box()
        bound: Bound = bind(
            stage.kernel, box, [fields[name] for name in stage.inputs], outputs, terms,
            coefficients=stage.coefficients, weights=weights,
        )  # fmt: skip
        assert isinstance(stage.kernel, CompiledKernel)
        entry = self._entry(KERNEL, stage.kernel.function, box)
        entry.args = ctypes.pointer(bound.args)
        self._keep += [bound, stage.kernel]
        self._touched |= dict.fromkeys(bound.args.field[: len(stage.inputs) + len(outputs) * (1 + len(terms))])
        if stage.timed:
            self._timed.append((bound.args, step, c))
        return bound.args

    def _add_ghosts(self, fields: Sequence[Field], step: int, c: float) -> None:
        """Ghosts along x, y, z, as many as a stage reads: closed ends and, after the first kernel, physical ones."""
        sub, box = self._sub, self._box()
        first = not self._kernels  # after an exchange
        for axis in (2, 1, 0):
            if sub.is_closed(axis):
                self._add_wrap(fields, axis, self._slab(axis, box, first))
            for side in (0, 1):
                if sub.is_physical(axis, side) and not first:
                    self._add_fill(fields, axis, side, self._slab(axis, box), step, c)

    def _slab(self, axis: int, box: Box, exchanged: bool = False) -> Box:
        """Tangential range of ghosts along an axis: with the ghosts that are there, where any kernel reads corners."""
        sub, lo, hi = self._sub, list(box.lo), list(box.hi)
        for d in range(3):
            wide = self._rates.corners and (d > axis or exchanged) and d != axis and sub.grid.present[d]
            if wide and (sub.is_closed(d) or sub.is_physical(d, 0)):
                lo[d] = -self._radius
            if wide and (sub.is_closed(d) or sub.is_physical(d, 1)):
                hi[d] = sub.shape[d] + self._radius
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))

    def _add_wrap(self, fields: Sequence[Field], axis: int, box: Box) -> None:
        wraps = wrap_copies(fields, axis, self._radius, [(0, 1)] * 3)
        copies = (Copy * len(wraps))(*wraps)
        entry = self._entry(COPY, core().function("copy", self._type), box)
        entry.axis, entry.copy, entry.count, entry.size = axis, copies, len(copies), self._size
        self._keep.append(copies)

    def _add_fill(self, fields: Sequence[Field], axis: int, side: int, box: Box, step: int, c: float) -> None:
        sub, rates = self._sub, self._rates
        fill = BoundaryFill(fields, rates.conditions, axis, self._radius, rates.points, _pairs(box), sides=(side,))
        entry = self._entry(GHOST, core().function("ghost", self._type), box)
        entry.axis = axis
        entry.trigger = sub.shape[axis] - 1 if side else max(ghost.points for ghost in fill.list) - 1
        entry.ghost, entry.count = fill.list, fill.count
        for d in range(axis + 1, 3):  # a line of ghosts that begins among ghosts along d waits for those
            if box.lo[d] < 0 and sub.is_physical(d, 0) and self._lags[d]:
                entry.lag[d] += edge_lag(self._radius, rates.closure)
        self._keep.append(fill)
        if fill.varying:
            self._fills.append((fill, step, c))

    def _add_norms(self, norms: Sequence[Args]) -> None:
        for args in norms:
            entry = self._entry(NORM, core().function("error_norm", self._type), self._box())
            entry.args, entry.worst = ctypes.pointer(args), ctypes.pointer(self._worst)
            self._norms.append(args)

    def _entry(self, kind: int, function: Callable[..., int], box: Box) -> StageEntry:
        entry = StageEntry(kind=kind, axis=NO_AXIS)
        entry.function = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        entry.lag[:] = self._lag
        entry.lo[:], entry.hi[:] = box.lo, box.hi
        self._entries.append(entry)
        return entry

    @property
    def _lags(self) -> list[int]:
        """How far a stage is behind the one before: what it reads; along x whole cache lines, to keep rows aligned."""
        if self.tile is None:
            return [0, 0, 0]
        z, y, x = lags(self._sub.grid, self._radius, self._rates.closure, self._rates.corners)
        return [z, y, -(-x // self._lane) * self._lane]

    @property
    def _lane(self) -> int:
        return LINE // self._size

    def _box(self) -> Box:
        """Owned cells and, where ghosts were exchanged, as many beyond as later stages need.

        Along x as many as fill whole cache lines: the values of those that are too many are not used.
        """
        sub = self._sub
        lo, hi = [], []
        for d, n in enumerate(sub.shape):
            lane = self._lane if d == 2 else 1
            deep = sub.grid.present[d] and sub.is_deep(d)
            low, high = (self._left if deep and not sub.is_physical(d, side) else 0 for side in (0, 1))
            lo.append(-low // lane * lane)
            hi.append(-(-(n + high) // lane) * lane if high else n)
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))


def _pairs(box: Box) -> list[tuple[int, int]]:
    return list(zip(box.lo, box.hi, strict=True))
