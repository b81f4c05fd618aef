"""What the longest step depends on, read off an equation, beside the rates themselves: how the Jacobian changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsolve.problem.dependence import Dependence

#  rate, other tables, (state, neighbours, time)
LAWS: list[tuple[Any, dict[str, Any], tuple[bool, bool, bool]]] = [
    ("heat", {}, (False, False, False)),
    ("wave", {}, (False, False, False)),
    ("advection-diffusion", {}, (False, False, False)),
    ("burgers", {}, (True, True, False)),
    ("allen-cahn", {}, (True, False, False)),
    ("gray-scott", {}, (True, False, False)),
    ({"u": "laplace(u) - biharmonic(u) + x*u + 3"}, {}, (False, False, False)),
    ({"u": "div(k*grad(u)) + k*u"}, {"fields": {"k": "1 + x**2"}}, (False, False, False)),
    ({"u": "laplace(u) + sin(9*t)"}, {}, (False, False, False)),
    ({"u": "sin(9*t)*laplace(u)"}, {}, (False, False, True)),
    ({"u": "(1 + t)*u**3"}, {}, (True, False, True)),
    ({"u": "u**3 + exp(u)"}, {}, (True, False, False)),
    ({"u": "laplace(u**3 - u)"}, {}, (True, True, False)),
    ({"u": "u*dx(u)"}, {}, (True, True, False)),
    ({"u": "dot(grad(u), grad(u))"}, {}, (True, True, False)),
    ({"u": "div((1 + u**2)*grad(u))"}, {}, (True, True, False)),
    ({"u": "laplace(u) + w", "w": "-u*w"}, {}, (True, False, False)),
    ({"u": "laplace(w)", "w": "-u"}, {}, (False, False, False)),
    ({"u": "laplace(mu)"}, {"define": {"mu": "u**3 - u - laplace(u)"}}, (True, False, False)),
    ({"u": "laplace(mu)"}, {"define": {"mu": "dx(u)**2 - u"}}, (True, True, False)),
    ({"u": "laplace(mu)"}, {"define": {"mu": "2*u - laplace(u)"}}, (False, False, False)),
    ({"u": "t*mu"}, {"define": {"mu": "laplace(u)"}}, (False, False, True)),
    ({"u_tt": "(1 + 0.1*u**2)*laplace(u)"}, {}, (True, True, False)),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: str(law[0]))
def test_what_is_read_off_is_how_the_jacobian_changes(lab: Any, law: Any) -> None:
    """Along a direction, at two states and two times; what a neighbour adds is seen where it alone differs."""
    rate, tables, expected = law
    case = lab.case(rate, 9, run={"device": "numpy", "order": 2}, **tables)
    problem = lab.pose(case)
    found = problem.depends
    assert (found.state, found.neighbours, found.time) == expected
    assert Dependence.of(problem.program) == found

    evaluate, draw = lab.rate(problem), np.random.default_rng(0)
    names = problem.program.unknowns
    one, other = ({name: draw.uniform(0.2, 1.0, 9) for name in names} for _ in range(2))

    def slope(state: dict[str, np.ndarray], time: float) -> np.ndarray:
        """The derivatives of the rates at cell 4 by every value."""
        columns = []
        for name in names:
            for cell in range(9):
                small = {n: 1e-5 * (np.arange(9) == cell) * (n == name) for n in names}
                high, low = (evaluate(time, **{n: state[n] + s * small[n] for n in names}) for s in (1, -1))
                columns.append([(high[n][4] - low[n][4]) / 2e-5 for n in names])
        return np.array(columns)

    def differs(a: np.ndarray, b: np.ndarray) -> bool:
        return bool(np.abs(a - b).max() > 1e-4 * np.abs(a).max())

    here = slope(one, 0.3)
    assert differs(here, slope(other, 0.3)) == found.state
    assert differs(here, slope(one, 0.7)) == found.time
    beside = {name: np.where(np.arange(9) == 4, one[name], other[name]) for name in names}
    near = differs(here, slope(beside, 0.3))
    assert near == found.neighbours or (near and "define" in tables)  # a stage that reads its own cell is uniform


@pytest.mark.parametrize("rate", ["mean(u)*u", "u*integral(u) - u", "-integral(u)"])
def test_sums_over_the_grid_depend_on_the_solution(lab: Any, rate: str) -> None:
    """As there is no wave of them: whether or not they do, they are looked at anew."""
    assert lab.pose(lab.case({"u": rate}, 8)).depends.state
