"""Coefficient fields beyond the domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from parsolve.problem.values import coefficient_fields


def test_the_name_of_a_parameter_changes_no_value(lab: Any) -> None:
    """Beyond a wall a formula goes on as it is, whatever its names begin with; noise repeats its last value."""
    made = []
    for name in ("amp", "noise_amp"):
        case = lab.case({"u": "div(k*grad(u))"}, 8, periodic="", parameters={name: 1.0}, fields={"k": f"1 + {name}*x"})
        problem = lab.pose(case)
        made.append(coefficient_fields(problem, lab.subdomain(problem))["k"].array.ravel())
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0][0] < 1
    assert made[0][-1] > 2
    problem = lab.pose(lab.case({"u": "div(k*grad(u))"}, 8, periodic="", fields={"k": "1 + 0.1*noise(seed=1)"}))
    k = coefficient_fields(problem, lab.subdomain(problem))["k"]
    assert k.array.ravel()[0] == k.owned.ravel()[0]
