"""Growth that the equation does not have is told; growth that it has is not."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from parsolve.march.tableaus import SCHEMES
from parsolve.problem.layout import decide
from parsolve.problem.prepare import prepare

RK = [name for name, s in SCHEMES.items() if s.derivative == 1]
CELLS = 16


def march(lab: Any, case: dict[str, Any]) -> tuple[list[str], float]:
    """What is said of growth in a march, and the largest value at its end."""
    problem = lab.pose(case)
    prepared = prepare(problem, decide(problem, lab.comm), lab.comm)
    try:
        prepared.run(lambda *_: None)
        largest = max(float(np.abs(f.owned).max()) for f in prepared.state.values())
    finally:
        prepared.free()
    return [text for text in prepared.warnings if "far more than the rates" in text], largest


@pytest.mark.parametrize("scheme", RK)
def test_what_steps_too_long_make_is_told(lab: Any, scheme: str) -> None:
    """|R(dt lambda)|^n of the fastest mode: above 1e9 it is told with the field, below 1e5 it is not."""
    draw = random.Random(scheme)
    fastest = -4.0 * CELLS**2
    for powers, told in ((draw.uniform(2, 4), False), (draw.uniform(12, 60), True), (draw.uniform(60, 200), True)):
        D, z = 10 ** draw.uniform(-3, 3), draw.uniform(4, 12)
        factor = abs(float(np.polynomial.polynomial.polyval(-z, SCHEMES[scheme].polynomial)))
        steps = max(1, math.floor(powers * math.log(10) / math.log(factor)))
        case = lab.case("heat", CELLS, parameters={"D": D}, run={"check_every": draw.choice((steps, 1 + steps // 4))},
                        time={"steps": steps, "dt": -z / (D * fastest), "scheme": scheme})  # fmt: skip
        said, largest = march(lab, case)
        assert (1e9 < largest < math.inf) if told else (largest < 1e5)
        assert [text.startswith("u: values grew from ") for text in said] == [True] * told, (scheme, z, steps)


GROWS: dict[str, tuple[Any, dict[str, Any]]] = {  # of themselves, by up to exp(60)
    "one": ({"u": "r*u"}, {}),
    "carried": ({"u": "r*u - dx(u) + 0.01*laplace(u)"}, {}),
    "two": ({"u": "r*v", "v": "r*u"}, {}),
    "waves": ({"u_tt": "r**2*u + 0.01*laplace(u)"}, {"u_t": 0.0}),
    "band": ({"u": "-r*(2*l**2*laplace(u) + l**4*biharmonic(u))"}, {"u": "noise(seed=1)"}),
    "times": ({"u": "2*r*sin(pi*t)**2*u"}, {}),
    "logistic": ({"u": "r*u*(1 - u)"}, {"u": "1e-8*(1 + x)"}),
    "source": ({"u": "exp(r)"}, {"u": 0.0}),
    "two sources": ({"u": "1e5*r*v", "v": "-v"}, {"u": 0.0, "v": 1.0}),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n == "band" else []) for n in GROWS])
def test_what_the_equation_makes_is_not_told(lab: Any, name: str) -> None:
    rates, initial = GROWS[name]
    for seed in range(3):
        draw = random.Random(seed)
        numbers = {"r": draw.uniform(20, 60)} | ({"l": 0.2} if name == "band" else {})
        steps: dict[str, Any] = draw.choice(({"scheme": "rk4"}, {"scheme": "dp45", "tolerance": 1e-6}))
        steps = {"waves": {"scheme": "leapfrog"}}.get(name, steps)
        case = lab.case(rates, CELLS, parameters=numbers, initial=initial, run={"check_every": draw.choice((1, 10, 100))},
                        time={"end": 1.0} | steps)  # fmt: skip
        said, largest = march(lab, case)
        assert said == [], (seed, numbers)
        assert largest > (0.5 if name == "logistic" else 1e6)
