"""What changes in time is followed, wherever in the march it happens: beside closed forms, mode by mode."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Drive = tuple[dict[str, float], "Callable[[float], float]"]  # parameters, and the integral from 0 on
CELLS = 24
RATES = 4 * CELLS**2 * np.sin(np.pi * np.arange(CELLS // 2 + 1) / CELLS) ** 2  # of the modes of dxx(u) at order 2


def wave(draw: random.Random, end: float) -> Drive:
    """g = a sin(w t + p)^2, of some periods or of a part of one."""
    a, w, p = 10 ** draw.uniform(-2, -1), math.pi * 10 ** draw.uniform(-0.5, 1.8) / end, draw.uniform(0, 6)
    return {"a": a, "w": w, "p": p}, lambda t: a * (t / 2 - (math.sin(2 * (w * t + p)) - math.sin(2 * p)) / (4 * w))


def pulse(draw: random.Random, end: float) -> Drive:
    """g = a exp(-((t - c)/w)^2): nothing but for a moment."""
    w = end * 10 ** draw.uniform(-2.5, -1)
    a, c = 0.02 / w, draw.uniform(0.05, 0.95) * end
    whole = a * w * math.sqrt(math.pi) / 2
    return {"a": a, "w": w, "c": c}, lambda t: whole * (math.erf((t - c) / w) + math.erf(c / w))


DRIVES: dict[str, tuple[str, Any]] = {"wave": ("a*sin(w*t + p)**2", wave), "pulse": ("a*exp(-((t - c)/w)**2)", pulse)}
STEPS: list[dict[str, Any]] = [
    {"scheme": "euler"}, {"scheme": "rk4"}, {"scheme": "bs23", "tolerance": 1e-6}, {"scheme": "dp45", "tolerance": 1e-6},
]  # fmt: skip


def drawn(drive: str) -> Iterator[tuple[int, float, Drive]]:
    """A few seeds, each with an end and a drive of this kind until then."""
    for seed in range(4):
        draw = random.Random(seed)
        end = 10 ** draw.uniform(-1, 2)
        yield seed, end, DRIVES[drive][1](draw, end)


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: steps["scheme"])
@pytest.mark.parametrize("drive", DRIVES)
def test_a_diffusivity_that_depends_on_time(lab: Any, drive: str, steps: dict[str, Any]) -> None:
    """Each mode decays by its rate times the integral of the diffusivity; sin(pi t)^2, zero at 0, end/2 and end, too."""
    known = ({"a": 1.0, "w": math.pi, "p": 0.0}, lambda t: t / 2 - math.sin(2 * math.pi * t) / (4 * math.pi))
    for seed, end, (numbers, integral) in drawn(drive):
        if drive == "wave" and seed == 0:
            end, (numbers, integral) = 2.0, known
        case = lab.case({"u": f"{DRIVES[drive][0]}*dxx(u)"}, CELLS, parameters=numbers, time={"end": end} | steps)
        solution = lab.solve(case)
        first, last = (np.fft.rfft(frame["u"]) / CELLS for frame in (solution.frames[0], solution.fields))
        wrong = np.abs(last - first * np.exp(-RATES * integral(end))).max()
        assert wrong < (1e-4 if "tolerance" in steps else 5e-3), (seed, end, numbers)
        assert np.abs(last[0] - first[0]) < 1e-12
        shortest = numbers["w"] if drive == "pulse" else math.pi / numbers["w"]
        assert solution.dt <= min(shortest, end / 2), (seed, end, numbers)


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: steps["scheme"])
@pytest.mark.parametrize("drive", DRIVES)
def test_a_source_that_depends_on_time(lab: Any, drive: str, steps: dict[str, Any]) -> None:
    """Everywhere the same: its integral, whatever the limit of a diffusion that does nothing."""
    for seed, end, (numbers, integral) in drawn(drive):
        case = lab.case({"u": f"{DRIVES[drive][0]} + D*dxx(u)"}, 4, parameters=numbers | {"D": 1e-6}, initial={"u": 0.0},
                        time={"end": end} | steps)  # fmt: skip
        values = lab.solve(case).fields["u"]
        assert np.ptp(values) == 0
        exact = integral(end)
        tolerance = 1e-4 if "tolerance" in steps else (0.01 if steps["scheme"] == "rk4" else 0.1) * exact
        assert abs(values[0] - exact) < tolerance, (seed, end, numbers, values[0], exact)


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: steps["scheme"])
@pytest.mark.parametrize("kind", ["dirichlet", "neumann", "robin"])
def test_walls_that_depend_on_time(lab: Any, kind: str, steps: dict[str, Any]) -> None:
    """Beside SciPy on the same differences: oscillations of any speed, though a still grid would take 13 steps."""
    cells, end, D = 12, 2.0, 0.01
    for seed in range(2):
        draw = random.Random(seed)
        w, p = 10 ** draw.uniform(0.5, 1.8), draw.uniform(0, 6)
        moves = f"2*sin({w}*t + {p})**2"
        wall = {kind: [1.0, 0.1, moves] if kind == "robin" else moves}
        case = lab.case("heat", cells, periodic=False, parameters={"D": D}, initial={"u": 0.0},
                        boundary={"u": {"xmin": wall}}, time={"end": end} | steps)  # fmt: skip
        solution = lab.solve(case)
        rate = lab.rate(case)
        exact = solve_ivp(lambda t, y, rate=rate: rate(t, u=y)["u"].ravel(), (0, end), np.zeros(cells), method="DOP853",
                          rtol=1e-8, atol=1e-9, max_step=0.6 / w).y[:, -1]  # fmt: skip
        wrong = np.abs(solution.fields["u"].ravel() - exact).max()
        assert wrong < (0.15 if steps["scheme"] == "euler" else 2e-3) * np.abs(exact).max(), (seed, w)
