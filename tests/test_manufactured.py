"""Manufactured solutions by way of user equations: every operator and boundary has the order that it declares."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sympy

from parsolve.api import make_case, text
from parsolve.problem.pose import pose
from parsolve.problem.values import array

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Lab

Formula = sympy.Expr
x, y, z, t = sympy.symbols("x y z t", real=True)
wave = sympy.sin(2 * sympy.pi * x + 0.3) * sympy.cos(2 * sympy.pi * y - 0.2)
deep_wave = wave * sympy.cos(2 * sympy.pi * z + 0.5)
k = 1 + sympy.sin(2 * sympy.pi * (x + y)) / 2
ORDERS = (2, *(pytest.param(order, marks=pytest.mark.long) for order in (4, 6, 8)))


def laplace(u: Formula) -> Formula:
    return sum(u.diff(a, 2) for a in (x, y, z))


def flux(c: Formula, u: Formula) -> Formula:
    return sum((c * u.diff(a)).diff(a) for a in (x, y, z))


def values(formula: Formula, solution: Any, time: float = 0.0) -> np.ndarray:
    """A formula at the cell centres."""
    grid = solution.problem.grid
    mesh = np.meshgrid(*(grid.coordinates(a) for a in reversed(grid.names)), indexing="ij")
    names = sympy.symbols([*reversed(grid.names), "t"], real=True)
    return np.broadcast_to(sympy.lambdify(names, formula, "numpy")(*mesh, time), mesh[0].shape)


def applied(lab: Lab, operator: str, u: Formula, cells: int, axes: str, order: int, **tables: Any) -> Any:
    """The solution whose field w is the operator on u: one step of length 1 of w_t = operator."""
    axis = {"cells": cells, "range": [0.0, 1.0], "periodic": tables.pop("periodic", True)}
    case = {
        "evolve": {"u": "0*u", "w": operator},
        "grid": dict.fromkeys(axes, axis),
        "initial": {"u": text(u), "w": 0.0},
        "time": {"steps": 1, "dt": 1.0, "scheme": "euler", "unstable": "allow"},
        "run": {"order": order, "device": "numpy"},
    }
    return lab.solve(case | tables)


def measured(error_of: Callable[[int], float], cells: int, ratio: int = 2) -> float:
    """Order of accuracy from two grids."""
    return float(np.log(error_of(cells) / error_of(cells * ratio)) / np.log(ratio))


def operator_order(
    lab: Lab, operator: str, exact: Formula, u: Formula, cells: int, axes: str, order: int, **tables: Any
) -> float:
    def error(n: int) -> float:
        solution = applied(lab, operator, u, n, axes, order, **tables)
        return float(np.abs(solution.fields["w"] - values(exact, solution)).mean())

    return measured(error, cells)


OPERATORS = {
    "laplace(u)": laplace(wave),
    "dx(u)": wave.diff(x),
    "dy(u)": wave.diff(y),
    "dxx(u)": wave.diff(x, 2),
    "dyy(u)": wave.diff(y, 2),
    "dxy(u)": wave.diff(x, y),
    "biharmonic(u)": laplace(laplace(wave)),
    "div(grad(u))": laplace(wave),
    "div(k*grad(u))": flux(k, wave),
    "div((2 + u**2)*grad(u))": flux(2 + wave**2, wave),
    "div(vector(u**2, k*u))": (wave**2).diff(x) + (k * wave).diff(y),
    "dot(grad(u), grad(k))": wave.diff(x) * k.diff(x) + wave.diff(y) * k.diff(y),
    "dx(dxx(u))": wave.diff(x, 3),
    "laplace(u**3 - u - laplace(u)/100)": laplace(wave**3 - wave - laplace(wave) / 100),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_order_of_an_operator(lab: Lab, operator: str, order: int) -> None:
    fields = {"k": text(k)} if "k*" in operator or "(k)" in operator else {}
    found = operator_order(lab, operator, OPERATORS[operator], wave, 24, "xy", order, fields=fields)
    assert found == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize(
    ("operator", "exact"),
    [
        ("laplace(u)", laplace(deep_wave)),
        ("dz(u)", deep_wave.diff(z)),
        ("dzz(u)", deep_wave.diff(z, 2)),
        ("dxz(u) + dyz(u)", deep_wave.diff(x, z) + deep_wave.diff(y, z)),
        ("div(k*grad(u))", flux(k, deep_wave)),
    ],
)
def test_order_in_space(lab: Lab, operator: str, exact: Formula) -> None:
    fields = {"k": text(k)} if "k" in operator else {}
    assert operator_order(lab, operator, exact, deep_wave, 12, "xyz", 4, fields=fields) == pytest.approx(4, abs=0.25)


@pytest.mark.parametrize(("operator", "order"), [("upwind", 1), ("advect", 5)])
def test_order_of_advection(lab: Lab, operator: str, order: int) -> None:
    wind = 1 + sympy.cos(2 * sympy.pi * y) * 2
    exact = wind * wave.diff(x) - wave * wave.diff(y)
    rate = f"{operator}(vector({text(wind)}, -u), u)"
    found = operator_order(lab, rate, exact, wave, 64, "xy", 2)
    assert found == pytest.approx(order, abs=0.3)


def test_harmonic_mean_is_second_order_where_smooth(lab: Lab) -> None:
    for order in (2, 8):
        tables = {"fields": {"k": text(k)}}
        found = operator_order(lab, "div(harmonic(k)*grad(u))", flux(k, wave), wave, 20, "xy", order, **tables)
        assert found == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e150])
def test_harmonic_mean_of_layers_that_let_nothing_through(lab: Lab, scale: float) -> None:
    """2 a b/(a + b) of random values, some zero, of whatever size; 0 beside a zero, also of two zeros."""
    part = "where(noise(seed=2) > 0, 1 + noise(seed=1), 0)"
    case = lab.case({"u": "div(harmonic(k)*grad(u))"}, 40, length=40.0, fields={"k": f"{scale}*{part}"})
    problem = lab.pose(case)
    ratio = array(problem, "k", (0, 0, 0), problem.grid.cells).ravel() / scale
    assert (np.maximum(ratio, np.roll(ratio, 1)) == 0).any()
    u = np.random.default_rng(0).random(40)
    left = np.roll(ratio, 1)
    mean = np.divide(2 * ratio * left, ratio + left, out=np.zeros(40), where=ratio + left > 0)
    flow = mean * (u - np.roll(u, 1))
    found = lab.rate(problem)(u=u)["u"].ravel() / scale
    np.testing.assert_allclose(found, np.roll(flow, -1) - flow, atol=1e-13)


@pytest.mark.parametrize("jump", [10.0, 1000.0])
def test_harmonic_mean_is_exact_at_a_jump(lab: Lab, jump: float) -> None:
    """D14: k = 1 | jump at x = 1/2; the flux 1/(0.5/1 + 0.5/jump) is the same everywhere."""
    flow = 1 / (0.5 + 0.5 / jump)
    profile = sympy.Piecewise((flow * x, x < 0.5), (1 - flow / jump * (1 - x), True))
    solution = applied(
        lab, "div(harmonic(k)*grad(u))", profile, 16, "x", 2,
        periodic=False, fields={"k": f"where(x < 0.5, 1, {jump})"},
        boundary={"u": {"xmin": {"dirichlet": 0.0}, "xmax": {"dirichlet": 1.0}}},
    )  # fmt: skip
    assert np.abs(solution.fields["w"]).max() < 1e-14 * jump * 16**2


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("operator", ["div(k*grad(u))", "div((1 + u**2)*grad(u))", "div(harmonic(k)*grad(u))"])
def test_fluxes_keep_the_sum(lab: Lab, operator: str, order: int) -> None:
    fields = {"k": "1.5 + noise(seed=2)"} if "k" in operator else {}
    start = {"u": "noise(seed=1)", "w": 0.0}
    rates = applied(lab, operator, sympy.Integer(0), 12, "xy", order, fields=fields, initial=start).fields["w"]
    assert abs(rates.sum()) < 1e-14 * np.abs(rates).sum()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axes", ["x", "xy", "xyz"])
def test_diffusion_at_random_contrasts_is_bounded(lab: Lab, axes: str, order: int) -> None:
    """The root mean square never grows, values stay near those at the start, and the sum is kept."""
    cells = {"x": 64, "xy": 16, "xyz": 8}[axes]
    contrast = "where(noise(seed=3) < 0, 1, 1e-6)*10**noise(seed=4)*where(noise(seed=5) < 0, 0, 1)"
    case = lab.case(
        {"u": "div(k*grad(u))"}, *[cells] * len(axes), fields={"k": contrast}, run={"order": order},
        initial={"u": "where(noise(seed=1) < 0, 0, 1)"}, time={"steps": 200, "dt": "auto"}, output={"every_steps": 20},
    )  # fmt: skip
    frames = [frame["u"] for frame in lab.solve(case).frames]
    sizes = [float(np.sqrt(np.mean(u**2))) for u in frames]
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(sizes))
    assert frames[-1].min() > -0.3
    assert frames[-1].max() < 1.3
    assert math.fsum(frames[-1].ravel()) == pytest.approx(math.fsum(frames[0].ravel()), rel=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_a_contrast_of_a_million_converges(lab: Lab, order: int) -> None:
    """Layers of 1 and 1e-6 between walls at 0 and 1: the steady profile falls within the layers of 1e-6 alone."""

    def error(n: int) -> float:
        layers = "where(sin(4*pi*x) > 0, 1, 1e-6)"
        case = lab.case(
            {"u": "div(k*grad(u))"}, n, periodic=False, fields={"k": layers}, run={"order": order, "device": "numpy"},
            boundary={"u": {"xmin": {"dirichlet": 0.0}, "xmax": {"dirichlet": 1.0}}},
        )  # fmt: skip
        rate = lab.rate(case)
        zero = rate(u=np.zeros(n))["u"].ravel()
        matrix = np.array([rate(u=row)["u"].ravel() - zero for row in np.eye(n)]).T
        x = (np.arange(n) + 0.5) / n
        exact = np.interp(x, [0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.5, 1.0])
        return float(np.abs(np.linalg.solve(matrix, -zero) - exact).mean())

    errors = [error(n) for n in (32, 64, 128)]
    assert errors[2] < 0.6 * errors[1] < 0.36 * errors[0]


@pytest.mark.parametrize("order", ORDERS)
def test_extrema_of_a_coefficient_keep_the_order(lab: Lab, order: int) -> None:
    k = 1 + sympy.Rational(6, 10) * sympy.sin(2 * sympy.pi * x)
    found = operator_order(lab, "div(k*grad(u))", flux(k, wave), wave, 36, "xy", order, fields={"k": text(k)})
    assert found == pytest.approx(order, abs=0.35)


def test_where_a_coefficient_touches_zero_the_order_is_about_two(lab: Lab) -> None:
    k = sympy.sin(2 * sympy.pi * x) ** 2
    for order in (4, 8):
        found = operator_order(lab, "div(k*grad(u))", flux(k, wave), wave, 56, "xy", order, fields={"k": text(k)})
        assert found > 1.7


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_no_contrast_grows_between_walls_with_a_value(lab: Lab, dimensions: int, order: int) -> None:
    """All eigenvalues of the operator decay, of random layers up to 1e6."""
    rng, n = np.random.default_rng(order), 20 if dimensions == 1 else 8
    sides = {f"{axis}{end}": {"dirichlet": 0.0} for axis in "xy"[:dimensions] for end in ("min", "max")}
    for _ in range(8 if dimensions == 1 else 1):
        k = rng.choice([0.0, 1.0], (n,) * dimensions) * 10.0 ** rng.uniform(-6, 6, (n,) * dimensions)
        case = lab.case({"u": "div(k*grad(u))"}, *[n] * dimensions, periodic="", boundary={"u": sides})
        rate = lab.rate(pose(make_case(case, fields={"k": k}, run={"order": order, "device": "numpy"})))
        spectrum = np.linalg.eigvals([rate(u=unit)["u"].ravel() for unit in np.eye(n**dimensions)])
        assert spectrum.real.max() < 1e-9 * np.abs(spectrum).max()


CLOSED = {
    "laplace(u)": {},
    "-biharmonic(u)": {},
    "laplace(u**3 - u - laplace(u)/100)": {},
    "div((1 + u**2)*grad(u))": {},
    "div(k*grad(u))": {"k": "1.5 + noise(seed=2)"},
    "div(k*u*grad(u**2)) + dxx(u) - div(harmonic(k)*grad(u))": {"k": "1 + x*exp(x)"},
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axes", ["x", "xy", "xyz"])
@pytest.mark.parametrize("operator", CLOSED)
def test_fluxes_keep_the_sum_between_walls(lab: Lab, operator: str, axes: str, order: int) -> None:
    """Whatever the data: nothing flows through a wall that is a mirror."""
    walls = {f"{axis}{end}": {"neumann": 0.0} for axis in axes for end in ("min", "max")}
    for boundary in ({}, {"u": walls}):
        case = lab.case(
            {"u": operator}, *[9, 10, 8][: len(axes)], periodic="", fields=CLOSED[operator], boundary=boundary,
            run={"order": order},
        )  # fmt: skip
        rates = lab.rate(case)(u=np.random.default_rng(order).standard_normal([8, 10, 9][3 - len(axes) :]))["u"]
        assert abs(math.fsum(rates.ravel())) < 1e-14 * np.abs(rates).sum()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flow", ["fields", "text"])
@pytest.mark.parametrize(
    "form", ["vector(a*u, b*u)", "weno_flux(vector(a*u, b*u), 1, u)", "upwind_flux(vector(a*u, b*u), 1, u)"]
)
def test_a_flow_along_the_walls_keeps_the_sum(lab: Lab, form: str, flow: str, order: int) -> None:
    """Cells of convection in a closed box; diffusion with a coefficient of its own beside it."""
    wind = {"a": "sin(pi*x)*cos(pi*y)", "b": "-cos(pi*x)*sin(pi*y)"}
    tables = {"fields": {"k": "1 + x*y"} | (wind if flow == "fields" else {}), "run": {"order": order}}
    more = {"define": wind} if flow == "text" else {}
    case = lab.case({"u": f"-div({form}) + div(k*grad(u))/100"}, 10, 9, periodic="", **tables, **more)
    rates = lab.rate(case)(u=np.random.default_rng(order).standard_normal((9, 10)))["u"]
    assert abs(math.fsum(rates.ravel())) < 1e-13 * np.abs(rates).sum()


@pytest.mark.parametrize("order", ORDERS)
def test_a_mirror_has_the_order_of_the_scheme_where_the_solution_is_even(lab: Lab, order: int) -> None:
    """Waves of heat between walls; the rate has the order p at the wall too."""
    u = sympy.cos(sympy.pi * x) * sympy.cos(2 * sympy.pi * y) + sympy.cos(3 * sympy.pi * x) / 4

    def error(n: int) -> float:
        case = lab.case({"u": "laplace(u)"}, n, n, periodic="", run={"order": order, "device": "numpy"})
        centres = (np.arange(n) + 0.5) / n
        value, rate = (sympy.lambdify((x, y), e)(centres[None, :], centres[:, None]) for e in (u, laplace(u)))
        return float(np.abs(lab.rate(case)(u=value)["u"] - rate).max())

    assert measured(error, 16) == pytest.approx(order, abs=0.3)


# boundaries

solution_xy = sympy.exp(-t) * sympy.cos(x + 0.4) * sympy.sin(2 * y + 0.3) + x * y * t
OUTWARD = {"xmin": (x, -1), "xmax": (x, 1), "ymin": (y, -1), "ymax": (y, 1)}
SLOPE = sympy.Rational(1, 2)  # weight of the derivative in a Robin condition


def condition(kind: str, u: Formula, side: str) -> dict[str, object]:
    """A condition that u meets, as an expression of x, y and t on the side."""
    axis, sign = OUTWARD[side]
    slope = sign * u.diff(axis)
    if kind == "dirichlet":
        return {"dirichlet": text(u)}
    if kind == "neumann":
        return {"neumann": text(slope)}
    if kind == "curvature":
        return {"curvature": text(u.diff(axis, 2))}
    # Mixed: the value on one part of the side, the slope on the other.
    value_part = sympy.Piecewise((1, x + y < 0.7), (0, True))
    a, b = (1 + x**2, SLOPE) if kind == "robin" else (value_part, 1 - value_part)
    return {"robin": [text(a), text(b), f"({text(a)})*({text(u)}) + ({text(b)})*({text(slope)})"]}


def boundary_order(lab: Lab, kind: str, order: int, axes: str, u: Formula, cells: int, end: float) -> float:
    """Order of the error at the end of u_t = laplace(u) + source, with these conditions on all sides."""
    sides = [s for s in OUTWARD if s[0] in axes]
    space = [a for a in (x, y) if a.name in axes]
    source = u.diff(t) - sum(u.diff(a, 2) for a in space)

    def error(n: int) -> float:
        case = {
            "evolve": {"u": f"laplace(u) + {text(source)}"},
            "grid": {axis: {"cells": n, "range": [0.0, 1.0]} for axis in axes},
            "initial": {"u": text(u.subs(t, 0))},
            "boundary": {"u": {side: condition(kind, u, side) for side in sides}},
            "time": {"end": end, "dt": 0.15 / n**2},
            "run": {"order": order, "device": "numpy"},
        }
        solution = lab.solve(case)
        return float(np.abs(solution.fields["u"] - values(u, solution, end)).max())

    return measured(error, cells)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("kind", ["dirichlet", "neumann", "robin", "curvature", "mixed"])
def test_order_of_a_boundary(lab: Lab, kind: str, order: int) -> None:
    found = boundary_order(lab, kind, order, "xy", solution_xy, 10, 0.05)
    # Where the kind changes on a side, the order is reached slowly: 3.4, 3.6, 3.7 from 10, 14, 20 cells on.
    assert found > order - (0.6 if kind == "mixed" else 0.3)


@pytest.mark.parametrize("order", [6, 8])
@pytest.mark.parametrize("kind", ["dirichlet", "neumann", "robin", "curvature"])
def test_boundaries_stay_at_order_4(lab: Lab, kind: str, order: int) -> None:
    u = solution_xy.subs(y, 0.5)
    assert boundary_order(lab, kind, order, "x", u, 16, 0.05) > 3.7
