"""Wishes are answered with what to do, and never stand in the way of what there is."""

from __future__ import annotations

import itertools
import re

import pytest
import sympy

from parsolve.equations import wishes
from parsolve.equations.operators import AXES
from parsolve.equations.parse import parse
from parsolve.equations.syntax import ExpressionError
from parsolve.equations.texts import EQUATION_FUNCTIONS
from parsolve.equations.wishes import wish

NAMES = ["x", "y", "z", "t", "u", "v", "k"]


def answer(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        parse(text, NAMES, functions=EQUATION_FUNCTIONS)
    return str(caught.value).splitlines()[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("curl(vector(u, v))", "'curl' is not supported; of a plane flow (u, v) it is dx(v) - dy(u)"),
        ("outer(u, v)", "'outer' is not supported; there are no tensors"),
        ("transpose(u)", "there are no matrices"),
        ("I*u", "write the real and the imaginary part as two fields"),
        ("1j*u", "complex numbers are not supported; numbers are real"),
        ("2.5i*u", "complex numbers are not supported"),
        ("conj(u)", "write the real and the imaginary part as two fields"),
        ("laplace(u)/r", "div(x*grad(u))/x"),
        ("noise(t)", "noise does not change in time"),
        ("noise(1, t)", "it does not change in time"),
        ("randn()", "noise(seed=1) is of a place and does not change in time"),
        ("u(t - 1)", "a value at another time is not supported"),
        ("u(x + 1)", "a value at another place is not supported"),
        ("delay(u, 1)", "a rate knows the present alone"),
        ("dxxx(u)", "write dx(dxx(u))"),
        ("dyxx(u)", "write dy(dxx(u))"),
        ("u*u_xx", "write dxx(u)"),
        ("u_xyz", "write dz(dxy(u))"),
        ("du_dx + 1", "write dx(u)"),
        ("u_t + 1", "a rate is no name"),
        ("diff(u, x)", "write dx(u), dxx(u)"),
        ("laplace(u, 0.5)", "has no fractional powers"),
        ("frac(3*x)", "write a - floor(a)"),
        ("fractional_laplace(u)", "there are only whole powers"),
        ("integral(u, x)", "it is over the whole domain"),
        ("piecewise(u < 0, 1, 2)", "write where(condition, a, b)"),
        ("u if x < 1 else 2", "write where(condition, a, b)"),
        ("for i in x", "there are no loops"),
        ("convolve(u, k)", "operators reach neighbours alone"),
        ("fft(u)", "operators reach neighbours alone"),
        ("besselj(0, x)", "give them as a field"),
        ("log10(x)", "write log(a)/log(10)"),
        ("amax(u)", "there are only integral(u) and mean(u)"),
        ("delta(x)", "narrow exp"),
        ("gradient(u)", "did you mean 'grad'?"),
        ("integrate(u)", "did you mean 'integral'?"),
        ("u'", "write dx(u)"),
        ("u @ v", "dot(a, b)"),
    ],
)
def test_a_wish_is_answered(text: str, words: str) -> None:
    assert words in answer(text)


def test_a_constant_that_was_forgotten_is_an_unknown_name() -> None:
    for name in ("D", "gamma", "beta", "delta", "length", "n", "stress", "angle_of", "tau"):
        assert answer(f"{name}*u").startswith(f"unknown name '{name}'")
    assert "give it in [parameters]" in answer("r*u")


def test_no_wish_is_a_word_of_the_language_and_each_is_plain() -> None:
    known = {*EQUATION_FUNCTIONS, *AXES, "t", "pi"}
    words = [word for words in wishes._SAME for word in words.split()]
    assert len(words) == len(set(words))
    assert not known & set(words)
    for word in words:
        advice = wish(word)
        assert advice.isascii()
        found = re.search(r"^write ([^,]*?)$", advice)
        if found and "..." not in advice and "condition" not in advice:  # it can be written
            parse(found[1], ["a", "b", "low", "high", *NAMES], functions=EQUATION_FUNCTIONS)


def test_names_that_are_given_are_no_wishes() -> None:
    for name in ("r", "D", "curl", "dxxx", "u_t", "gamma"):
        assert parse(f"2*{name}", [name, "u"]) == 2 * sympy.Symbol(name, real=True)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_derivative_is_written_by_those_there_are(count: int) -> None:
    """In any order of the axes: the letters are those of the wish."""
    for letters in itertools.product("xyz", repeat=count):
        word = "d" + "".join(letters)
        text = wish(word).removeprefix("write ")
        parse(text, NAMES, functions=EQUATION_FUNCTIONS)
        assert sorted("".join(re.findall(r"d([xyz]+)\(", text))) == sorted(letters)
