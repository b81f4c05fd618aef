"""Coefficient fields beyond the domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsolve.errors import NumericalError
from parsolve.problem.values import coefficient_fields


def test_the_name_of_a_parameter_changes_no_value(lab: Any) -> None:
    """Beyond a side with a value a formula goes on as it is, whatever its names begin with."""
    boundary = {"u": {"xmin": {"dirichlet": 0.0}}}
    made = []
    for name in ("amp", "noise_amp"):
        tables = {"parameters": {name: 1.0}, "fields": {"k": f"1 + {name}*x"}, "boundary": boundary}
        case = lab.case({"u": "div(k*grad(u))"}, 8, periodic="", **tables)
        problem = lab.pose(case)
        made.append(coefficient_fields(problem, lab.subdomain(problem))["k"].array.ravel())
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0][0] < 1
    assert made[0][-1] == made[0][-2] < 2  # there it is mirrored
    problem = lab.pose(lab.case({"u": "div(k*grad(u))"}, 8, periodic="", fields={"k": "1 + 0.1*noise(seed=1)"}))
    k = coefficient_fields(problem, lab.subdomain(problem))["k"]
    assert k.array.ravel()[0] == k.owned.ravel()[0]


@pytest.mark.parametrize("order", [2, 8])
@pytest.mark.parametrize("k", ["1 + x*y", "noise(seed=1)", "sqrt(x)", 0.5])
def test_a_coefficient_is_mirrored_at_a_wall_without_flux(lab: Any, k: str | float, order: int) -> None:
    """In a flux; so nothing is asked of a formula beyond, and each of several walls counts for itself."""
    sides = {"xmax": {"dirichlet": 1.0}, "ymin": {"neumann": 0.0}, "ymax": {"neumann": "0"}}
    case = lab.case(
        {"u": "div(k*grad(u))"}, 9, 10, periodic="", fields={"k": k}, boundary={"u": sides}, run={"order": order}
    )
    problem = lab.pose(case)
    f = coefficient_fields(problem, lab.subdomain(problem))["k"]
    depth = problem.program.radius
    y, x = (slice(g, -g) for g in f.subdomain.ghosts[1:])
    gy, gx = f.subdomain.ghosts[1:]
    inner = f.array[0]
    for m in range(depth):
        np.testing.assert_array_equal(inner[y, gx - 1 - m], inner[y, gx + m])
        np.testing.assert_array_equal(inner[gy - 1 - m, x], inner[gy + m, x])
        np.testing.assert_array_equal(inner[-gy + m, x], inner[-gy - 1 - m, x])
    if k == "1 + x*y":
        np.testing.assert_allclose(inner[y, -gx], 1 + (1 + 0.5 / 9) * (np.arange(10) + 0.5) / 10)


@pytest.mark.parametrize("place", ["initial", "fields"])
@pytest.mark.filterwarnings("error")
def test_what_the_precision_does_not_hold_is_one_error_and_no_warning(lab: Any, place: str) -> None:
    tables = {"initial": {"u": "1e300*x"}} if place == "initial" else {"fields": {"k": "1e300*x"}}
    case = lab.case(
        {"u": "div(k*grad(u))"}, 8, periodic=False, run={"precision": "float32"}, **{"fields": {"k": "1"}, **tables}
    )
    with pytest.raises(NumericalError, match="not finite"):
        lab.solve(case)
