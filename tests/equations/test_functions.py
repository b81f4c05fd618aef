"""The functions of the language are their own: SymPy and mpmath take none of them for one of theirs."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

from parsolve.equations import functions

HEADS = [h for h in vars(functions).values() if isinstance(h, type) and issubclass(h, sympy.Function)]


@pytest.mark.parametrize(
    "value", [sympy.Integer(2), sympy.Float(1.25), sympy.Float(0.5), sympy.Rational(5, 4)], ids=str
)
@pytest.mark.parametrize("head", [*HEADS, *functions.AXIS_OPERATORS.values()])
def test_a_call_on_numbers_stays_as_it_is_written(head: Any, value: Any) -> None:
    arguments = (value,) * min(head.nargs)
    made = head(*arguments)
    assert type(made) is head
    assert made.args == arguments
