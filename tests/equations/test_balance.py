"""What is said to be conserved is, of random data, and nothing else is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from parsolve.equations.balance import conserved, even, is_advective
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.program import build

DEFINE = {"mu": "u**3 - u - D*laplace(u)", "r": "D*(u - u**3)", "q": "div(k*grad(u))"}
KEPT = [
    "laplace(u)", "D*t*laplace(u*v)/3 - dx(u**2)", "dxy(u) + dyy(v) - biharmonic(u)", "laplace(mu)", "mu - mean(mu)",
    "div(k*grad(u)) + 2*div(harmonic(k)*grad(u))", "-div(weno_flux(vector(u, v), 1, u)) + div(vector(u*v, x))",
    "D*(laplace(u) + dx(v))", "r - mean(r)", "laplace(u) + r - mean(r) + 2*u - 2*mean(u)", "q + laplace(q)", "0*u",
    "mean(u)*laplace(u)",
]  # fmt: skip
LOST = [
    "u", "1", "v*dx(u)", "x*laplace(u)", "k*laplace(u)", "laplace(u) + mean(u)", "dot(grad(u), grad(v))", "mu", "r + q",
    "upwind(vector(u, v), u)", "advect(vector(u, 1), u)", "u*v - mean(u)*mean(v)", "u - 2*mean(u)", "v*q", "dx(u)**2",
    "u*mean(v) - u*v + v*mean(u)",
]  # fmt: skip


@pytest.mark.parametrize(("text", "kept"), [*((t, True) for t in KEPT), *((t, False) for t in LOST)])
def test_what_is_said_to_be_conserved_is(bench: Any, equation: Any, text: str, kept: bool) -> None:
    e = equation({"u": text, "v": "v*u"}, parameters={"D": 0.7}, define=DEFINE, arrays=("k",))
    p = build(e, ("x", "y"), 4)
    assert conserved(p) == (("u",) if kept else ())
    u, v, k = np.random.default_rng(1).uniform(0.5, 1.5, (3, 1, 14, 15))
    rate = bench({"x": 0.2, "y": 0.3}, D=0.7)(p, {"u": u, "v": v, "k": k}, time=0.3)["u"]
    lost = abs(math.fsum(rate.ravel())) > 1e-12 * np.abs(rate).sum()
    if "x" not in text.replace("dx", ""):  # the coordinate begins again at the end
        assert lost != kept or text == "0*u"


def test_the_catalogue() -> None:
    found = {name: conserved(build(e, ("x", "y"), 2)) for name, e in CATALOGUE.items()}
    assert {name for name, fields in found.items() if "u" in fields or "c" in fields} == {
        "heat", "advection-diffusion", "burgers", "cahn-hilliard",
    }  # fmt: skip
    assert found["wave"] == ("u_t",)  # the velocity


def test_advection_that_is_no_flux(equation: Any) -> None:
    texts = {
        "advect(vector(1, u), u)": True,
        "upwind(vector(u, 1), u)": True,
        "div(weno_flux(vector(u, 1), 1, u))": False,
    }
    for text, found in texts.items():
        assert is_advective(build(equation({"u": text}), ("x", "y"), 2)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("div(k*grad(u))", {"k"}),
        ("div(k*c*grad(u*v)) + dx(u)", {"k", "c"}),
        ("div(k*grad(u)) - dx(c*u)", {"k"}),
        ("div(k*grad(u)) - div(weno_flux(vector(k*u, u), c, u))", set()),
        ("div(harmonic(k)*grad(c*u))", {"k"}),
        ("k*laplace(u)", set()),
        ("div(k*grad(div(c*grad(u))))", {"k", "c"}),
    ],
)
def test_coefficients_of_gradients_alone_are_even(equation: Any, text: str, found: set[str]) -> None:
    assert even(build(equation({"u": text, "v": "0"}, arrays=("k", "c")), ("x", "y"), 4)) == found
