"""The march in time: orders of the schemes, schedules, error control, and values that are not finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parsolve.errors import CaseError, NumericalError
from parsolve.march.tableaus import SCHEMES

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

RK = {name: s for name, s in SCHEMES.items() if s.derivative == 1}


# frames


def test_the_end_is_reached_exactly(lab: Any) -> None:
    for time, output in (({"end": 0.7, "dt": 0.1}, {}), ({"end": 0.7, "dt": 0.03}, {"every_steps": 4}),
                         ({"end": 0.7, "dt": 0.03}, {"every": 0.1}), ({"end": 0.7, "dt": 0.03}, {"every": 0.11}),
                         ({"end": 0.7, "scheme": "dp45", "tolerance": 1e-3}, {"every": 0.11})):  # fmt: skip
        solution = lab.solve(lab.case("heat", 4, parameters={"D": 1e-3}, time=time, output=output))
        assert solution.times[-1] == solution.result.time == 0.7


def test_frames_have_the_times_that_were_asked_for(lab: Any) -> None:
    case = lab.case("heat", 8, time={"end": 0.3, "scheme": "euler"}, output={"every": 0.05})
    solution = lab.solve(case)
    assert solution.times == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
    uneven = lab.case("heat", 8, time={"end": 1.0}, output={"every": 0.07})
    assert lab.solve(uneven).times == [0.0, *(float(f"{0.07 * i:.2f}") for i in range(1, 15)), 1.0]
    adaptive = lab.case("heat", 8, time={"end": 0.3, "scheme": "bs23", "tolerance": 1e-4}, output={"every": 0.07})
    assert lab.solve(adaptive).times == [0.0, 0.07, 0.14, 0.21, 0.28, 0.3]


# order in time

# Two unknowns, not linear, with time in it; one cell would do, diffusion does nothing to a constant.
ODE = {"u": "-u*v*cos(3*t) + laplace(u)", "v": "u**2/(1 + t) - v*x*0"}


def ode_error(lab: Any, scheme: str, steps: int) -> float:
    case = lab.case(
        ODE,
        2,
        initial={"u": 1.0, "v": 0.5},
        run={"device": "numpy"},
        time={"steps": steps, "dt": 1.5 / steps, "scheme": scheme},
    )
    found = lab.solve(case).fields

    def rate(t: float, y: np.ndarray) -> list[float]:
        return [-y[0] * y[1] * math.cos(3 * t), y[0] ** 2 / (1 + t)]

    exact = solve_ivp(rate, (0, 1.5), [1.0, 0.5], rtol=1e-13, atol=1e-14, method="DOP853").y[:, -1]
    assert np.ptp(found["u"]) == 0
    return float(np.hypot(found["u"][0] - exact[0], found["v"][0] - exact[1]))


@pytest.mark.parametrize("scheme", RK)
def test_order_in_time(lab: Any, scheme: str) -> None:
    few = {1: 256, 2: 64, 3: 64, 4: 48, 5: 48}[RK[scheme].order]
    errors = [ode_error(lab, scheme, n) for n in (few, 2 * few)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(RK[scheme].order, abs=0.25)


def test_order_of_leapfrog(lab: Any) -> None:
    """A standing wave of the discretised equation: cos(w t) with its own frequency w, so that only time is wrong."""
    cells, end = 16, 1.3
    frequency = 2 * cells * math.sin(math.pi / cells)

    def error(steps: int) -> float:
        case = lab.case(
            "wave", cells, initial={"u": "cos(2*pi*x)", "u_t": f"{frequency}*sin(2*pi*x)"},
            time={"steps": steps, "dt": end / steps, "scheme": "leapfrog"},
        )  # fmt: skip
        x = (np.arange(cells) + 0.5) / cells
        exact = np.cos(2 * np.pi * x) * math.cos(frequency * end) + np.sin(2 * np.pi * x) * math.sin(frequency * end)
        return float(np.abs(lab.solve(case).fields["u"] - exact).max())

    errors = [error(n) for n in (40, 80)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)


def test_leapfrog_goes_back_the_way_it_came(lab: Any) -> None:
    """Stoermer-Verlet is reversible: the energy stays within a band for thousands of steps."""
    case = lab.case(
        "wave",
        12,
        initial={"u": "cos(2*pi*x)"},
        time={"steps": 2000, "scheme": "leapfrog"},
        output={"every_steps": 100},
    )
    sizes = [np.abs(frame["u"]).max() for frame in lab.solve(case).frames]
    assert max(sizes) < 1.02


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("scheme", RK)
def test_the_mean_of_periodic_heat_does_not_drift(lab: Any, scheme: str, precision: str) -> None:
    """Steps are increments, so that no rounding of a weight adds up: constants stay, and what is left is random."""
    case = lab.case(
        "heat",
        8,
        initial={"u": "0.7 + 0.3*sin(2*pi*x) + 0.1*cos(4*pi*x)"},
        time={"steps": 100_000, "dt": 1e-3, "scheme": scheme},
        run={"precision": precision},
    )
    first, last = (frame["u"].astype(np.longdouble).mean() for frame in lab.solve(case).frames)
    assert abs(last - first) < (1e-15 if precision == "float64" else 1e-6)


# error control


@pytest.mark.parametrize("scheme", ["bs23", "dp45"])
def test_adaptive_steps_meet_the_tolerance(lab: Any, scheme: str) -> None:
    case = {"initial": {"u": 1.0, "v": 0.5}, "run": {"device": "numpy"}}
    solution, errors, steps = None, [], []

    def rate(t: float, y: np.ndarray) -> list[float]:
        return [-y[0] * y[1] * math.cos(3 * t), y[0] ** 2 / (1 + t)]

    exact = solve_ivp(rate, (0, 4), [1.0, 0.5], rtol=1e-13, atol=1e-14, method="DOP853").y[:, -1]
    for tolerance in (1e-3, 1e-5, 1e-7):
        time = {"end": 4.0, "scheme": scheme, "tolerance": tolerance}
        solution = lab.solve(lab.case(ODE, 2, **case, time=time, output={"every": 1.0}))
        found = solution.fields
        errors.append(max(abs(found["u"][0] - exact[0]), abs(found["v"][0] - exact[1])) / tolerance)
        steps.append(solution.result.steps)
        assert solution.times == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert max(errors) < 20
    assert steps == sorted(steps)
    p = RK[scheme].order
    assert steps[-1] / steps[-2] < 2 * 100 ** (1 / p)  # not many more than the order asks for


def test_adaptive_steps_stay_stable_without_knowing_the_limit(lab: Any) -> None:
    solution = lab.solve(lab.case("heat", 32, time={"end": 0.2, "scheme": "bs23", "tolerance": 1e-3}))
    values = solution.fields["u"]
    assert np.abs(values - 0.4).max() < 0.3
    assert solution.result.steps < 4 * 0.2 * 4 * 32**2 / 2.5


def test_a_blow_up_ends_adaptive_steps_with_a_message(lab: Any) -> None:
    """u_t = u^2 reaches infinity at t = 1."""
    case = lab.case(
        {"u": "u**2"},
        4,
        initial={"u": 1.0},
        run={"device": "numpy"},
        time={"end": 2.0, "scheme": "dp45", "tolerance": 1e-6},
    )
    with pytest.raises(NumericalError, match=r"step \d+, t = (0\.99|1)\d*.*time\.tolerance = 1e-06") as caught:
        lab.solve(case)
    assert caught.value.exit_code == 4


# values that are not finite


@pytest.mark.parametrize("pipeline", ["off", "auto"])
def test_what_is_not_finite_stops_the_march(lab: Any, pipeline: str) -> None:
    run = {"check_every": 7, "pipeline": pipeline}
    case = lab.case("allen-cahn", 12, 10, periodic="x", time={"steps": 400, "dt": 0.05}, run=run)
    with pytest.raises(NumericalError) as caught:
        lab.solve(case)
    text = str(caught.value)
    for words in ("u is ", "at cell x = ", ", y = ", "dt = 0.05", "time.dt"):
        assert words in text
    step = int(text.split("step ")[1].split(",")[0])
    assert step % 7 == 0
    assert f"t = {step * 0.05:.6g}" in text


def test_the_cell_that_is_not_finite_is_named(lab: Any) -> None:
    """One cell of a user's equation goes wrong, and only the state of that field."""
    case = lab.case(
        {"u": "0", "v": "where(x > 0.7, where(y < 0.2, log(u - 2), 0), 0)"},
        8, 5, run={"device": "numpy"}, time={"steps": 1, "dt": 0.1, "scheme": "euler"},
    )  # fmt: skip
    with pytest.raises(NumericalError, match=r"v is nan at cell x = 6, y = 0; step 1, t = 0\.1"):
        lab.solve(case)


def test_initial_values_that_are_not_finite_are_told_as_such(lab: Any, tmp_path: Path) -> None:
    values = np.ones((5, 6))
    values[3, 2] = np.inf
    np.save(tmp_path / "start.npy", values)
    case = lab.case("heat", 6, 5, initial={"u": {"file": str(tmp_path / "start.npy")}})
    with pytest.raises(CaseError, match=r"initial\.u: .*start\.npy: a value is not finite.* at cell x = 2, y = 3"):
        lab.solve(case)


@pytest.mark.mpi(min_size=2)
def test_all_ranks_stop_at_the_same_step_with_the_same_message(lab: Any, comm: MPI.Intracomm) -> None:
    case = lab.case("allen-cahn", 12, 16, periodic="", time={"steps": 400, "dt": 0.05}, run={"check_every": 7})
    messages = []
    for ranks in (comm, lab.comm):
        with pytest.raises(NumericalError) as caught:
            lab.solve(case, ranks)
        messages.append(str(caught.value))
    assert len(set(comm.allgather(messages[0]))) == 1
    step = [text.split("step ")[1] for text in messages]
    assert step[0] == step[1]
