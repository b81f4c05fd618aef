"""Several steps in one pass through memory: the stages of a stepper as time-skewed tiles (cext/pipeline.c).

Between two passes the ghosts are exchanged once, as deep as all stages reach together; along axes where ghosts come
from other cells each stage is computed on a box that is smaller by a radius than that of the stage before.  Physical
ghosts and the ends of x are stages themselves.  The same kernels compute the same cells from the same values as step by
step, so the bits are the same.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from parsolve.domain.field import Box, Field, bind
from parsolve.domain.halo import BoundaryFill, HaloExchange, wrap_copies
from parsolve.errors import SetupError
from parsolve.kernels.library import CompiledKernel, Copy, StageEntry, core
from parsolve.solvers.stepper import RungeKuttaStepper, Stepper, StormerVerletStepper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.field import Bound
    from parsolve.domain.grid import Subdomain
    from parsolve.kernels.library import Args
    from parsolve.solvers.evaluation import StageKernel, State
    from parsolve.solvers.schedule import Schedule

KERNEL, COPY, GHOST = 0, 1, 2
TILE = (16, 16)  # rows along z and y; a tile of all stages is to stay in the second-level cache


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
        tile: rows of a tile along z and y.
    """

    stepper: Stepper
    steps: int
    dt: float
    parity: int = 0
    tile: tuple[int, int] = TILE
    _entries: list[StageEntry] = field(default_factory=list)
    _keep: list[object] = field(default_factory=list)
    _timed: list[tuple[Args, int, float]] = field(default_factory=list)
    _fills: list[tuple[BoundaryFill, int, float]] = field(default_factory=list)
    _lag: int = 0

    def __post_init__(self) -> None:
        self.work = self.stepper.work
        sub, rates = self.work.subdomain, self.work.rates
        both = [s[name] for s in self._carried() for name in self.work.unknowns]
        self.exchange = HaloExchange(
            both, rates.conditions, depth=rates.ghost, boundary_depth=rates.radius, points=rates.points,
            yielding=self.work.yielding, deep=True,
        )  # fmt: skip
        self._radius = rates.radius
        self._step_lag = max(self._radius, rates.closure - 1)
        updates = [
            (update, step)
            for step in range(self.steps)
            for update in updates_of_step(self.stepper, self.dt, (self.parity + step) % 2 if self._alternates else 0)
        ]
        self._left = len(updates) * (len(rates.defines) + 1) * self._radius
        for update, step in updates:
            self._add_update(update, step)
        array = (StageEntry * len(self._entries))(*self._entries)
        low, high = self._span(sub)
        tile = (ctypes.c_int64 * 3)(*self.tile, 1 << 40)
        self._run: Callable[[], int] = partial(
            core().handle.ps_pipeline, array, ctypes.c_int64(len(array)), tile, low, high
        )

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
        status = self._run()
        if status:
            raise SetupError(f"a kernel returned status {status}")

    def _add_update(self, update: Update, step: int) -> None:
        rates, others = self.work.rates, self.stepper.others
        fields = {**update.source, **others}
        if self._entries:
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
            self._lag += self._step_lag
        box = self._box()
        bound: Bound = bind(
            stage.kernel, box, [fields[name] for name in stage.inputs], outputs, terms,
            coefficients=stage.coefficients, weights=weights, scale=scale,
        )  # fmt: skip
        assert isinstance(stage.kernel, CompiledKernel)
        entry = self._entry(KERNEL, stage.kernel.function, box)
        entry.args = ctypes.pointer(bound.args)
        self._keep += [bound, stage.kernel]
        self._timed.append((bound.args, step, c))
        self._entries.append(entry)

    def _add_ghosts(self, fields: Sequence[Field], step: int, c: float) -> None:
        """Ends of x that are periodic, then physical ghosts along x, y, z: as many as a stage reads."""
        sub = self.work.subdomain
        box = self._box()
        if sub.grid.present[2] and sub.grid.periodic[2] and sub.processes[2] == 1:
            wraps = wrap_copies(fields, 2, self._radius, [(0, 1), (0, 1), (0, 0)])
            copies = (Copy * len(wraps))(*wraps)
            entry = self._entry(COPY, core().function("copy", fields[0].dtype.name), box)
            entry.copy, entry.count, entry.size = copies, len(copies), fields[0].dtype.itemsize
            self._keep.append(copies)
            self._entries.append(entry)
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
        entry.lag[:] = [self._lag if present else 0 for present in self.work.subdomain.grid.present]
        entry.lo[:], entry.hi[:] = box.lo, box.hi
        return entry

    def _box(self) -> Box:
        """Owned cells and, where ghosts come from other cells, as many beyond as later stages need."""
        sub = self.work.subdomain
        lo, hi = [], []
        for d, n in enumerate(sub.shape):
            beyond = [
                self._left if sub.grid.present[d] and sub.is_deep(d) and not sub.is_physical(d, side) else 0
                for side in (0, 1)
            ]
            lo.append(-beyond[0])
            hi.append(n + beyond[1])
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))

    def _span(self, sub: Subdomain) -> tuple[ctypes.Array[ctypes.c_int64], ctypes.Array[ctypes.c_int64]]:
        triple = ctypes.c_int64 * 3
        low = [min(e.lo[d] for e in self._entries) for d in range(3)]
        high = [max(e.hi[d] + e.lag[d] for e in self._entries) for d in range(3)]
        return triple(*low), triple(*high)


class Passes:
    """Takes the steps of a stepper in passes of several, and one by one where fewer are due."""

    def __init__(self, stepper: Stepper, steps: int, dt: float, tile: tuple[int, int] = TILE) -> None:
        self.stepper = stepper
        self.steps = steps
        self.dt = dt
        self.tile = tile
        self._pipelines: dict[int, Pipeline] = {}

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
        self._pipelines[parity](first, schedule.time)
        return self.steps

    def free(self) -> None:
        """Free the messages; no step can follow."""
        for pipeline in self._pipelines.values():
            pipeline.exchange.free()
        self.stepper.free()
