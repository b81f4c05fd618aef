"""An equation on given axes, to a given order, as stages: kernels with one level of stencils each.

A derivative of an expression that itself has derivatives becomes a *define* stage: an intermediate field, computed on a
box that reaches as far into the ghost cells as later stages need it, so that no further halo exchange is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy

from parsolve.equations.operators import LINEAR_OPERATORS, Lowering, expand
from parsolve.equations.parse import OPERATOR_FUNCTIONS, VALUE_FUNCTIONS, parse

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

    @property
    def radius(self) -> int:
        """Neighbours read of any input."""
        return max(self.radii, default=0)

    @property
    def updates(self) -> bool:
        """Whether it is the rate stage, which updates unknowns; the others define intermediate fields."""
        return self.name.endswith(("_rate", "_acceleration"))


@dataclass(frozen=True)
class Program:
    """Stages of one evaluation of the rates: defines in order, then the rate.

    Attributes:
        axes, order: what it was discretised for.
        defines, rate: the stages.
    """

    equation: Equation
    axes: tuple[str, ...]
    order: int
    defines: tuple[Stage, ...]
    rate: Stage

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
        """Fields of the define stages."""
        return tuple(name for stage in self.defines for name in stage.outputs)

    @cached_property
    def reach(self) -> dict[str, int]:
        """How far beyond the owned cells each field is needed: ghosts of an unknown, box of an intermediate field."""
        needed = {name: 0 for stage in self.stages for name in stage.inputs}
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
        ExpressionError: the text of a rate or definition is wrong.
    """
    names = [*equation.unknowns, *equation.parameters, *equation.define]
    texts = {f"define.{name}": text for name, text in equation.define.items()}
    texts |= {f"evolve.{key}": text for key, text in equation.evolve.items()}
    parsed = {
        key: expand(parse(text, names, functions=EQUATION_FUNCTIONS, key=key), axes) for key, text in texts.items()
    }
    defines = {name: parsed[f"define.{name}"] for name in equation.define}
    rates = _rates(equation, parsed, acceleration)
    levels = _Levels(dict(defines))
    rates = {name: levels.flatten(e) for name, e in rates.items()}
    prefix = f"{equation.name.replace('-', '_')}_{len(axes)}d_o{order}"
    arrays = {*equation.unknowns, *levels.stages}
    lower = _StageBuilder(tuple(axes), order, arrays, prefix)
    return Program(
        equation,
        tuple(axes),
        order,
        tuple(lower(name, {name: e}) for name, e in levels.stages.items()),
        lower("acceleration" if acceleration else "rate", rates),
    )


def _rates(equation: Equation, parsed: Mapping[str, sympy.Expr], acceleration: bool) -> dict[str, sympy.Expr]:
    """Rates of the unknowns: of u from ``u``; of u and u_t from ``u_tt``, or u_tt itself."""
    if equation.time_order == 1:
        return {name: parsed[f"evolve.{name}"] for name in equation.fields}
    second = {name: parsed[f"evolve.{name}_tt"] for name in equation.fields}
    if acceleration:
        return second
    velocity = {name: sympy.Symbol(f"{name}_t", real=True) for name in equation.fields}
    return velocity | {f"{name}_t": e for name, e in second.items()}


class _Levels:
    """Splits nested operators into stages of one level."""

    def __init__(self, defines: dict[str, sympy.Expr]) -> None:
        self.defines = defines
        self.stages: dict[str, sympy.Expr] = {}

    def flatten(self, e: sympy.Expr) -> sympy.Expr:
        """The expression with every inner operand that has operators replaced by an intermediate field.

        A definition that no operator needs is put in place; one that an operator needs becomes a stage.
        """
        e = self._nested(e)
        known = {stage: sympy.Symbol(name, real=True) for name, stage in self.stages.items()}
        e = e.xreplace({k: v for k, v in known.items() if type(k).__name__ in LINEAR_OPERATORS})
        return self._in_place(e)

    def _nested(self, e: sympy.Expr) -> sympy.Expr:
        if not e.args:
            return e
        if type(e).__name__ in LINEAR_OPERATORS:
            operand = self._in_place(e.args[0], only_plain=True)
            if _has_operator(operand) or any(s.name in self.defines for s in operand.free_symbols):
                return e.func(self._intermediate(operand))
            return e.func(operand)
        return e.func(*(self._nested(s) for s in e.args))

    def _intermediate(self, operand: sympy.Expr) -> sympy.Expr:
        """The field that holds the operand: named by its definition, else after the expression."""
        if operand.is_Symbol:
            name, operand = operand.name, self.defines[operand.name]
        else:
            name = self._new_name(operand)
        if name not in self.stages:
            self.stages[name] = self.flatten(operand)
        return sympy.Symbol(name, real=True)

    def _new_name(self, operand: sympy.Expr) -> str:
        for name, e in self.stages.items():
            if e == operand:
                return name
        if len(operand.args) == 1 and operand.args[0].is_Symbol:
            return f"{type(operand).__name__}_{operand.args[0].name}"
        return f"intermediate_{len(self.stages) + 1}"

    def _in_place(self, e: sympy.Expr, only_plain: bool = False) -> sympy.Expr:
        """Put definitions in place that are not stages (with only_plain: those without operators)."""
        for name, definition in self.defines.items():
            if name in self.stages or sympy.Symbol(name, real=True) not in e.free_symbols:
                continue
            if only_plain and _has_operator(definition):
                continue
            e = e.xreplace({sympy.Symbol(name, real=True): definition if only_plain else self._nested(definition)})
        return e


def _has_operator(e: sympy.Expr) -> bool:
    return any(type(s).__name__ in LINEAR_OPERATORS for s in sympy.preorder_traversal(e))


@dataclass(frozen=True)
class _StageBuilder:
    axes: tuple[str, ...]
    order: int
    arrays: set[str]
    prefix: str

    def __call__(self, name: str, outputs: Mapping[str, sympy.Expr]) -> Stage:
        lowering = Lowering(self.axes, self.order, self.arrays)
        results = tuple(lowering.value(e) for e in outputs.values())
        return Stage(
            f"{self.prefix}_{name}",
            tuple(lowering.inputs),
            tuple(outputs),
            tuple(outputs.values()),
            tuple(lowering.tape.operations),
            results,
            tuple(lowering.coefficients),
            tuple(lowering.radius[name] for name in lowering.inputs),
            lowering.corners,
        )
