"""Steps of a scheme over registers of fields: Runge-Kutta (fixed and adaptive) and Stoermer-Verlet."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import Field, arguments, owned
from parsolve.domain.halo import HaloExchange
from parsolve.kernels.library import core
from parsolve.stages.evaluation import Evaluation, Rates, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike

    from parsolve.domain.grid import Subdomain
    from parsolve.march.schedule import Schedule
    from parsolve.march.tableaus import Row, RungeKutta


@dataclass(frozen=True)
class Workspace:
    """Makes the fields, exchanges and evaluations of a stepper, all of one layout; ``arrays``: coefficient fields."""

    rates: Rates
    subdomain: Subdomain
    dtype: DTypeLike
    yielding: bool = False
    arrays: State = field(default_factory=dict)
    colours: Iterator[int] = field(default_factory=itertools.count)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of the fields that are marched."""
        return self.rates.rate.outputs

    def fields(self, names: Sequence[str]) -> dict[str, Field]:
        """New fields, zero."""
        return {name: Field(name, self.subdomain, np.dtype(self.dtype), next(self.colours)) for name in names}

    def exchange(self, state: State) -> HaloExchange:
        """The exchange of the ghosts of a state."""
        return HaloExchange(
            [state[name] for name in self.rates.exchanged],
            self.rates.conditions,
            depth=self.rates.ghost,
            boundary_depth=self.rates.radius,
            points=self.rates.points,
            yielding=self.yielding,
        )

    def others(self) -> dict[str, Field]:
        """The coefficient fields, and new ones for the outputs of the define stages."""
        return {**self.arrays, **self.fields([name for stage in self.rates.defines for name in stage.outputs])}


class ErrorNorm:
    """Max |error| / (tolerance (1 + max(|before|, |after|))) over the owned cells; infinity where not finite."""

    def __init__(self, error: Field, before: Field, after: Field) -> None:
        self.args = arguments(error.subdomain, error.stride, owned(error.subdomain))
        self.args.field[:3] = [error.address, before.address, after.address]
        self.args.scale = 1.0
        self._result = ctypes.c_double()
        norm = core().function("error_norm", error.dtype.name)
        self._launch = partial(norm, ctypes.byref(self.args), ctypes.byref(self._result))

    def __call__(self, tolerance: float) -> float:
        """Its value on this rank."""
        self.args.coefficient[:2] = [tolerance, tolerance]
        self._launch()
        return self._result.value


@dataclass(frozen=True)
class ErrorEstimate:
    """y_s - y_hat, to be evaluated after a step, and its norms."""

    evaluation: Evaluation
    norms: list[ErrorNorm]


class RungeKuttaStepper:
    """Explicit Runge-Kutta steps, one at a time.

    ``state`` holds y(t) between steps.  With ``adaptive``, ``attempt`` leaves it alone and ``accept`` makes the new
    state current; without, a step of more than one stage overwrites y_0 in place, as only its own cell needs it.
    """

    def __init__(self, scheme: RungeKutta, work: Workspace, *, adaptive: bool = False) -> None:
        self.scheme = scheme
        self.work = work
        self.in_place = scheme.stages > 1 and not adaptive
        self.registers = [work.fields(work.unknowns) for _ in range(scheme.stages + (not self.in_place))]
        self.others = work.others()
        self.exchanges = [work.exchange(register) for register in self.registers]
        self.parity = 0
        self.dt = 0.0
        parities = (0,) if self.in_place else (0, 1)
        self.plans = [[self._evaluation(row, i, parity) for i, row in enumerate(scheme.rows)] for parity in parities]
        self.times = [float(row.c) for row in scheme.rows]
        self.errors = self._error_estimates() if adaptive and scheme.error else []

    @property
    def state(self) -> State:
        """The current fields."""
        return self.registers[self._register(0, self.parity)]

    def free(self) -> None:
        """Free the messages; no step can follow."""
        for exchange in self.exchanges:
            exchange.free()

    def step(self, time: float, dt: float) -> None:
        """Advance from time to time + dt."""
        if dt != self.dt:
            self._set_dt(dt)
        for c, evaluate in zip(self.times, self.plans[self.parity], strict=True):
            evaluate(time + c * dt)
        if not self.in_place and not self.errors:
            self.parity ^= 1

    def advance(self, first: int, stop: int, schedule: Schedule) -> int:
        """Take step number ``first``; how many steps were taken: 1."""
        self.step(schedule.time(first), schedule.dt)
        return 1

    def attempt(self, time: float, dt: float, tolerance: float) -> float:
        """Compute the state at time + dt; max |y_s - y_hat| / (tolerance (1 + max(|y_0|, |y_s|))) on this rank."""
        self.step(time, dt)
        estimate = self.errors[self.parity]
        estimate.evaluation(time + dt)
        return max(norm(tolerance) for norm in estimate.norms)

    def accept(self) -> None:
        """Make the state after the last attempt the current one."""
        self.parity ^= 1

    def _register(self, y: int, parity: int) -> int:
        """Register of y_0 ... y_s: y_s is that of y_0 in place, else the two swap at every step."""
        last = self.scheme.stages
        if self.in_place:
            return y % last
        return y if y not in (0, last) or not parity else last - y

    def _evaluation(self, row: Row, i: int, parity: int, out: State | None = None) -> Evaluation:
        target = self._register(i + 1, parity) if out is None else -1
        source = self._register(i, parity)
        terms = sorted(row.weights, key=lambda y: self._register(y, parity) != target)  # the output's own comes first
        return Evaluation(
            self.work.rates,
            self.exchanges[source],
            self.others,
            self.registers[source],
            self.registers[target] if out is None else out,
            [self.registers[self._register(y, parity)] for y in terms],
            [float(row.weights[y]) for y in terms],
        )

    def _error_estimates(self) -> list[ErrorEstimate]:
        row, last = self.scheme.error, self.scheme.stages
        assert row is not None
        error = self.work.fields(self.work.unknowns)
        estimates = []
        for parity in (0, 1):
            before, after = (self.registers[self._register(y, parity)] for y in (0, last))
            norms = [ErrorNorm(error[name], before[name], after[name]) for name in error]
            estimates.append(ErrorEstimate(self._evaluation(row, last, parity, error), norms))
        return estimates

    def _set_dt(self, dt: float) -> None:
        self.dt = dt
        for plan in self.plans:
            for row, evaluate in zip(self.scheme.rows, plan, strict=True):
                evaluate.set_scale(float(row.beta) * dt)
        for estimate in self.errors:
            assert self.scheme.error is not None
            estimate.evaluation.set_scale(float(self.scheme.error.beta) * dt)


class StormerVerletStepper:
    """u(t + dt) = 2 u(t) - u(t - dt) + dt^2 u_tt, written over u(t - dt); dt stays the same.

    ``start`` makes u(-dt) = u - dt u_t + dt^2/2 u_tt from the initial velocity.
    """

    def __init__(self, work: Workspace) -> None:
        self.work = work
        self.registers = [work.fields(work.unknowns) for _ in range(2)]
        self.others = work.others()
        self.exchanges = [work.exchange(register) for register in self.registers]
        self.parity = 0
        self.dt = 0.0
        self.plans = [
            Evaluation(work.rates, self.exchanges[p], self.others, self.registers[p], self.registers[1 - p],
                       [self.registers[1 - p], self.registers[p]], [-1.0, 2.0])
            for p in (0, 1)
        ]  # fmt: skip

    @property
    def state(self) -> State:
        """The current fields."""
        return self.registers[self.parity]

    def free(self) -> None:
        """Free the messages; no step can follow."""
        for exchange in self.exchanges:
            exchange.free()

    def start(self, velocity: Mapping[str, Field], dt: float) -> None:
        """Set the state before the current one from the velocities."""
        now, before = self.registers[self.parity], self.registers[1 - self.parity]
        evaluate = Evaluation(self.work.rates, self.exchanges[self.parity], self.others, now, before,
                              [now, velocity], [1.0, -dt])  # fmt: skip
        evaluate.set_scale(0.5 * dt * dt)
        evaluate(0.0)
        self.dt = dt
        for plan in self.plans:
            plan.set_scale(dt * dt)

    def step(self, time: float, dt: float) -> None:
        """Advance from time to time + dt, the dt of ``start``."""
        self.plans[self.parity](time)
        self.parity ^= 1

    def advance(self, first: int, stop: int, schedule: Schedule) -> int:
        """Take step number ``first``; how many steps were taken: 1."""
        self.step(schedule.time(first), schedule.dt)
        return 1


Stepper = RungeKuttaStepper | StormerVerletStepper
