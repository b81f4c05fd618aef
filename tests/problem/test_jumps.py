"""Walls with a slope beside jumps of a coefficient: no mode grows and what flows in is k times the slope."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from parsolve.api import make_case
from parsolve.equations.stencils import ORDERS
from parsolve.problem.pose import pose

WALLS = {"slope": {"neumann": 1.0}, "robin": {"robin": [0.01, 1.0, 1.0]}, "varying": {"robin": ["1 + y", 1.0, 0.0]}}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", WALLS)
def test_no_contrast_grows_between_walls_with_a_slope(lab: Any, kind: str, order: int) -> None:
    """All eigenvalues of the operator decay, of random layers up to 1e6."""
    rng, dimensions = np.random.default_rng(order), 2 if kind == "varying" else 1
    n = 8 if dimensions == 2 else 20
    sides = {side: WALLS[kind] for side in ("xmin", "xmax")}
    for _ in range(1 if dimensions == 2 else 6):
        k = rng.choice([0.0, 1.0], (n,) * dimensions) * 10.0 ** rng.uniform(-6, 6, (n,) * dimensions)
        case = lab.case(
            {"u": "div(k*grad(u))"}, *[n] * dimensions, periodic="y"[: dimensions - 1], boundary={"u": sides}
        )
        rate = lab.rate(pose(make_case(case, fields={"k": k}, run={"order": order, "device": "numpy"})))
        still = rate(u=np.zeros((n,) * dimensions))["u"].ravel()
        spectrum = np.linalg.eigvals([rate(u=unit)["u"].ravel() - still for unit in np.eye(n**dimensions)])
        assert spectrum.real.max() < 1e-9 * np.abs(spectrum).max()


@pytest.mark.parametrize("order", ORDERS)
def test_what_flows_in_through_a_thin_layer_is_k_times_the_slope(lab: Any, order: int) -> None:
    """But for the least k beside it, by which differences of higher order are limited."""
    k = "where(x < 0.03, 1000, where(x < 0.2, 1, 100))"
    case = lab.case(
        {"u": "div(k*grad(u))"}, 40, periodic=False, fields={"k": k}, run={"order": order},
        boundary={"u": {"xmin": {"neumann": 2.0}}},
    )  # fmt: skip
    rates = lab.rate(case)(u=np.zeros(40))["u"]
    assert math.fsum(rates.ravel()) / 40 == pytest.approx(1000 * 2.0, rel=3e-4)


@pytest.mark.parametrize(
    ("k", "coarse"),
    [
        ("1 + x", ""),
        ("exp(5*x)", ""),
        ("1 + u**2", ""),
        ("2 + sin(9*y)*x", ""),
        ("where(x < 0.1, 1, 3)", "xmin"),
        ("where(x > 0.9, 1, -3)", "xmax"),
        ("where(y < 0.5, 1, where(x < 0.1, 1, 3))", "xmin"),
        ("where(abs(x - 0.5) < 0.1, 1000, 1)", ""),
        ("q*(1 + x)", "xmin xmax"),
        ("x", "xmin"),
    ],
)
def test_only_slopes_beside_jumps_are_closed_as_at_order_two(lab: Any, k: str, coarse: str) -> None:
    slopes = {"xmin": {"robin": [1.0, 2.0, 0.0]}, "xmax": {"neumann": 1.0}}
    case = lab.case(
        {"u": f"div(({k})*grad(u))", "v": "laplace(v)"}, 40, 30, periodic="", run={"order": 4},
        boundary={"u": {**slopes, "ymin": {"dirichlet": 1.0}}, "v": slopes},
        fields={"q": "where(noise(seed=1) > 0, 10, 1)"} if "q" in k else {},
    )  # fmt: skip
    conditions = lab.pose(case).conditions
    assert {side for side, c in conditions["u"].items() if c.coarse} == set(coarse.split())
    assert not any(c.coarse for c in conditions["v"].values())
