"""The texts of a case as an equation: keys of rates, names, and what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve import make_case
from parsolve.case import Case
from parsolve.equations.user import user_equation
from parsolve.errors import CaseError
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from pathlib import Path

RATES = {"u": "D*laplace(u) - dx(v)", "v": "laplace(v)*u - w", "w": "u*v"}


def test_u_t_is_another_key_of_the_rate_of_u(lab: Any) -> None:
    """Same equation, same bits, whichever keys are written; values, sides and results go by the field."""
    found = []
    for keys in (("u", "v", "w"), ("u_t", "v_t", "w_t"), ("u", "v_t", "w")):
        rates = dict(zip(keys, RATES.values(), strict=True))
        tables = {
            "parameters": {"D": 0.3},
            "initial": {"v": "x"},
            "boundary": {"u": {"xmin": {"dirichlet": 1.0}}},
            "output": {"fields": ["u", "w"]},
        }
        solution = lab.solve(lab.case(rates, 9, 8, periodic="y", time={"steps": 3}, **tables))
        assert solution.problem.equation.formula.startswith("u_t = D*laplace(u) - dx(v),  v_t = ")
        assert [info.name for info in solution.problem.recorded] == ["u", "w"]
        found.append(solution.fields)
    for other in found[1:]:
        for name in "uvw":
            np.testing.assert_array_equal(other[name], found[0][name])


def test_the_key_is_one_of_a_file_of_set_and_of_python(tmp_path: Path) -> None:
    text = (
        "[grid]\nx = { cells = 8, range = [0, 1] }\n[evolve]\nu_t = 'laplace(u)'\n[initial]\nu = 'x'\n[time]\nend = 1\n"
    )
    path = tmp_path / "case.toml"
    path.write_text(text)
    cases = [
        Case.load(path, ["evolve.u_t=2*laplace(u)"]),
        make_case(Case.load(path), evolve={"u_t": "2*laplace(u)"}),
        make_case(
            grid={"x": {"cells": 8, "range": (0, 1)}},
            evolve={"u_t": "2*laplace(u)"},
            initial={"u": "x"},
            time={"end": 1},
        ),
    ]
    for case in cases:
        assert pose(case).equation.formula == "u_t = 2*laplace(u)"
    with pytest.raises(CaseError, match=r"evolve\.u: evolve\.u_t gives the rate of u already; give one of the two"):
        pose(Case.load(path, ["evolve.u=u"]))


@pytest.mark.parametrize(
    ("evolve", "words"),
    [
        ({"u": "u", "u_t": "u"}, "evolve.u_t: evolve.u gives the rate of u already"),
        ({"u_tt": "u", "u": "u"}, "evolve.u: evolve.u_tt gives the rate of u already"),
        ({"u_t": "u", "u_tt": "u"}, "evolve.u_tt: evolve.u_t gives the rate of u already"),
        ({"u_t": "u", "v_tt": "v"}, "evolve.u_t: v_tt gives a second time derivative, so all must; write u_tt"),
        ({"x_t": "1"}, "evolve.x_t: 'x' is a name of the language"),
        ({"_t": "1"}, "evolve._t: not a name that can be used"),
        ({"sin_t": "1"}, "evolve.sin_t: 'sin' is a name of the language"),
    ],
)
def test_two_rates_of_a_field_and_names_that_cannot_be(evolve: dict[str, str], words: str) -> None:
    with pytest.raises(CaseError, match=re.escape(words)):
        user_equation(evolve, {}, {}, {}, ["x"])
