"""Cases built in Python are those of the file, and SymPy's expressions keep their values in our language."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy

import parsolve
from parsolve.api import text
from parsolve.equations.parse import parse
from parsolve.equations.values import evaluate
from parsolve.errors import CaseError

x, y = sympy.symbols("x y")
u, D = sympy.symbols("u D")


def test_a_case_of_sympy_numpy_tuples_and_paths_is_that_of_plain_tables() -> None:
    ours = parsolve.make_case(
        evolve={u: D * sympy.Function("laplace")(u) - sympy.Abs(u), "v": 0},
        define={"w": np.float64(0.5)},
        parameters={D: np.float32(0.5), "c": sympy.pi, "n": sympy.Integer(2)},
        fields={"k": {"file": Path("k.npy")}},
        grid={"x": {"cells": np.int64(8), "range": (0, sympy.Rational(1, 2)), "periodic": np.False_}},
        initial={"u": sympy.exp(-(x**2)), "v": sympy.sqrt(2)},
        boundary={"u": {"xmin": {"robin": np.array([1.0, 0.5, 0.0])}}},
        time={"steps": sympy.Integer(3), "dt": sympy.Float(0.25)},
    )
    plain = parsolve.Case.from_dict(
        {
            "evolve": {"u": "D*laplace(u) - abs(u)", "v": "0"},
            "define": {"w": "0.5"},
            "parameters": {"D": 0.5, "c": np.pi, "n": 2},
            "fields": {"k": {"file": "k.npy"}},
            "grid": {"x": {"cells": 8, "range": [0.0, 0.5], "periodic": False}},
            "initial": {"u": "exp(-x**2)", "v": 2**0.5},
            "boundary": {"u": {"xmin": {"robin": [1.0, 0.5, 0.0]}}},
            "time": {"steps": 3, "dt": 0.25},
        }
    )
    assert ours == plain


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"gird": {}}, "unknown key 'gird'; did you mean 'grid'?"),
        ({"grid": {"x": {"cells": sympy.Rational(1, 2), "range": (0, 1)}}}, "cells: expected a whole number, got 0.5"),
        ({"evolve": {"u": object()}}, "evolve.u: expected text"),
        ({"initial": {"u": x < 1}}, "time: missing"),
    ],
)
def test_what_is_wrong_is_told_as_of_a_file(tables: dict[str, object], words: str) -> None:
    grid = {"x": {"cells": 8, "range": (0, 1)}}
    with pytest.raises(CaseError) as caught:
        parsolve.make_case(**{"grid": grid} | tables)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "e",
    [
        sympy.Abs(x) + sympy.ceiling(y) * sympy.floor(x) - sympy.E * sympy.pi,
        sympy.Max(x, y, 0.25) - sympy.Min(x, 0.5) ** 2,
        sympy.Heaviside(x - y),
        sympy.Piecewise((x, x < 0), (y, x < 0.5), (2, True)),
        sympy.Piecewise((x, (x < 0.5) & (y > 0)), (y, sympy.Eq(x, y) | ~((x > 0.7) & (y < 0.2))), (3, True)),
        sympy.Piecewise((1, sympy.Ne(x, y)), (x, True)),
    ],
    ids=str,
)
def test_sympy_keeps_its_values(e: sympy.Expr) -> None:
    grid = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    ours = evaluate(parse(text(e), ["x", "y"], key="e"), dict(zip("xy", grid, strict=True)))
    assert np.broadcast_to(ours, grid[0].shape) == pytest.approx(sympy.lambdify((x, y), e)(*grid), abs=1e-15)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Equation'"):
        parsolve.Equation  # noqa: B018
