"""SymPy -> tape: the arithmetic of one cell, with operators written as stencils."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import sympy

from parsolve.equations import operators, stencils
from parsolve.equations.functions import CONDITIONS, HEADS
from parsolve.equations.operators import AXES, name_of, spacing
from parsolve.equations.tape import Offset, Tape
from parsolve.equations.values import evaluate
from parsolve.equations.white import is_white, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from fractions import Fraction


@dataclass
class Lowering:
    """Builds the tape of one stage.

    Attributes:
        axes: axes of the grid, a subset of x, y, z.
        order: order of accuracy of the central differences.
        fields: names that stand for arrays; x, y, z, t are known; every other symbol is a constant of the run.
        integrals: names of integrals, known before the stage, with their numbers.
    """

    axes: Sequence[str]
    order: int
    fields: Collection[str]
    integrals: Mapping[str, int] = field(default_factory=dict)
    tape: Tape = field(default_factory=Tape)

    def value(self, e: sympy.Expr, at: Offset = (0, 0, 0)) -> int:
        """Number of the value of an expression at a neighbour of the cell."""
        if not self._varies(e):
            return self._constant(e)
        if e.is_Symbol:
            return self._symbol(e.name, at)
        if e.is_Add:
            return self._sum(e, at)
        if e.is_Mul:
            return self._product(e, at)
        if e.is_Pow:
            return self._power(e, at)
        if name_of(e) in operators.OPERATORS | operators.MIDPOINTS:
            return self._operator(e, sympy.S.One, at)
        return self._function(name_of(e), e, at)

    def _varies(self, e: sympy.Basic) -> bool:
        names = {s.name for s in e.free_symbols}
        known = not names.isdisjoint([*self.fields, *self.integrals, *self.axes, "t"])
        return known or any(map(is_white, names))

    def _constant(self, e: sympy.Expr) -> int:
        value = evaluate(e, {}) if not e.free_symbols else math.nan
        # What is not finite is a coefficient, as that is looked at when its value is.
        return self.tape.constant(float(value)) if math.isfinite(value) else self.tape.push("coefficient", data=e)

    def _symbol(self, name: str, at: Offset) -> int:
        if name == "t":
            return self.tape.push("time")
        if is_white(name):
            return self.tape.push("white", data=(seed_of(name), at))
        if name in self.integrals:
            return self.tape.push("integral", data=self.integrals[name])
        if name not in self.fields:
            axis = AXES.index(name)
            return self.tape.push("coordinate", data=(axis, at[axis]))
        return self.tape.push("load", data=(name, at))

    def _sum(self, e: sympy.Expr, at: Offset) -> int:
        """Left to right; a term that begins with a minus sign is subtracted."""
        terms = sorted(e.args, key=_is_negative)
        total = self.value(terms[0], at)
        for term in terms[1:]:
            if _is_negative(term):
                total = self.tape.push("sub", total, self.value(-term, at))
            else:
                total = self.tape.push("add", total, self.value(term, at))
        return total

    def _product(self, e: sympy.Expr, at: Offset) -> int:
        """Constant factors first; they scale the weights of a linear operator, so that they cost nothing a cell."""
        fixed = sympy.Mul(*(f for f in e.args if not self._varies(f)))
        varying = [f for f in e.args if self._varies(f)]
        values = []
        linear = next((f for f in varying if name_of(f) in operators.SCALED), None)
        if linear is not None and fixed != 1:
            values.append(self._operator(linear, fixed, at))
            varying.remove(linear)
        elif fixed == -1:
            return self.tape.push("neg", self.value(sympy.Mul(*varying), at))
        elif fixed != 1:
            values.append(self._constant(fixed))
        values += [self.value(f, at) for f in varying if not _is_reciprocal(f)]
        total = self.tape.fold("mul", values) if values else self.tape.constant(1.0)
        for f in varying:
            if _is_reciprocal(f):
                total = self.tape.push("div", total, self.value(1 / f, at))
        return total

    def _power(self, e: sympy.Expr, at: Offset) -> int:
        base, exponent = e.args
        if exponent.is_Integer and 0 < abs(int(exponent)) <= 64:
            value = self.tape.power(self.value(base, at), abs(int(exponent)))
            return value if exponent > 0 else self.tape.push("div", self.tape.constant(1.0), value)
        if exponent in (sympy.Rational(1, 2), sympy.Float(0.5)):
            return self.tape.push("sqrt", self.value(base, at))
        return self.tape.push("pow", self.value(base, at), self.value(exponent, at))

    def _function(self, name: str, e: sympy.Expr, at: Offset) -> int:
        if name == "where" and e.args[0] in (sympy.true, sympy.false):
            return self.value(e.args[1] if e.args[0] == sympy.true else e.args[2], at)
        arguments = [self.value(s, at) for s in e.args]
        if name in CONDITIONS:
            operation, swapped = CONDITIONS[name].operation, CONDITIONS[name].swapped
            if operation == "not":
                return self.tape.push("not", *arguments)
            return self.tape.fold(operation, arguments[::-1] if swapped else arguments)
        if name == "box":
            s, low, high = arguments
            inside = self.tape.push("and", self.tape.push("le", low, s), self.tape.push("lt", s, high))
            return self.tape.push("select", inside, self.tape.constant(1.0), self.tape.constant(0.0))
        if name == "heaviside":
            zero, half, one = (self.tape.constant(s) for s in (0.0, 0.5, 1.0))
            upper = self.tape.push("select", self.tape.push("lt", zero, arguments[0]), one, half)
            return self.tape.push("select", self.tape.push("lt", arguments[0], zero), zero, upper)
        return self.tape.push(HEADS[name].operation, *arguments)

    def _operator(self, e: sympy.Expr, scale: sympy.Expr, at: Offset) -> int:
        """Number of ``scale * operator``; operands have no operators of their own and are taken at the neighbours."""
        name, tape, order = name_of(e), self.tape, self.order
        if name == "laplace":
            return tape.fold("add", [self._second(e.args[0], axis, scale, at) for axis in self.axes])
        if name in operators.SECOND_DERIVATIVES:
            return self._second(e.args[0], operators.SECOND_DERIVATIVES[name], scale, at)
        if name in operators.FIRST_DERIVATIVES:
            return self._first(e.args[0], operators.FIRST_DERIVATIVES[name], scale, at)
        if name in operators.MIXED_DERIVATIVES:
            outer, inner = operators.MIXED_DERIVATIVES[name]
            slopes = partial(self._first, e.args[0], inner, sympy.S.One)
            k = self._scaled(scale / spacing(outer))
            return stencils.first(tape, order, lambda m: slopes(_shift(at, outer, m)), k)
        if name in operators.FLUXES:
            divergence = stencils.harmonic_flux if name == "flux_harmonic" else partial(stencils.flux, order=order)
            terms = []
            for axis in self.axes:
                c, u = (self._along(s, axis, at) for s in e.args)
                terms.append(divergence(tape, u=u, c=c, k=self._scaled(scale / spacing(axis) ** 2)))
            return tape.fold("add", terms)
        kind, _, axis = name.rpartition("_")
        if name in operators.PLACED:
            u = self._along(e.args[0], axis, at, 1 if kind in ("cell", "dcell") else 0)
            if name in operators.MIDPOINTS:
                value = stencils.midpoint(tape, order, u)
                return stencils.limited(tape, value, u) if order > 2 and name in operators.LIMITED else value
            return stencils.staggered(tape, order, u, self._scaled(scale / spacing(axis)))
        if name in operators.FACE_FLUXES:
            face = stencils.rusanov if kind == "upwind_flux" else stencils.weno_flux
            f, a, u = (self._along(s, axis, at) for s in e.args)
            return stencils.difference(tape, lambda m: face(tape, f, a, u, m), self._scaled(scale / spacing(axis)))
        assert name in operators.ADVECTION
        scheme = stencils.upwind if kind == "upwind" else stencils.weno
        wind, u = self.value(e.args[0], at), self._along(e.args[1], axis, at)
        return scheme(tape, wind, u, self._scaled(1 / spacing(axis)))

    def _second(self, e: sympy.Expr, axis: str, scale: sympy.Expr, at: Offset) -> int:
        k = self._scaled(scale / spacing(axis) ** 2)
        return stencils.second(self.tape, self.order, self._along(e, axis, at), k)

    def _first(self, e: sympy.Expr, axis: str, scale: sympy.Expr, at: Offset) -> int:
        return stencils.first(self.tape, self.order, self._along(e, axis, at), self._scaled(scale / spacing(axis)))

    def _along(self, e: sympy.Expr, axis: str, at: Offset, by: int = 0) -> Callable[[int], int]:
        return lambda m: self.value(e, _shift(at, axis, m + by))

    def _scaled(self, scale: sympy.Expr) -> Callable[[Fraction], int]:
        return lambda weight: self._constant(scale * sympy.Rational(weight.numerator, weight.denominator))


def _shift(at: Offset, axis: str, by: int) -> Offset:
    z, y, x = (o + by * (axis == a) for o, a in zip(at, AXES, strict=True))
    return z, y, x


def _is_reciprocal(e: sympy.Expr) -> bool:
    return bool(e.is_Pow and e.args[1].is_Integer and e.args[1] < 0)


def _is_negative(e: sympy.Expr) -> bool:
    return bool(e.as_coeff_Mul()[0] < 0)
