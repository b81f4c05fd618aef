"""The differential operators of the language, brought to scalar operators along the axes of a grid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import sympy

from parsolve.equations import functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.equations.syntax import Source

AXES = ("z", "y", "x")
SECOND_DERIVATIVES = {f"d{a}{a}": a for a in "xyz"}
FIRST_DERIVATIVES = {f"d{a}": a for a in "xyz"}
MIXED_DERIVATIVES = {f"d{p}": (p[0], p[1]) for p in ("xy", "xz", "yz")}
STAGGERED = {f"{kind}_{a}" for kind in ("dface", "dcell") for a in "xyz"}
LIMITED = {f"within_{a}" for a in "xyz"}
MIDPOINTS = LIMITED | {f"{kind}_{a}" for kind in ("face", "cell") for a in "xyz"}
PLACED = STAGGERED | MIDPOINTS
LINEAR = {"laplace", *SECOND_DERIVATIVES, *FIRST_DERIVATIVES, *MIXED_DERIVATIVES, *STAGGERED}
FLUXES = {"flux", "flux_harmonic"}
ADVECTION = {f"{kind}_{a}" for kind in ("upwind", "advect") for a in "xyz"}
FACE_FLUXES = {f"{kind}_flux_{a}" for kind in ("upwind", "weno") for a in "xyz"}
WENO_FLUXES = {f"weno_flux_{a}" for a in "xyz"}
WEIGHTED = WENO_FLUXES | {f"advect_{a}" for a in "xyz"}  # neighbours are weighed by how smooth they are
SCALED = {*LINEAR, *FLUXES, *FACE_FLUXES}  # a constant factor goes into their weights
OPERATORS = {*SCALED, *ADVECTION}
HEADS = {"upwind_flux", "weno_flux"}
INTEGRALS = {"integral", "mean"}


def spacing(axis: str) -> sympy.Symbol:
    """The symbol of the grid spacing along an axis; no name of the case file can be the same."""
    return sympy.Symbol(f"spacing.{axis}", real=True, positive=True)


def name_of(e: sympy.Basic) -> str:
    """The name of an expression's head."""
    return type(e).__name__


def has_operator(e: sympy.Basic) -> bool:
    """Whether there is a derivative in it."""
    return any(name_of(s) in OPERATORS for s in sympy.preorder_traversal(e))


def fluxes(e: sympy.Basic) -> list[sympy.Basic]:
    """The divergences of a coefficient times a gradient in it."""
    return [s for s in sympy.preorder_traversal(e) if name_of(s) in FLUXES]


def operands(e: sympy.Expr) -> tuple[sympy.Expr, ...]:
    """What an operator takes at neighbours; the wind of an advection is taken at the cell alone."""
    arguments: tuple[sympy.Expr, ...] = e.args
    return arguments[1:] if name_of(e) in ADVECTION else arguments


def expand(e: sympy.Expr, axes: Sequence[str], source: Source) -> sympy.Expr:
    """The expression by OPERATORS alone, without derivatives along absent axes, which are zero.

    dot(grad(a), grad(b)) = sum_i d_i a d_i b, div(k grad(a)) = flux(k, a), div(grad(a)) = laplace(a),
    biharmonic(a) = laplace(laplace(a)), advect(v, a) = sum_i v_i d_i a; fluxes at faces likewise.

    Raises:
        ExpressionError: a vector where a number is due, or the other way round.
    """
    if not e.args:
        return e
    name = name_of(e)
    if name in LINEAR and name != "laplace" and not set(name[1:]) <= set(axes):
        return sympy.S.Zero
    if name in FIRST_DERIVATIVES and any(name_of(s) in HEADS for s in sympy.preorder_traversal(e.args[0])):
        return sympy.Add(*(_of_faces(term, [name[1:]], axes, source) for term in sympy.Add.make_args(e.args[0])))
    if name in HEADS:
        _fail(
            source,
            name,
            f"{name}(f, a, u) is a flux at faces: it can stand only in div, dx, dy or dz, or in their sums",
        )
    if name == "biharmonic":
        return functions.laplace(functions.laplace(expand(e.args[0], axes, source)))
    if name == "dot":
        a, b = (_vector(s, axes, source, name) for s in e.args)
        return sympy.Add(*(p * q for p, q in zip(a, b, strict=True)))
    if name in ("advect", "upwind"):
        wind, u = _vector(e.args[0], axes, source, name), expand(e.args[1], axes, source)
        terms = (functions.AXIS_OPERATORS[f"{name}_{axis}"](v, u) for axis, v in zip(axes, wind, strict=True) if v != 0)
        return sympy.Add(*terms)
    if name == "div":
        return _divergence(e.args[0], axes, source)
    if name in ("grad", "vector"):
        _fail(source, name, f"{name}(...) is a vector, and a number is due here: use div or dot")
    if name == "harmonic":
        _fail(source, name, "harmonic(k) can stand only in div(harmonic(k)*grad(u))")
    return e.func(*(expand(s, axes, source) for s in e.args))


def _divergence(vector: sympy.Expr, axes: Sequence[str], source: Source) -> sympy.Expr:
    if vector.is_Add:
        return sympy.Add(*(_divergence(v, axes, source) for v in vector.args))
    if any(name_of(f) in HEADS for f in sympy.Mul.make_args(vector)):
        return _of_faces(vector, axes, axes, source)
    gradients = [f for f in sympy.Mul.make_args(vector) if name_of(f) == "grad"]
    if len(gradients) != 1:
        parts = _vector(vector, axes, source, "div")
        return sympy.Add(*(_first(axis)(part) for axis, part in zip(axes, parts, strict=True)))
    u = expand(gradients[0].args[0], axes, source)
    factors = [f for f in sympy.Mul.make_args(vector) if f is not gradients[0]]
    is_harmonic = any(name_of(f) == "harmonic" for f in factors)
    factors = [f.args[0] if name_of(f) == "harmonic" else f for f in factors]
    outside, inside = sympy.Mul(*(f for f in factors if f.is_number)), [f for f in factors if not f.is_number]
    k = expand(sympy.Mul(*inside), axes, source)
    if is_harmonic:
        return outside * functions.flux_harmonic(k, u)
    return outside * (functions.flux(k, u) if k.free_symbols else k * functions.laplace(u))


def _of_faces(e: sympy.Expr, along: Sequence[str], axes: Sequence[str], source: Source) -> sympy.Expr:
    """Differences along some axes of a flux at faces times a number; of another expression, first derivatives."""
    heads = [f for f in sympy.Mul.make_args(e) if name_of(f) in HEADS]
    if not heads:
        return sympy.Add(*(_first(axis)(expand(e, axes, source)) for axis in along))
    name, factor = name_of(heads[0]), sympy.Mul(*(f for f in sympy.Mul.make_args(e) if f is not heads[0]))
    if not factor.is_number:
        _fail(source, name, f"{name}(f, a, u) can have only a number as a factor: multiply f and a")

    def parts(s: sympy.Expr, single: bool) -> Sequence[sympy.Expr]:
        """Components along the axes; a number where one is due or stands for all."""
        if along is axes and (_is_vector(s) or not single):
            return _vector(s, axes, source, name)
        return [expand(s, axes, source)] * len(along)

    f, a, u = heads[0].args
    flows = zip(along, parts(f, len(axes) == 1), parts(a, True), strict=True)
    u = expand(u, axes, source)
    return factor * sympy.Add(
        *(functions.AXIS_OPERATORS[f"{name}_{axis}"](flow, speed, u) for axis, flow, speed in flows)
    )


def _vector(e: sympy.Expr, axes: Sequence[str], source: Source, taker: str) -> list[sympy.Expr]:
    """Components along the axes of the grid of a vector, which an operator takes."""
    if e.is_Add:
        return [sympy.Add(*parts) for parts in zip(*(_vector(s, axes, source, taker) for s in e.args), strict=True)]
    if e.is_Mul:
        vectors = [s for s in e.args if _is_vector(s)]
        if len(vectors) == 1:
            scale = expand(sympy.Mul(*(s for s in e.args if s is not vectors[0])), axes, source)
            return [scale * part for part in _vector(vectors[0], axes, source, taker)]
    if name_of(e) == "grad":
        argument = expand(e.args[0], axes, source)
        return [_first(axis)(argument) for axis in axes]
    if name_of(e) == "vector":
        if len(e.args) < len(axes):
            _fail(source, "vector", f"vector(...) has {len(e.args)} components, the grid has {len(axes)} axes")
        return [expand(s, axes, source) for s in e.args[: len(axes)]]
    return _fail(source, taker, f"{taker} takes a vector, such as grad(u) or vector(...), and not {str(e)[:40]}")


def _fail(source: Source, word: str, message: str) -> NoReturn:
    """Raise with a caret at the first call of this name."""
    found = re.search(rf"\b{word}\b", source.text)
    source.fail(message, found.start() if found else 0)


def _is_vector(e: sympy.Expr) -> bool:
    return name_of(e) in ("grad", "vector") or ((e.is_Add or e.is_Mul) and any(_is_vector(s) for s in e.args))


def _first(axis: str) -> Any:
    return getattr(functions, f"d{axis}")
