"""The functions of the expression language, each once: what parsing, values, kernels and derivatives need of it.

The heads are SymPy's own classes with the automatic rewriting switched off, or opaque ones where SymPy has
none: what is computed is what was written, and no text can set SymPy to work. (Left to itself SymPy turns
`exp(64*log(3*x))` into `3**64*x**64`, `sin(atan(x))` into a term with two x, and expands what stands in Abs;
nested, each of these grows without bound.) They live at module level so that expressions can be pickled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
from sympy.logic.boolalg import BooleanFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from parsolve.equations.tape import Tape


def _head(name: str, base: Any = sympy.Function, **members: Any) -> Any:
    """A class of expressions of this name that SymPy does not rewrite.

    Nor does it take a call on decimals for the function of that name in mpmath, such as harmonic numbers.
    """
    kept = {"eval": classmethod(lambda cls, *args: None), "_should_evalf": classmethod(lambda cls, arg: -1)}
    return type(name, (base,), {**kept, "__module__": __name__, **members})


def _still(base: Any, nargs: int = 1, **members: Any) -> Any:
    """A subclass of a SymPy function, of the same name, that SymPy does not rewrite."""
    return _head(base.__name__, base, nargs=nargs, is_commutative=True, **members)


def _opaque(name: str, nargs: int | tuple[int, ...] = 1) -> Any:
    """A function of this name that SymPy does not know."""
    return _head(name, nargs=nargs, is_commutative=True)


sin, cos, tan = _still(sympy.sin), _still(sympy.cos), _still(sympy.tan)
asin, acos, atan = _still(sympy.asin), _still(sympy.acos), _still(sympy.atan)
sinh, cosh, tanh = _still(sympy.sinh), _still(sympy.cosh), _still(sympy.tanh)
atan2, log, erf = _still(sympy.atan2, 2), _still(sympy.log), _still(sympy.erf)
# SymPy takes exp(x) apart into E and x inside products and powers; this one stays whole.
exp = _still(sympy.exp, as_base_exp=lambda self: (self, sympy.Integer(1)), _eval_power=lambda self, other: None)
Abs, sign = (_still(base, _eval_power=lambda self, other: None) for base in (sympy.Abs, sympy.sign))
floor, ceiling = _still(sympy.floor), _still(sympy.ceiling)
where, minimum, maximum = _opaque("where", 3), _opaque("minimum", 2), _opaque("maximum", 2)
box, heaviside, noise = _opaque("box", 3), _opaque("heaviside"), _opaque("noise")
noise_each_step = _opaque("noise_each_step")
# Joints of conditions: SymPy's own are quadratic and compare every pair.
And, Or, Not = (_head(name, BooleanFunction) for name in ("And", "Or", "Not"))

laplace, biharmonic = _opaque("laplace"), _opaque("biharmonic")
dx, dy, dz = _opaque("dx"), _opaque("dy"), _opaque("dz")
dxx, dyy, dzz = _opaque("dxx"), _opaque("dyy"), _opaque("dzz")
dxy, dxz, dyz = _opaque("dxy"), _opaque("dxz"), _opaque("dyz")
grad, div, dot = _opaque("grad"), _opaque("div"), _opaque("dot", 2)
vector, harmonic = _opaque("vector", (1, 2, 3)), _opaque("harmonic")
upwind, advect = _opaque("upwind", 2), _opaque("advect", 2)
upwind_flux, weno_flux = _opaque("upwind_flux", 3), _opaque("weno_flux", 3)
integral, mean = _opaque("integral"), _opaque("mean")
derivative_of = _opaque("derivative_of")  # what linearise.py makes of an expression, for people
following = _opaque("next")  # in maps: the next iterate of a field
# In measures: what is made of the values at all cells.
smallest, largest, deviation = _opaque("smallest"), _opaque("largest"), _opaque("deviation")
norm, count = _opaque("norm"), _opaque("count")
at_smallest, at_largest = _opaque("at_smallest", 2), _opaque("at_largest", 2)
probe = _opaque("probe", (2, 3, 4))
histogram, spectrum = _opaque("histogram", 4), _opaque("spectrum")  # of several numbers
# What operators.py makes of div(k*grad(u)), and along each axis of advection, and places.py between cells and faces.
flux, flux_harmonic = _opaque("flux", 2), _opaque("flux_harmonic", 2)
_KINDS = {
    "upwind": 2,
    "advect": 2,
    "upwind_flux": 3,
    "weno_flux": 3,
    "face": 1,
    "within": 1,
    "cell": 1,
    "dface": 1,
    "dcell": 1,
}
AXIS_OPERATORS = {f"{kind}_{a}": _opaque(f"{kind}_{a}", nargs) for kind, nargs in _KINDS.items() for a in "xyz"}


@dataclass(frozen=True)
class Function:
    """One function of the language.

    Attributes:
        signature: how a call looks, `name(argument, ...)`; shown when a call is wrong.
        build: SymPy arguments to a SymPy expression; a ValueError from it is reported at the call.
        least, most: number of arguments.
        keywords: the parameter names, where arguments may be given by name.
        words: of those that take one of some words, in quotes, these.
        number: the value for number arguments; a call on numbers is replaced by its value.
        condition: the first argument is a comparison, not a value.
        head: name of the SymPy class of a call.
        operation: its name on a tape and in C.
        values: the NumPy function.
        exact: NumPy gives the same bits however the arrays lie in memory.
        partials: tape, value and arguments to the numbers of the partial derivatives; None: they are zero.
    """

    signature: str
    build: Callable[..., Any]
    least: int
    most: int
    keywords: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number: Callable[..., float] | None = None
    condition: bool = False
    head: str = ""
    operation: str = ""
    values: Callable[..., Any] | None = None
    exact: bool = False
    partials: Callable[..., tuple[int, ...]] | None = None

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
        raise ValueError(
            "the seed must be a whole number from 0 to 2**53 - 1, written out; noise does not change in time, but with "
            "each='step' in [evolve]"
        )
    return noise(seed)


def _seeded_or_white(seed: Any, each: str = "") -> Any:
    _seeded(seed)
    return noise_each_step(seed) if each else noise(seed)


def _root(a: Any) -> Any:
    return sympy.Pow(a, sympy.Rational(1, 2), evaluate=False)


def _sign(value: float) -> float:
    return float((value > 0) - (value < 0))


def _erf(s: Any) -> Any:
    from scipy.special import erf  # here, because importing it takes longer than most cases need

    return erf(s)


def _min(a: Any, b: Any) -> Any:
    """In C: a < b || a != a ? a : b."""
    return np.where(np.less(a, b) | np.not_equal(a, a), a, b)


def _max(a: Any, b: Any) -> Any:
    """In C: a > b || a != a ? a : b."""
    return np.where(np.greater(a, b) | np.not_equal(a, a), a, b)


def _box(s: Any, a: Any, b: Any) -> Any:
    return np.where(np.greater_equal(s, a) & np.less(s, b), 1.0, 0.0)


def _unary(name: str, made: Any, number: Any, values: Any, partial: Any = None, **more: Any) -> Function:
    """A function of one argument, by default of one name in SymPy and C; ``partial``: tape, value, argument."""
    given: dict[str, Any] = {"head": made.__name__, "operation": name, **more}
    partials = partial and (lambda t, v, a: (partial(t, v, a),))
    return Function(f"{name}(a)", made, 1, 1, number=number, values=values, partials=partials, **given)


def _atan2_partials(t: Tape, v: int, b: int, a: int) -> tuple[int, ...]:
    square = t.push("fma", a, a, t.push("mul", b, b))
    return t.push("div", a, square), t.push("neg", t.push("div", b, square))


def _chosen(first: bool) -> Callable[..., tuple[int, ...]]:
    """Partial derivatives of min (first) and max: 1 of the argument that is taken."""

    def partials(t: Tape, v: int, a: int, b: int) -> tuple[int, ...]:
        one, zero, taken = t.constant(1.0), t.constant(0.0), t.push("lt", *((a, b) if first else (b, a)))
        return t.push("select", taken, one, zero), t.push("select", taken, zero, one)

    return partials


def _inverse(t: Tape, n: int) -> int:
    return t.push("div", t.constant(1.0), n)


def _one_plus(t: Tape, sign: float, n: int) -> int:
    """1 + sign n^2."""
    return t.push("fma", t.push("mul", t.constant(sign), n), n, t.constant(1.0))


def _bell(t: Tape, v: int, a: int) -> int:
    """2/sqrt(pi) exp(-a^2)."""
    return t.push("mul", t.constant(2 / math.sqrt(math.pi)), t.push("exp", t.push("neg", t.push("mul", a, a))))


def _table(*functions: Function) -> Mapping[str, Function]:
    return MappingProxyType({function.name: function for function in functions})


VALUE_FUNCTIONS: Mapping[str, Function] = _table(
    _unary("sin", sin, math.sin, np.sin, lambda t, v, a: t.push("cos", a)),
    _unary("cos", cos, math.cos, np.cos, lambda t, v, a: t.push("neg", t.push("sin", a))),
    _unary("tan", tan, math.tan, np.tan, lambda t, v, a: _one_plus(t, 1.0, v)),
    _unary("asin", asin, math.asin, np.arcsin, lambda t, v, a: _inverse(t, t.push("sqrt", _one_plus(t, -1.0, a)))),
    _unary("acos", acos, math.acos, np.arccos,
           lambda t, v, a: t.push("neg", _inverse(t, t.push("sqrt", _one_plus(t, -1.0, a))))),
    _unary("atan", atan, math.atan, np.arctan, lambda t, v, a: _inverse(t, _one_plus(t, 1.0, a))),
    Function("atan2(b, a)", atan2, 2, 2, number=math.atan2, head="atan2", operation="atan2", values=np.arctan2,
             partials=_atan2_partials),
    _unary("sinh", sinh, math.sinh, np.sinh, lambda t, v, a: t.push("cosh", a)),
    _unary("cosh", cosh, math.cosh, np.cosh, lambda t, v, a: t.push("sinh", a)),
    _unary("tanh", tanh, math.tanh, np.tanh, lambda t, v, a: _one_plus(t, -1.0, v)),
    _unary("exp", exp, math.exp, np.exp, lambda t, v, a: v),
    _unary("log", log, math.log, np.log, lambda t, v, a: _inverse(t, a)),
    _unary("sqrt", _root, math.sqrt, np.sqrt, lambda t, v, a: t.push("div", t.constant(0.5), v), head=""),
    _unary("erf", erf, math.erf, _erf, _bell),
    _unary("abs", Abs, abs, np.abs, lambda t, v, a: t.push("ps_sign", a), operation="fabs", exact=True),
    _unary("sign", sign, _sign, np.sign, operation="ps_sign", exact=True),
    _unary("floor", floor, math.floor, np.floor, exact=True),
    _unary("ceil", ceiling, math.ceil, np.ceil, exact=True),
    _unary("heaviside", heaviside, lambda a: (_sign(a) + 1) / 2, lambda s: np.heaviside(s, 0.5), operation="",
           exact=True),
    Function("min(a, b, ...)", _pairwise(minimum), 2, 16, number=min, head="minimum", operation="ps_min", values=_min,
             exact=True, partials=_chosen(True)),
    Function("max(a, b, ...)", _pairwise(maximum), 2, 16, number=max, head="maximum", operation="ps_max", values=_max,
             exact=True, partials=_chosen(False)),
    Function("where(condition, a, b)", where, 3, 3, condition=True, head="where", operation="select", values=np.where,
             exact=True),
    Function("box(s, a, b)", box, 3, 3, number=lambda s, a, b: float(a <= s < b), head="box", values=_box, exact=True),
    Function("noise(seed=1)", _seeded, 1, 1, keywords=("seed",)),
)  # fmt: skip
HEADS: Mapping[str, Function] = {f.head: f for f in VALUE_FUNCTIONS.values() if f.head}


@dataclass(frozen=True)
class Relation:
    """A comparison: its SymPy class, its operation on a tape, and whether that takes the sides the other way round."""

    head: Any
    operation: str
    swapped: bool = False


RELATIONS: Mapping[str, Relation] = {
    "<": Relation(sympy.Lt, "lt"), "<=": Relation(sympy.Le, "le"), ">": Relation(sympy.Gt, "lt", True),
    ">=": Relation(sympy.Ge, "le", True), "==": Relation(sympy.Eq, "eq"), "!=": Relation(sympy.Ne, "ne"),
}  # fmt: skip
LOGIC: Mapping[str, Any] = {"and": And, "or": Or, "not": Not}
# Heads of conditions to operations; the sides of > and >= change places.
CONDITIONS: Mapping[str, Relation] = {r.head.__name__: r for r in RELATIONS.values()} | {
    head.__name__: Relation(head, word) for word, head in LOGIC.items()
}


def _operator(head: Any, arguments: str = "u", least: int | None = None) -> Function:
    count = arguments.count(",") + 1
    return Function(f"{head.__name__}({arguments})", head, least or count, count)


OPERATOR_FUNCTIONS: Mapping[str, Function] = _table(
    *map(_operator, (laplace, biharmonic, dx, dy, dz, dxx, dyy, dzz, dxy, dxz, dyz, grad, integral, mean)),
    _operator(div, "a"),
    _operator(dot, "a, b"),
    _operator(vector, "ax, ay, az", least=1),
    _operator(harmonic, "k"),
    _operator(upwind, "a, u"),
    _operator(advect, "a, u"),
    _operator(upwind_flux, "f, a, u"),
    _operator(weno_flux, "f, a, u"),
)
NOISE: Mapping[str, Function] = _table(  # in equations
    Function("noise(seed=1)", _seeded_or_white, 1, 2, keywords=("seed", "each"), words={"each": ("step",)}),
)
NEXT: Mapping[str, Function] = {"next": _operator(following)}


def _one_or_more(reduction: Any, head: Any) -> Callable[..., Any]:
    """A builder of a reduction, where there is one argument, or of a head between several."""
    pairwise = _pairwise(head)
    return lambda *given: pairwise(*given) if len(given) > 1 else reduction(*given)


MEASURE_FUNCTIONS: Mapping[str, Function] = {
    **VALUE_FUNCTIONS,
    **OPERATOR_FUNCTIONS,
    **_table(
        Function("min(u)", _one_or_more(smallest, minimum), 1, 16),
        Function("max(u)", _one_or_more(largest, maximum), 1, 16),
        Function("minimum(u)", smallest, 1, 1),
        Function("maximum(u)", largest, 1, 1),
        Function("std(u)", deviation, 1, 1),
        Function("norm(u)", norm, 1, 1),
        Function("count(condition)", count, 1, 1, condition=True),
        Function("at_min(u, x)", at_smallest, 2, 2),
        Function("at_max(u, x)", at_largest, 2, 2),
        Function("at(u, 0.5, 0.5)", probe, 2, 4),
        Function("histogram(u, from=0, to=1, bins=20)", histogram, 4, 4, keywords=("", "from", "to", "bins")),
        Function("spectrum(u)", spectrum, 1, 1),
    ),
}
