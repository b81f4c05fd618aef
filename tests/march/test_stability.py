"""The automatic step: the known limits of each scheme, and cases that no step makes stable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from parsolve.domain.boundary import MIRROR, Condition
from parsolve.errors import CaseError
from parsolve.march.stability import SAFETY, closure_factor, excess, stable_step
from parsolve.march.tableaus import SCHEMES

LONG = 1e9
RK = {name: s for name, s in SCHEMES.items() if s.derivative == 1}
REAL_LIMITS = {"euler": 2.0, "ssprk22": 2.0, "ssprk33": 2.5127, "rk4": 2.7853, "bs23": 2.5127, "dp45": 3.3066}
IMAGINARY_LIMITS = {"ssprk33": math.sqrt(3), "rk4": math.sqrt(8), "bs23": math.sqrt(3)}


@pytest.mark.parametrize("name", RK)
def test_decay_is_stable_up_to_the_real_limit(name: str) -> None:
    scheme = RK[name]
    step = stable_step(scheme, np.array([-50.0, -1.0, 0.0]), 0.0, LONG)
    assert step * 50 == pytest.approx(SAFETY * REAL_LIMITS[name], rel=1e-4)

    def grows(z: float) -> float:
        return abs(float(np.polynomial.polynomial.polyval(-z, scheme.polynomial))) - 1

    assert REAL_LIMITS[name] == pytest.approx(brentq(grows, 1.5, 5.0), abs=1e-3)


@pytest.mark.parametrize("name", IMAGINARY_LIMITS)
def test_oscillation_is_stable_up_to_the_imaginary_limit(name: str) -> None:
    step = stable_step(RK[name], 1j * np.linspace(-40, 40, 81), 0.0, LONG)
    assert step * 40 == pytest.approx(SAFETY * IMAGINARY_LIMITS[name], rel=1e-4)


@pytest.mark.parametrize("name", ["euler", "ssprk22"])
def test_undamped_oscillation_is_refused_where_no_step_is_stable(name: str) -> None:
    with pytest.raises(CaseError, match=rf"time\.scheme.*'{name}' is unstable.*rk4"):
        stable_step(RK[name], 1j * np.linspace(-40, 40, 81), 0.0, LONG)


def test_leapfrog_is_stable_up_to_two_over_the_frequency() -> None:
    assert stable_step(SCHEMES["leapfrog"], np.array([-400.0, 0.0]), 0.0, LONG) == pytest.approx(SAFETY * 2 / 20)


def test_a_step_is_not_longer_than_the_march() -> None:
    for scheme in SCHEMES.values():
        assert stable_step(scheme, np.array([-1e-6]), 0.0, 0.25) == 0.25
        assert stable_step(scheme, np.zeros(3), 0.0, 0.25) == 0.25
        with pytest.raises(CaseError, match=r"time\.dt"):
            stable_step(scheme, np.zeros(3), 0.0, math.inf)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["euler", "ssprk33", "rk4", "dp45", "leapfrog"])
@pytest.mark.parametrize("power", [-1070, -1000, -300, 300, 1000, 1014])
def test_steps_are_inverse_to_rates_of_any_magnitude(name: str, power: int) -> None:
    """Exactly, for powers of two: dt^2 for u_tt; and a step is as unstable as it was, if it is a number."""
    scheme, modes = SCHEMES[name], np.array([-50.0 + 0j, -8.0, 0.0])
    by = power // scheme.derivative
    fast = np.ldexp(modes.real, power) + 0j
    step, wanted = stable_step(scheme, fast, 0.0, LONG), stable_step(scheme, modes, 0.0, LONG)
    if power > -1050:  # below, a mode has few bits
        assert step == min(LONG, float(np.ldexp(wanted, -by)))
    for dt in (0.5 * wanted, 3 * wanted):
        if abs(by) < 1000:
            assert excess(scheme, fast, 0.0, float(np.ldexp(dt, -by))) == pytest.approx(excess(scheme, modes, 0.0, dt))


def test_growth_of_the_equation_itself_is_no_instability() -> None:
    """exp(t) may grow: its own step is not limited by it, but that of decay is."""
    step = stable_step(RK["rk4"], np.array([1.0, -100.0]), 1.0, LONG)
    assert step * 100 == pytest.approx(SAFETY * REAL_LIMITS["rk4"], rel=1e-3)


@pytest.mark.parametrize("name", ["ssprk33", "rk4"])
def test_waves_that_grow_slowly_are_marched_as_waves(name: str) -> None:
    """A wave that the equation amplifies may grow, and its step is nearly that of a wave that stays."""
    modes = 0.5 + 1j * np.linspace(-40, 40, 81)
    assert stable_step(RK[name], modes, 0.5, LONG) * 40 > 0.85 * SAFETY * IMAGINARY_LIMITS[name]


@pytest.mark.parametrize("name", RK)
def test_fast_modes_may_not_grow_because_slow_ones_do(name: str) -> None:
    """|R| <= 1 + slow dt for the fastest mode would be a saw-tooth that grows as fast as the solution."""
    slow, fast = 1.0, 8.0
    step = stable_step(RK[name], np.array([slow, 1j * slow, -fast]), slow, LONG)
    assert abs(np.polynomial.polynomial.polyval(-fast * step, RK[name].polynomial)) < 1


def test_slow_oscillation_is_left_to_a_scheme_of_low_order() -> None:
    """Euler spirals outwards slowly; that is its error, as it would be of an ordinary differential equation."""
    step = stable_step(RK["euler"], np.array([1j, -1j, -100.0 + 1j, -100.0 - 1j]), 1.0, LONG)
    assert step * 100 == pytest.approx(SAFETY * 2, rel=1e-2)


@pytest.mark.parametrize("factor", [1e-30, 1e-14, 1e14])
def test_limits_do_not_depend_on_units(factor: float) -> None:
    modes = np.array([-3.0 + 1j, -3.0 - 1j, -0.5])
    reference = stable_step(RK["ssprk33"], modes, 0.0, np.inf)
    assert stable_step(RK["ssprk33"], modes * factor, 0.0, np.inf) == pytest.approx(reference / factor, rel=1e-6)


def dt_of(lab: Any, case: dict[str, Any]) -> float:
    return float(lab.solve(case).dt)


@pytest.mark.parametrize(("cells", "lengths"), [((16,), [1.0]), ((16, 8), [1.0, 2.0]), ((8, 10, 6), [1.0, 3.0, 0.5])])
def test_heat_by_euler(lab: Any, cells: tuple[int, ...], lengths: list[float]) -> None:
    """dt = h^2/(2 d D), or 1/(2 D sum h_i^-2) where the spacings differ."""
    case = lab.case("heat", *cells, length=lengths, parameters={"D": 0.7}, time={"steps": 1, "scheme": "euler"})
    limit = 1 / (2 * 0.7 * sum((n / s) ** 2 for n, s in zip(cells, lengths, strict=True)))
    assert dt_of(lab, case) == pytest.approx(SAFETY * limit, rel=1e-6)


def test_wave_by_leapfrog(lab: Any) -> None:
    """dt = h/(c sqrt(d))."""
    case = lab.case("wave", 10, 10, parameters={"c": 3.0}, time={"steps": 1, "scheme": "leapfrog"})
    assert dt_of(lab, case) == pytest.approx(SAFETY * 0.1 / (3 * math.sqrt(2)), rel=1e-6)


@pytest.mark.parametrize("scheme", ["euler", "ssprk22"])
def test_advection_without_diffusion_is_refused_by_low_order(lab: Any, scheme: str) -> None:
    case = lab.case("advection-diffusion", 16, parameters={"D": 0.0}, time={"steps": 1, "scheme": scheme})
    with pytest.raises(CaseError, match=rf"time\.scheme.*'{scheme}'.*use ssprk33 or rk4"):
        lab.solve(case)
    rk4 = case | {"time": {"steps": 1, "scheme": "rk4"}}
    assert dt_of(lab, rk4) == pytest.approx(SAFETY * math.sqrt(8) / 16, rel=1e-4)


def closed_matrix(lab: Any, order: int, condition: dict[str, Any], cells: int = 20) -> np.ndarray:
    """The matrix of d2/dx2 with a condition at both ends, from unit vectors."""
    sides = {"u": {"xmin": condition, "xmax": condition}}
    rate = lab.rate(lab.case("heat", cells, periodic=False, boundary=sides, run={"order": order, "device": "numpy"}))
    return np.array([rate(u=unit)["u"] for unit in np.eye(cells)]).T / cells**2


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("kind", ["dirichlet", "neumann", "robin", "stiff robin", "curvature"])
def test_closures_are_as_fast_as_foreseen(lab: Any, order: int, kind: str) -> None:
    """The eigenvalues of the closed second difference are real and negative, and its largest is what is reckoned with."""
    h = 1 / 20
    table, condition = {
        "dirichlet": ({"dirichlet": 0.0}, Condition(1.0, 0.0, 0.0)),
        "neumann": ({"neumann": 0.0}, MIRROR),
        "robin": ({"robin": [1.0, 2.0, 0.0]}, Condition(1.0, 2.0, 0.0)),
        "stiff robin": ({"robin": [1.0, 0.01 * h, 0.0]}, Condition(1.0, 0.01 * h, 0.0)),
        "curvature": ({"curvature": 0.0}, Condition(0.0, 0.0, 0.0, 1.0)),
    }[kind]
    spectrum = np.linalg.eigvals(closed_matrix(lab, order, table))
    factor = closure_factor(order, h, condition)
    fastest = {2: 4.0, 4: 16 / 3, 6: 6.0444, 8: 6.5016}[order]
    assert factor >= 1
    assert spectrum.real.max() < 1e-12
    assert np.abs(spectrum.imag).max() < 1e-12
    assert -spectrum.real.min() <= factor * fastest * (1 + 1e-3)
    if factor > 1.01:
        assert -spectrum.real.min() == pytest.approx(factor * fastest, rel=0.01)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("scheme", RK)
def test_decay_with_closures_is_stable(lab: Any, order: int, scheme: str) -> None:
    """No eigenvalue of the heat equation with Dirichlet conditions leaves the region of stability."""
    sides = {"u": {"xmin": {"dirichlet": 0.0}, "xmax": {"dirichlet": 0.0}}}
    time = {"steps": 1, "scheme": scheme}
    dt = dt_of(lab, lab.case("heat", 20, periodic=False, boundary=sides, run={"order": order}, time=time))
    spectrum = np.linalg.eigvals(closed_matrix(lab, order, {"dirichlet": 0.0})) * 20**2
    growth = np.abs(np.polynomial.polynomial.polyval(dt * spectrum, RK[scheme].polynomial))
    assert growth.max() < 1
