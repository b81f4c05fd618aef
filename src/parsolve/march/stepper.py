"""Steps of a scheme over registers of fields, as updates that the engine runs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import Field
from parsolve.domain.reduce import magnitude
from parsolve.stages.operator import Exchanges, Norm, Operator, StageKernel, State, Update
from parsolve.stages.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike

    from parsolve.domain.grid import Subdomain
    from parsolve.kernels.library import Kernel
    from parsolve.march.tableaus import Row, Scheme


@dataclass(frozen=True)
class Workspace:
    """Makes the fields of a stepper, all of one layout; ``arrays``: coefficient fields."""

    operator: Operator
    subdomain: Subdomain
    dtype: DTypeLike
    arrays: State = field(default_factory=dict)
    exchanges: Exchanges = field(default_factory=Exchanges)
    colours: Iterator[int] = field(default_factory=itertools.count)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of the fields that are marched."""
        return self.operator.outputs

    def fields(self, names: Sequence[str], of: str = "") -> dict[str, Field]:
        """New fields, zero, by their names; their own names begin with ``of``."""
        dtype = np.dtype(self.dtype)
        return {name: Field(of + name, self.subdomain, dtype, next(self.colours)) for name in names}

    def others(self) -> dict[str, Field]:
        """The coefficient fields, and new ones for the outputs of the define stages."""
        return {**self.arrays, **self.fields(self.operator.intermediate)}


class Stepper:
    """Registers of a scheme, and what its steps are: updates, their times and scales, and norms of the error.

    ``state`` holds y(t) between steps.  Adaptive steps leave it alone, and ``turn`` makes the new state current; they
    keep f(y_0) too, which is f(y_s) of the step before (first same as last: Hairer, Norsett & Wanner II.5).

    Args:
        scheme: its rows.
        work: makes the fields.
        linear: the kernel of a combination of terms + scale k.
        adaptive: whether steps are tried, with an estimate of their error, and then accepted.
    """

    def __init__(self, scheme: Scheme, work: Workspace, linear: Kernel, *, adaptive: bool = False) -> None:
        self.scheme, self.work, self.adaptive = scheme, work, adaptive
        self.registers = [work.fields(work.unknowns) for _ in range(scheme.registers(self.adaptive))]
        self.rates = [work.fields(work.unknowns, "rate of ") for _ in range(2 * self.adaptive)]
        self.others = work.others()
        self.parity, self.dt = 0, 0.0
        self._looks: dict[int, Plain] = {}  # at what the operator gives, by parity
        self._c, self._beta = (
            [float(v) for v in column] for column in zip(*((r.c, r.beta) for r in scheme.rows), strict=True)
        )
        self._alternates = scheme.alternates(self.adaptive)
        self._linear = Operator((), tuple(StageKernel(linear, (n,), (n,)) for n in work.unknowns))

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise that changes in time; only steps have it, and no look at rates."""
        return any(stage.noisy for stage in self.work.operator.stages)

    @property
    def state(self) -> State:
        """The current fields."""
        return self._register(0, self.parity)

    @property
    def carried(self) -> list[State]:
        """Registers that hold the state between steps, the current one first."""
        read = {min(y, 0) for row in self.scheme.rows for y in row.weights}
        return [self._register(y, self.parity) for y in sorted(read, reverse=True)]

    @property
    def kept(self) -> dict[str, Field]:
        """By name the fields without which the march does not go on with the same bits, the current state first."""
        first, *before = self.carried
        found = dict(first)
        for back, state in enumerate(before, start=1):
            found |= {f"{name} {back} step before": f for name, f in state.items()}
        if self.adaptive:
            found |= {f"rate of {name}": f for name, f in self.rates[self.parity].items()}
        return found

    def turn(self, steps: int = 1) -> None:
        """Make the state after so many steps the current one."""
        self.parity ^= self._alternates & steps & 1

    def updates(self, steps: int) -> list[Update]:
        """The updates of the next steps; of adaptive ones at most one, whose last gives f(y_s)."""
        if not self.adaptive:
            parities = [(self.parity + n) % 2 if self._alternates else 0 for n in range(steps)]
            return [self._update(row, i, p) for p in parities for i, row in enumerate(self.scheme.rows)]
        p, last = self.parity, self.scheme.stages
        first, *rows = self.scheme.rows
        y, end = self._register(0, p), self._register(last, p)
        known = Update(self._linear, self.rates[p], self._register(1, p), {}, (y,), (float(first.weights[0]),))
        new = Update(self.work.operator, end, self.rates[1 - p], self.others, (end,), (0.0,))
        return [known, *(self._update(row, i, p) for i, row in enumerate(rows, start=1)), new]

    def moments(self, times: Sequence[float], dt: float) -> list[float]:
        """The time of each update of steps that begin at these times."""
        if self.adaptive:
            return [*(times[0] + c * dt for c in self._c), times[0] + dt]
        return [t + c * dt for t in times for c in self._c]

    def scales(self, steps: int, dt: float) -> tuple[float, ...]:
        """The scale of each update: beta dt, or beta dt^2 where the operator gives the second derivative."""
        power = dt if self.scheme.derivative == 1 else dt * dt
        one = [beta * power for beta in self._beta]
        return (*one, 1.0) if self.adaptive else tuple(one * steps)

    def draws(self, step: int, steps: int, dt: float) -> list[tuple[int, float]]:
        """Of each update of steps from a step on, the number of the step, and by what its noise is multiplied.

        That is 1/sqrt(dt times the volume of a cell); all stages of a step have the same noise.
        """
        strength = 1.0 / sqrt(dt * prod(self.work.subdomain.grid.spacing))
        return [(step + n, strength) for n in range(steps) for _ in self.scheme.rows]

    def norms(self) -> list[Norm]:
        """Norms of the estimated error of the next step, one an unknown; to be given the scale ``error_scale``."""
        row, p, last = self.scheme.error, self.parity, self.scheme.stages
        if not (self.adaptive and row):
            return []
        order = self._terms(row, p, target=-1)
        y, end = self._register(0, p), self._register(last, p)
        weights = _combination(row, order)
        return [
            Norm(self.rates[1 - p][n], y[n], end[n], [self._register(i, p)[n] for i in order], weights)
            for n in self.work.unknowns
        ]

    def error_scale(self, dt: float) -> float:
        """Scale of f(y_s) in the error."""
        return float(self.scheme.error.beta) * dt if self.scheme.error else 0.0

    def start(self, time: float, dt: float, velocity: Mapping[str, Field] | None = None) -> None:
        """Make what the first step needs beside the state; collective.

        Adaptive steps: f(y_0).  Second derivatives: y_-1 = y_0 - dt u_t + dt^2/2 u_tt from the initial velocity u_t.
        """
        op, y, updates, scales = self.work.operator, self.state, [], []
        self.dt = dt
        if self.adaptive:
            updates, scales = [Update(op, y, self.rates[self.parity], self.others, (y,), (0.0,))], [1.0]
        elif velocity:
            before = self._register(-1, self.parity)
            updates = [Update(self._linear, velocity, before, {}, (y,), (1.0,)),
                       Update(op, y, before, self.others, (before,), (1.0,))]  # fmt: skip
            scales = [-dt, 0.5 * dt * dt]
        Plain(updates, [], self.work.exchanges)([time] * len(updates), scales)

    def probe(self, time: float, dt: float, tolerance: float) -> tuple[float, float, float]:
        """Norms over the tolerance of y, of f(t, y), and of f(t + dt, y + dt f) - f(t, y); collective.

        For adaptive steps, before the first.
        """
        op, y, moved = self.work.operator, self.state, self._register(1, self.parity)
        f, then = self.rates[self.parity], self.rates[1 - self.parity]
        updates = [Update(op, y, f, self.others, (y,), (0.0,)), Update(self._linear, f, moved, {}, (y,), (1.0,)),
                   Update(op, moved, then, self.others, (moved,), (0.0,))]  # fmt: skip
        norms = []
        for n in self.work.unknowns:
            norms += [Norm(y[n], y[n], y[n]), Norm(f[n], y[n], y[n]), Norm(then[n], y[n], y[n], [f[n]], [-1.0])]
        for norm in norms:
            norm.set(1.0, tolerance)
        Plain(updates, norms, self.work.exchanges)([time, time, time + dt], [1.0, dt, 1.0])
        own, rates, change = (max(norm.result.value for norm in norms[i::3]) for i in range(3))
        return own, rates, change

    def change(self, time: float, dt: float) -> None:
        """Make y_-1 that of another step, where the scheme carries it: y_0 - dt u_t + dt^2/2 u_tt; collective.

        (u_t = (y_0 - y_-1)/h + h/2 u_tt with the step h of before.)
        """
        h, self.dt = self.dt, dt
        if self.scheme.derivative == 1 or h == dt:
            return
        before, y = self._register(-1, self.parity), self.state
        update = Update(self.work.operator, y, before, self.others, (before, y), (1.0, 1.0 - dt / h))
        Plain([update], [], self.work.exchanges)([time], [0.5 * dt * (dt - h)])

    def velocity(self, time: float, out: State) -> None:
        """Make u_t of the current state where y_-1 is carried: (y_0 - y_-1)/h + h/2 u_tt; collective."""
        y, before, h = self.state, self._register(-1, self.parity), self.dt
        update = Update(self.work.operator, y, out, self.others, (y, before), (0.0, -1.0 / h))
        Plain([update], [], self.work.exchanges)([time], [0.5 * h])

    def sizes_of_rates(self, time: float) -> dict[str, float]:
        """The largest |value| of what the operator gives at the current state; collective.

        It overwrites a register that the next step writes; not while a tried step is looked at.
        """
        out = self._register(-1 if self.scheme.derivative == 2 else 1, self.parity)
        if self.parity not in self._looks:
            y = self.state
            update = Update(self.work.operator, y, out, self.others, (y,), (0.0,))
            self._looks[self.parity] = Plain([update], [], self.work.exchanges)
        self._looks[self.parity]([time], [1.0])
        return {name: magnitude(f) for name, f in out.items()}

    def _register(self, y: int, parity: int) -> State:
        return self.registers[self.scheme.register(y, parity, self.adaptive)]

    def _terms(self, row: Row, parity: int, target: int) -> list[int]:
        """The y_j of a row, that in the register that is written first."""
        return sorted(row.weights, key=lambda y: self.scheme.register(y, parity, self.adaptive) != target)

    def _update(self, row: Row, i: int, parity: int) -> Update:
        """y_{i+1} = sum_j w_j y_j + beta dt f(y_i), with steps from the first of the y_j."""
        order = self._terms(row, parity, self.scheme.register(i + 1, parity, self.adaptive))
        terms = tuple(self._register(y, parity) for y in order)
        weights = _combination(row, order)
        out = self._register(i + 1, parity)
        return Update(self.work.operator, self._register(i, parity), out, self.others, terms, weights)


def _combination(row: Row, order: Sequence[int]) -> tuple[float, ...]:
    """Weights of the y_j in this order as an update takes them: their sum, then those of the steps from the first."""
    return (float(sum(row.weights.values())), *(float(row.weights[y]) for y in order[1:]))
