"""One evaluation of the rates of a state: ghosts, intermediate fields, rate kernel; interior work hides messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.domain.boundary import NO_FLUX, BoundaryFill
from parsolve.domain.field import Bound, Box, Field, bind, owned
from parsolve.domain.reduce import exact_sum
from parsolve.kernels.library import MAX_COEFFICIENTS

if TYPE_CHECKING:
    from parsolve.domain.boundary import Conditions
    from parsolve.domain.grid import Subdomain
    from parsolve.domain.halo import HaloExchange
    from parsolve.kernels.library import Kernel

State = Mapping[str, Field]
STREAMED = 32 << 20  # bytes of a field that no cache keeps until the next stage


@dataclass(frozen=True)
class StageKernel:
    """A kernel, the names of the fields it takes and gives, and its constants.

    ``reach``: how far beyond the owned cells it is computed (0 for the rate).  A stage with ``integral`` gives the
    number with that index: the sum of its output over the grid times ``factor``.  ``timed``: it reads the time.
    """

    kernel: Kernel
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    coefficients: tuple[float, ...]
    reach: int = 0
    integral: int | None = None
    factor: float = 1.0
    timed: bool = False


@dataclass(frozen=True)
class Rates:
    """What gives the rates of a state: intermediate stages in order, then the rate; no equation is known here.

    Attributes:
        exchanged: unknowns whose ghosts are read.
        ghost: depth of these ghosts.
        radius: neighbours that one stage reads.
        points: owned cells that a boundary condition reads.
        corners: whether a stage reads diagonal neighbours.
        conditions: boundary conditions of unknowns and intermediate fields.
    """

    defines: tuple[StageKernel, ...]
    rate: StageKernel
    exchanged: tuple[str, ...]
    ghost: int
    radius: int
    points: int
    corners: bool
    conditions: Conditions

    @property
    def closure(self) -> int:
        """Most owned cells that any boundary condition reads."""
        given = (c for sides in self.conditions.values() for c in sides.values())
        return max(c.points(self.points) for c in (NO_FLUX, *given))


class Evaluation:
    """out = sum_j weights[j] terms[j] + scale * rate(state), bound once to its fields.

    Args:
        rates: the kernels.
        exchange: fills the ghosts of ``state``.
        others: coefficient fields, and fields for the outputs of the define stages.
        state, out, terms: fields by the name of the unknown.
        weights: of the terms.
    """

    def __init__(
        self,
        rates: Rates,
        exchange: HaloExchange,
        others: State,
        state: State,
        out: State,
        terms: Sequence[State],
        weights: Sequence[float],
    ) -> None:
        self.exchange = exchange
        self.state, self.out, self.terms, self.weights = state, out, terms, weights
        sub = exchange.subdomain
        fields = {**state, **others}

        def rate(box: Box) -> Bound:
            stage = rates.rate
            outputs = [out[name] for name in stage.outputs]
            bound = bind(
                stage.kernel,
                box,
                [fields[name] for name in stage.inputs],
                outputs,
                [[term[name] for name in stage.outputs] for term in terms],
                coefficients=stage.coefficients,
                weights=weights,
            )
            bound.args.streaming = out is not terms[0] and outputs[0].memory.nbytes > STREAMED
            return bound

        self.defines = [_Define(stage, rates, sub, fields) for stage in rates.defines]
        if exchange.is_split and not self.defines:
            inner, shell = interior(sub, exchange, rates.radius)
            self.interior = [] if inner.is_empty else [rate(inner)]
            self.rest = [rate(box) for box in shell]
        else:
            self.interior, self.rest = [], [rate(owned(sub))]
        for i, (stage, define) in enumerate(zip(rates.defines, self.defines, strict=True)):
            if stage.integral is not None:
                define.users = [*(later.launch for later in self.defines[i + 1 :]), *self.rest]

    def set_scale(self, scale: float) -> None:
        """Set the factor of the rate: beta * dt."""
        for bound in (*self.interior, *self.rest):
            bound.args.scale = scale

    def __call__(self, time: float) -> None:
        """Evaluate at a time."""
        self.exchange.start(time)
        for launch in self.interior:
            launch.args.time = time
            launch()
        self.exchange.finish(time)
        for define in self.defines:
            define(time)
        for launch in self.rest:
            launch.args.time = time
            launch()


class _Define:
    """An intermediate field: its kernel over a box that reaches into ghosts, then its physical ghosts; or an integral.

    ``users`` are the kernels that take the integral.
    """

    def __init__(self, stage: StageKernel, rates: Rates, sub: Subdomain, fields: State) -> None:
        outputs = [fields[name] for name in stage.outputs]
        reach = [
            [0 if sub.is_physical(d, side) or not sub.grid.present[d] else stage.reach for side in (0, 1)]
            for d in range(3)
        ]
        z, y, x = ((-low, n + high) for n, (low, high) in zip(sub.shape, reach, strict=True))
        self.launch = bind(
            stage.kernel,
            Box((z[0], y[0], x[0]), (z[1], y[1], x[1])),
            [fields[name] for name in stage.inputs],
            outputs,
            coefficients=stage.coefficients,
        )
        self.stage = stage
        self.output = outputs[0]
        self.users: list[Bound] = []
        self.fills = []
        if stage.integral is not None:
            return
        for axis in (2, 1, 0):
            slab = []
            for d, n in enumerate(sub.shape):
                low, high = (
                    rates.radius if d > axis and sub.is_physical(d, side) else reach[d][side] for side in (0, 1)
                )
                slab.append((-low, n + high))
            fill = BoundaryFill(outputs, rates.conditions, axis, rates.radius, rates.points, slab)
            if fill.count:
                self.fills.append(fill)

    def __call__(self, time: float) -> None:
        self.launch.args.time = time
        self.launch()
        for fill in self.fills:
            fill(time)
        if self.stage.integral is not None:
            value = self.stage.factor * exact_sum(self.output)
            for user in self.users:
                user.args.coefficient[MAX_COEFFICIENTS - 1 - self.stage.integral] = value


def interior(sub: Subdomain, exchange: HaloExchange, radius: int) -> tuple[Box, list[Box]]:
    """The owned cells that need no ghost that is still under way, and boxes that make up the rest."""
    lo, hi = [0, 0, 0], list(sub.shape)
    shell = []
    for d in exchange.late_axes:
        a, b = min(lo[d] + radius, hi[d]), max(hi[d] - radius, min(lo[d] + radius, hi[d]))
        for first, last in ((lo[d], a), (b, hi[d])):
            low, high = list(lo), list(hi)
            low[d], high[d] = first, last
            shell.append(Box((low[0], low[1], low[2]), (high[0], high[1], high[2])))
        lo[d], hi[d] = a, b
    inner = Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))
    return inner, [box for box in shell if not box.is_empty]
