"""Conditions of the case: what does not determine a value at the face is refused by check as by run."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsolve import make_case, solve
from parsolve.errors import CaseError
from parsolve.problem.plan import check

if TYPE_CHECKING:
    from pathlib import Path


def heat(order: int, cells: int, robin: list[Any], side: str) -> Any:
    grid = {axis: {"cells": cells, "range": (0.0, 1.0)} for axis in "xy"}
    return make_case(
        equation="heat", grid=grid, initial={"u": 0.5}, boundary={"u": {side: {"robin": robin}}},
        run={"order": order}, time={"steps": 1, "scheme": "euler"},
    )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([2, 4, 6]), st.integers(4, 6), st.integers(1, 1000), st.sampled_from(["xmin", "ymax"]), st.data()
)
def test_a_robin_condition_that_determines_nothing_is_refused_alike(
    tmp_path: Path, order: int, power: int, size: int, side: str, data: st.DataObject
) -> None:
    cells, points = 2**power, 1 if order == 2 else 4
    slope = sum(1 / (j + Fraction(1, 2)) for j in range(points))
    b = float(slope.denominator * size) / cells
    a = -float(slope.numerator * size)
    robin: list[Any] = [a, b, data.draw(st.floats(-1, 1))]
    if data.draw(st.booleans()):  # at one place alone
        other = "y" if side[0] == "x" else "x"
        robin[0] = f"where({other} < {1 / cells}, {a}, 1)"
    case, said = heat(order, cells, robin, side), []
    for refuse in (lambda: check(case, 1), lambda: solve(case, tmp_path / "never.h5")):
        with pytest.raises(CaseError, match=rf"boundary\.u\.{side}\.robin.*does not determine u at the face") as caught:
            refuse()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert not any(tmp_path.iterdir())


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([2, 4, 6]), st.floats(0, 10), st.floats(0.01, 10), st.sampled_from(["xmin", "ymax"]))
def test_loss_at_a_wall_is_always_determined(order: int, a: float, b: float, side: str) -> None:
    assert check(heat(order, 16, [a, b, 1.0], side), 1).dt > 0


@pytest.mark.parametrize("size", [5e-324, 1e-320, 1e-310, 1e-300, 1e-201])
@pytest.mark.parametrize("robin", [[1, 1, 1], [1, 0, 0], [0, -1, 0], ["1 + y", 1, 0]])
def test_coefficients_too_small_to_divide_by_are_refused(robin: list[Any], size: float) -> None:
    a, b, _ = (f"({s})*{size!r}" if isinstance(s, str) else s * size for s in robin)
    with pytest.raises(CaseError, match=r"boundary\.u\.xmin\.robin: a and b of .* are less than 1e-200"):
        check(heat(4, 16, [a, b, robin[2]], "xmin"), 1)
    assert check(heat(4, 16, [1e-199, 1e-199, 1e-199], "xmin"), 1).dt > 0
