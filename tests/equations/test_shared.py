"""Problems of one process that share texts and names share their program, whatever the values of parameters."""

from __future__ import annotations

from dataclasses import replace

from parsolve.equations.program import build
from parsolve.equations.shared import library_of, program_of
from parsolve.equations.user import user_equation


def test_what_has_other_values_alone_is_the_same_program() -> None:
    def made(text: str = "D*dxx(u) + F*u", order: int = 2, **parameters: float) -> object:
        return program_of(user_equation({"u": text}, parameters, {}, {}, ("x",)), ("x",), order, False, 1)

    one = made(D=1.0, F=2.0)
    assert made(D=0.5, F=-2.0) is one
    others = [made("D*dxx(u) - F*u", D=1.0, F=2.0), made(order=4, D=1.0, F=2.0), made(D=1.0, F=2.0, G=1.0)]
    assert all(other is not one for other in others)


def test_it_is_what_build_makes() -> None:
    equation = user_equation({"u": "c*dxx(u) + a*u**3"}, {"c": 1.0, "a": -1.0}, {}, {}, ("x",))
    shared = program_of(replace(equation), ("x",), 4, False, 2)
    alone = build(equation, ("x",), 4, terms=2)
    assert shared.stages == alone.stages
    assert library_of(shared) == library_of(alone)
