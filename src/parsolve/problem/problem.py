"""A case made concrete: its names checked against the equation, its texts turned into kernels, values and steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from parsolve.case import Case, FileValue, Value
from parsolve.domain.boundary import NO_FLUX, Condition, closure_base
from parsolve.domain.grid import AXES, Grid, Triple
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.operators import spacing
from parsolve.equations.program import Program, Stage, build
from parsolve.equations.symbol import eigenvalues
from parsolve.equations.user import user_equation
from parsolve.equations.values import evaluate, fill
from parsolve.march.schedule import Schedule, counted_schedule, even_schedule
from parsolve.march.stability import closure_factor, stable_step
from parsolve.march.tableaus import EMBEDDED, SCHEMES, Scheme
from parsolve.problem.sides import side_condition
from parsolve.stages.operator import Operator, StageKernel
from parsolve.store.frames import FieldInfo
from parsolve.store.source import read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from parsolve.equations.equation import Equation
    from parsolve.kernels.library import Kernel

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """What a case asks for, before anything is allocated or split.

    Attributes:
        program: the equation, discretised.
        parameters: all constants of the equation.
        conditions: boundary conditions by field and side.
        velocities: unknowns u_t that only the start of leapfrog needs.
    """

    case: Case
    grid: Grid
    equation: Equation
    program: Program
    scheme: Scheme
    parameters: Mapping[str, float]
    conditions: Mapping[str, Mapping[str, Condition]]

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self.case.run.precision)

    @property
    def velocities(self) -> tuple[str, ...]:
        """Initial velocities that a scheme for u_tt needs beside its unknowns."""
        second = self.scheme.derivative == 2
        return tuple(f"{name}_t" for name in self.equation.fields if second)

    @property
    def is_adaptive(self) -> bool:
        """Whether the error is estimated and the step adapted to it."""
        return self.case.time.tolerance is not None

    @property
    def recorded(self) -> list[FieldInfo]:
        """What the result says of each field that it holds."""
        meanings = self.equation.fields
        names = self.case.output.fields or self.program.unknowns
        return [
            FieldInfo(name, meanings.get(name, f"rate of {meanings.get(name.removesuffix('_t'), name)}"), "1")
            for name in names
        ]

    @property
    def carried(self) -> int:
        """Fields that hold the state between steps."""
        return len(self.program.unknowns) * (2 if self.is_adaptive else self.scheme.derivative)

    @property
    def field_count(self) -> int:
        """Fields that a march holds: registers and rates of the unknowns, intermediate and coefficient fields."""
        registers = self.scheme.registers(self.is_adaptive) + 2 * self.is_adaptive
        return registers * len(self.program.unknowns) + len(self.program.defines) + len(self.program.arrays)

    @property
    def can_fuse(self) -> bool:
        """Whether the stages can run tile by tile: compiled, without sums over the grid.

        Beyond the end of an anti-periodic axis the unknowns change their sign, which not every field made of them does.
        """
        sums = any(stage.integral is not None for stage in self.program.stages)
        odd = not any(self.grid.anti) or not self.program.defines
        return self.case.run.device == "cpu" and not sums and odd

    @property
    def has_corners(self) -> bool:
        """Whether a stage reads diagonal neighbours."""
        return any(stage.corners for stage in self.program.stages)

    @property
    def closure(self) -> int:
        """Most owned cells that a boundary condition reads."""
        given = [c for sides in self.conditions.values() for c in sides.values()]
        return max(c.closure(closure_base(self.case.run.order)) for c in (NO_FLUX, *given))

    def coefficients(self, stage: Stage) -> tuple[float, ...]:
        """Values of the constants that a stage's kernel takes."""
        values = dict(self.parameters)
        values |= {spacing(axis).name: h for axis, h in zip(AXES, self.grid.spacing, strict=True)}
        return tuple(float(evaluate(e, values)) for e in stage.coefficients)

    def operator(self, kernel_of: Callable[[Stage], Kernel]) -> Operator:
        """The stages with their kernels and constants."""
        program = self.program

        def kernel(stage: Stage) -> StageKernel:
            return StageKernel(
                kernel_of(stage), stage.inputs, stage.outputs, self.coefficients(stage), stage.radius, stage.updates,
                reach=0 if stage.updates else program.reach[stage.outputs[0]],
                integral=stage.integral,
                factor=1 / self.grid.size if stage.is_mean else prod(self.grid.spacing),
                timed=any(op.name == "time" for op in stage.operations),
            )  # fmt: skip

        return Operator(
            tuple(kernel(stage) for stage in program.defines), (kernel(program.rate),), program.exchanged,
            program.ghost, program.radius, closure_base(self.case.run.order), self.has_corners, self.conditions,
        )  # fmt: skip

    def initial(self, name: str, start: Triple, shape: Triple) -> np.ndarray:
        """Initial values of a field on a box of global cells, shape (z, y, x), float64.

        Raises:
            CaseError: an expression or file is wrong.
        """
        return self._values(self.case.initial.get(name, 0.0), f"initial.{name}", start, shape)

    def array(self, name: str, start: Triple, shape: Triple) -> np.ndarray:
        """Values of a coefficient field on a box of global cells, shape (z, y, x), float64.

        Raises:
            CaseError: an expression or file is wrong.
        """
        if name not in self.case.fields:
            return self._values(f"noise(seed={name.removeprefix('noise_')})", name, start, shape)
        return self._values(self.case.fields[name], f"fields.{name}", start, shape)

    def noise(self, start: Triple, shape: Triple) -> np.ndarray:
        """Values in [-1, 1) that depend on the global cell alone."""
        return self._values("noise(seed=0)", "noise", start, shape)

    def is_formula(self, name: str) -> bool:
        """Whether a coefficient field has values beyond the domain too: an expression or a number, without noise."""
        value = self.case.fields.get(name)
        return value is not None and not isinstance(value, FileValue) and "noise" not in str(value)

    def _values(self, value: Value, key: str, start: Triple, shape: Triple) -> np.ndarray:
        if isinstance(value, FileValue):
            return read_block(value.file, value.dataset, self.grid, start, shape, np.float64)
        with self.case.located():
            return fill(value, self.grid, start, shape, parameters=self.parameters, key=key)

    def stable_dt(
        self, extrema: Mapping[str, tuple[float, float]], duration: float, measured: float | None = None
    ) -> float:
        """The automatic time step, from the range of initial values and coefficient fields, and of the equation.

        Args:
            extrema: range of the initial values and coefficient fields.
            duration: the step is at most this.
            measured: largest rate found by power iteration; the step is shortened where the analysis missed it.

        Raises:
            CaseError: the scheme has no stable step, or it cannot be told.
        """
        ranges = {}
        for name in self.program.unknowns:
            low, high = extrema.get(name, (0.0, 0.0))
            wide = self.equation.range.get(name, (low, high))
            ranges[name] = (min(low, wide[0]), max(high, wide[1]))
        for axis, low, n, h in zip(AXES, self.grid.lower, self.grid.cells, self.grid.spacing, strict=True):
            ranges[axis] = (low, low + n * h)
        ranges["t"] = (0.0, duration if np.isfinite(duration) else 0.0)
        ranges |= {name: extrema[name] for name in self.program.arrays}
        coefficients = {stage.name: self.coefficients(stage) for stage in self.program.stages}
        values, slow = eigenvalues(self.program, coefficients, ranges, prod(self.grid.spacing) * self.grid.size)
        values = values * self._closure_factor()
        uniform = float(np.abs(values[:, 0, :]).max(initial=0.0))
        analysed = float(np.abs(values).max(initial=0.0))
        if measured is not None and not np.isfinite(measured + analysed):
            raise self.case.error("time.dt", "the stable step cannot be told: a rate is not finite at first; give dt")
        if measured is not None and measured > 1.05 * analysed:
            values = np.append(values, [-measured] if analysed == 0 else values.ravel() * (measured / analysed))
        if uniform > 0:  # follow what happens at a cell: reactions, springs
            duration = min(duration, 1 / uniform ** (1 / self.scheme.derivative))
        return stable_step(self.scheme, values, slow, duration)

    def _closure_factor(self) -> float:
        """How much the physical boundaries raise the largest rate of all stages together."""
        spacings = dict(zip(AXES, self.grid.spacing, strict=True))
        used = {(spacings[side[0]], c) for sides in self.conditions.values() for side, c in sides.items()}
        worst = max((closure_factor(self.case.run.order, h, c) for h, c in used), default=1.0)
        return worst ** -(-self.program.ghost // self.program.radius)

    def schedule(self, dt: float) -> Schedule:
        """Steps and frames of a march with fixed steps of at most dt."""
        time, output = self.case.time, self.case.output
        if time.steps is not None:
            every = output.every_steps
            if every is None and output.every is not None:
                every = max(1, round(output.every / dt))
            return counted_schedule(time.steps, dt, every)
        assert time.end is not None
        schedule = even_schedule(time.end, dt, output.every)
        if output.every_steps is None:
            return schedule
        return replace(schedule, records=counted_schedule(schedule.steps, dt, output.every_steps).records)

    def record_times(self) -> list[float]:
        """Times of the frames after the first, for adaptive steps."""
        end, every = cast("float", self.case.time.end), self.case.output.every
        if every is None or every >= end:
            return [end]
        times = [i * every for i in range(1, int(end / every * (1 + 1e-12)) + 1)]
        return times if abs(times[-1] - end) <= 1e-9 * end else [*times, end]


def pose(case: Case) -> Problem:
    """The problem of a case.

    Raises:
        CaseError: a name that the equation does not have, or settings that contradict each other.
    """
    grid = Grid.of(case.grid)
    with case.located():
        own = user_equation(case.evolve, case.parameters, case.define, case.fields, grid.names) if case.evolve else None
    equation = own or _known(case, "equation", case.equation, CATALOGUE)
    scheme = _known(case, "time.scheme", case.time.scheme, SCHEMES)
    for name in case.parameters:
        if name not in equation.parameters:
            raise case.error(f"parameters.{name}", f"{equation.name} has no such parameter", equation.parameters)
    acceleration = scheme.derivative == 2
    if acceleration and equation.time_order != 2:
        choices = [name for name, s in SCHEMES.items() if s.derivative == 1]
        raise case.error(
            "time.scheme",
            f"leapfrog is for equations that give u_tt; for {equation.name} use one of {', '.join(choices)}",
        )
    with case.located():
        program = build(equation, grid.names, case.run.order, acceleration=acceleration)
    _check_time(case, scheme)
    _check_initial(case, equation)
    parameters = {name: p.default for name, p in equation.parameters.items()} | dict(case.parameters)
    fields = [*equation.unknowns, *program.intermediate]
    conditions: dict[str, dict[str, Condition]] = {}
    for name, sides in case.boundary.items():
        if name not in fields:
            raise case.error(f"boundary.{name}", f"{equation.name} has no such field", fields)
        with case.located():
            conditions[name] = {
                side: side_condition(case, grid, f"boundary.{name}.{side}", side, condition, parameters)
                for side, condition in sides.items()
            }
    for name in case.output.fields or ():
        if name not in program.unknowns:
            raise case.error("output.fields", f"no field '{name}' is marched", program.unknowns)
    return Problem(case, grid, equation, program, scheme, parameters, conditions)


def _known(case: Case, key: str, name: str | None, table: Mapping[str, T]) -> T:
    if name is None or name not in table:
        raise case.error(key, f"unknown {key.rpartition('.')[2]} '{name}'", table)
    return table[name]


def _check_time(case: Case, scheme: Scheme) -> None:
    time = case.time
    if time.tolerance is not None:
        if scheme.name not in EMBEDDED:
            raise case.error(
                "time.tolerance", f"{scheme.name} has no error estimate; use scheme = {' or '.join(EMBEDDED)}"
            )
        if time.steps is not None or case.output.every_steps is not None:
            raise case.error("time.tolerance", "adaptive steps need time.end and output.every, not numbers of steps")


def _check_initial(case: Case, equation: Equation) -> None:
    allowed: Collection[str] = equation.unknowns
    for name in case.initial:
        if name not in allowed:
            raise case.error(f"initial.{name}", f"{equation.name} has no such field", allowed)
    for name in equation.fields:
        if name not in case.initial:
            raise case.error(f"initial.{name}", "missing: give an expression, a number or { file = ... }")
