"""Programs derived from a program by differentiating its tapes: the tangent J v, and the diagonal of J.

Forward mode (Griewank & Walther, Evaluating Derivatives, 2008, ch. 3): behind each operation stands its derivative,
made of those of its arguments.  What does not depend on the unknowns has none, so that nothing is computed for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from parsolve.equations.functions import VALUE_FUNCTIONS, derivative_of
from parsolve.equations.operations import BOOLEAN
from parsolve.equations.program import Program, Stage, make_stage
from parsolve.equations.tape import Offset, Operation, Tape
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parsolve.equations.program import Role

    Load = Callable[[str, Offset], "int | None"]  # derivative of a field at a neighbour

HERE: Offset = (0, 0, 0)
Pair = tuple[int, int | None]
FUNCTIONS = {f.operation: f for f in VALUE_FUNCTIONS.values() if f.operation}


def tangent(program: Program) -> Program:
    """J v, the derivative of the outputs in the direction v of the unknowns, as a program of v.

    That of a field u is named ``d_u``: so are unknowns and outputs.  A define stage is followed by its tangent, and an
    integral by that of the tangent integrand.  ``about`` holds the fields of the state that are read.  The kind of the
    last kernel stays, and so do, of a linear program, the bits.
    """
    taken = {name for stage in program.stages for name in (*stage.inputs, *stage.outputs)}
    names = {name: _unused(f"d_{name}", taken) for name in program.unknowns}
    first = 1 + max((stage.integral for stage in program.stages if stage.integral is not None), default=-1)
    integrals: dict[int, int] = {}
    stages: list[Stage] = []
    for stage in program.stages:
        tape = Tape()
        found = [dot for _, dot in _differentiated(tape, stage, HERE, _tangent_load(tape, names), integrals)]
        if stage is not program.rate:
            stages.append(stage)
            if found == [None]:
                continue
            names |= {name: _unused(f"d_{name}", taken) for name in stage.outputs}
            if stage.integral is not None:
                integrals[stage.integral] = first + len(integrals)
        number = None if stage.integral is None else integrals[stage.integral]
        stages.append(_derived("tangent", stage, [names[o] for o in stage.outputs], tape, found, number))
    faces = {names[name]: axis for name, axis in program.at.items() if name in names}
    return _derived_program(program, "tangent", stages, faces)


def diagonal(program: Program) -> Program:
    """The derivative of each output at a cell by its own unknown at that cell, through all define stages.

    Integrals are held: one cell is a small part of them.
    """
    tape, last = Tape(), program.rate
    found = [dot for _, dot in _own(tape, program)]
    stage = _derived("diagonal", last, last.outputs, tape, found)
    return _derived_program(program, "diagonal", [*program.defines, stage])


def jacobi(program: Program) -> Program:
    """The outputs r divided by minus the diagonal D, as an update kernel: a smoother in one launch.

    With the term u, weight 1 and scale omega it is a step of damped Jacobi, u - omega D^-1 r; with two terms one of
    Chebyshev.

    Raises:
        CaseError: an output does not depend on its unknown at the cell itself.
    """
    tape, last = Tape(), program.rate
    found = []
    for name, (value, dot) in zip(last.outputs, _own(tape, program), strict=True):
        if dot is None:
            raise CaseError(f"{program.equation.group}.{name}: at a cell it does not depend on {name} there")
        found.append(tape.push("neg", tape.push("div", value, dot)))
    stage = replace(_derived("jacobi", last, last.outputs, tape, found), updates=True, expressions=last.expressions)
    return _derived_program(program, program.role, [*program.defines, stage])


def along(tape: Tape, values: Sequence[int], name: str) -> list[int | None]:
    """Numbers of the derivatives of values on a tape by the field of a name at the cell itself; None: it is zero."""
    dots: list[int | None] = []
    for n, op in enumerate(list(tape.operations)):
        dot = tape.constant(1.0) if op.name == "load" and op.data[0] == name else None
        if any(dots[a] is not None for a in op.arguments):
            dot = _derivative(tape, op, n, [dots[a] for a in op.arguments])
        dots.append(dot)
    return [dots[n] for n in values]


def _own(tape: Tape, program: Program) -> list[Pair]:
    """Numbers of the outputs and of their derivatives by their own unknowns at the cell itself."""
    defines = {stage.outputs[0]: stage for stage in program.defines if stage.integral is None}
    reach: dict[str, int] = {}
    for name, stage in defines.items():
        inner = (r + reach.get(n, 0) for n, r in zip(stage.inputs, stage.radii, strict=True))
        reach[name] = max(inner, default=0)

    def by(unknown: str, stage: Stage, shift: Offset, known: dict[tuple[str, Offset], int | None]) -> list[Pair]:
        def load(name: str, at: Offset) -> int | None:
            if name == unknown:
                return tape.constant(1.0) if at == HERE else None
            if name not in defines or max(map(abs, at)) > reach[name]:
                return None
            if (name, at) not in known:
                known[name, at] = by(unknown, defines[name], at, known)[0][1]
            return known[name, at]

        return _differentiated(tape, stage, shift, load, {})

    return [by(name, program.rate, HERE, {})[i] for i, name in enumerate(program.rate.outputs)]


def _unused(name: str, taken: Iterable[str]) -> str:
    """The name, with as many _ behind it as it takes to be another one than all these."""
    while name in taken:
        name += "_"
    return name


def _tangent_load(tape: Tape, names: Mapping[str, str]) -> Load:
    return lambda name, at: tape.push("load", data=(names[name], at)) if name in names else None


def _derived(
    prefix: str,
    stage: Stage,
    outputs: Sequence[str],
    tape: Tape,
    found: Sequence[int | None],
    integral: int | None = None,
) -> Stage:
    """The stage of what was found on a tape for each of a stage's results."""
    return make_stage(
        f"{prefix}_{stage.name}",
        {name: derivative_of(e) for name, e in zip(outputs, stage.expressions, strict=True)},
        tape.operations,
        [tape.constant(0.0) if n is None else n for n in found],
        stage.at,
        updates=stage.updates and prefix == "tangent",
        integral=integral,
        is_mean=stage.is_mean,
    )


def _derived_program(
    program: Program, role: Role, stages: Sequence[Stage], faces: Mapping[str, str] | None = None
) -> Program:
    """The program of these stages, but those that no other needs."""
    kept = [stages[-1]]
    for stage in reversed(stages[:-1]):
        fields = {name for user in kept for name in user.inputs}
        integrals = {op.data for user in kept for op in user.operations if op.name == "integral"}
        if stage.integral in integrals if stage.integral is not None else fields & set(stage.outputs):
            kept.insert(0, stage)
    read = {name for stage in kept for name in stage.inputs}
    about = tuple(name for name in program.unknowns if name in read) if role == "tangent" else ()
    arrays = tuple(name for name in program.arrays if name in read)
    at = {**program.at, **(faces or {})}
    return Program(program.equation, program.axes, program.order, tuple(kept[:-1]), kept[-1], arrays, role, about, at)


def _differentiated(tape: Tape, stage: Stage, shift: Offset, load: Load, integrals: Mapping[int, int]) -> list[Pair]:
    """Numbers of a stage's results at a neighbour and of their derivatives, written onto a tape behind its operations.

    Args:
        tape: with fields and coefficients by name, as make_stage takes it.
        stage: whose results are differentiated.
        shift: the neighbour.
        load: the number of a field's derivative at a neighbour, or None.
        integrals: numbers of the tangent integrals by those of the integrals.
    """
    values: list[int] = []
    dots: list[int | None] = []
    for op in stage.operations:
        data, dot = op.data, None
        arguments = [values[a] for a in op.arguments]
        if op.name == "load":
            z, y, x = (a + b for a, b in zip(op.data[1], shift, strict=True))
            data = (stage.inputs[op.data[0]], (z, y, x))
            dot = load(*data)
        elif op.name == "coefficient":
            data = stage.coefficients[op.data]
        elif op.name == "coordinate":
            data = (op.data[0], op.data[1] + shift[op.data[0]])
        elif op.name == "white":
            data = (op.data[0], tuple(a + b for a, b in zip(op.data[1], shift, strict=True)))
        elif op.name == "integral" and op.data in integrals:
            dot = tape.push("integral", data=integrals[op.data])
        values.append(tape.push(op.name, *arguments, data=data))
        if any(dots[a] is not None for a in op.arguments):
            dot = _derivative(tape, Operation(op.name, tuple(arguments)), values[-1], [dots[a] for a in op.arguments])
        dots.append(dot)
    return [(values[n], dots[n]) for n in stage.results]


def _derivative(tape: Tape, op: Operation, value: int, dots: Sequence[int | None]) -> int | None:
    """Number of the derivative of an operation, of which one argument has one at least; None: it is zero."""
    name, a = op.name, op.arguments
    if name in BOOLEAN:
        return None
    if name == "neg" or (name in ("add", "sub") and None not in dots):
        return tape.push(name, *(d for d in dots if d is not None))
    if name in ("add", "sub"):
        first, second = dots
        return first if second is None else second if name == "add" else tape.push("neg", second)
    if name == "select":
        return tape.push(name, a[0], *(tape.constant(0.0) if d is None else d for d in dots[1:]))
    if name == "mul":
        return _chain(tape, None, (a[1], a[0]), dots)
    if name == "fma":
        return _chain(tape, dots[2], (a[1], a[0]), dots[:2])
    if name == "div":
        change = _chain(tape, dots[0], [tape.push("neg", value)], dots[1:])
        return change if change is None else tape.push("div", change, a[1])
    if name == "pow":
        less = tape.push("sub", a[1], tape.constant(1.0))
        slope = tape.push("mul", a[1], tape.push("pow", a[0], less))
        return _chain(tape, None, (slope, tape.push("mul", value, tape.push("log", a[0]))), dots)
    partials = FUNCTIONS[name].partials
    return _chain(tape, None, partials(tape, value, *a), dots) if partials else None


def _chain(tape: Tape, total: int | None, partials: Sequence[int], dots: Sequence[int | None]) -> int | None:
    """Number of ``total + sum_i partials[i] dots[i]``, over the arguments that have a derivative."""
    one = tape.constant(1.0)
    for partial, dot in zip(partials, dots, strict=True):
        if dot == one:
            total = partial if total is None else tape.push("add", partial, total)
        elif dot is not None:
            total = tape.push("mul", partial, dot) if total is None else tape.push("fma", partial, dot, total)
    return total
