"""Fields that are said to be odd functions of the unknowns are, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from parsolve.equations.parity import odd
from parsolve.equations.program import build

ODD = [
    "u", "u**3 - u", "D*laplace(u)*u**2", "sin(u)*t", "x*dot(vector(u, v), grad(u))*v", "u*abs(v)", "dx(k*dy(u))*u*v",
    "q*dx(q)*u", "mean(u)*v", "mean(u**2)*u", "k*sign(u)", "dx(dy(u)**2*u)",
]  # fmt: skip
OTHER = ["u**2", "u + u**2", "1 + u", "x", "q", "abs(u)", "advect(vector(u, v), u)", "exp(u)", "mean(u)", "cos(u)*v**2"]


@pytest.mark.parametrize(("text", "is_odd"), [*((t, True) for t in ODD), *((t, False) for t in OTHER)])
def test_what_is_said_to_be_odd_is(equation: Any, text: str, is_odd: bool) -> None:
    define = {"q": "u*v", "w": f"({text})*dx(v)**2"}  # an even factor, so that it is a field of its own
    e = equation({"u": "laplace(w)", "v": "u*v"}, parameters={"D": 0.7}, define=define, arrays=("k",))
    assert ("w" in odd(build(e, ("x", "y"), 4))) == is_odd
