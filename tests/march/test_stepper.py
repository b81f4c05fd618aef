"""Steps that change their length: leapfrog keeps its order, with initial velocities and rates that depend on time."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parsolve.problem.layout import decide
from parsolve.problem.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

CELLS, END = 12, 1.3
FREQUENCY = 2 * CELLS * math.sin(math.pi / CELLS)  # of cos(2 pi x) at order 2
LAWS = {
    "wave": ("wave", lambda t: 1.0),
    "own": ({"u_tt": "(1 + sin(3*t)/2)*dxx(u)"}, lambda t: 1 + math.sin(3 * t) / 2),
}


def exact(speed: Any) -> np.ndarray:
    """At the end, from cos(2 pi x) with velocity 2 sin(2 pi x): each is a mode of the differences."""

    def slope(t: float, y: np.ndarray) -> list[float]:
        return [y[1], -(FREQUENCY**2) * speed(t) * y[0]]

    starts = ((1.0, 0.0), (0.0, 2.0))
    (a, b) = (solve_ivp(slope, (0, END), y, rtol=1e-12, atol=1e-13, method="DOP853").y[0, -1] for y in starts)
    x = (np.arange(CELLS) + 0.5) / CELLS
    return a * np.cos(2 * np.pi * x) + b * np.sin(2 * np.pi * x)


def case_of(lab: Any, law: str, **time: Any) -> dict[str, Any]:
    start = {"u": "cos(2*pi*x)", "u_t": "2*sin(2*pi*x)"}
    case: dict[str, Any] = lab.case(LAWS[law][0], CELLS, initial=start, time={"scheme": "leapfrog"} | time)
    return case


def marched(lab: Any, law: str, lengths: Sequence[float]) -> np.ndarray:
    """The field after steps of these lengths, which fill the time."""
    problem = lab.pose(case_of(lab, law, steps=1, dt=lengths[0]))
    prepared = prepare(problem, decide(problem, lab.comm), lab.comm)
    time = 0.0
    for length in lengths:
        prepared.steps.take([time], length)
        time += length
    assert time == pytest.approx(END, rel=1e-12)
    values = np.array(prepared.state["u"].owned).ravel()
    prepared.free()
    return values


def filling(lengths: list[float]) -> list[float]:
    return [END * length / sum(lengths) for length in lengths]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", ["all unlike", "pieces", "one tiny"])
def test_leapfrog_keeps_its_order_when_steps_change(lab: Any, law: str, kind: str) -> None:
    """Steps drawn one by one; a few lengths, each kept for a while; and one that is next to nothing."""
    for seed in range(3):
        errors, counts = [], (60, 240)
        for count in counts:
            draw = random.Random(seed)
            if kind == "all unlike":
                lengths = [draw.uniform(0.5, 1.5) for _ in range(count)]
            elif kind == "pieces":
                parts = [draw.uniform(0.4, 1.6) for _ in range(6)]
                lengths = [part for part in parts for _ in range(count // 6)]
            else:
                lengths = [1.0] * count
                lengths[draw.randrange(count // 4, count // 2)] = 1e-6
            errors.append(np.abs(marched(lab, law, filling(lengths)) - exact(LAWS[law][1])).max())
        order = math.log(errors[0] / errors[1]) / math.log(counts[1] / counts[0])
        assert 1.7 < order < 2.6, (seed, errors)
        assert errors[1] < 2e-3, (seed, errors)


@pytest.mark.parametrize("law", LAWS)
def test_leapfrog_keeps_its_order_between_frames(lab: Any, law: str) -> None:
    """Where no step divides what lies between frames."""
    errors = []
    for dt in (0.02, 0.01, 0.005):
        case = case_of(lab, law, end=END, dt=dt) | {"output": {"every": 0.347}}
        solution = lab.solve(case)
        assert len(solution.times) == 5
        errors.append(np.abs(solution.fields["u"] - exact(LAWS[law][1])).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.25), errors
    assert math.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.25), errors


def test_leapfrog_follows_a_limit_that_depends_on_time(lab: Any) -> None:
    """With dt = "auto" steps are renewed on the way, at the limit: 0.1 is what their length makes of a wave."""
    case = case_of(lab, "own", end=END)
    solution = lab.solve(case)
    assert solution.result.steps > 10
    assert np.abs(solution.fields["u"] - exact(LAWS["own"][1])).max() < 0.15
