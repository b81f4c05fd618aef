"""Central differences of advection are warned of where, and only where, a cell weighs a neighbour negatively."""

from __future__ import annotations

import random
from typing import Any

import pytest

import parsolve
from parsolve.case.tables import packaged
from parsolve.problem.plan import check


def warnings_of(cells: int = 32, axes: str = "x", **tables: Any) -> list[str]:
    grid = {axis: {"cells": cells, "range": (0, 1), "periodic": True} for axis in axes}
    tables = {"initial": {"u": "sin(2*pi*x)"}, "time": {"end": 0.1}} | tables
    return check(parsolve.make_case(**{"grid": grid} | tables), 1).warnings


@pytest.mark.parametrize("seed", range(12))
def test_the_number_is_that_of_velocity_spacing_and_diffusivity(seed: int) -> None:
    draw = random.Random(seed)
    order, axes = draw.choice((2, 4, 6, 8)), draw.choice(("x", "xy"))
    velocities, D = [draw.choice((-1, 1)) * 10 ** draw.uniform(-1, 1) for _ in axes], 10 ** draw.uniform(-3, 0)
    said = warnings_of(
        axes=axes,
        equation="advection-diffusion",
        parameters={"D": D} | {f"v{axis}": v for axis, v in zip(axes, velocities, strict=True)},
        run={"order": order},
    )
    expected = {axis: abs(v) / 32 / D for axis, v in zip(axes, velocities, strict=True)}
    assert len(said) == sum(number > 2 for number in expected.values())
    for axis in (axis for axis, number in expected.items() if number > 2):
        assert any(f"along {axis} is up to {expected[axis]:.3g}" in text for text in said)


@pytest.mark.parametrize(
    ("rate", "warned"),
    [
        ("0.01*laplace(u) - dx(u)", True),
        ("0.02*laplace(u) - dx(u)", False),
        ("0.01*dxx(u) - u*dx(u)", True),
        ("div(k*grad(u)) - dx(u)", True),
        ("-dx(u)", True),
        ("0.01*laplace(u) - advect(vector(1), u)", False),
        ("0.001*laplace(u) - upwind(vector(1), u)", False),
        ("0.001*laplace(u) - u**3", False),
        ("-6*u*dx(u) - dx(dxx(u))", False),
        ("dx(u)**2/2 + 0.001*laplace(u)", False),
    ],
)
def test_own_equations_are_looked_at_as_the_catalogue(rate: str, warned: bool) -> None:
    fields = {"k": "0.01"} if "k*" in rate else {}
    assert bool(warnings_of(evolve={"u": rate}, fields=fields)) == warned


def test_no_packaged_case_is_warned_of() -> None:
    assert {name: check(parsolve.Case.load(name), 1).warnings for name in packaged()} == {
        name: [] for name in packaged()
    }


def test_ranges_as_wide_as_numbers_are_looked_at() -> None:
    assert warnings_of(evolve={"u": "laplace(u)"}, initial={"u": "1.7e308*sin(2*pi*x)"}) == []
