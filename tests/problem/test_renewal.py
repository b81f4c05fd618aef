"""Steps whose limit changes as the solution does: beside SciPy on the same differences, beside bounds, bit by bit."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parsolve.domain.processes import factorizations
from parsolve.errors import NumericalError
from parsolve.march.tableaus import SCHEMES

if TYPE_CHECKING:
    from mpi4py import MPI

Tables = dict[str, Any]


def cahn_hilliard(lab: Any, draw: random.Random, *cells: int, **time: Any) -> Tables:
    """Of a binary alloy (PFHub, benchmark 1a): spinodal decomposition in periodic space."""
    waves = " + ".join(f"{draw.uniform(-0.02, 0.02)}*cos(2*pi*{n}*x/{cells[0]} + {n})" for n in range(1, 5))
    case: Tables = lab.case(
        {"c": "M*laplace(2*rho*(c - ca)*(cb - c)*(ca + cb - 2*c) - kappa*laplace(c))"}, *cells,
        length=[float(n) for n in cells], initial={"c": f"0.5 + {waves} + 0.01*noise(seed=1)"},
        parameters={"M": 5.0, "rho": draw.uniform(4, 6), "ca": 0.3, "cb": 0.7, "kappa": draw.uniform(1, 3)},
        time=time,
    )  # fmt: skip
    return case


def decomposition(lab: Any, draw: random.Random) -> Tables:
    """Cahn-Hilliard's equation, its interfaces as thin as the cells."""
    start = f"{draw.uniform(-0.2, 0.2)} + 0.1*noise(seed={draw.randrange(99)})"
    case: Tables = lab.case({"u": "laplace(u**3 - u - laplace(u))"}, 24, length=24.0,
                            initial={"u": start}, time={"end": draw.uniform(10, 40)})  # fmt: skip
    return case


def ginzburg_landau(lab: Any, draw: random.Random) -> Tables:
    rates = {
        "u": "u + laplace(u) - b*laplace(v) - (u**2 + v**2)*(u - c*v)",
        "v": "v + laplace(v) + b*laplace(u) - (u**2 + v**2)*(v + c*u)",
    }
    start = {"u": "0.05*cos(2*pi*x/24)", "v": "0.05*sin(4*pi*x/24 + 1)"}
    numbers = {"b": draw.uniform(-2, 2), "c": draw.uniform(-2, 2)}
    case: Tables = lab.case(rates, 24, length=24.0, parameters=numbers, initial=start, time={"end": 8.0})
    return case


def oregonator(lab: Any, draw: random.Random) -> Tables:
    rates = {"u": "(u*(1 - u) - f*v*(u - q)/(u + q))/e + laplace(u)", "v": "u - v"}
    numbers = {"e": draw.uniform(0.03, 0.1), "f": draw.uniform(1, 2), "q": 0.002}
    start = {"u": "0.002 + 0.8*exp(-(x - 6)**2)", "v": "0.01*x"}
    case: Tables = lab.case(rates, 24, length=24.0, parameters=numbers, initial=start, time={"end": 3.0})
    return case


def filtration(lab: Any, draw: random.Random, wall: str, **start: str) -> Tables:
    """Flow into a nearly dry porous medium, whose conductivity grows as it fills."""
    numbers = {"s": draw.uniform(1, 4) * (wall == "closed")}
    rise = draw.uniform(0.5, 1.5)
    sides = {
        "ramp": {"dirichlet": f"{rise}*t"},
        "step": {"dirichlet": f"where(t > 0.1, {rise}, 0)"},
        "flux": {"neumann": f"{rise}*t"},
        "closed": {"neumann": 0.0},
    }
    case: Tables = lab.case({"u": "dxx(u**3) + s"}, 20, periodic=False, parameters=numbers,
                            boundary={"u": {"xmin": sides[wall]}}, initial={"u": "0.01 + 0.001*noise(seed=1)"} | start,
                            time={"end": draw.uniform(0.5, 1.0)})  # fmt: skip
    return case


def ignition(lab: Any, draw: random.Random) -> Tables:
    """Radiation carries heat off as its fourth power, and the reaction speeds up until the fuel is spent."""
    rates = {"u": "div(k*(1 + u**3)*grad(u)) + a*w*exp(u)", "w": "-a*w*exp(u)"}
    case: Tables = lab.case(rates, 20, parameters={"k": draw.uniform(0.01, 0.05), "a": draw.uniform(0.5, 1.0)},
                            initial={"u": "0.3*cos(2*pi*x)", "w": "3 + sin(4*pi*x)"}, time={"end": 2.0})  # fmt: skip
    return case


CASES: dict[str, Any] = {
    "alloy": lambda lab, draw: cahn_hilliard(lab, draw, 24, end=200.0),
    "decomposition": decomposition,
    "Ginzburg-Landau": ginzburg_landau,
    "Oregonator": oregonator,
    "ramp": lambda lab, draw: filtration(lab, draw, "ramp"),
    "step": lambda lab, draw: filtration(lab, draw, "step"),
    "flux": lambda lab, draw: filtration(lab, draw, "flux"),
    "source": lambda lab, draw: filtration(lab, draw, "closed"),
    "ignition": ignition,
}


def integrated(lab: Any, problem: Any, start: dict[str, np.ndarray], end: float) -> dict[str, np.ndarray]:
    """The same differences by an implicit method of SciPy."""
    rate, names, shape = lab.rate(problem), list(start), problem.grid.shape

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        found = rate(t, **dict(zip(names, np.split(y, len(names)), strict=True)))
        return np.concatenate([found[name].ravel() for name in names])

    first = np.concatenate([start[name].ravel() for name in names])
    found = solve_ivp(slope, (0, end), first, method="LSODA", rtol=1e-9, atol=1e-10, max_step=end / 50)
    assert found.success
    return {n: v.reshape(shape) for n, v in zip(names, np.split(found.y[:, -1], len(names)), strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_what_steps_follow_is_the_solution(lab: Any, name: str) -> None:
    for seed in range(2):
        solution = lab.solve(CASES[name](lab, random.Random(seed)))
        exact = integrated(lab, solution.problem, solution.frames[0], solution.times[-1])
        for field, values in solution.fields.items():
            wrong = np.abs(values.reshape(exact[field].shape) - exact[field]).max()
            assert wrong < 0.01 * (1 + np.abs(exact[field]).max()), seed


@pytest.mark.parametrize("scheme", [name for name, s in SCHEMES.items() if s.derivative == 1])
def test_bounded_growth_ends_at_its_bound(lab: Any, scheme: str) -> None:
    """Where all cells are alike, a mean or an integral over a length of 1 is the value, and so is the solution.

    Half way the derivative of the rate passes through zero, where no step is too long.
    """
    draw = random.Random(4)
    rates = ("a*u*(1 - V)", "a*(1 - V**2)", "a*u*(1 - V) + 0.01*laplace(u)", "a - a*(1 + 30*t)*V")
    for rate, value in itertools.product(rates, ("u", "mean(u)", "integral(u)", "mean(u**2)/u")):
        a, start = 10 ** draw.uniform(0, 3), draw.uniform(0.001, 0.9)
        case = lab.case({"u": rate.replace("V", f"({value})")}, 8, parameters={"a": a}, initial={"u": start},
                        time={"end": 20 / a, "scheme": scheme})  # fmt: skip
        exact = solve_ivp(
            lambda t, u, a=a, rate=rate: eval(rate.replace("0.01*laplace(u)", "0"), {"a": a, "t": t, "u": u, "V": u}),
            (0, 20 / a), [start], method="LSODA", rtol=1e-9, atol=1e-12,
        )  # fmt: skip
        values = lab.solve(case).fields["u"]
        assert np.abs(values - exact.y[0, -1]).max() < 0.01, (rate, value, a, start)


def test_an_alloy_separates_and_its_free_energy_falls(lab: Any) -> None:
    """Its mass stays; f = rho (c - ca)^2 (cb - c)^2 + kappa/2 |grad c|^2 of the same differences."""
    draw = random.Random(1)
    solution = lab.solve(cahn_hilliard(lab, draw, 20, 18, end=150.0) | {"output": {"every": 15.0}})
    rho, kappa = (solution.problem.parameters[name] for name in ("rho", "kappa"))

    def energy(c: np.ndarray) -> float:
        slopes = sum((np.roll(c, 1, axis) - c) ** 2 for axis in (0, 1))
        return float(np.sum(rho * (c - 0.3) ** 2 * (0.7 - c) ** 2 + kappa / 2 * slopes))

    energies = [energy(frame["c"]) for frame in solution.frames]
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] < 0.8 * energies[0]
    assert 0.25 < solution.fields["c"].min() < 0.4 < 0.6 < solution.fields["c"].max() < 0.75
    assert abs(solution.fields["c"].mean() - solution.frames[0]["c"].mean()) < 1e-12


def test_the_last_steps_are_looked_at_too(lab: Any) -> None:
    """A rate that breaks out within what was to be the last step is told, not written."""
    case = lab.case({"u": "dxx(u**3) + s*where(t > 0.05, 1, 0)"}, 20, periodic=False, parameters={"s": 1e3},
                    initial={"u": "0.01 + 0.001*noise(seed=1)"}, time={"steps": 1})  # fmt: skip
    with pytest.raises(NumericalError, match="changed faster than steps"):
        lab.solve(case)


@pytest.mark.parametrize(("power", "cells"), [(3, 80), (4, 40)])
def test_what_flows_in_is_followed_as_it_spreads_faster(lab: Any, power: int, cells: int) -> None:
    """Between two looks a range grows by less than what makes steps unstable, though rates grow by a power of it."""
    wall = {"u": {"xmax": {"robin": [20, 1, 20 * (7 - power)]}}}
    case = lab.case({"u": f"div((0.1 + u**{power})*grad(u))"}, cells, periodic=False, boundary=wall,
                    initial={"u": 0.1}, time={"end": 2e-3})  # fmt: skip
    found = lab.solve(case).fields["u"]
    assert (np.diff(found) >= -1e-9).all()
    assert 0.1 - 1e-9 <= found[0] < found[-1] < 4


@pytest.mark.costly
@pytest.mark.mpi(min_size=2)
def test_renewed_steps_are_the_same_on_any_ranks(lab: Any, comm: MPI.Intracomm) -> None:
    """Bits, times and their number, with walls that move and with rates that a power iteration measures."""
    for case in (
        cahn_hilliard(lab, random.Random(2), 18, 16, steps=40),
        lab.case({"u": "dxx(u**3) + dyy(u**3)"}, 18, 16, periodic="y", time={"end": 0.02}, output={"every": 0.007},
                 boundary={"u": {"xmin": {"dirichlet": "20*t"}, "xmax": {"neumann": "9*t"}}}),
        lab.case({"u": "div((1 + u**2)*grad(u)) - u*dx(u) + u**2"}, 18, 16, time={"end": 0.1}),
    ):  # fmt: skip
        alone = lab.solve(case)
        assert alone.result.steps > 5
        problem = lab.pose(case)
        for y, x in ((y, x) for z, y, x in factorizations(comm.size) if z == 1):
            many = lab.solve(problem, comm, {"x": x, "y": y})
            assert (many.times, many.result.steps, many.dt) == (alone.times, alone.result.steps, alone.dt)
            for name, values in alone.fields.items():
                np.testing.assert_array_equal(many.fields[name], values)
