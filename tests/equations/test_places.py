"""Fields at faces: the order of what leads between the places, and fluxes that telescope."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy

from parsolve.equations.linearise import diagonal, tangent
from parsolve.equations.program import Program, build
from parsolve.equations.stencils import ORDERS
from parsolve.errors import CaseError

X, Y = sympy.symbols("x y")
AXES = ("x", "y", "z")
SHAPES = {1: (1, 1, 12), 2: (1, 10, 12), 3: (8, 10, 12)}
U = sympy.sin(2 * sympy.pi * X) * sympy.cos(2 * sympy.pi * Y) + sympy.Rational(1, 2)
Q = sympy.cos(2 * sympy.pi * (X - 2 * Y)) + 2


def wave(e: Any, at: str, n: int) -> np.ndarray:
    """A function of x and y at cell centres or at the lower faces of the cells."""
    x, y = ((np.arange(n) + (0.0 if at == axis else 0.5)) / n for axis in "xy")
    values: np.ndarray = sympy.lambdify((X, Y), e)(x[None, None, :], y[None, :, None]) + np.zeros((1, n, n))
    return values


# text of the output, its place, the exact value; u lives at cells, q at x faces, r = q at y faces
BETWEEN = [
    ("u", "x", U),
    ("q", "cell", Q),
    ("q", "y", Q),
    ("dx(u)", "x", sympy.diff(U, X)),
    ("dx(q)", "cell", sympy.diff(Q, X)),
    ("dx(q)", "x", sympy.diff(Q, X)),
    ("dy(q)", "x", sympy.diff(Q, Y)),
    ("dy(q)", "cell", sympy.diff(Q, Y)),
    ("dy(u)", "x", sympy.diff(U, Y)),
    ("dx(q)", "y", sympy.diff(Q, X)),
    ("dx(u*q)", "cell", sympy.diff(U * Q, X)),
    ("dx(u*q)", "x", sympy.diff(U * Q, X)),
    ("dx(q**2)/2 + q*dy(r)", "x", Q * sympy.diff(Q, X) + Q * sympy.diff(Q, Y)),
    ("laplace(q) + dxx(u)", "x", sympy.diff(Q, X, 2) + sympy.diff(Q, Y, 2) + sympy.diff(U, X, 2)),
    ("dx(k*dx(u)) + k", "cell", sympy.diff(U**2 * sympy.diff(U, X), X) + U**2),
    ("k*dx(u)", "x", U**2 * sympy.diff(U, X)),
    ("dx(f)", "cell", sympy.diff(U**2 * sympy.diff(U, X), X)),
    ("f", "y", U**2 * sympy.diff(U, X)),
    ("div(vector(q, r))", "cell", sympy.diff(Q, X) + sympy.diff(Q, Y)),
    ("sin(2*pi*x)*u", "x", sympy.sin(2 * sympy.pi * X) * U),
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("text", "at", "exact"), BETWEEN, ids=range(len(BETWEEN)))
def test_what_is_taken_from_elsewhere_has_the_order(
    bench: Any, equation: Any, text: str, at: str, exact: Any, order: int
) -> None:
    e = equation({"o": text, "u": "0*u", "q": "0*q", "r": "0*r"}, define={"k": "u**2", "f": "k*dx(u)"})
    p = build(e, ("x", "y"), order, at={"q": "x", "r": "y", "f": "x"} | ({} if at == "cell" else {"o": at}))
    assert p.rate.at[0] == at
    errors = []
    for n in (48, 72):
        fields = {"u": wave(U, "cell", n), "q": wave(Q, "x", n), "r": wave(Q, "y", n)}
        found = bench({"x": 1 / n, "y": 1 / n})(p, {**fields, "o": 0 * fields["u"]})["o"]
        errors.append(np.sqrt(np.mean((found - wave(exact, at, n)) ** 2)))
    assert math.log(errors[0] / errors[1]) / math.log(1.5) == pytest.approx(order, abs=0.35)


def test_the_coordinate_at_a_face_is_the_face(bench: Any, equation: Any) -> None:
    p = build(equation({"o": "x + 10*y"}), ("x", "y"), 2, at={"o": "x"})
    np.testing.assert_allclose(bench({"x": 0.1, "y": 0.2})(p, {"o": np.zeros((1, 4, 8))})["o"], face(8, 4), atol=1e-15)


def face(n: int, m: int) -> np.ndarray:
    x, y = 0.1 * np.arange(n), 0.2 * (np.arange(m) + 0.5)
    values: np.ndarray = x[None, None, :] + 10 * y[None, :, None]
    return values


def fluxes(equation: Any, dimensions: int, order: int, k: str) -> tuple[Program, Program]:
    """div(k*grad(u)) by face fluxes as fields, and by the stencil of one kernel."""
    axes = AXES[:dimensions]
    define = {f"q{a}": f"k*d{a}(u)" for a in axes} | ({} if k == "k" else {"k": k})
    arrays = ("k",) if k == "k" else ()
    divergence = f"div(vector({', '.join(f'q{a}' for a in axes)}))"
    by_faces = build(
        equation({"u": divergence}, define=define, arrays=arrays), axes, order, at={f"q{a}": a for a in axes}
    )
    at_once = build(equation({"u": "div(k*grad(u))"}, define=define, arrays=arrays), axes, order)
    return by_faces, at_once


@pytest.mark.parametrize("k", ["k", "1 + u**2"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_divergence_of_face_fluxes_is_the_flux_form(bench: Any, equation: Any, dimensions: int, k: str) -> None:
    """Bit for bit at order 2 where 1/h is exact, else to rounding."""
    by_faces, at_once = fluxes(equation, dimensions, 2, k)
    assert by_faces.intermediate == tuple(f"q{a}" for a in AXES[:dimensions])
    assert [stage.at for stage in by_faces.defines] == [(a,) for a in AXES[:dimensions]]
    assert by_faces.at == {f"q{a}": a for a in AXES[:dimensions]}
    assert at_once.at == {}
    u, c = np.random.default_rng(2).uniform(1, 2, (2, *SHAPES[dimensions]))
    fields = {"u": u, "k": c} if k == "k" else {"u": u}
    even, odd = bench({"x": 0.5, "y": 0.125, "z": 2.0}), bench({"x": 0.3, "y": 0.7, "z": 1.1})
    np.testing.assert_array_equal(even(by_faces, fields)["u"], even(at_once, fields)["u"])
    found, expected = odd(by_faces, fields)["u"], odd(at_once, fields)["u"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize("order", [4, 6, 8])
def test_face_fluxes_and_the_narrow_form_agree_to_their_order(bench: Any, equation: Any, order: int) -> None:
    by_faces, at_once = fluxes(equation, 2, order, "k")
    assert (by_faces.ghost, at_once.ghost) == (order, order // 2)
    apart = []
    for n in (40, 60):
        fields = {"u": wave(U, "cell", n), "k": 2 + wave(Q, "cell", n) / 2}
        made = [bench({"x": 1 / n, "y": 1 / n})(p, fields)["u"] for p in (by_faces, at_once)]
        apart.append(np.abs(made[0] - made[1]).max())
    assert math.log(apart[0] / apart[1]) / math.log(1.5) == pytest.approx(order, abs=0.5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_fluxes_telescope(bench: Any, equation: Any, dimensions: int, compiled: bool) -> None:
    """Exactly, where every operation is: whole numbers and halves."""
    by_faces, _ = fluxes(equation, dimensions, 2, "k")
    u, k = np.random.default_rng(5).integers(-(2**20), 2**20, (2, *SHAPES[dimensions])).astype(float)
    found = bench({})(by_faces, {"u": u, "k": k}, compiled=compiled)["u"]
    assert found.any()
    assert found.sum() == 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_staggered_wave_keeps_its_energy(bench: Any, equation: Any, order: int) -> None:
    """d/dt sum (p^2 + v^2)/2 = 0: the two staggered derivatives are each other's transpose, but for the sign."""
    p = build(equation({"p": "-dx(v)", "v": "-dx(p)"}), ("x",), order, at={"v": "x"})
    assert p.rate.at == ("cell", "x")
    assert p.intermediate == ()
    pressure, velocity = np.random.default_rng(order).uniform(-1, 1, (2, 1, 1, 20))
    rate = bench({"x": 0.1})(p, {"p": pressure, "v": velocity})
    assert abs(np.sum(pressure * rate["p"] + velocity * rate["v"])) < 1e-12


def test_tangent_and_diagonal_of_what_lives_at_faces(bench: Any, equation: Any) -> None:
    e = equation({"u": "dx(q) - u**2", "v": "-v*dx(u)"}, define={"q": "(1 + u)*dx(u)"})
    p = build(e, ("x", "y"), 4, at={"q": "x", "v": "x"})
    j, d = tangent(p), diagonal(p)
    assert j.at == {"q": "x", "d_q": "x", "v": "x", "d_v": "x"}
    assert j.rate.at == d.rate.at == ("cell", "x")
    evaluate, cell = bench({"x": 0.2}), (0, 3, 4)
    u = dict(zip("uv", np.random.default_rng(1).uniform(1, 2, (2, 1, 9, 20)), strict=True))
    v = {f"d_{n}": np.random.default_rng(2).uniform(-1, 1, (1, 9, 20)) for n in "uv"}
    up, down = (evaluate(p, {n: u[n] + s * v[f"d_{n}"] for n in u}) for s in (1e-5, -1e-5))
    for n in "uv":
        np.testing.assert_allclose(evaluate(j, u | v)[f"d_{n}"], (up[n] - down[n]) / 2e-5, rtol=1e-6, atol=1e-5)
        unit = {key: np.zeros_like(values) for key, values in v.items()}
        unit[f"d_{n}"][cell] = 1.0
        assert evaluate(d, u)[n][cell] == pytest.approx(evaluate(j, u | unit)[f"d_{n}"][cell], rel=1e-12)


def test_velocities_and_next_iterates_live_where_their_fields_do(equation: Any) -> None:
    wave = build(equation({"u_tt": "laplace(u)"}), ("x",), 2, at={"u": "x"})
    assert wave.rate.at == ("x", "x")
    p = build(equation({"p": "p + dx(u)", "u": "u + dx(next(p))"}, "iterate"), ("x",), 2, role="map", at={"p": "x"})
    assert p.at == {"p": "x", "next_p": "x"}


def test_dual_and_primal_steps_are_each_others_transpose(bench: Any, equation: Any) -> None:
    """At faces dx(u) is u[i] - u[i - 1] over h, back at cells dx(p) is p[i + 1] - p[i] over h: sum u dx p = - sum p dx u."""
    p = build(equation({"p": "dx(u)", "u": "dx(p)"}, "iterate"), ("x",), 2, role="map", at={"p": "x"})
    u, dual = np.random.default_rng(1).integers(-9, 9, (2, 1, 1, 16)).astype(float)
    found = bench({})(p, {"u": u, "p": dual})
    np.testing.assert_array_equal(found["p"], u - np.roll(u, 1))
    np.testing.assert_array_equal(found["u"], np.roll(dual, -1) - dual)
    assert (u * found["u"]).sum() == -(dual * found["p"]).sum()


def test_on_an_absent_axis_there_are_cells_only(equation: Any) -> None:
    define = {"qx": "dx(u)", "qy": "dy(u)"}
    p = build(equation({"u": "dx(qx) + dy(qy)"}, define=define), ("x",), 2, at={"qx": "x", "qy": "y"})
    assert p.at == {"qx": "x"}


@pytest.mark.parametrize("at", [{"w": "x"}, {"u": "cell"}, {"x": "x"}])
def test_what_cannot_live_at_faces(equation: Any, at: dict[str, str]) -> None:
    with pytest.raises(CaseError, match="no such field or axis"):
        build(equation({"u": "laplace(u)"}), ("x",), 2, at=at)
