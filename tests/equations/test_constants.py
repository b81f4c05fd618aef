"""Constants: numbers, parameters and definitions of one value give the same, and their derivatives are zero."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from parsolve.equations.functions import VALUE_FUNCTIONS
from parsolve.equations.program import build
from parsolve.equations.stencils import ORDERS
from parsolve.equations.syntax import ExpressionError
from parsolve.equations.texts import EQUATION_FUNCTIONS
from parsolve.errors import CaseError

AXES = ("x", "y")
H = {"x": 0.7, "y": 1.1}
U = np.random.default_rng(5).uniform(0.4, 0.8, (1, 18, 18))
CONSTANTS = {"3": 3.0, "0.25": 0.25, "1.25": 1.25, "(2/3)": 2 / 3, "1e-3": 1e-3}
DERIVATIVES = {  # of c, which is a constant: zero
    "laplace({c})", "biharmonic({c})", "dx({c})", "dy({c})", "dxx({c})", "dyy({c})", "dxy({c})", "div(grad({c}))",
    "div(vector({c}, {c}))", "div(u*grad({c}))", "div(harmonic(u)*grad({c}))", "dot(grad({c}), grad(u))",
    "upwind(vector(u, 1), {c})", "advect(vector(u, 1), {c})", "dx(upwind_flux({c}, 1, {c}))",
    "div(weno_flux(vector({c}, {c}), 1, {c}))", "dx(u*dx({c}))", "laplace(laplace({c}))", "dx({c} + t)",
}  # fmt: skip
HOLDING = {  # expressions that hold c elsewhere
    "div(harmonic({c})*grad(u))", "div({c}*grad(u))", "upwind(vector({c}, -{c}), u)", "advect(vector({c}, {c}), u)",
    "dx(upwind_flux({c}*u, {c}, u))", "div(weno_flux(vector({c}*u, u), {c}, u))", "integral({c})", "mean({c}*u)",
    "laplace({c}*u)", "biharmonic({c}*u)", "dx(u**{c})", "dxy({c}/u)", "dot(vector({c}, 1), grad(u))",
    "where({c} < 1 and u < 0.6, u, {c})", "where(not ({c} < 1), u, {c})",
}  # fmt: skip


def call(name: str) -> str:
    """A call of a function of values on the constant c and what it may need more."""
    rest = {"atan2": "0.5", "min": "0.5", "max": "0.5", "box": "0.2, 0.9", "where": "u, 2*u"}.get(name)
    first = "{c} < 1" if name == "where" else "{c}"
    return f"{name}({first}, {rest})" if rest else f"{name}({first})"


CALLS = {call(name) for name in VALUE_FUNCTIONS if name != "noise"}


def rate(equation: Any, bench: Any, text: str, order: int = 2, c: float = 0.0, **define: str) -> np.ndarray:
    """The rate of u, or NaN where the text is refused for its value."""
    program = build(equation({"u": text}, parameters={"c": c}, define=define), AXES, order)
    with np.errstate(all="ignore"):
        found: np.ndarray = bench(H, c=c)(program, {"u": U})["u"]
    return found


def test_every_function_is_looked_at() -> None:
    tried = " ".join((*DERIVATIVES, *HOLDING, *CALLS))
    assert [name for name in EQUATION_FUNCTIONS if f"{name}(" not in tried] == ["noise", "dz", "dzz", "dxz", "dyz"]


@pytest.mark.parametrize("text", sorted(HOLDING | CALLS))
def test_a_constant_counts_by_its_value_however_it_is_given(equation: Any, bench: Any, text: str) -> None:
    for given, value in CONSTANTS.items():
        wanted = rate(equation, bench, f"u*{text.format(c='c')}", c=value)
        for name, define in ((given, {}), ("k", {"k": given}), ("k", {"k": "c"})):
            try:
                found = rate(equation, bench, f"u*{text.format(c=name)}", c=value, **define)
            except ExpressionError:
                assert not np.isfinite(wanted).all()
            else:
                np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", sorted(DERIVATIVES))
def test_derivatives_of_constants_are_zero(equation: Any, bench: Any, text: str) -> None:
    for order in ORDERS:
        laplacian = rate(equation, bench, "laplace(u)", order)
        for given in CONSTANTS:
            for name, define in ((given, {}), ("c", {}), ("k", {"k": given}), ("k", {"k": "2*c + dx(u*dx(c))"})):
                zero = text.format(c=name)
                found = rate(equation, bench, f"laplace(u) + u*{zero} + sin({zero})/2 - 3*{zero}", order, 0.3, **define)
                np.testing.assert_array_equal(found, laplacian)


@pytest.mark.parametrize("order", ORDERS)
def test_equations_with_constants_in_every_operator(equation: Any, bench: Any, order: int) -> None:
    """Random ones: with numbers, parameters or definitions they have the rates that they have with a parameter."""
    draw = random.Random(order)

    def one(depth: int) -> str:
        if depth == 0:
            return draw.choice(["u", "{c}", "{c}", "u*{c}", "(u + {c})"])
        if draw.random() < 0.5:
            return f"({one(depth - 1)} {draw.choice('+-*')} {one(depth - 1)})"
        kinds = ("laplace({})", "dx({})", "dyy({})", "dxy({})", "div(grad({}))", "sin({})", "mean({})",
                 "div(harmonic(2 + {c})*grad({}))", "upwind(vector({c}, u), {})", "dot(grad({c}), grad({}))")  # fmt: skip
        return draw.choice(kinds).replace("{}", one(depth - 1))

    for text in [one(3) for _ in range(20)]:
        wanted = rate(equation, bench, text.format(c="c"), order, 1.25)
        for name, define in (("1.25", {}), ("(5/4)", {}), ("k", {"k": "5/4"})):
            found = rate(equation, bench, text.format(c=name), order, 1.25, **define)
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max(), err_msg=text)


@pytest.mark.parametrize("text", ["u/dx(2)", "u*dx(c)**(-1)", "dx(c)/laplace(2)", "u/k", "dx(u/k)", "u*sqrt(k - 1)"])
def test_what_constants_leave_without_a_value_is_refused(equation: Any, bench: Any, text: str) -> None:
    with pytest.raises(CaseError, match="u: with its constants it has no value"):
        rate(equation, bench, text, k="0")


def test_noise_in_a_flux_varies_in_space(equation: Any) -> None:
    for text in ("div(noise(seed=1)*grad(u))", "div(2*u*noise(1)*grad(u))"):
        (e,) = build(equation({"u": text}), AXES, 2).rate.expressions
        assert "flux(" in str(e)
        assert "laplace" not in str(e)
