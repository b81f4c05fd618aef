"""The functions of the expression language: their SymPy heads and the tables that name them.

The heads are SymPy's own classes with the automatic rewriting switched off, or opaque ones where SymPy has
none: what is computed is what was written, and no text can set SymPy to work. (Left to itself SymPy turns
`exp(64*log(3*x))` into `3**64*x**64`, `sin(atan(x))` into a term with two x, and expands what stands in Abs;
nested, each of these grows without bound.) They live at module level so that expressions can be pickled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import sympy
from sympy.logic.boolalg import BooleanFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _still(base: Any, nargs: int = 1, **members: Any) -> Any:
    """A subclass of a SymPy function, of the same name, that SymPy does not rewrite."""
    members |= {"nargs": nargs, "eval": classmethod(lambda cls, *args: None), "is_commutative": True}
    members |= {"__module__": __name__}
    return type(base.__name__, (base,), members)


def _opaque(name: str, nargs: int | tuple[int, ...] = 1, **members: Any) -> Any:
    """An undefined SymPy function of this name."""
    members |= {"nargs": nargs, "is_commutative": True, "__module__": __name__}
    return type(name, (sympy.Function,), members)


def _flat(self: Any, symbol: Any) -> Any:
    """The derivative of a function that is constant wherever it has one."""
    return sympy.Integer(0)


def _where_derivative(self: Any, symbol: Any) -> Any:
    condition, first, second = self.args
    return where(condition, first.diff(symbol), second.diff(symbol))


def _minimum_derivative(self: Any, symbol: Any) -> Any:
    a, b = self.args
    return where(sympy.Lt(a, b, evaluate=False), a.diff(symbol), b.diff(symbol))


def _maximum_derivative(self: Any, symbol: Any) -> Any:
    a, b = self.args
    return where(sympy.Gt(a, b, evaluate=False), a.diff(symbol), b.diff(symbol))


def _abs_derivative(self: Any, symbol: Any) -> Any:
    return sign(self.args[0]) * self.args[0].diff(symbol)


sin, cos, tan = _still(sympy.sin), _still(sympy.cos), _still(sympy.tan)
asin, acos, atan = _still(sympy.asin), _still(sympy.acos), _still(sympy.atan)
sinh, cosh, tanh = _still(sympy.sinh), _still(sympy.cosh), _still(sympy.tanh)
atan2, log, erf = _still(sympy.atan2, 2), _still(sympy.log), _still(sympy.erf)
# SymPy takes exp(x) apart into E and x inside products and powers; this one stays whole.
exp = _still(sympy.exp, as_base_exp=lambda self: (self, sympy.Integer(1)), _eval_power=lambda self, other: None)
Abs = _still(sympy.Abs, _eval_derivative=_abs_derivative, _eval_power=lambda self, other: None)
sign = _still(sympy.sign, _eval_derivative=_flat, _eval_power=lambda self, other: None)
floor, ceiling = _still(sympy.floor, _eval_derivative=_flat), _still(sympy.ceiling, _eval_derivative=_flat)

where = _opaque("where", 3, _eval_derivative=_where_derivative)
minimum = _opaque("minimum", 2, _eval_derivative=_minimum_derivative)
maximum = _opaque("maximum", 2, _eval_derivative=_maximum_derivative)
box = _opaque("box", 3, _eval_derivative=_flat)
heaviside = _opaque("heaviside", 1, _eval_derivative=_flat)
noise = _opaque("noise", 1, _eval_derivative=_flat)


def _logical(name: str) -> Any:
    """A joint of conditions that SymPy does not simplify; its own is quadratic and compares every pair."""
    members = {"eval": classmethod(lambda cls, *args: None), "__module__": __name__}
    return type(name, (BooleanFunction,), members)


And, Or, Not = _logical("And"), _logical("Or"), _logical("Not")

laplace, biharmonic = _opaque("laplace"), _opaque("biharmonic")
dx, dy, dz = _opaque("dx"), _opaque("dy"), _opaque("dz")
dxx, dyy, dzz = _opaque("dxx"), _opaque("dyy"), _opaque("dzz")
dxy, dxz, dyz = _opaque("dxy"), _opaque("dxz"), _opaque("dyz")
grad, div, dot = _opaque("grad"), _opaque("div"), _opaque("dot", 2)
vector, harmonic = _opaque("vector", (1, 2, 3)), _opaque("harmonic")
upwind, advect = _opaque("upwind", 2), _opaque("advect", 2)
integral, mean = _opaque("integral"), _opaque("mean")
# What operators.py makes of div(k*grad(u)) and of advection, axis by axis.
flux, flux_harmonic = _opaque("flux", 2), _opaque("flux_harmonic", 2)
AXIS_ADVECTION = {f"{kind}_{axis}": _opaque(f"{kind}_{axis}", 2) for kind in ("upwind", "advect") for axis in "xyz"}


@dataclass(frozen=True)
class Function:
    """One function of the language.

    Attributes:
        signature: how a call looks, `name(argument, ...)`; shown when a call is wrong.
        build: SymPy arguments to a SymPy expression; a ValueError from it is reported at the call.
        least, most: number of arguments.
        help: one line on what it is.
        keywords: the parameter names, where arguments may be given by name.
        number: the value for number arguments; a call on numbers is replaced by its value.
        condition: the first argument is a comparison, not a value.
    """

    signature: str
    build: Callable[..., Any]
    least: int
    most: int
    help: str
    keywords: tuple[str, ...] = ()
    number: Callable[..., float] | None = None
    condition: bool = False

    @property
    def name(self) -> str:
        """The name in expressions."""
        return self.signature.partition("(")[0]


def _pairwise(head: Any) -> Callable[..., Any]:
    """A builder that nests a head of two arguments from the left."""

    def build(first: Any, *rest: Any) -> Any:
        for other in rest:
            first = head(first, other)
        return first

    return build


def _seeded(seed: Any) -> Any:
    if not (isinstance(seed, sympy.Integer) and 0 <= int(seed) < 2**53):
        raise ValueError("the seed must be a whole number from 0 to 2**53 - 1, written out")
    return noise(seed)


def _sign(value: float) -> float:
    return float((value > 0) - (value < 0))


def _unary(name: str, head: Any, number: Callable[[float], float], text: str) -> Function:
    return Function(f"{name}(a)", head, 1, 1, text, number=number)


def _table(*functions: Function) -> Mapping[str, Function]:
    return MappingProxyType({function.name: function for function in functions})


VALUE_FUNCTIONS: Mapping[str, Function] = _table(
    _unary("sin", sin, math.sin, "sine of an angle in radians"),
    _unary("cos", cos, math.cos, "cosine of an angle in radians"),
    _unary("tan", tan, math.tan, "tangent of an angle in radians"),
    _unary("asin", asin, math.asin, "inverse sine"),
    _unary("acos", acos, math.acos, "inverse cosine"),
    _unary("atan", atan, math.atan, "inverse tangent"),
    Function("atan2(b, a)", atan2, 2, 2, "angle of the point (a, b)", number=math.atan2),
    _unary("sinh", sinh, math.sinh, "hyperbolic sine"),
    _unary("cosh", cosh, math.cosh, "hyperbolic cosine"),
    _unary("tanh", tanh, math.tanh, "hyperbolic tangent"),
    _unary("exp", exp, math.exp, "exponential"),
    _unary("log", log, math.log, "natural logarithm"),
    _unary("sqrt", lambda a: sympy.Pow(a, sympy.Rational(1, 2), evaluate=False), math.sqrt, "square root"),
    _unary("erf", erf, math.erf, "error function"),
    _unary("abs", Abs, abs, "absolute value"),
    _unary("sign", sign, _sign, "-1, 0 or 1"),
    _unary("floor", floor, math.floor, "largest whole number not above"),
    _unary("ceil", ceiling, math.ceil, "smallest whole number not below"),
    _unary("heaviside", heaviside, lambda a: (_sign(a) + 1) / 2, "0 below zero, 1/2 at zero, 1 above"),
    Function("min(a, b, ...)", _pairwise(minimum), 2, 16, "the least", number=min),
    Function("max(a, b, ...)", _pairwise(maximum), 2, 16, "the greatest", number=max),
    Function("where(condition, a, b)", where, 3, 3, "a where the condition holds, else b", condition=True),
    Function("box(s, a, b)", box, 3, 3, "1 where a <= s < b, else 0", number=lambda s, a, b: float(a <= s < b)),
    Function("noise(seed=1)", _seeded, 1, 1, "random in [-1, 1), by cell and seed", keywords=("seed",)),
)


def _operator(head: Any, text: str, arguments: str = "u") -> Function:
    count = arguments.count(",") + 1
    return Function(f"{head.__name__}({arguments})", head, count, count, text)


OPERATOR_FUNCTIONS: Mapping[str, Function] = _table(
    _operator(laplace, "sum of the second derivatives"),
    _operator(biharmonic, "Laplacian of the Laplacian"),
    _operator(dx, "first derivative along x"),
    _operator(dy, "first derivative along y"),
    _operator(dz, "first derivative along z"),
    _operator(dxx, "second derivative along x"),
    _operator(dyy, "second derivative along y"),
    _operator(dzz, "second derivative along z"),
    _operator(dxy, "mixed second derivative"),
    _operator(dxz, "mixed second derivative"),
    _operator(dyz, "mixed second derivative"),
    _operator(grad, "gradient, a vector"),
    _operator(div, "divergence of a vector; of k*grad(u) in conservative flux form", "a"),
    _operator(dot, "scalar product of two vectors", "a, b"),
    Function("vector(ax, ay, az)", vector, 1, 3, "vector of its components, as many as the grid has axes"),
    Function("harmonic(k)", harmonic, 1, 1, "in div(harmonic(k)*grad(u)): harmonic mean of k at the faces"),
    Function("upwind(a, u)", upwind, 2, 2, "a . grad(u), first-order upwind"),
    Function("advect(a, u)", advect, 2, 2, "a . grad(u), fifth-order upwind WENO"),
    Function("integral(u)", integral, 1, 1, "integral over the domain, from an exact sum"),
    Function("mean(u)", mean, 1, 1, "mean over the domain, from an exact sum"),
)
