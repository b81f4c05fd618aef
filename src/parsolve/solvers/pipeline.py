"""Several steps in one pass through memory: the stages of a stepper as time-skewed tiles (cext/pipeline.c).

Between two passes the ghosts are exchanged once, as deep as all stages reach together; along axes where ghosts come
from other cells each stage is computed on a box that is smaller by a radius than that of the stage before.  Physical
ghosts are stages themselves.  The same kernels compute the same cells from the same values as step by step, so the bits
are the same.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import LINE, Box, Field, bind
from parsolve.domain.halo import BoundaryFill, HaloExchange, wrap_copies
from parsolve.errors import SetupError
from parsolve.kernels.library import CompiledKernel, Copy, PassEntry, StageEntry, core
from parsolve.solvers.blocking import lags, tiled_axes
from parsolve.solvers.stepper import RungeKuttaStepper, Stepper, StormerVerletStepper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.field import Bound
    from parsolve.kernels.library import Args
    from parsolve.solvers.evaluation import StageKernel, State
    from parsolve.solvers.schedule import Schedule
    from parsolve.solvers.stepper import Workspace

KERNEL, COPY, GHOST = 0, 1, 2
# Each width of strips, over the modelled one, is tried so often, if a pass takes so many seconds.
FACTORS, TRIALS, LEAST_TRIAL = (0.5, 0.75, 1, 1.5, 2), 2, 1e-4


@dataclass(frozen=True)
class Update:
    """One rate stage of a step: out = sum_j weights[j] terms[j] + scale rate(source), at time + c dt."""

    source: State
    out: State
    terms: Sequence[State]
    weights: Sequence[float]
    scale: float
    c: float


def updates_of_step(stepper: Stepper, dt: float, parity: int) -> list[Update]:
    """The rate stages of one step of a stepper."""
    if isinstance(stepper, StormerVerletStepper):
        p = stepper.plans[parity]
        return [Update(p.state, p.out, p.terms, p.weights, dt * dt, 0.0)]
    return [
        Update(p.state, p.out, p.terms, p.weights, float(row.beta) * dt, float(row.c))
        for row, p in zip(stepper.scheme.rows, stepper.plans[parity], strict=True)
    ]


@dataclass
class Pipeline:
    """A pass of several steps over the fields of a stepper.

    Attributes:
        steps: how many; even where the stepper alternates between two registers.
        parity: which of the two is current at the beginning.
        tile: cells of a tile along the axes that it marches along and that is cut into strips.
        seconds: of the last pass, without the exchange.
    """

    stepper: Stepper
    steps: int
    dt: float
    parity: int
    tile: tuple[int, int]
    seconds: float = math.inf
    _entries: list[StageEntry] = field(default_factory=list)
    _keep: list[object] = field(default_factory=list)
    _timed: list[tuple[Args, int, float]] = field(default_factory=list)
    _fills: list[tuple[BoundaryFill, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work = self.stepper.work
        rates = self.work.rates
        both = [s[name] for s in self._carried() for name in self.work.unknowns]
        self.exchange = HaloExchange(
            both, rates.conditions, depth=rates.ghost, boundary_depth=rates.radius, points=rates.points,
            yielding=self.work.yielding, deep=True, without=(2,) if self._wraps_rows else (),
        )  # fmt: skip
        self._radius = rates.radius
        self._lane = LINE // both[0].dtype.itemsize
        self._lag = [0, 0, 0]
        self._touched: dict[int, None] = {}
        updates = [
            (update, step)
            for step in range(self.steps)
            for update in updates_of_step(self.stepper, self.dt, (self.parity + step) % 2 if self._alternates else 0)
        ]
        self._left = len(updates) * (len(rates.defines) + 1) * self._radius
        if self._wraps_rows:
            self._add_wraps(both)
        for update, step in updates:
            self._add_update(update, step)
        self._pass = self._bound(both[0])
        self._run: Callable[[], int] = partial(core().handle.ps_pipeline, ctypes.byref(self._pass))

    def _bound(self, first: Field) -> PassEntry:
        """What cext/pipeline.c is told."""
        entries, sub = self._entries, self.work.subdomain
        march, strip = tiled_axes(sub.grid.present)
        p = PassEntry(
            count=len(entries), kernels=sum(e.kind == KERNEL for e in entries), march=march, strip=strip,
            field_count=len(self._touched), reach=self._radius, size=first.dtype.itemsize, threads=sub.threads,
        )  # fmt: skip
        p.stages = (StageEntry * len(entries))(*entries)
        p.fields = (ctypes.c_void_p * len(self._touched))(*self._touched)
        p.lo[:] = [min(e.lo[d] for e in entries) for d in range(3)]
        p.hi[:] = [max(e.hi[d] + e.lag[d] for e in entries) for d in range(3)]
        p.tile[march], p.tile[strip] = self.tile
        p.done = (ctypes.c_int64 * (p.hi[strip] - p.lo[strip]))()
        return p

    @property
    def _alternates(self) -> bool:
        return not (isinstance(self.stepper, RungeKuttaStepper) and self.stepper.in_place)

    def _carried(self) -> list[State]:
        """Registers that hold the state between passes."""
        if isinstance(self.stepper, StormerVerletStepper):
            return list(self.stepper.registers)
        return [self.stepper.registers[self.parity]]

    def __call__(self, first: int, time: Callable[[int], float]) -> None:
        """Take the steps ``first``, ``first + 1``, ...; ``time(n)`` is the time before step n."""
        self.exchange.fill(time(first))
        for args, step, c in self._timed:
            args.time = time(first + step) + c * self.dt
        for fill, step, c in self._fills:
            fill.evaluate(time(first + step) + c * self.dt)
        begin = perf_counter()
        status = self._run()
        self.seconds = perf_counter() - begin
        if status:
            raise SetupError(f"a kernel returned status {status}")

    def set_tile(self, tile: tuple[int, int]) -> None:
        """Change the tile; the bits stay."""
        self.tile = tile
        p = self._pass
        p.tile[p.march], p.tile[p.strip] = tile

    @property
    def _wraps_rows(self) -> bool:
        """Whether rows have periodic ends that a tile, in which rows are whole, can copy itself."""
        sub = self.work.subdomain
        closed = sub.grid.periodic[2] and sub.processes[2] == 1
        return sub.grid.ndim == 3 and closed and sub.shape[2] >= sub.ghosts[2]

    def _add_wraps(self, fields: Sequence[Field]) -> None:
        sub = self.work.subdomain
        wraps = wrap_copies(fields, 2, sub.ghosts[2], [(0, 1), (0, 1), (0, 0)])
        copies = (Copy * len(wraps))(*wraps)
        entry = self._entry(COPY, core().function("copy", fields[0].dtype.name), self._box())
        entry.copy, entry.count, entry.size = copies, len(copies), fields[0].dtype.itemsize
        for d in (0, 1):
            deep = sub.is_deep(d)
            low, high = (sub.ghosts[d] if deep and not sub.is_physical(d, s) else self._radius for s in (0, 1))
            entry.lo[d], entry.hi[d] = -low, sub.shape[d] + high
        self._keep.append(copies)
        self._entries.append(entry)

    def _add_update(self, update: Update, step: int) -> None:
        rates, others = self.work.rates, self.stepper.others
        fields = {**update.source, **others}
        if any(entry.kind == KERNEL for entry in self._entries):
            self._add_ghosts([update.source[name] for name in rates.exchanged], step, update.c)
        for define in rates.defines:
            outputs = [fields[name] for name in define.outputs]
            self._add_kernel(define, fields, outputs, [], [], 1.0, step, update.c)
            self._add_ghosts(outputs, step, update.c)
        stage = rates.rate
        outputs = [update.out[name] for name in stage.outputs]
        terms = [[term[name] for name in stage.outputs] for term in update.terms]
        self._add_kernel(stage, fields, outputs, terms, update.weights, update.scale, step, update.c)

    def _add_kernel(
        self, stage: StageKernel, fields: State, outputs: Sequence[Field], terms: Sequence[Sequence[Field]],
        weights: Sequence[float], scale: float, step: int, c: float,
    ) -> None:  # fmt: skip
        self._left -= self._radius
        if self._entries:
            self._lag = [lag + step for lag, step in zip(self._lag, self._lags, strict=True)]
        box = self._box()
        bound: Bound = bind(
            stage.kernel, box, [fields[name] for name in stage.inputs], outputs, terms,
            coefficients=stage.coefficients, weights=weights, scale=scale,
        )  # fmt: skip
        assert isinstance(stage.kernel, CompiledKernel)
        entry = self._entry(KERNEL, stage.kernel.function, box)
        entry.args = ctypes.pointer(bound.args)
        self._keep += [bound, stage.kernel]
        self._touched |= dict.fromkeys(bound.args.field[: len(stage.inputs) + len(outputs) * (1 + len(terms))])
        if stage.timed:
            self._timed.append((bound.args, step, c))
        self._entries.append(entry)

    def _add_ghosts(self, fields: Sequence[Field], step: int, c: float) -> None:
        """Physical ghosts along x, y, z: as many as a stage reads."""
        sub = self.work.subdomain
        box = self._box()
        for axis in (2, 1, 0):
            for side in (0, 1):
                if sub.is_physical(axis, side):
                    self._add_fill(fields, axis, side, box, step, c)

    def _add_fill(self, fields: Sequence[Field], axis: int, side: int, box: Box, step: int, c: float) -> None:
        sub, rates = self.work.subdomain, self.work.rates
        slab = list(zip(box.lo, box.hi, strict=True))
        fill = BoundaryFill(fields, rates.conditions, axis, rates.radius, rates.points, slab, sides=(side,))
        entry = self._entry(GHOST, core().function("ghost", fields[0].dtype.name), box)
        entry.trigger = sub.shape[axis] - 1 if side else max(ghost.points for ghost in fill.list) - 1
        entry.ghost, entry.count = fill.list, fill.count
        self._keep.append(fill)
        if fill.varying:
            self._fills.append((fill, step, c))
        self._entries.append(entry)

    def _entry(self, kind: int, function: Callable[..., int], box: Box) -> StageEntry:
        entry = StageEntry(kind=kind)
        entry.function = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        entry.lag[:] = self._lag
        entry.lo[:], entry.hi[:] = box.lo, box.hi
        return entry

    @property
    def _lags(self) -> list[int]:
        """How far a stage is behind the one before: what it reads; along x whole cache lines, to keep rows aligned."""
        z, y, x = lags(self.work.subdomain.grid, self._radius, self.work.rates.closure)
        return [z, y, -(-x // self._lane) * self._lane]

    def _box(self) -> Box:
        """Owned cells and, where ghosts come from other cells, as many beyond as later stages need.

        Along x as many as fill whole cache lines: the values of those that are too many are not used.
        """
        sub = self.work.subdomain
        lo, hi = [], []
        for d, n in enumerate(sub.shape):
            lane = self._lane if d == 2 else 1
            low, high = (
                self._left if sub.grid.present[d] and sub.is_deep(d) and not sub.is_physical(d, side) else 0
                for side in (0, 1)
            )
            lo.append(-low // lane * lane)
            hi.append(-(-(n + high) // lane) * lane if high else n)
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))


class Passes:
    """Takes the steps of a stepper in passes of several, and one by one where fewer are due.

    The first passes try strips around the given width, each of which gives the same bits; the fastest is kept.
    """

    def __init__(self, stepper: Stepper, steps: int, dt: float, tile: tuple[int, int]) -> None:
        self.stepper = stepper
        self.steps = steps
        self.dt = dt
        self.tile = tile
        self._pipelines: dict[int, Pipeline] = {}
        self._trials = [(tile[0], width) for _ in range(TRIALS) for width in _widths(tile, stepper.work)]
        self._seconds: dict[tuple[int, int], float] = {}

    @property
    def state(self) -> State:
        """The current fields."""
        return self.stepper.state

    def advance(self, first: int, stop: int, schedule: Schedule) -> int:
        """Take a pass from step number ``first``, or one step if a pass goes beyond ``stop``; how many were taken."""
        if stop - first < self.steps:
            return self.stepper.advance(first, stop, schedule)
        parity = self.stepper.parity
        if parity not in self._pipelines:
            self._pipelines[parity] = Pipeline(self.stepper, self.steps, self.dt, parity, self.tile)
        pipeline = self._pipelines[parity]
        trial = self._trials.pop() if self._trials else None
        if trial:
            pipeline.set_tile(trial)
        pipeline(first, schedule.time)
        if trial:
            self._compare(pipeline)
        return self.steps

    def _compare(self, pipeline: Pipeline) -> None:
        """After the last trial keep the fastest tile."""
        self._seconds[pipeline.tile] = min(pipeline.seconds, self._seconds.get(pipeline.tile, math.inf))
        if pipeline.seconds < LEAST_TRIAL:
            self._trials = []
        if not self._trials:
            self.tile = min(self._seconds, key=lambda t: self._seconds[t])
            for each in self._pipelines.values():
                each.set_tile(self.tile)

    def free(self) -> None:
        """Free the messages; no step can follow."""
        for pipeline in self._pipelines.values():
            pipeline.exchange.free()
        self.stepper.free()


def _widths(tile: tuple[int, int], work: Workspace) -> list[int]:
    """Widths of strips to try: from half to twice the modelled one."""
    sub = work.subdomain
    march, strip = tiled_axes(sub.grid.present)
    unit = LINE // np.dtype(work.dtype).itemsize if strip == 2 else 1
    widths = {max(unit, round(tile[1] * factor / unit) * unit) for factor in FACTORS}
    return sorted(w for w in widths if w <= max(sub.shape[strip], tile[1])) if march != strip else []
