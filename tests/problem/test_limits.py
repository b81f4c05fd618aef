"""The longest stable step of random linear equations, beside the spectrum of their own discretised matrix."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from parsolve.case import Case
from parsolve.equations.stencils import ORDERS
from parsolve.errors import CaseError
from parsolve.march.stability import SAFETY
from parsolve.march.tableaus import SCHEMES
from parsolve.problem.plan import check

RK = [name for name, s in SCHEMES.items() if s.derivative == 1]
UNDAMPED = ["ssprk33", "rk4", "bs23", "dp45"]  # those that march what only oscillates
CELLS = {1: (48,), 2: (16, 12), 3: (8, 10, 6)}
Tables = dict[str, Any]


def spectrum(lab: Any, case: Tables) -> np.ndarray:
    """All eigenvalues of a linear periodic equation: the Fourier transform of its rates of single cells."""
    problem = lab.pose(case)
    rate, names = lab.rate(problem), list(problem.program.unknowns)
    zero = {name: np.zeros(problem.grid.shape) for name in names}
    columns = []
    for name in names:
        one = np.zeros(problem.grid.shape)
        one.flat[0] = 1.0
        found = rate(**(zero | {name: one}))
        columns.append([np.fft.fftn(found[other]).ravel() for other in names])
    return np.linalg.eigvals(np.moveaxis(np.array(columns), (0, 1), (2, 1))).ravel()


def factors(scheme: str, values: np.ndarray, dt: float) -> np.ndarray:
    """By how much each mode grows in a step: |R(dt lambda)|, or the larger root of r^2 - (2 + dt^2 lambda) r + 1."""
    polynomial = SCHEMES[scheme].polynomial
    if polynomial is not None:
        return np.abs(np.polynomial.polynomial.polyval(dt * values, polynomial))
    half = 1 + dt * dt * values / 2
    away = np.sqrt(half.astype(complex) ** 2 - 1)
    return np.maximum(np.abs(half + away), np.abs(half - away))


def limit_of(scheme: str, values: np.ndarray) -> float:
    """The step from which on a mode grows."""
    steps = np.geomspace(1e-3, 10, 2000) / np.abs(values).max() ** (1 / SCHEMES[scheme].derivative)
    grows = [bool((factors(scheme, values, dt) > 1 + 1e-6).any()) for dt in steps]
    return float(steps[grows.index(True) - 1])


def norms(lab: Any, case: Tables, steps: int = 200) -> tuple[np.ndarray, float]:
    """L2 norms over all fields at the frames of a march, and its step."""
    solution = lab.solve(case | {"time": case["time"] | {"steps": steps}, "output": {"every_steps": steps // 10}})
    sizes = [np.sqrt(sum(float(np.sum(v**2)) for v in frame.values())) for frame in solution.frames]
    return np.array(sizes), solution.dt


def signed(draw: random.Random, low: float = -1.0, high: float = 1.0) -> float:
    return draw.choice((-1, 1)) * 10 ** draw.uniform(low, high)


def carried(draw: random.Random, axes: str, *, own: bool) -> Tables:
    """Advection and diffusion: velocities of both signs, some zero; own texts have a diffusivity for each axis, and
    a mixed derivative that leaves them positive."""
    velocities = {f"v{a}": signed(draw) * (draw.random() < 0.8) for a in axes}
    if not own:
        return {"equation": "advection-diffusion", "parameters": velocities | {"D": 10 ** draw.uniform(-3, 0)}}
    spread = {f"D{a}": 10 ** draw.uniform(-3, 0) for a in axes}
    terms = [f"D{a}*d{a}{a}(u) - v{a}*d{a}(u)" for a in axes]
    if len(axes) > 1:
        terms.append("c*dxy(u)")
        spread["c"] = draw.uniform(-1, 1) * (spread["Dx"] * spread["Dy"]) ** 0.5
    return {"equation": {"u": " + ".join(terms)}, "parameters": velocities | spread}


def dispersed(draw: random.Random, axes: str) -> Tables:
    """What only oscillates: long waves that short ones outrun."""
    rate = " + ".join(f"b{a}*d{a}(d{a}{a}(u)) - v{a}*d{a}(u)" for a in axes)
    numbers = {f"b{a}": 0.01 * signed(draw) for a in axes} | {f"v{a}": signed(draw) for a in axes}
    return {"equation": {"u": rate}, "parameters": numbers}


def turning(draw: random.Random, axes: str) -> Tables:
    """Schroedinger's equation as two fields, with a little damping."""
    rates = {"u": "d*laplace(u) - k*laplace(v) + q*v", "v": "d*laplace(v) + k*laplace(u) - q*u"}
    return {
        "equation": rates,
        "parameters": {"d": 10 ** draw.uniform(-3, -1), "k": signed(draw, -1, 0), "q": signed(draw)},
    }


def swinging(draw: random.Random, axes: str, *, own: bool) -> Tables:
    """Waves: of the catalogue, or with a speed for each axis and a force that draws back."""
    if not own:
        return {"equation": "wave", "parameters": {"c": 10 ** draw.uniform(-1, 1)}}
    rate = " + ".join(f"c{a}**2*d{a}{a}(u)" for a in axes) + " - m*u"
    return {"equation": {"u_tt": rate}, "parameters": {f"c{a}": signed(draw) for a in axes} | {"m": draw.random()}}


def drawn(lab: Any, draw: random.Random, kind: str, scheme: str, order: int, axes: str, **time: Any) -> Tables:
    make = {
        "catalogue": lambda: carried(draw, axes, own=False),
        "own": lambda: carried(draw, axes, own=True),
        "dispersed": lambda: dispersed(draw, axes),
        "turning": lambda: turning(draw, axes),
        "wave": lambda: swinging(draw, axes, own=False),
        "own wave": lambda: swinging(draw, axes, own=True),
    }
    tables = make[kind]()
    lengths = [draw.uniform(0.5, 2.0) for _ in axes]
    fields = {name: f"noise(seed={draw.randrange(99)})" for name in ("u", "v") if kind == "turning" or name == "u"}
    case: Tables = lab.case(
        tables.pop("equation"), *CELLS[len(axes)], length=lengths, initial=fields, run={"order": order},
        time={"steps": 200, "scheme": scheme} | time, **tables,
    )  # fmt: skip
    return case


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scheme", RK)
def test_no_wave_grows_at_the_automatic_step(lab: Any, scheme: str, order: int) -> None:
    """Of no direction; neither by the spectrum nor in the march; and the step is not much shorter than need be."""
    draw = random.Random(f"{scheme} {order}")
    kinds = ["catalogue"] * 3 + ["own"] + ["turning", "dispersed"] * (scheme in UNDAMPED)
    for n, kind in enumerate(kinds):
        axes = "xyz"[: draw.randint(1, 3) if kind == "catalogue" else (2 if order < 6 else 1)]
        case = drawn(lab, draw, kind, scheme, order, axes)
        values = spectrum(lab, case)
        if not np.abs(values).max():
            continue
        sizes, dt = norms(lab, case)
        assert (np.diff(sizes) <= 1e-12 * sizes[0]).all(), (n, case)
        assert factors(scheme, values, dt).max() <= 1 + 1e-12, (n, case)
        assert dt >= 0.75 * limit_of(scheme, values), (n, case)


@pytest.mark.parametrize("order", ORDERS)
def test_no_wave_of_leapfrog_grows_at_the_automatic_step(lab: Any, order: int) -> None:
    """Released at rest, each mode is cos(n phi) of what it was."""
    draw = random.Random(order)
    for kind in ("wave", "wave", "own wave"):
        case = drawn(lab, draw, kind, "leapfrog", order, "xyz"[: draw.randint(1, 3) if kind == "wave" else 2])
        values = spectrum(lab, case)
        sizes, dt = norms(lab, case)
        assert (sizes <= sizes[0] * (1 + 1e-9)).all(), case
        assert SAFETY * 0.95 <= dt * np.sqrt(np.abs(values).max()) / 2 <= SAFETY * (1 + 1e-9), case


@pytest.mark.parametrize("scheme", RK)
def test_oscillations_of_linear_reactions_keep_their_size(lab: Any, scheme: str) -> None:
    """To a tenth, at the automatic step; a step given in which they grow tenfold is refused."""
    draw = random.Random(5)
    for rates, start in (
        ({"u": "-w*v", "v": "w*u"}, {"u": 1.0, "v": 0.0}),
        ({"u": "w*v", "v": "0.01*laplace(u) - w*u"}, {"u": 1.0, "v": 0.0}),
        ({"u": "w*v - 0.001*laplace(v)", "v": "0.001*laplace(u) - w*u"}, {"u": 0.0, "v": 1.0}),
    ):
        w, end = 10 ** draw.uniform(0, 1.3), draw.uniform(0.5, 2.0)
        tables = {"parameters": {"w": w}, "initial": start, "length": 2.0}
        size = np.hypot(*lab.solve(lab.case(rates, 8, time={"end": end, "scheme": scheme}, **tables)).fields.values())
        assert 0 < size.max() < 1.11
        given = {"dt": 0.9 / w, "end": 90 / w, "scheme": scheme, "unstable": "refuse"}
        said = verdict(lab, lab.case(rates, 8, time=given, **tables))
        assert ("grow in steps" in said) == (scheme not in UNDAMPED)


def verdict(lab: Any, case: Tables) -> str:
    """What `check` says of a case, or the march before its first step: the same."""
    found = []
    for act in (lambda: check(Case.from_dict(case), 1), lambda: lab.solve(case)):
        try:
            act()
            found.append("")
        except CaseError as error:
            found.append(f"{error}")
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_step_is_taken_below_the_limit_and_refused_above(lab: Any, scheme: str) -> None:
    """By check as by run, for random equations, with the limit named; if allowed, it runs all the same, with a warning."""
    draw = random.Random(scheme)
    kinds = ["wave", "own wave"] if scheme == "leapfrog" else ["catalogue", "own"] + ["turning"] * (scheme in UNDAMPED)
    for n in range(8):
        kind = kinds[n % len(kinds)]
        axes = "xy"[: draw.randint(1, 2) if kind in ("catalogue", "wave") else 2]
        case = drawn(lab, draw, kind, scheme, 2, axes, unstable="refuse")
        values = spectrum(lab, case)
        limit = limit_of(scheme, values)
        low, high = (0.96, 1.06) if n < 4 else (draw.uniform(0.5, 0.9), draw.uniform(1.2, 10))
        below, above = (case | {"time": case["time"] | {"dt": limit * factor}} for factor in (low, high))
        assert verdict(lab, below) == "", below
        sizes, dt = norms(lab, below)
        assert dt == limit * low
        assert (sizes <= sizes[0] * (1 + 1e-9)).all(), below
        growth = float(np.log(factors(scheme, values, limit * high).max()))
        said = verdict(lab, above | {"time": above["time"] | {"steps": int(5 / growth) + 1}})  # e^5 of rounding shows
        assert f"in steps of {limit * high:.3g}, the limit of {scheme} is about" in said, above
        named = float(said.split("about ")[1].split(":")[0])  # that of finer grids may be a little less
        assert 0.75 * limit < named < 1.02 * limit, above
        if growth < 0.3:  # so few steps that nothing of it shows
            assert verdict(lab, above | {"time": above["time"] | {"steps": int(0.3 / growth)}}) == "", above
        count = 10 * (int(2 / growth) + 1)
        if count > 2000:
            continue
        few = above | {"time": above["time"] | {"unstable": "allow", "steps": count}}
        assert any("short waves grow" in text for text in check(Case.from_dict(few), 1).warnings)
        sizes, dt = norms(lab, few, count)
        assert dt == limit * high
        assert sizes[-1] > 2 * sizes[0]


@pytest.mark.parametrize("seed", range(14))
def test_a_diffusion_of_the_wrong_sign_is_refused(lab: Any, seed: int) -> None:
    """Whatever the step, in every way to write it; a parameter to blame is named; if allowed, it is a warning."""
    draw = random.Random(seed)
    D, axes = -(10 ** draw.uniform(-2, 0)), "xyz"[: draw.randint(1, 2)]
    law, parameters = (
        ("heat", {"D": D}),
        ("advection-diffusion", {"D": D, "vx": signed(draw)}),
        ({"u": "D*laplace(u) - u"}, {"D": D}),
        ({"u": f"{D}*dxx(u)"}, {}),
        ({"u": "laplace(u)*k*k*a + a"}, {"a": D, "k": signed(draw, -0.5, 0.5)}),
        ({"u": "biharmonic(u)/900"}, {}),
        ({"u_tt": "D*laplace(u)"}, {"D": D}),
    )[seed % 7]
    dt = draw.choice(("auto", 1e-7))
    second = "u_tt" in law
    time: Tables = {"steps": 10**10, "dt": dt} if dt != "auto" else {"end": 2.0}
    time |= {"unstable": "refuse", "scheme": "leapfrog" if second else "rk4"}
    case = lab.case(law, *CELLS[len(axes)], parameters=parameters, time=time)
    said = verdict(lab, case)
    assert "time: waves of two cells grow faster than longer ones" in said
    fastest = spectrum(lab, case).real.max() ** (0.5 if second else 1.0)
    assert float(said.split("at a rate of ")[1].split(":")[0]) == pytest.approx(fastest, rel=0.01)
    for name, value in parameters.items():
        assert (f"{name} = {value:g}" in said) == (value < 0)
    case["time"] |= {"unstable": "allow"}
    assert any("waves of two cells" in text for text in check(Case.from_dict(case), 1).warnings)


@pytest.mark.parametrize("seed", range(6))
def test_waves_that_grow_by_themselves_are_nothing_wrong(lab: Any, seed: int) -> None:
    """Patterns: a band of waves grows, the shortest decay."""
    draw = random.Random(seed)
    c, length = 10 ** draw.uniform(-1, 1), 10 ** draw.uniform(-1, 1)
    case = lab.case(
        {"u": "r*u - c*l**2*laplace(u) - c*l**4*biharmonic(u) - v*dx(u)"}, 24, 20, length=[24 * length, 20 * length],
        parameters={"c": c, "l": length, "r": draw.uniform(-0.2, 0.2) * c, "v": signed(draw) * c * length},
        time={"end": 50 / c, "unstable": "refuse"},
    )  # fmt: skip
    assert verdict(lab, case) == ""
    assert check(Case.from_dict(case), 1).warnings == []


@pytest.mark.parametrize("order", [2, 4])
def test_steps_are_as_many_beside_walls_that_come_to_the_same(lab: Any, order: int) -> None:
    """Where rates depend on the solution: a stiff wall has its value at once, whoever gives it."""
    walls: list[dict[str, Any]] = [
        {"dirichlet": 5.0}, {"robin": [1e6, 1.0, 5e6]}, {"neumann": "-1e6*(u**4 - 5**4)"}
    ]  # fmt: skip
    counts = []
    for wall in walls:
        case = lab.case({"u": "div((0.1 + u**2)*grad(u))"}, 20, periodic=False, boundary={"u": {"xmax": wall}},
                        initial={"u": 0.1}, time={"end": 1e-3}, run={"order": order})  # fmt: skip
        counts.append(lab.solve(case).result.steps)
    assert max(counts) < 1.1 * min(counts)
