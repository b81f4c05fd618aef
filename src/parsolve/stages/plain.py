"""The plain order: update after update over the whole subdomain; interior work hides messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsolve.domain.boundary import BoundaryFill
from parsolve.domain.field import Bound, Box, owned
from parsolve.domain.reduce import exact_sum
from parsolve.kernels.library import MAX_COEFFICIENTS
from parsolve.stages.operator import set_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.domain.grid import Subdomain
    from parsolve.domain.halo import HaloExchange
    from parsolve.stages.blocking import Tile
    from parsolve.stages.operator import Exchanges, Norm, StageKernel, Update

STREAMED = 32 << 20  # bytes of a field that no cache keeps until the next stage


class Plain:
    """Updates one after the other, then norms; bound once to their fields."""

    def __init__(self, updates: Sequence[Update], norms: Sequence[Norm], exchanges: Exchanges) -> None:
        self._evaluations = [Evaluation(update, exchanges) for update in updates]
        self._norms = norms
        self._scales: Sequence[float] = ()

    def set_noise(self, draws: Sequence[tuple[int, float]]) -> None:
        """Set the step and the strength of the noise of each update; without, there is none."""
        for evaluate, (step, strength) in zip(self._evaluations, draws, strict=True):
            for args in evaluate.noisy:
                set_noise(args, step, strength)

    def __call__(self, times: Sequence[float], scales: Sequence[float], tile: Tile | None = None) -> float:
        """Run all, each update at its time and with its scale; collective.

        As a ``Pass`` does it; there is no tile, and no time is taken: 0.
        """
        if scales != self._scales:
            self._scales = scales
            for evaluate, scale in zip(self._evaluations, scales, strict=True):
                evaluate.set_scale(scale)
        for evaluate, time in zip(self._evaluations, times, strict=True):
            evaluate(time)
        for norm in self._norms:
            norm()
        return 0.0


class Evaluation:
    """One update over the subdomain: ghosts, intermediate fields, results."""

    def __init__(self, update: Update, exchanges: Exchanges) -> None:
        op, sub = update.operator, next(iter(update.out.values())).subdomain
        self.moving = [f for f in update.others.values() if f.moves]
        self.exchange: HaloExchange | None = None
        if op.exchanged:
            self.exchange = exchanges.find([update.state[name] for name in op.exchanged], [op], op.ghost)
        self.defines = [Define(update, stage, sub) for stage in op.defines]
        inner, shell = Box((0, 0, 0), (0, 0, 0)), [owned(sub)]
        if self.exchange and self.exchange.is_split and not self.defines:
            inner, shell = interior(sub.shape, self.exchange.late_axes, op.radius)
        self.interior = [] if inner.is_empty else [_result(update, stage, inner) for stage in op.results]
        self.rest = [_result(update, stage, box) for stage in op.results for box in shell]
        results = [stage for stage in op.results if not inner.is_empty] + [s for s in op.results for _ in shell]
        taken = [(d.stage, d.launch) for d in self.defines]
        taken += zip(results, (*self.interior, *self.rest), strict=True)
        self.noisy = [bound.args for stage, bound in taken if stage.noisy]
        for i, define in enumerate(self.defines):
            define.users = [*(later.launch for later in self.defines[i + 1 :]), *self.rest]

    def set_scale(self, scale: float) -> None:
        """Set the factor of the operator."""
        for bound in (*self.interior, *self.rest):
            bound.args.scale = scale

    def __call__(self, time: float) -> None:
        """Evaluate at a time; collective."""
        for f in self.moving:
            f.renew(time)
        if self.exchange:
            self.exchange.start(time)
        for launch in self.interior:
            launch.args.time = time
            launch()
        if self.exchange:
            self.exchange.finish(time)
        for define in self.defines:
            define(time)
        for launch in self.rest:
            launch.args.time = time
            launch()


def _result(update: Update, stage: StageKernel, box: Box) -> Bound:
    """A stage of the results over a box; what no cache keeps is written past them, unless it was read."""
    bound = update.bind(stage, box)
    large = update.outputs(stage)[0].memory.nbytes > STREAMED
    bound.args.streaming = large and update.adds(stage) and update.out is not update.terms[0]
    return bound


class Define:
    """An intermediate field: its kernel over a box that reaches into ghosts, then its physical ghosts; or an integral.

    ``users`` are the kernels that take the integral.
    """

    def __init__(self, update: Update, stage: StageKernel, sub: Subdomain) -> None:
        reach = [
            [0 if sub.is_physical(d, side) or not sub.grid.present[d] else stage.reach for side in (0, 1)]
            for d in range(3)
        ]
        z, y, x = ((-low, n + high) for n, (low, high) in zip(sub.shape, reach, strict=True))
        self.launch = update.bind(stage, Box((z[0], y[0], x[0]), (z[1], y[1], x[1])))
        self.stage = stage
        self.outputs = update.outputs(stage)
        self.users: list[Bound] = []
        self.fills: list[BoundaryFill] = []
        op = update.operator
        for axis in (2, 1, 0) if stage.integral is None else ():
            slab = []
            for d, n in enumerate(sub.shape):
                low, high = (op.radius if d > axis and sub.is_physical(d, side) else reach[d][side] for side in (0, 1))
                slab.append((-low, n + high))
            fill = BoundaryFill(self.outputs, op.conditions, axis, op.radius, op.base, slab)
            if fill.count:
                self.fills.append(fill)

    def __call__(self, time: float) -> None:
        """Make it at a time; collective for an integral."""
        self.launch.args.time = time
        self.launch()
        for fill in self.fills:
            fill(time)
        if self.stage.integral is not None:
            value = self.stage.factor * exact_sum(self.outputs[0])
            for user in self.users:
                user.args.coefficient[MAX_COEFFICIENTS - 1 - self.stage.integral] = value


def interior(shape: Sequence[int], late_axes: Sequence[int], radius: int) -> tuple[Box, list[Box]]:
    """The owned cells that need no ghost along the late axes, and boxes that make up the rest."""
    lo, hi = [0, 0, 0], list(shape)
    shell = []
    for d in late_axes:
        a, b = min(lo[d] + radius, hi[d]), max(hi[d] - radius, min(lo[d] + radius, hi[d]))
        for first, last in ((lo[d], a), (b, hi[d])):
            low, high = list(lo), list(hi)
            low[d], high[d] = first, last
            shell.append(Box((low[0], low[1], low[2]), (high[0], high[1], high[2])))
        lo[d], hi[d] = a, b
    inner = Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))
    return inner, [box for box in shell if not box.is_empty]
