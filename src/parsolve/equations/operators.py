"""SymPy -> stencils: central differences of order 2, 4, 6 and 8 at one cell.

Weights: Fornberg, Math. Comp. 51 (1988) 699.  With pairs u(+m), u(-m) along an axis of spacing h,
    u_xx ~ 1/h^2 sum_m a_m (u(+m) + u(-m) - 2 u(0)),      u_x ~ 1/h sum_m b_m (u(+m) - u(-m)).
A second difference is written so that it is exactly zero on a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import sympy

from parsolve.equations.parse import OPERATOR_FUNCTIONS
from parsolve.equations.tape import Offset, Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

SECOND: dict[int, tuple[Fraction, ...]] = {
    2: (Fraction(1),),
    4: (Fraction(4, 3), Fraction(-1, 12)),
    6: (Fraction(3, 2), Fraction(-3, 20), Fraction(1, 90)),
    8: (Fraction(8, 5), Fraction(-1, 5), Fraction(8, 315), Fraction(-1, 560)),
}
FIRST: dict[int, tuple[Fraction, ...]] = {
    2: (Fraction(1, 2),),
    4: (Fraction(2, 3), Fraction(-1, 12)),
    6: (Fraction(3, 4), Fraction(-3, 20), Fraction(1, 60)),
    8: (Fraction(4, 5), Fraction(-1, 5), Fraction(4, 105), Fraction(-1, 280)),
}
ORDERS = tuple(SECOND)
AXES = ("z", "y", "x")
SECOND_DERIVATIVES = {f"d{a}{a}": a for a in "xyz"}
FIRST_DERIVATIVES = {f"d{a}": a for a in "xyz"}
LINEAR_OPERATORS = {"laplace", *SECOND_DERIVATIVES, *FIRST_DERIVATIVES, "dxy", "dxz", "dyz"}

ELEMENTARY = {
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "atan2": "atan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "exp": "exp", "log": "log", "Abs": "fabs", "sign": "ps_sign",
    "floor": "floor", "ceiling": "ceil", "erf": "erf", "minimum": "ps_min", "maximum": "ps_max",
}  # fmt: skip
RELATIONS = {
    "StrictLessThan": ("lt", False), "LessThan": ("le", False), "StrictGreaterThan": ("lt", True),
    "GreaterThan": ("le", True), "Equality": ("eq", False), "Unequality": ("ne", False),
}  # fmt: skip


def spacing(axis: str) -> sympy.Symbol:
    """The symbol of the grid spacing along an axis; no name of the case file can be the same."""
    return sympy.Symbol(f"spacing.{axis}", real=True, positive=True)


@dataclass
class Lowering:
    """Builds the tape of one stage.

    Attributes:
        axes: axes of the grid, a subset of x, y, z.
        order: order of accuracy of the central differences.
        fields: names that stand for arrays; every other symbol is a constant of the run.
    """

    axes: Sequence[str]
    order: int
    fields: Collection[str]
    tape: Tape = field(default_factory=Tape)
    inputs: list[str] = field(default_factory=list)
    coefficients: list[sympy.Expr] = field(default_factory=list)
    radius: dict[str, int] = field(default_factory=dict)
    corners: bool = False

    def value(self, e: sympy.Expr, at: Offset = (0, 0, 0)) -> int:
        """Number of the value of an expression at a neighbour of the cell."""
        if not self._varies(e):
            return self._constant(e)
        if e.is_Symbol:
            return self._load(e.name, at)
        if e.is_Add:
            return self._sum(e, at)
        if e.is_Mul:
            return self._product(e, at)
        if e.is_Pow:
            return self._power(e, at)
        name = type(e).__name__
        if name in LINEAR_OPERATORS:
            return self._derivative(name, e.args[0], sympy.S.One, at)
        return self._function(name, e, at)

    def _varies(self, e: sympy.Basic) -> bool:
        return any(s.name in self.fields for s in e.free_symbols)

    def _constant(self, e: sympy.Expr) -> int:
        if e.is_number:
            return self.tape.constant(float(e))
        if e not in self.coefficients:
            self.coefficients.append(e)
        return self.tape.push("coefficient", data=self.coefficients.index(e))

    def _load(self, name: str, at: Offset) -> int:
        if name not in self.inputs:
            self.inputs.append(name)
        self.radius[name] = max(self.radius.get(name, 0), *(abs(o) for o in at))
        self.corners |= sum(o != 0 for o in at) > 1
        return self.tape.push("load", data=(self.inputs.index(name), at))

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
        """Constant factors first; they scale the weights of a derivative, so that they cost nothing a cell."""
        fixed = sympy.Mul(*(f for f in e.args if not self._varies(f)))
        varying = [f for f in e.args if self._varies(f)]
        values = []
        for i, factor in enumerate(varying):
            if type(factor).__name__ in LINEAR_OPERATORS and fixed != 1:
                varying[i : i + 1] = []
                values = [self._derivative(type(factor).__name__, factor.args[0], fixed, at)]
                fixed = sympy.S.One
                break
        numerators = [f for f in varying if not _is_reciprocal(f)]
        denominators = [1 / f for f in varying if _is_reciprocal(f)]
        if fixed == -1:
            rest = self.value(sympy.Mul(*varying), at)
            return self.tape.push("neg", rest)
        if fixed != 1:
            values.insert(0, self._constant(fixed))
        values += [self.value(f, at) for f in numerators]
        total = self.tape.fold("mul", values) if values else self.tape.constant(1.0)
        for f in denominators:
            total = self.tape.push("div", total, self.value(f, at))
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
        if name in RELATIONS:
            operation, swap = RELATIONS[name]
            a, b = (self.value(s, at) for s in e.args)
            return self.tape.push(operation, b, a) if swap else self.tape.push(operation, a, b)
        arguments = [self.value(s, at) for s in e.args]
        if name == "where":
            return self.tape.push("select", *arguments)
        if name == "box":
            return self._box(*arguments)
        if name in ("And", "Or"):
            return self.tape.fold(name.lower(), arguments)
        if name == "Not":
            return self.tape.push("not", *arguments)
        if name == "heaviside":
            zero, half, one = (self.tape.constant(s) for s in (0.0, 0.5, 1.0))
            upper = self.tape.push("select", self.tape.push("lt", zero, arguments[0]), one, half)
            return self.tape.push("select", self.tape.push("lt", arguments[0], zero), zero, upper)
        return self.tape.push(ELEMENTARY[name], *arguments)

    def _box(self, s: int, low: int, high: int) -> int:
        inside = self.tape.push("and", self.tape.push("le", low, s), self.tape.push("lt", s, high))
        return self.tape.push("select", inside, self.tape.constant(1.0), self.tape.constant(0.0))

    def _derivative(self, name: str, e: sympy.Expr, scale: sympy.Expr, at: Offset) -> int:
        """Number of ``scale * operator(e)``; e, without operators of its own, is taken at the neighbours."""
        if name == "laplace":
            terms = [t for axis in self.axes for t in self._second(e, axis, scale, at)]
        elif name in SECOND_DERIVATIVES:
            terms = self._second(e, SECOND_DERIVATIVES[name], scale, at)
        elif name in FIRST_DERIVATIVES:
            terms = self._first(e, FIRST_DERIVATIVES[name], scale, at)
        else:
            terms = self._mixed(e, name[1], name[2], scale, at)
        return self.tape.fold("add", terms)

    def _second(self, e: sympy.Expr, axis: str, scale: sympy.Expr, at: Offset) -> list[int]:
        center = self.value(e, at)
        twice = self.tape.push("add", center, center)
        terms = []
        for m, weight in enumerate(SECOND[self.order], start=1):
            pair = self.tape.push("add", self.value(e, _shift(at, axis, -m)), self.value(e, _shift(at, axis, m)))
            k = self._constant(scale * sympy.Rational(weight) / spacing(axis) ** 2)
            terms.append(self.tape.push("mul", k, self.tape.push("sub", pair, twice)))
        return terms

    def _first(self, e: sympy.Expr, axis: str, scale: sympy.Expr, at: Offset) -> list[int]:
        terms = []
        for m, weight in enumerate(FIRST[self.order], start=1):
            pair = self.tape.push("sub", self.value(e, _shift(at, axis, m)), self.value(e, _shift(at, axis, -m)))
            k = self._constant(scale * sympy.Rational(weight) / spacing(axis))
            terms.append(self.tape.push("mul", k, pair))
        return terms

    def _mixed(self, e: sympy.Expr, first: str, second: str, scale: sympy.Expr, at: Offset) -> list[int]:
        terms = []
        for m, weight in enumerate(FIRST[self.order], start=1):
            upper = self._first(e, second, sympy.S.One, _shift(at, first, m))
            lower = self._first(e, second, sympy.S.One, _shift(at, first, -m))
            pair = self.tape.push("sub", self.tape.fold("add", upper), self.tape.fold("add", lower))
            k = self._constant(scale * sympy.Rational(weight) / spacing(first))
            terms.append(self.tape.push("mul", k, pair))
        return terms


def _shift(at: Offset, axis: str, by: int) -> Offset:
    z, y, x = (o + by * (axis == a) for o, a in zip(at, AXES, strict=True))
    return z, y, x


def _is_reciprocal(e: sympy.Expr) -> bool:
    return bool(e.is_Pow and e.args[1].is_Integer and e.args[1] < 0)


def _is_negative(e: sympy.Expr) -> bool:
    return bool(e.as_coeff_Mul()[0] < 0)


def expand(e: sympy.Expr, axes: Sequence[str]) -> sympy.Expr:
    """The expression by laplace, d_i and d_ij alone, without derivatives along absent axes, which are zero.

    dot(grad(a), grad(b)) = sum_i d_i a d_i b, div(grad(a)) = laplace(a), biharmonic(a) = laplace(laplace(a)).
    """
    if not e.args:
        return e
    name = type(e).__name__
    if name in LINEAR_OPERATORS and name != "laplace" and not set(name[1:]) <= set(axes):
        return sympy.S.Zero
    if name == "biharmonic":
        return operator("laplace")(operator("laplace")(expand(e.args[0], axes)))
    if name == "dot":
        a, b = (_components(s, axes) for s in e.args)
        return sympy.Add(*(p * q for p, q in zip(a, b, strict=True)))
    if name == "div" and type(e.args[0]).__name__ == "grad":
        return operator("laplace")(expand(e.args[0].args[0], axes))
    return e.func(*(expand(s, axes) for s in e.args))


def _components(vector: sympy.Expr, axes: Sequence[str]) -> list[sympy.Expr]:
    argument = expand(vector.args[0], axes)
    return [operator(f"d{axis}")(argument) for axis in axes]


def operator(name: str) -> Callable[..., sympy.Expr]:
    """The head of an operator, as the parser makes it."""
    return OPERATOR_FUNCTIONS[name].build
