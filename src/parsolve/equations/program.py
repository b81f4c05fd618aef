"""An equation on given axes, to a given order, as stages: kernels with one level of stencils each.

A *define* stage makes an intermediate field, on a box that reaches as far into the ghost cells as later stages need it,
so that no further halo exchange is due; an *integral* stage makes a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy

from parsolve.equations.levels import Levels, symbol
from parsolve.equations.lowering import Lowering
from parsolve.equations.operations import FREE
from parsolve.equations.operators import expand, name_of
from parsolve.equations.parse import OPERATOR_FUNCTIONS, VALUE_FUNCTIONS, parse
from parsolve.equations.syntax import Source
from parsolve.equations.tape import fused
from parsolve.errors import CaseError
from parsolve.kernels.library import MAX_COEFFICIENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parsolve.equations.equation import Equation
    from parsolve.equations.tape import Operation

EQUATION_FUNCTIONS = {**VALUE_FUNCTIONS, **OPERATOR_FUNCTIONS}


@dataclass(frozen=True)
class Stage:
    """One kernel: ``outputs = results(inputs)`` at each cell of a box.

    Attributes:
        name: name of the kernel.
        inputs, outputs: names of fields, in the kernel's order.
        expressions: what the outputs are, in SymPy.
        operations, results: the arithmetic (tape.py) and the value of each output.
        coefficients: constants of the run that the kernel takes, in order.
        radii: how many neighbours it reads of each input.
        corners: whether it reads diagonal neighbours.
        integral: number of the integral whose integrand it is, or None; ``is_mean``: the mean is meant.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    expressions: tuple[sympy.Expr, ...]
    operations: tuple[Operation, ...]
    results: tuple[int, ...]
    coefficients: tuple[sympy.Expr, ...]
    radii: tuple[int, ...]
    corners: bool
    updates: bool
    integral: int | None = None
    is_mean: bool = False

    @property
    def radius(self) -> int:
        """Neighbours read of any input."""
        return max(self.radii, default=0)

    @property
    def flops(self) -> int:
        """Operations at one cell, each function counted as one and a fused product and sum as two."""
        return sum((op.name not in FREE) + (op.name == "fma") for op in self.operations)


@dataclass(frozen=True)
class Program:
    """Stages of one evaluation of the rates: defines and integrals in order, then the rate.

    Attributes:
        axes, order: what it was discretised for.
        defines, rate: the stages.
        arrays: coefficient fields that the stages read, and noise, as ``noise_<seed>``.
    """

    equation: Equation
    axes: tuple[str, ...]
    order: int
    defines: tuple[Stage, ...]
    rate: Stage
    arrays: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in the order of evaluation."""
        return (*self.defines, self.rate)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Fields that the rate stage updates."""
        return self.rate.outputs

    @property
    def intermediate(self) -> tuple[str, ...]:
        """Fields of the define stages that later stages read."""
        return tuple(name for stage in self.defines if stage.integral is None for name in stage.outputs)

    @cached_property
    def reach(self) -> dict[str, int]:
        """How far beyond the owned cells each field is needed: ghosts of an unknown, box of an intermediate field."""
        needed = {name: 0 for stage in self.stages for name in (*stage.inputs, *stage.outputs)}
        for stage in reversed(self.stages):
            own = 0 if stage.updates else needed[stage.outputs[0]]
            for name, radius in zip(stage.inputs, stage.radii, strict=True):
                needed[name] = max(needed[name], own + radius)
        return needed

    @property
    def ghost(self) -> int:
        """Depth of the ghost cells."""
        return max([1, *self.reach.values()])

    @property
    def radius(self) -> int:
        """Largest radius of one stage: depth of the physical ghosts."""
        return max([1, *(stage.radius for stage in self.stages)])

    @property
    def exchanged(self) -> tuple[str, ...]:
        """Unknowns whose ghosts are read."""
        return tuple(name for name in self.unknowns if self.reach.get(name, 0)) or self.unknowns[:1]


def build(equation: Equation, axes: Sequence[str], order: int, *, acceleration: bool = False) -> Program:
    """The stages of an equation; with ``acceleration``, of u_tt alone instead of the first-order system.

    Raises:
        CaseError: the text of a rate or definition is wrong.
    """
    names = [*equation.unknowns, *equation.parameters, *equation.define, *equation.arrays, *axes, "t"]
    texts = {f"define.{name}": text for name, text in equation.define.items()}
    texts |= {f"evolve.{key}": text for key, text in equation.evolve.items()}
    parsed = {key: _noise_fields(_parse(text, names, key, axes)) for key, text in texts.items()}
    levels = Levels({name: parsed[f"define.{name}"] for name in equation.define}, taken=names)
    rates = levels.split(_rates(equation, parsed, acceleration))
    noises = sorted({s.name for e in parsed.values() for s in e.free_symbols if s.name not in names})
    lower = _StageBuilder(
        tuple(axes),
        order,
        frozenset({*equation.unknowns, *equation.arrays, *noises, *(set(levels.stages) - set(levels.integrals))}),
        {name: n for n, name in enumerate(levels.integrals)},
        f"{equation.name.replace('-', '_')}_{len(axes)}d_o{order}",
        levels.integrals,
    )
    defines = tuple(lower(name, {name: e}) for name, e in levels.stages.items())
    rate = lower("acceleration" if acceleration else "rate", rates, updates=True)
    read = {name for stage in (*defines, rate) for name in stage.inputs}
    late = [name for name in equation.unknowns if name in read and name not in rate.outputs]
    if late:
        raise CaseError(f"time.scheme: leapfrog needs rates without {late[0]}; use scheme = 'rk4'")
    arrays = tuple(name for name in (*equation.arrays, *noises) if name in read)
    return Program(equation, tuple(axes), order, defines, rate, arrays)


def _parse(text: str, names: Sequence[str], key: str, axes: Sequence[str]) -> sympy.Expr:
    return expand(parse(text, names, functions=EQUATION_FUNCTIONS, key=key), axes, Source(text, key))


def _noise_fields(e: sympy.Expr) -> sympy.Expr:
    """noise(seed) as a coefficient field: it does not change in time."""
    heads = [s for s in sympy.preorder_traversal(e) if name_of(s) == "noise"]
    return e.xreplace({head: symbol(f"noise_{head.args[0]}") for head in heads})


def _rates(equation: Equation, parsed: Mapping[str, sympy.Expr], acceleration: bool) -> dict[str, sympy.Expr]:
    """Rates of the unknowns: of u from ``u``; of u and u_t from ``u_tt``, or u_tt itself."""
    if equation.time_order == 1:
        return {name: parsed[f"evolve.{name}"] for name in equation.fields}
    second = {name: parsed[f"evolve.{name}_tt"] for name in equation.fields}
    if acceleration:
        return second
    velocity = {name: symbol(f"{name}_t") for name in equation.fields}
    return velocity | {f"{name}_t": e for name, e in second.items()}


@dataclass(frozen=True)
class _StageBuilder:
    axes: tuple[str, ...]
    order: int
    fields: frozenset[str]
    numbers: Mapping[str, int]
    prefix: str
    means: Mapping[str, bool]

    def __call__(self, name: str, outputs: Mapping[str, sympy.Expr], *, updates: bool = False) -> Stage:
        lowering = Lowering(self.axes, self.order, self.fields, self.numbers)
        values = [lowering.value(e) for e in outputs.values()]
        operations, results = fused(lowering.tape.operations, values)
        most = MAX_COEFFICIENTS - len(self.numbers)
        if len(lowering.coefficients) > most:
            raise CaseError(
                f"evolve: {name} has {len(lowering.coefficients)} different constants, and a kernel takes {most}; "
                "write some of them as numbers, or move a part into a coefficient field"
            )
        return Stage(
            f"{self.prefix}_{name}",
            tuple(lowering.inputs),
            tuple(outputs),
            tuple(outputs.values()),
            operations,
            results,
            tuple(lowering.coefficients),
            tuple(lowering.radius[name] for name in lowering.inputs),
            lowering.corners,
            updates,
            self.numbers.get(name),
            self.means.get(name, False),
        )
