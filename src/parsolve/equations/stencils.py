"""Stencils along one axis, of order 2, 4, 6 and 8, written onto a tape.

``u(m)`` is the number of the value at the m-th neighbour along the axis, ``k(w)`` that of the constant w times what
scales the operator; h is the spacing.  Weights: Fornberg, Math. Comp. 51 (1988) 699.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction as F
from functools import cache
from itertools import product
from math import comb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.equations.tape import Tape

    Neighbour = Callable[[int], int]
    Constant = Callable[[F], int]

SECOND: dict[int, tuple[F, ...]] = {
    2: (F(1),),
    4: (F(4, 3), F(-1, 12)),
    6: (F(3, 2), F(-3, 20), F(1, 90)),
    8: (F(8, 5), F(-1, 5), F(8, 315), F(-1, 560)),
}
FIRST: dict[int, tuple[F, ...]] = {
    2: (F(1, 2),),
    4: (F(2, 3), F(-1, 12)),
    6: (F(3, 4), F(-3, 20), F(1, 60)),
    8: (F(4, 5), F(-1, 5), F(4, 105), F(-1, 280)),
}
STAGGERED: dict[int, tuple[F, ...]] = {
    2: (F(1),),
    4: (F(9, 8), F(-1, 24)),
    6: (F(75, 64), F(-25, 384), F(3, 640)),
    8: (F(1225, 1024), F(-245, 3072), F(49, 5120), F(-5, 7168)),
}
MIDPOINT: dict[int, tuple[F, ...]] = {
    2: (F(1, 2),),
    4: (F(9, 16), F(-1, 16)),
    6: (F(75, 128), F(-25, 256), F(3, 256)),
    8: (F(1225, 2048), F(-245, 2048), F(49, 2048), F(-5, 2048)),
}
SECOND_BY_DIFFERENCES = (F(1), F(1, 12), F(1, 90), F(1, 560))  # SECOND = sum_a -(-1)^a s_a d^2a, d of neighbours
ORDERS = tuple(SECOND)


def second(tape: Tape, order: int, u: Neighbour, k: Constant) -> int:
    """sum_m a_m (u(m) + u(-m) - 2 u(0)), which is exactly zero on a constant; k holds 1/h^2."""
    center = u(0)
    twice = tape.push("add", center, center)
    terms = []
    for m, weight in enumerate(SECOND[order], start=1):
        pair = tape.push("add", u(-m), u(m))
        terms.append(tape.push("mul", k(weight), tape.push("sub", pair, twice)))
    return tape.fold("add", terms)


def first(tape: Tape, order: int, u: Neighbour, k: Constant) -> int:
    """sum_m b_m (u(m) - u(-m)); k holds 1/h."""
    terms = [tape.push("mul", k(w), tape.push("sub", u(m), u(-m))) for m, w in enumerate(FIRST[order], start=1)]
    return tape.fold("add", terms)


def midpoint(tape: Tape, order: int, u: Neighbour) -> int:
    """sum_m c_m (u(-m) + u(m - 1)): between the neighbours -1 and 0."""
    parts = [_times(tape, w, tape.push("add", u(-m), u(m - 1))) for m, w in enumerate(MIDPOINT[order], start=1)]
    return tape.fold("add", parts)


def staggered(tape: Tape, order: int, u: Neighbour, k: Constant) -> int:
    """sum_m s_m (u(m - 1) - u(-m)): the first difference between the neighbours -1 and 0; k holds 1/h."""
    terms = [tape.push("mul", k(w), tape.push("sub", u(m - 1), u(-m))) for m, w in enumerate(STAGGERED[order], start=1)]
    return tape.fold("add", terms)


def flux(tape: Tape, order: int, u: Neighbour, c: Neighbour, k: Constant) -> int:
    """Divergence of c du/dx: d (c_1 d u - d (c_2 d^2 u - d (c_3 d^3 u - ...))); k holds 1/h^2.

    d takes the difference of neighbours and c_a a weighted mean of c; what stands in the outer d is the flux at a face.
    The sum over cells of -u times all this is that of c_a (d^a u)^2, and no c_a is negative where c is not: so fluxes
    only ever damp, however c jumps.  Where c is smooth c_a is what makes the order; c_1, at a face, is ``limited``, and
    for a > 1 it is kept between 0 and twice what the least of the cells in d^a u would give.
    """

    def power(a: int, left: int) -> int:
        """d^a u, of the cells left ... left + a."""
        return u(left) if a == 0 else tape.push("sub", power(a - 1, left + 1), power(a - 1, left))

    def least(a: int, left: int) -> int:
        return c(left) if a == 0 else _lesser(tape, least(a - 1, left), least(a - 1, left + 1))

    def coefficient(a: int, left: int) -> int:
        parts = []
        for at, weight in flux_weights(order)[a].items():
            near, far = c(left + at), c(left + a - at)
            parts.append(_times(tape, weight, near if 2 * at == a else tape.push("add", near, far)))
        value = tape.fold("add", parts)
        if order == 2:
            return value
        if a == 1:
            return limited(tape, value, lambda m: c(left + 1 + m))
        zero, twice = tape.constant(0.0), _times(tape, SECOND_BY_DIFFERENCES[a - 1] * 2, least(a, left))
        return _kept(tape, value, _lesser(tape, twice, zero), _greater(tape, twice, zero))

    def term(a: int, left: int) -> int:
        """c_a d^a u, without what the next a takes off."""
        whole = tape.push("mul", coefficient(a, left), power(a, left))
        if a == order // 2:
            return whole
        return tape.push("sub", whole, tape.push("sub", term(a + 1, left), term(a + 1, left - 1)))

    if c(0) == c(1):
        return tape.push("mul", c(0), second(tape, order, u, k))
    return tape.push("mul", k(F(1)), tape.push("sub", term(1, 0), term(1, -1)))


@cache
def flux_weights(order: int) -> dict[int, dict[int, F]]:
    """Of each a = 1 ... order/2 the weights of c(i) and c(a - i) by i <= a/2, in the c_a of the cells 0 ... a.

    With these -sum_a (d^a)' c_a d^a is the narrow stencil of Mattsson (J. Sci. Comput. 51 (2012) 650): that of the wide
    first difference D, -D' c D, but for what reaches farther than order/2 cells.  That is taken off from the farthest
    on by means of c times squares of d^a, a > order/2, which are of the order of the error.  Then what is left is
    written by such squares, again from the farthest on.
    """
    wide = {sign * m: sign * w for m, w in enumerate(FIRST[order], start=1) for sign in (1, -1)}
    squares, found = [(wide, {0: F(1)})], {}
    for a in range(order, 0, -1):
        mean: dict[int, F] = defaultdict(F)
        for row, weights in squares:
            for i, (at, weight) in product(row, weights.items()):
                mean[at - i] -= (-1) ** a * row[i] * row.get(i + a, 0) * weight
        neighbours = {i: F((-1) ** (a - i) * comb(a, i)) for i in range(a + 1)}
        squares.append((neighbours, {at: weight for at, weight in mean.items() if weight}))
        found[a] = {at: -weight for at, weight in sorted(mean.items()) if weight and 2 * at <= a}
    return {a: found[a] for a in range(1, order // 2 + 1)}


def harmonic_flux(tape: Tape, u: Neighbour, c: Neighbour, k: Constant) -> int:
    """Divergence of c du/dx of order 2, with the harmonic mean of c at faces; k holds 1/h^2.

    It is exact for layers that end at faces (Patankar 1980, 4.2-3).
    """

    def face(i: int) -> int:
        return tape.push("mul", _harmonic(tape, c(i - 1), c(i)), tape.push("sub", u(i), u(i - 1)))

    return difference(tape, face, k)


def limited(tape: Tape, value: int, c: Neighbour) -> int:
    """The value of a coefficient at a face, kept between its neighbours -1 and 0, but at extrema that are resolved.

    There both second differences have one sign; d is the smaller size of the two.  It may be d/2 beyond them: at a
    maximum less where d is more than a third of it, and at a minimum of 0 or more no farther than its own size from 0.
    So a coefficient that is nowhere negative is so here however it jumps, and one that touches zero keeps its order.
    """
    half, quarter, zero = tape.constant(0.5), tape.constant(0.25), tape.constant(0.0)
    low, high = _lesser(tape, c(-1), c(0)), _greater(tape, c(-1), c(0))
    left, right = (
        tape.push("sub", tape.push("add", c(i - 1), c(i + 1)), tape.push("add", c(i), c(i))) for i in (-1, 0)
    )
    trough = tape.push("mul", half, _greater(tape, _lesser(tape, left, right), zero))
    least = tape.push("sub", low, trough)
    positive = _greater(tape, least, _lesser(tape, low, tape.push("fabs", value)))
    floor = tape.push("select", tape.push("le", zero, low), positive, least)
    d = tape.push("neg", _greater(tape, left, right))
    most = tape.push("mul", quarter, tape.push("sub", tape.push("fabs", high), d))
    room = _greater(tape, _lesser(tape, tape.push("mul", half, d), most), zero)
    return _kept(tape, value, floor, tape.push("add", high, room))


def _kept(tape: Tape, value: int, low: int, high: int) -> int:
    """The value between two others; what is not a number stays so."""
    return _lesser(tape, high, _greater(tape, low, value))


def _lesser(tape: Tape, s: int, t: int) -> int:
    """The lesser in one instruction of most processors: t if one of them is not a number."""
    return tape.push("select", tape.push("lt", s, t), s, t)


def _greater(tape: Tape, s: int, t: int) -> int:
    return tape.push("select", tape.push("lt", t, s), s, t)


def _harmonic(tape: Tape, a: int, b: int) -> int:
    """2 a b/(a + b), and 0 of zeros; no product is formed that could leave the range of floating point."""
    if a == b:
        return a
    low, high, both = tape.push("ps_min", a, b), tape.push("ps_max", a, b), tape.push("add", a, b)
    mean = tape.push("mul", tape.push("add", low, low), tape.push("div", high, both))
    zero = tape.constant(0.0)
    return tape.push("select", tape.push("eq", both, zero), zero, mean)


def upwind(tape: Tape, a: int, u: Neighbour, k: Constant) -> int:
    """Advection a du/dx with the difference on the side that the wind a comes from; first order; k holds 1/h."""
    zero = tape.constant(0.0)
    left, right = tape.push("sub", u(0), u(-1)), tape.push("sub", u(1), u(0))
    difference = tape.push("select", tape.push("lt", zero, a), left, right)
    return tape.push("mul", a, tape.push("mul", k(F(1)), difference))


def weno(tape: Tape, a: int, u: Neighbour, k: Constant) -> int:
    """Advection a du/dx by fifth-order upwind WENO (Jiang & Peng, SIAM J. Sci. Comput. 21 (2000) 2126)."""
    downwind = tape.push("lt", tape.constant(0.0), a)
    v = []
    for m in range(-3, 2):
        left = tape.push("sub", u(m + 1), u(m))
        right = tape.push("sub", u(-m), u(-m - 1))
        v.append(tape.push("mul", k(F(1)), tape.push("select", downwind, left, right)))
    return tape.push("mul", a, _reconstructed(tape, v))


def difference(tape: Tape, face: Neighbour, k: Constant) -> int:
    """What flows out of a cell, by the fluxes at the lower faces of it and of the next cell; k holds 1/h."""
    return tape.push("mul", k(F(1)), tape.push("sub", face(1), face(0)))


def rusanov(tape: Tape, f: Neighbour, a: Neighbour, u: Neighbour, i: int) -> int:
    """The flux (f_l + f_r)/2 - s (u_r - u_l)/2 at the lower face of cell i, s the larger abs(a); of first order.

    For f = a u, a constant, it is a u on the side that a comes from (Rusanov, J. Comput. Math. Phys. 1 (1961) 267).
    """
    speed = tape.push("ps_max", tape.push("fabs", a(i - 1)), tape.push("fabs", a(i)))
    jump = tape.push("mul", speed, tape.push("sub", u(i), u(i - 1)))
    return tape.push("mul", tape.constant(0.5), tape.push("sub", tape.push("add", f(i - 1), f(i)), jump))


def weno_flux(tape: Tape, f: Neighbour, a: Neighbour, u: Neighbour, i: int) -> int:
    """The fifth-order WENO flux at the lower face of cell i (Jiang & Shu, J. Comput. Phys. 126 (1996) 202).

    It is split into (f + s u)/2 and (f - s u)/2, with s the largest abs(a) of the six cells that it reads.  Both are
    taken relative to their value at the cell beside the face and to their size, so that no unit matters.
    """
    speed = tape.fold("ps_max", [tape.push("fabs", a(i + m)) for m in range(-3, 3)])
    sides = []
    for s, cells in ((speed, range(-3, 2)), (tape.push("neg", speed), range(2, -3, -1))):
        v = [tape.push("fma", s, u(i + m), f(i + m)) for m in cells]
        size = tape.fold("ps_max", [tape.push("fabs", each) for each in v])
        size = tape.push("add", size, tape.constant(1e-35))  # which is not 0
        apart = [None if each == v[2] else tape.push("div", tape.push("sub", each, v[2]), size) for each in v]
        sides.append(tape.push("fma", size, _reconstructed(tape, apart), v[2]))
    return tape.push("mul", tape.constant(0.5), tape.push("add", *sides))


def _reconstructed(tape: Tape, v: Sequence[int | None]) -> int:
    """The value between the third and fourth of five, None for 0, by WENO."""
    candidates = (
        _combine(tape, (F(1, 3), F(-7, 6), F(11, 6)), v[0:3]),
        _combine(tape, (F(-1, 6), F(5, 6), F(1, 3)), v[1:4]),
        _combine(tape, (F(1, 3), F(5, 6), F(-1, 6)), v[2:5]),
    )
    smoothness = (
        _roughness(tape, (F(1), F(-4), F(3)), v[0:3]),
        _roughness(tape, (F(1), F(0), F(-1)), v[1:4]),
        _roughness(tape, (F(3), F(-4), F(1)), v[2:5]),
    )
    weights = []
    for linear, s in zip((0.1, 0.6, 0.3), smoothness, strict=True):
        shifted = tape.push("add", s, tape.constant(1e-6))
        weights.append(tape.push("div", tape.constant(linear), tape.push("mul", shifted, shifted)))
    parts = [tape.push("mul", w, q) for w, q in zip(weights, candidates, strict=True)]
    return tape.push("div", tape.fold("add", parts), tape.fold("add", weights))


def _roughness(tape: Tape, slope: tuple[F, ...], v: Sequence[int | None]) -> int:
    """13/12 (v1 - 2 v2 + v3)^2 + 1/4 (slope . v)^2."""
    curvature, tilt = _combine(tape, (F(1), F(-2), F(1)), v), _combine(tape, slope, v)
    a = tape.push("mul", tape.constant(13 / 12), tape.push("mul", curvature, curvature))
    return tape.push("add", a, tape.push("mul", tape.constant(0.25), tape.push("mul", tilt, tilt)))


def _combine(tape: Tape, weights: tuple[F, ...], values: Sequence[int | None]) -> int:
    parts = [_times(tape, w, v) for w, v in zip(weights, values, strict=True) if w and v is not None]
    return tape.fold("add", parts)


def _times(tape: Tape, weight: F, value: int) -> int:
    return value if weight == 1 else tape.push("mul", tape.constant(float(weight)), value)
