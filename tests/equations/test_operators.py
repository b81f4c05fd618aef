"""Stencils: the laws of their weights, their order of accuracy, and constants that they leave alone."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy

from parsolve.equations.program import build
from parsolve.equations.stencils import (
    FIRST,
    MIDPOINT,
    ORDERS,
    SECOND,
    SECOND_BY_DIFFERENCES,
    STAGGERED,
    flux_weights,
)
from parsolve.errors import CaseError

X, Y, Z = sympy.symbols("x y z")
AXES = {1: (X,), 2: (X, Y), 3: (X, Y, Z)}
LENGTHS = (1.0, 1.3, 0.8)  # of x, y, z: spacings differ
HALF = Fraction(1, 2)


def laplace(u: Any, axes: Any) -> Any:
    return sum(sympy.diff(u, s, 2) for s in axes)


LINEAR = {  # text -> (needs so many axes, what it is)
    "laplace(u)": (1, laplace),
    "dx(u)": (1, lambda u, axes: sympy.diff(u, X)),
    "dy(u)": (2, lambda u, axes: sympy.diff(u, Y)),
    "dz(u)": (3, lambda u, axes: sympy.diff(u, Z)),
    "dxx(u)": (1, lambda u, axes: sympy.diff(u, X, 2)),
    "dyy(u)": (2, lambda u, axes: sympy.diff(u, Y, 2)),
    "dzz(u)": (3, lambda u, axes: sympy.diff(u, Z, 2)),
    "dxy(u)": (2, lambda u, axes: sympy.diff(u, X, Y)),
    "dxz(u)": (3, lambda u, axes: sympy.diff(u, X, Z)),
    "dyz(u)": (3, lambda u, axes: sympy.diff(u, Y, Z)),
    "biharmonic(u)": (1, lambda u, axes: laplace(laplace(u, axes), axes)),
    "dx(laplace(u))": (1, lambda u, axes: sympy.diff(laplace(u, axes), X)),
}
NONLINEAR = {
    "dot(grad(u), grad(u))": (1, lambda u, axes: sum(sympy.diff(u, s) ** 2 for s in axes)),
    "dx(u**2)/2": (1, lambda u, axes: u * sympy.diff(u, X)),
    "laplace(u**3 - u)": (1, lambda u, axes: laplace(u**3 - u, axes)),
    "div(u*grad(u))": (1, lambda u, axes: sum(sympy.diff(u * sympy.diff(u, s), s) for s in axes)),
    "u*dx(u)/(2 + u)": (1, lambda u, axes: u * sympy.diff(u, X) / (2 + u)),
}
OPERATORS = LINEAR | NONLINEAR


@pytest.mark.parametrize("order", ORDERS)
def test_weights_are_exact_for_polynomials_up_to_the_order(order: int) -> None:
    """Taylor's theorem: moments of the wanted derivative are 1, all others up to the order 0."""
    for m in range(1, order // 2 + 1):  # even powers x^2m of the second difference
        moment = sum(2 * a * Fraction(i) ** (2 * m) for i, a in enumerate(SECOND[order], start=1))
        assert moment == (2 if m == 1 else 0)
    for m in range(order // 2):  # odd powers x^(2m+1)
        power = 2 * m + 1
        assert sum(2 * b * Fraction(i) ** power for i, b in enumerate(FIRST[order], start=1)) == (m == 0)
        assert sum(2 * b * (i - HALF) ** power for i, b in enumerate(STAGGERED[order], start=1)) == (m == 0)
        assert sum(2 * b * (i - HALF) ** (2 * m) for i, b in enumerate(MIDPOINT[order], start=1)) == (m == 0)


def narrow(order: int) -> list[list[Fraction]]:
    """By m = 1 ... order/2 the weights of c(-order/2) ... c(order) in what couples the cells 0 and m of a flux."""
    couplings = [[Fraction(0)] * (2 * order) for _ in range(order // 2)]
    for a, half in flux_weights(order).items():
        mean = {at: w for i, w in half.items() for at in {i, a - i}}
        d = [(-1) ** (a - i) * math.comb(a, i) for i in range(a + 1)]
        for i, j in product(range(a + 1), repeat=2):
            for at, w in mean.items():
                if i < j:
                    couplings[j - i - 1][at - i + order] -= d[i] * d[j] * w
    return couplings


@pytest.mark.parametrize("order", ORDERS)
def test_fluxes_of_a_constant_coefficient_are_the_second_difference(order: int) -> None:
    assert [sum(weights) for weights in narrow(order)] == list(SECOND[order])
    for a, half in flux_weights(order).items():
        assert sum(w * (1 if 2 * i == a else 2) for i, w in half.items()) == SECOND_BY_DIFFERENCES[a - 1]


@pytest.mark.parametrize(
    ("order", "published"),
    [
        (4, ["1/6 1/2 1/2 1/6", "-1/8 1/6 -1/8"]),
        (6, ["1/40 3/10 17/40 17/40 3/10 1/40", "-1/20 -7/40 3/10 -7/40 -1/20", "11/360 -1/40 -1/40 11/360"]),
    ],
)
def test_fluxes_are_those_of_the_narrow_stencil(order: int, published: list[str]) -> None:
    """The inner stencils of Mattsson, J. Sci. Comput. 51 (2012) 650."""
    for weights, wanted in zip(narrow(order), published, strict=True):
        assert [w for w in weights if w] == [Fraction(w) for w in wanted.split()]


def wave(dimensions: int) -> Any:
    """A smooth periodic function with no symmetry that could hide an error."""
    u = sympy.Rational(3, 10)
    for phase, (s, length) in enumerate(zip(AXES[dimensions], LENGTHS, strict=False), start=1):
        k = 2 * sympy.pi / sympy.Float(length)
        u = u * (1 + sympy.sin(k * s + sympy.Rational(phase, 5)) / 2)
    return u


def error(lab: Any, text: str, exact: Any, order: int, dimensions: int, cells: int) -> float:
    """Root of the mean square of the error of an operator on `wave`."""
    counts = [cells] * dimensions
    case = lab.case({"u": text}, *counts, length=LENGTHS[:dimensions], run={"order": order, "device": "numpy"})
    axes, u = AXES[dimensions], wave(dimensions)
    grid = lab.pose(case).grid
    centres = np.meshgrid(*(grid.coordinates(a) for a in "zyx"[3 - dimensions :]), indexing="ij")[::-1]
    value = sympy.lambdify(axes, u)(*centres)
    wanted = sympy.lambdify(axes, exact(u, axes))(*centres)
    return float(np.sqrt(np.mean((lab.rate(case)(u=value)["u"] - wanted) ** 2)))


LONG = [pytest.param(text, order, marks=pytest.mark.long) for text, order in product(LINEAR, (4, 6))]


@pytest.mark.parametrize(("text", "order"), [*product(LINEAR, (2, 8)), *product(NONLINEAR, (4,)), *LONG])
def test_order_of_accuracy_is_as_declared(lab: Any, text: str, order: int) -> None:
    least, exact = OPERATORS[text]
    for dimensions in range(least, 4 if text in LINEAR else 3):
        coarse, fine = (24, 32) if text in LINEAR else (32, 48)  # harmonics of the wave want more cells
        e = [error(lab, text, exact, order, dimensions, n) for n in (coarse, fine)]
        measured = math.log(e[0] / e[1]) / math.log(fine / coarse)
        assert measured == pytest.approx(order, abs=0.2), (text, dimensions, e)


@pytest.mark.parametrize(("text", "order"), [("upwind(vector(-1, 2), u)", 1), ("advect(vector(-1, 2), u)", 5)])
def test_one_sided_advection_has_its_own_order(lab: Any, text: str, order: int) -> None:
    def exact(u: Any, axes: Any) -> Any:
        return -sympy.diff(u, X) + 2 * sympy.diff(u, Y)

    e = [error(lab, text, exact, 2, 2, n) for n in (48, 96)]
    assert math.log2(e[0] / e[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_constant_has_no_derivatives(lab: Any, dimensions: int, order: int) -> None:
    """Exactly zero: the weights need not cancel in floating point."""
    texts = [text for text, (least, _) in OPERATORS.items() if least <= dimensions]
    evolve = {f"u{i}": text.replace("(u)", f"(u{i})").replace("u**", f"u{i}**") for i, text in enumerate(texts)}
    evolve = {name: text.replace("u*", f"{name}*").replace("+ u)", f"+ {name})").replace("- u)", f"- {name})")
              for name, text in evolve.items()}  # fmt: skip
    counts = [9, 10, 11][:dimensions]
    rate = lab.rate(lab.case(evolve, *counts, length=LENGTHS[:dimensions], run={"order": order, "device": "numpy"}))
    for constant in (1 / 3, -0.1, 7e40, 5e-324):
        found = rate(**dict.fromkeys(evolve, constant))
        for (name, values), text in zip(found.items(), texts, strict=True):
            assert not values.any(), (name, text, constant)


FLUXES = ("div(k*grad(u))", "div(harmonic(k)*grad(u))", "div(k**2*grad(u))", "dx(q)")  # q = k*dx(u) at faces


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("text", FLUXES)
def test_fluxes_only_damp_whatever_the_contrast(
    bench: Any, equation: Any, text: str, dimensions: int, order: int
) -> None:
    """sum u div(k grad u) <= 0 for any u and any k >= 0, as of the equation itself; here both jump at random."""
    e = equation({"u": text}, arrays=("k",), define={"q": "k*dx(u)"})
    p = build(e, ("x", "y", "z")[:dimensions], order, at={"q": "x"})
    rng, shape = np.random.default_rng(order), {1: (1, 1, 40), 2: (1, 10, 12), 3: (8, 9, 10)}[dimensions]
    for exponent in (1, 3, 6):
        k = np.where(rng.random(shape) < 0.5, 1.0, 10.0 ** rng.uniform(-exponent, exponent, shape))
        k[rng.random(shape) < 0.3] = 0.0
        for _ in range(20):
            u = rng.standard_normal(shape) / (k + 1e-6) ** rng.uniform(0, 1)
            terms = (u * bench({})(p, {"u": u, "k": k})["u"]).ravel()
            assert np.isfinite(terms).all()
            assert math.fsum(terms) <= 1e-13 * np.abs(terms).sum()


@pytest.mark.parametrize("order", ORDERS)
def test_a_coefficient_that_jumps_stays_between_the_cells_beside_a_face(bench: Any, equation: Any, order: int) -> None:
    """Of layers of any contrast above 17: k at faces is what q = k*dx(u) is where dx(u) = 1."""
    p = build(equation({"q": "k*dx(u)"}, arrays=("k",), define={"u": "x"}), ("x",), order, at={"q": "x"})
    rng = np.random.default_rng(order)
    for exponent in (1.25, 2, 4, 6):
        k = np.where(rng.random((1, 1, 400)) < 0.5, 1.0, 10.0**exponent)
        found = bench({})(p, {"q": 0 * k, "k": k})["q"]
        beside = np.array([k, np.roll(k, 1)])
        inner = slice(8, -8)  # the coordinate begins again at the ends
        ratio = (np.clip(found, beside.min(axis=0), beside.max(axis=0)) / found)[..., inner]
        np.testing.assert_allclose(ratio, 1.0, rtol=0.3 * 10**-exponent + 1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("order", ORDERS)
def test_the_harmonic_mean_is_the_formula_and_zero_of_zeros(
    bench: Any, equation: Any, order: int, precision: str
) -> None:
    p = build(equation({"u": "div(harmonic(k)*grad(u))"}, arrays=("k",)), ("x",), order)
    u, k = np.random.default_rng(1).uniform(1, 2, (2, 1, 1, 30)).astype(precision)
    k[..., ::3] = k[..., 1::7] = 0
    for compiled in (False, True):
        for size in (1.0, 1e-30, 1e30):  # whose product leaves the range of float32
            c = k * np.dtype(precision).type(size)
            d, low = c.astype("float64"), np.roll(c, 1).astype("float64")
            face = 2 * d * low / np.where(d + low > 0, d + low, 1) * (u - np.roll(u, 1))
            found = bench({})(p, {"u": u, "k": c}, compiled=compiled)["u"]
            tolerance = 20 * np.finfo(precision).eps * size
            np.testing.assert_allclose(found, np.roll(face, -1) - face, rtol=0, atol=tolerance)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("text", FLUXES)
def test_compiled_fluxes_equal_the_reference(bench: Any, equation: Any, text: str, order: int) -> None:
    p = build(equation({"u": text}, arrays=("k",), define={"q": "k*dx(u)"}), ("x", "y"), order, at={"q": "x"})
    u, k = np.random.default_rng(order).uniform(0, 2, (2, 1, 11, 13)) ** 4
    for dtype in ("float64", "float32"):
        fields = {"u": u.astype(dtype), "k": k.astype(dtype)}
        made = [bench({"x": 0.3})(p, fields, compiled=compiled)["u"] for compiled in (False, True)]
        np.testing.assert_array_equal(*made)


FACE_FLUXES = ("upwind_flux", "weno_flux")


@pytest.mark.parametrize(("name", "order"), [("upwind_flux", 1), ("weno_flux", 5)])
def test_face_fluxes_have_their_order(lab: Any, name: str, order: int) -> None:
    """Of a nonlinear flux along two axes, in all the ways to write it."""

    def exact(u: Any, axes: Any) -> Any:
        return u * sympy.diff(u, X) - 2 * sympy.diff(u, Y)

    texts = (
        f"div({name}(vector(u**2/2, -2*u), vector(u, -2), u))",
        f"dx({name}(u**2/2, u, u)) + dy({name}(-2*u, 2, u))",
        f"div(-2*{name}(vector(-u**2/4, u), max(abs(u), 2), u))",
    )
    for text in texts:
        e = [error(lab, text, exact, 2, 2, n) for n in (64, 128)]
        assert math.log2(e[0] / e[1]) == pytest.approx(order, abs=0.35), text


@pytest.mark.parametrize("name", FACE_FLUXES)
def test_face_fluxes_in_one_dimension_are_one_however_written(bench: Any, equation: Any, name: str) -> None:
    texts = [
        f"-dx({name}(u**2/2, u, u))",
        f"-div({name}(u**2/2, u, u))",
        f"-div({name}(vector(u**2/2), vector(u), u))",
        f"-div({name}(vector(u**2/2, 1), u, u))",
    ]
    u = np.random.default_rng(1).standard_normal((1, 1, 30))
    made = [bench({"x": 0.3})(build(equation({"u": text}), ("x",), 4), {"u": u})["u"] for text in texts]
    for other in made[1:]:
        np.testing.assert_array_equal(other, made[0])


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", FACE_FLUXES)
def test_face_fluxes_keep_the_sum_and_constants(bench: Any, equation: Any, name: str, dimensions: int) -> None:
    """On random data of any size, zero among them, in both precisions, compiled and not with the same bits."""
    text = f"-div({name}(vector(u**2/2, u*v, abs(u)), vector(abs(u) + abs(v), v, 1), u))"
    p = build(equation({"u": text, "v": "0*v"}), ("x", "y", "z")[:dimensions], 2)
    rng, shape = np.random.default_rng(dimensions), {1: (1, 1, 40), 2: (1, 10, 12), 3: (8, 9, 10)}[dimensions]
    for precision in ("float64", "float32"):
        for size in (1e-9, 1.0, 1e9):
            u, v = (size * rng.standard_normal((2, *shape))).astype(precision)
            u[rng.random(shape) < 0.3] = 0
            made = [bench({})(p, {"u": u, "v": v}, compiled=c)["u"] for c in (False, True)]
            np.testing.assert_array_equal(*made)
            rate = made[0].astype(float)
            assert np.isfinite(rate).all()
            assert abs(math.fsum(rate.ravel())) < 4 * np.finfo(precision).eps * np.abs(rate).sum()
            constant = np.full(shape, size / 3, precision)
            assert not bench({})(p, {"u": constant, "v": constant})["u"].any()


@pytest.mark.parametrize("speed", [2.0, -0.7])
def test_the_upwind_flux_is_the_value_on_the_side_of_the_wind(bench: Any, equation: Any, speed: float) -> None:
    p = build(equation({"u": f"dx(upwind_flux({speed}*u, {speed}, u))"}), ("x",), 2)
    u = np.random.default_rng(1).standard_normal((1, 1, 30))
    one_sided = u - np.roll(u, 1) if speed > 0 else np.roll(u, -1) - u
    np.testing.assert_allclose(bench({})(p, {"u": u})["u"], speed * one_sided, atol=1e-14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("weno_flux(u, 1, u)", "it can stand only in div, dx, dy or dz"),
        ("dxx(weno_flux(u, 1, u))", "it can stand only in div, dx, dy or dz"),
        ("dx(u*weno_flux(u, 1, u))", "can have only a number as a factor: multiply f and a"),
        ("div(weno_flux(u, 1, u))", "weno_flux takes a vector"),
        ("dx(upwind_flux(vector(u, u), 1, u))", "vector(...) is a vector, and a number is due"),
    ],
)
def test_where_face_fluxes_stand(equation: Any, text: str, words: str) -> None:
    with pytest.raises(CaseError, match=re.escape(words)):
        build(equation({"u": text}), ("x", "y"), 2)
