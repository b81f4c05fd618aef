"""Residuals of equations in space and maps from one iterate to the next."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sympy

from parsolve.equations.program import build
from parsolve.equations.stencils import ORDERS
from parsolve.equations.user import user_equation
from parsolve.errors import CaseError

X, Y = sympy.symbols("x y")
POISSON = "-div(k*grad(u)) + c*u = f"


def centres(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.arange(s) + 0.5 for s in (n, m))
    return x[None, None, :] / n, y[None, :, None] / m


@pytest.mark.parametrize("order", ORDERS)
def test_the_residual_of_the_solution_vanishes_with_the_order(bench: Any, equation: Any, order: int) -> None:
    u = sympy.sin(2 * sympy.pi * X) * sympy.cos(4 * sympy.pi * Y) + sympy.Rational(1, 3)
    k = 1 + sympy.sin(2 * sympy.pi * (X + Y)) / 2
    f = -sum(sympy.diff(k * sympy.diff(u, s), s) for s in (X, Y)) + 2 * u
    errors = []
    for n in (32, 48):
        p = build(equation({"u": POISSON}, "solve", {"c": 2.0}, arrays=("k", "f")), ("x", "y"), order, role="residual")
        at = {name: sympy.lambdify((X, Y), e)(*centres(n, n)) for name, e in (("u", u), ("k", k), ("f", f))}
        errors.append(np.sqrt(np.mean(bench({"x": 1 / n, "y": 1 / n}, c=2.0)(p, at)["u"] ** 2)))
    assert math.log(errors[0] / errors[1]) / math.log(48 / 32) == pytest.approx(order, abs=0.3)


def test_the_residual_is_f_minus_a_u(bench: Any, equation: Any) -> None:
    """Both sides may hold anything; what is to be zero may stand alone; the kernel gives it without weights."""
    u, k, f = np.random.default_rng(0).uniform(1, 2, (3, 1, 8, 8))

    def residual(text: str) -> Any:
        p = build(equation({"u": text}, "solve", {"c": 2.0}, arrays=("k", "f")), ("x", "y"), 2, role="residual")
        assert (p.role, p.rate.updates, p.unknowns) == ("residual", False, ("u",))
        return bench({}, c=2.0)(p, {"u": u, "k": k, "f": f})["u"]

    operator = bench({}, c=2.0)(
        build(equation({"u": "-div(k*grad(u)) + c*u"}, "evolve", {"c": 2.0}, arrays=("k",)), ("x", "y"), 2),
        {"u": u, "k": k},
    )["u"]
    np.testing.assert_allclose(residual(POISSON), f - operator, rtol=1e-14, atol=1e-13)
    np.testing.assert_allclose(residual("f = c*u - div(k*grad(u))"), operator - f, rtol=1e-14, atol=1e-13)
    np.testing.assert_allclose(residual("c*u - div(k*grad(u)) - f"), f - operator, rtol=1e-14, atol=1e-13)


def test_a_keyword_is_no_equation(equation: Any) -> None:
    p = build(equation({"u": "laplace(u) - noise(seed=1)"}, "solve"), ("x",), 2, role="residual")
    assert p.arrays == ("noise_1",)


def test_a_system_has_a_residual_for_each_equation(bench: Any, equation: Any) -> None:
    texts = {"u": "-laplace(u) = w", "w": "-laplace(w) + noise(seed=1)*u == 0"}
    with pytest.raises(CaseError, match="comparison"):
        build(equation(texts, "solve"), ("x", "y"), 2, role="residual")
    p = build(equation(texts | {"w": "-laplace(w) + u = noise(seed=1)"}, "solve"), ("x", "y"), 2, role="residual")
    assert p.unknowns == ("u", "w")
    assert p.arrays == ("noise_1",)
    u, w, noise = np.random.default_rng(0).uniform(1, 2, (3, 1, 8, 8))
    found = bench({})(p, {"u": u, "w": w, "noise_1": noise})
    np.testing.assert_allclose(found["u"], w + laplace(u), atol=1e-13)
    np.testing.assert_allclose(found["w"], noise + laplace(w) - u, atol=1e-13)


def laplace(u: np.ndarray) -> np.ndarray:
    total: np.ndarray = sum(np.roll(u, s, a) for a in (1, 2) for s in (1, -1)) - 4 * u
    return total


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("u = 1 = 2", 6, "unexpected '='"),
        ("u + (u = 1)", 7, "where ')' is missing"),
        ("laplace(u) = uu", 13, "did you mean 'u'"),
        ("= u", 0, "unexpected '='"),
        ("u =", 3, "ends too early"),
        ("u < 1 = u", 2, "comparison"),
        ("laplace(u) = grad(u)", 13, "is a vector"),
    ],
)
def test_errors_of_equations_point_at_the_place(equation: Any, text: str, at: int, words: str) -> None:
    with pytest.raises(CaseError) as caught:
        build(equation({"u": text}, "solve"), ("x", "y"), 2, role="residual")
    lines = str(caught.value).splitlines()
    assert words in lines[0]
    assert lines[0].startswith("solve.u: ")
    assert lines[-1].index("^") - 4 == at


def test_equations_of_users() -> None:
    poisson = user_equation({}, {"c": 1.0}, {}, {"k": 1.0, "f": "x"}, ("x",), solve={"u": POISSON})
    assert (poisson.group, poisson.time_order, poisson.unknowns, poisson.formula) == ("solve", 1, ("u",), POISSON)
    assert build(poisson, ("x",), 2, role="residual").arrays == ("k", "f")
    step = user_equation({}, {}, {"residual": "u"}, {}, ("x",), iterate={"u": "residual/2"})
    assert step.formula == "next(u) = residual/2"
    assert build(step, ("x",), 2, role="map").rate.name.endswith("_map")
    with pytest.raises(CaseError, match=r"fields.k: there is a 'k' in \[define\] already"):
        user_equation({"u": "k*u"}, {}, {"k": "2*u"}, {"k": "x*t"}, ("x",))
    for group, name in (("solve", "residual"), ("iterate", "map"), ("iterate", "next")):
        with pytest.raises(CaseError, match="name of the language"):
            user_equation({}, {}, {name: "u"}, {}, ("x",), **{group: {"u": "u"}})  # type: ignore[arg-type]


LIFE = {
    "texts": {"u": "where(n == 3 or n == 2 and u == 1, 1, 0)"},
    "define": {"n": "dyy(s) + 3*s - u", "s": "dxx(u) + 3*u"},
}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_map_of_life(bench: Any, equation: Any, compiled: bool) -> None:
    """Sums over three cells along x and then y: the cell and its eight neighbours."""
    p = build(equation(LIFE["texts"], "iterate", define=LIFE["define"]), ("x", "y"), 2, role="map")
    assert (p.role, p.rate.updates, p.ghost) == ("map", False, 2)
    u = (np.random.default_rng(3).uniform(size=(1, 16, 24)) < 0.4).astype(float)
    for _ in range(8):
        n = sum(np.roll(u, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)) - u
        expected = ((n == 3) | ((n == 2) & (u == 1))).astype(float)
        u = bench({})(p, {"u": u}, compiled=compiled)["u"]
        np.testing.assert_array_equal(u, expected)
    assert 0 < u.sum() < u.size


def test_a_map_of_means_keeps_the_mean(bench: Any, equation: Any) -> None:
    p = build(equation({"u": "u + laplace(u)/4"}, "iterate"), ("x", "y"), 2, role="map")
    u = np.random.default_rng(3).integers(0, 2**20, (1, 8, 8)).astype(float)
    found = bench({})(p, {"u": u})["u"]
    assert found.sum() == u.sum()
    assert found.max() < u.max()
    np.testing.assert_array_equal(found, u + laplace(u) / 4)


def test_next_is_the_iterate_that_is_being_made(bench: Any, equation: Any) -> None:
    """As one map after the other: at the cell, at neighbours, in definitions; and not before it is there."""
    texts = {"u": "u + laplace(next(w))/8 + next(s)", "w": "w - laplace(u)/8", "s": "s/2 + both"}
    e = equation(texts, "iterate", define={"both": "u*next(w)"})
    p = build(e, ("x", "y"), 2, role="map")
    assert p.intermediate == ("next_w",)
    assert p.unknowns == ("u", "w", "s")
    u, w, s = np.random.default_rng(3).uniform(0, 1, (3, 1, 8, 8))
    found = bench({})(p, {"u": u, "w": w, "s": s})
    later_w = bench({})(
        build(equation({"w": texts["w"]}, "iterate", arrays=("u",)), ("x", "y"), 2, role="map"), {"w": w, "u": u}
    )["w"]
    np.testing.assert_array_equal(found["w"], later_w)
    np.testing.assert_allclose(found["s"], s / 2 + u * later_w, rtol=1e-15)
    np.testing.assert_allclose(found["u"], u + laplace(later_w) / 8 + found["s"], rtol=1e-13)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"u": "next(u)"}, "defined by itself"),
        ({"u": "next(w)", "w": "laplace(next(u))"}, "defined by itself"),
        ({"u": "next(2*u)"}, "takes the name of a field"),
        ({"u": "next(k)"}, "takes the name of a field"),
        ({"u": "next(w) + u", "w": "u", "next_w": "w"}, "next_w"),
    ],
)
def test_what_next_cannot_be(equation: Any, texts: dict[str, str], words: str) -> None:
    with pytest.raises(CaseError, match=words):
        build(equation(texts, "iterate", arrays=("k",)), ("x",), 2, role="map")


def test_the_text_of_a_map_does_not_depend_on_the_run() -> None:
    """Sets of names have another order in each process, and ranks must agree."""
    code = (
        "from parsolve.equations.user import user_equation; from parsolve.equations.program import build\n"
        "from parsolve.equations.codegen import program_text; from parsolve.equations.linearise import tangent\n"
        "e = user_equation({}, {}, {}, {}, ('x',), iterate={n: f'laplace(next({m}))*{n}' for n, m in zip('abcd', 'bcde')} | {'e': 'laplace(e*b)'})\n"
        "p = build(e, ('x',), 2, role='map'); print(program_text(p), program_text(tangent(p)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": str(n)}, capture_output=True, check=True
        ).stdout
        for n in range(3)
    }
    assert len(found) == 1


@pytest.mark.parametrize("role", ["residual", "map"])
def test_an_equation_gives_what_its_table_is_for(equation: Any, role: Any) -> None:
    with pytest.raises(CaseError, match=f"no {role}"):
        build(equation({"u": "laplace(u)"}), ("x",), 2, role=role)


def test_next_is_a_name_like_any_other_outside_of_maps(equation: Any) -> None:
    assert build(equation({"next": "laplace(next)"}), ("x",), 2).unknowns == ("next",)
