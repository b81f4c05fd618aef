"""An equation on given axes, to a given order, as stages: kernels with one level of stencils each.

A *define* stage makes an intermediate field, on a box that reaches as far into the ghost cells as later stages need it,
so that no further halo exchange is due; an *integral* stage makes a number.  The last stage gives what the program is
for, its *role*: the rates du/dt of an equation of evolution, the residual f - A u of an equation in space, the next
iterate of a map; linearise.py derives the diagonal and the tangent of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import sympy

from parsolve.equations import groups
from parsolve.equations.levels import Levels
from parsolve.equations.lowering import Lowering
from parsolve.equations.operations import FREE
from parsolve.equations.operators import OPERATORS, name_of
from parsolve.equations.places import CELL, place_of, placed
from parsolve.equations.tape import fused, needed, numbered
from parsolve.equations.texts import Texts, with_next
from parsolve.equations.white import PLACES, has_white, is_white
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parsolve.equations.equation import Equation
    from parsolve.equations.tape import Operation

    Expressions = dict[str, sympy.Expr]

T = TypeVar("T")
Role = Literal["rate", "residual", "diagonal", "tangent", "map", "values"]
_UNDEFINED = (
    "with its constants it has no value: it divides by zero, as the derivative of a constant is, "
    "or takes a root of a negative number"
)


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
        updates: whether the kernel is out = sum_j weight_j term_j + scale * value, or else out = value.
        at: where each output lives, "cell" or the axis of the faces.
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
    at: tuple[str, ...]
    integral: int | None = None
    is_mean: bool = False

    def evaluate(self, leaves: Mapping[str, Callable[[Any], T]], apply: Callable[[str, list[T]], T]) -> list[T]:
        """The results: of leaves from their data, of other operations from their names and the values of arguments."""
        values: list[T] = []
        for op in self.operations:
            read = leaves.get(op.name)
            values.append(read(op.data) if read else apply(op.name, [values[a] for a in op.arguments]))
        return [values[n] for n in self.results]

    @property
    def is_noisy(self) -> bool:
        """Whether it takes noise that changes in time."""
        return any(op.name == "white" for op in self.operations)

    @property
    def radius(self) -> int:
        """Neighbours read of any input."""
        return max(self.radii, default=0)

    @property
    def flops(self) -> int:
        """Operations at one cell, each function counted as one and a fused product and sum as two."""
        return sum((op.name not in FREE) + (op.name == "fma") for op in self.operations)


@dataclass(frozen=True, eq=False)
class Program:
    """Stages of one evaluation: defines and integrals in order, then the stage that gives what the role says.

    Attributes:
        equation: what it was made of.
        axes, order: what it was discretised for.
        defines, rate: the stages; ``rate`` is the last one in every role.
        arrays: coefficient fields that the stages read, and noise, as ``noise_<seed>``.
        role: rate, residual, diagonal, tangent, map, or values: what is made of the state for those who look at it.
        about: fields of the state about which a tangent is taken, read as they are.
        at: axis of each field that lives at faces.
        parts: the kernels that give the outputs of the last stage together; none: itself is one.
    """

    equation: Equation
    axes: tuple[str, ...]
    order: int
    defines: tuple[Stage, ...]
    rate: Stage
    arrays: tuple[str, ...] = ()
    role: Role = "rate"
    about: tuple[str, ...] = ()
    at: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Stage, ...] = ()

    @property
    def kernels(self) -> tuple[Stage, ...]:
        """What is launched, in order."""
        return (*self.defines, *(self.parts or (self.rate,)))

    @cached_property
    def is_noisy(self) -> bool:
        """Whether there is noise in it that changes in time."""
        return any(stage.is_noisy for stage in self.stages)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in the order of evaluation."""
        return (*self.defines, self.rate)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Fields that the last stage has an output for; of a tangent, those that it is applied to."""
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
    def has_corners(self) -> bool:
        """Whether a stage reads diagonal neighbours."""
        return any(stage.corners for stage in self.stages)

    @cached_property
    def operators(self) -> frozenset[str]:
        """Names of the operators in the expressions of the stages, along the axes."""
        parts = (s for stage in self.stages for e in stage.expressions for s in sympy.preorder_traversal(e))
        return frozenset(name_of(s) for s in parts) & OPERATORS

    @property
    def exchanged(self) -> tuple[str, ...]:
        """Unknowns whose ghosts are read."""
        if self.role == "values":
            return tuple(name for name in self.equation.unknowns if self.reach.get(name, 0))
        return tuple(name for name in self.unknowns if self.reach.get(name, 0)) or self.unknowns[:1]


def make_stage(
    name: str,
    outputs: Mapping[str, sympy.Expr],
    operations: Sequence[Operation],
    results: Sequence[int],
    at: Sequence[str],
    *,
    updates: bool = False,
    integral: int | None = None,
    is_mean: bool = False,
) -> Stage:
    """The stage of a tape: what the results need of it, with inputs and constants in the order of their first use."""
    kept, numbers = needed(operations, results)
    kept, reads, coefficients = numbered(kept)
    return Stage(
        name,
        tuple(reads),
        tuple(outputs),
        tuple(outputs.values()),
        kept,
        numbers,
        coefficients,
        tuple(max(abs(o) for offset in offsets for o in offset) for offsets in reads.values()),
        any(sum(o != 0 for o in offset) > 1 for offsets in reads.values() for offset in offsets),
        updates,
        tuple(at),
        integral,
        is_mean,
    )


def part(stage: Stage, first: int, last: int, ending: str = "") -> Stage:
    """The stage of outputs first to last - 1 alone, with the same operations for them; its name has an ending."""
    outputs = dict(zip(stage.outputs[first:last], stage.expressions[first:last], strict=True))
    operations, results = groups.named(stage), stage.results[first:last]
    return make_stage(stage.name + ending, outputs, operations, results, stage.at[first:last], updates=stage.updates)


def build(
    equation: Equation,
    axes: Sequence[str],
    order: int,
    *,
    role: Literal["rate", "residual", "map"] = "rate",
    acceleration: bool = False,
    at: Mapping[str, str] | None = None,
    terms: int = 1,
    values: Mapping[str, sympy.Expr] | None = None,
) -> Program:
    """The program of an equation.

    Args:
        equation: its ``evolve`` gives the rates, ``solve`` the residual, ``iterate`` the map.
        axes: of the grid.
        order: of accuracy, of central differences.
        role: what the program is for.
        acceleration: rates of u_tt alone instead of those of the first-order system.
        at: axis by field or definition: it lives at the faces normal to the axis, its index i at the lower face of
            cell i.  In its text, what lives at cells is taken at the face.  Without that axis it lives at cells.
        terms: most terms to which an update kernel adds its values.
        values: expressions of the state, settled, by the names of what they give: the program of these and no rates.

    Raises:
        CaseError: a text is wrong, or more than a kernel takes.
    """
    texts = Texts(equation, tuple(axes))
    defines, outputs = texts.defines(), dict(values) if values else texts.outputs(role, acceleration)
    kind: Role = "values" if values else role
    if kind == "map":
        outputs, defines = with_next(outputs, defines, texts.names)
    noises = sorted({s.name for e in (*outputs.values(), *defines.values()) for s in e.free_symbols} - set(texts.names))
    noises = [name for name in noises if name not in defines and not is_white(name)]
    if kind != "rate" and any(map(has_white, (*outputs.values(), *defines.values()))):
        _refuse_noise(outputs, defines)
    places = _places(equation, axes, at or {}, [*noises, *defines])
    places = {name: place for name, place in places.items() if name not in texts.constants}
    levels = Levels({n: placed(e, places.get(n, CELL), places) for n, e in defines.items()}, taken=texts.names)
    last = levels.split({n: placed(e, places.get(n, CELL), places) for n, e in outputs.items()})
    for name, e in levels.stages.items():
        places.setdefault(name, place_of(e, places))
    fields = {*equation.unknowns, *equation.arrays, *noises, *(set(levels.stages) - set(levels.integrals))}
    prefix = f"{equation.name.replace('-', '_')}_{len(axes)}d_o{order}"
    before = PLACES if any(map(has_white, (*levels.stages.values(), *last.values()))) else 0
    lower = _StageBuilder(texts, order, frozenset(fields), levels.integrals, places, prefix, before)
    stages = tuple(part for name, e in levels.stages.items() for part in lower.parts(lower(name, {name: e}), 0))
    rate = lower("acceleration" if acceleration and not values else kind, last, updates=kind == "rate")
    read = {name for stage in (*stages, rate) for name in stage.inputs}
    late = [name for name in equation.unknowns if name in read and name not in rate.outputs]
    if late and not values:
        raise CaseError(f"time.scheme: leapfrog needs rates without {late[0]}; use scheme = 'rk4'")
    arrays = tuple(name for name in (*equation.arrays, *noises) if name in read)
    faces = {name: place for name, place in places.items() if place != CELL}
    return Program(equation, tuple(axes), order, stages, rate, arrays, kind, at=faces, parts=lower.parts(rate, terms))


def _refuse_noise(outputs: Expressions, defines: Expressions) -> None:
    """Raises CaseError: what is no rate reads noise that changes in time, itself or by definitions."""
    for name, e in outputs.items():
        read, pending = set[str](), [e]
        while pending:
            e = pending.pop()
            if has_white(e):
                raise CaseError(
                    f"{name}: noise with each='step' is that of a step, and not of a state: only rates can read it"
                )
            names = {s.name for s in e.free_symbols} & defines.keys() - read
            read |= names
            pending += [defines[other] for other in names]


def _places(equation: Equation, axes: Sequence[str], at: Mapping[str, str], more: Sequence[str]) -> dict[str, str]:
    """Where each field and definition lives; a velocity u_t and an iterate next_u where u does."""
    names = [*equation.unknowns, *equation.arrays, *more]
    for name, axis in at.items():
        if name not in names or axis not in ("x", "y", "z"):
            raise CaseError(f"at.{name}: faces normal to '{axis}' of '{name}': there is no such field or axis")
    places = {name: at[name] if at.get(name) in axes else CELL for name in names}
    for name in equation.fields:
        places |= {other: places[name] for other in (f"{name}_t", f"next_{name}") if other in places}
    return places


@dataclass(frozen=True)
class _StageBuilder:
    texts: Texts
    order: int
    fields: frozenset[str]
    integrals: Mapping[str, bool]
    places: Mapping[str, str]
    prefix: str
    before: int  # places of integrals that are taken

    def __call__(self, name: str, outputs: Mapping[str, sympy.Expr], *, updates: bool = False) -> Stage:
        numbers = {integral: n + self.before for n, integral in enumerate(self.integrals)}
        for output, e in outputs.items():
            if e.has(sympy.zoo, sympy.nan, sympy.I):
                raise CaseError(f"{self.texts.key(output)}: {_UNDEFINED}")
        lowering = Lowering(self.texts.axes, self.order, self.fields, numbers)
        values = [lowering.value(e) for e in outputs.values()]
        return make_stage(
            f"{self.prefix}_{name}",
            outputs,
            *fused(lowering.tape.operations, values),
            [self.places.get(output, CELL) for output in outputs],
            updates=updates,
            integral=numbers.get(name),
            is_mean=self.integrals.get(name, False),
        )

    def parts(self, stage: Stage, terms: int) -> tuple[Stage, ...]:
        """The kernels of a stage: itself, or one for each group of its outputs; they share its operations."""
        terms, sums = terms if stage.updates else 0, self.before + len(self.integrals)
        ranges = groups.cuts(stage, terms, sums)
        made = [part(stage, a, b, f"_{n}") for n, (a, b) in enumerate(ranges, 1)] if len(ranges) > 1 else [stage]
        for one in made:
            if problem := groups.beyond(one, terms, sums):
                raise CaseError(f"{self.texts.equation.group}: what gives {one.outputs[0]} {problem}")
        return tuple(made)
