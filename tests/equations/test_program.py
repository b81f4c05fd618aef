"""Equations as stages: how many, what they read, how far they reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.equation import Equation, Parameter
from parsolve.equations.operators import OPERATORS, has_operator
from parsolve.equations.program import Program, build
from parsolve.equations.stencils import ORDERS

DIMENSIONS = (("x",), ("x", "y"), ("x", "y", "z"))


def program(rate: str, *, axes: str = "xy", order: int = 2, **define: str) -> Program:
    equation = Equation(
        name="test",
        formula=rate,
        fields={"u": "field"},
        parameters={"D": Parameter(1.0, "1", "coefficient")},
        evolve={"u": rate},
        source="test",
        define=define,
    )
    return build(equation, tuple(axes), order)


@pytest.mark.parametrize("order", ORDERS)
def test_stages_of_the_catalogue(order: int) -> None:
    half = order // 2
    two_levels = {"cahn-hilliard": "mu", "kuramoto-sivashinsky": "laplace_u", "swift-hohenberg": "laplace_u"}
    for name, equation in CATALOGUE.items():
        for axes in DIMENSIONS:
            p = build(equation, axes, order)
            assert p.unknowns == equation.unknowns
            assert p.intermediate == ((two_levels[name],) if name in two_levels else ()), name
            assert p.radius == half, name
            assert p.ghost == (order if name in two_levels else half), name
            assert all(stage.radius <= half and not stage.corners for stage in p.stages)
            if name in two_levels:
                assert p.reach[two_levels[name]] == half
                assert p.reach[equation.unknowns[0]] == order


def test_only_fields_with_neighbours_are_exchanged() -> None:
    assert build(CATALOGUE["wave"], ("x",), 2).exchanged == ("u",)
    assert build(CATALOGUE["gray-scott"], ("x",), 2).exchanged == ("u", "v")
    assert program("-u").exchanged == ("u",)  # one of them at least: it gives the ghosts their depth
    assert program("-u").ghost == 1


def test_second_order_in_time_is_a_system_or_an_acceleration() -> None:
    system = build(CATALOGUE["wave"], ("x", "y"), 4)
    alone = build(CATALOGUE["wave"], ("x", "y"), 4, acceleration=True)
    assert system.unknowns == ("u", "u_t")
    assert alone.unknowns == ("u",)
    assert alone.rate.inputs == ("u",)


def test_each_stage_has_one_level_of_operators_and_uses_earlier_ones() -> None:
    p = program("laplace(biharmonic(u)) + dx(u*laplace(u)) + mu", mu="D*laplace(u) - u**3", order=4)
    known = {"u"}
    for stage in p.stages:
        assert set(stage.inputs) <= known
        known |= set(stage.outputs)
        for e in stage.expressions:
            inner = [a for s in _operators(e) for a in s.args if has_operator(a)]
            assert not inner
    assert p.reach["u"] == p.ghost == 3 * 2
    assert p.radius == 2
    assert program("dx(u*laplace(u)) + biharmonic(u)").intermediate == ("laplace_u", "intermediate_1")


def _operators(e: Any) -> list[Any]:
    import sympy

    return [s for s in sympy.preorder_traversal(e) if type(s).__name__ in OPERATORS]


def test_a_stage_is_made_once_and_used_wherever_it_stands() -> None:
    p = program("laplace(laplace(u)) - 2*laplace(u)")
    assert p.intermediate == ("laplace_u",)
    assert "laplace_u" in p.rate.inputs
    assert "u" not in p.rate.inputs


def test_a_definition_that_no_operator_takes_is_no_stage() -> None:
    assert program("laplace(u) + w", w="u**2 - u").intermediate == ()
    assert program("laplace(w)", w="u**2 - u").intermediate == ()  # its value is computed at the neighbours
    assert program("laplace(w)", w="dx(u)").intermediate == ("w",)


def test_derivatives_along_absent_axes_are_zero() -> None:
    alone = program("dx(u)", axes="x").rate.operations
    assert program("dx(u) + dy(u) + dz(u) + dxy(u) + dzz(u)", axes="x").rate.operations == alone


def test_mixed_derivatives_read_corners() -> None:
    assert program("dxy(u)").rate.corners
    assert program("dxy(u)", order=4).radius == 2
    assert not program("laplace(u)").rate.corners


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("nested", "inner", "outer"),
    [
        ("biharmonic(u)", "laplace(u)", "laplace(u)"),
        ("dx(dy(u))", "dy(u)", "dx(u)"),
        ("laplace(u**3 - u - 0.1*laplace(u))", "u**3 - u - 0.1*laplace(u)", "laplace(u)"),
        ("dx(u*dx(u))", "u*dx(u)", "dx(u)"),
    ],
)
def test_nested_operators_are_the_operators_one_after_the_other(
    lab: Any, nested: str, inner: str, outer: str, order: int
) -> None:
    """Bit for bit: the intermediate field beyond the owned cells is what an exchange would bring."""

    def rate(text: str, values: np.ndarray) -> np.ndarray:
        run = {"order": order, "device": "numpy"}
        found: np.ndarray = lab.rate(lab.case({"u": text}, 9, 7, length=[1.0, 1.1], run=run))(u=values)["u"]
        return found

    u = np.random.default_rng(order).uniform(-1, 1, (7, 9))
    np.testing.assert_array_equal(rate(nested, u), rate(outer, rate(inner, u)))


def test_what_a_definition_brings_along_is_a_stage_too() -> None:
    """A definition that is put in place may have operators in operators, with definitions again."""
    define = {"v": "dx(u)", "w": "laplace(v + x)"}
    assert program("w", **define).intermediate == ("intermediate_1",)
    deep = program("dxx(sin(w))", **define)
    assert deep.intermediate == ("intermediate_2", "sin_w")
    made = {"u"}
    for stage in deep.stages:
        assert set(stage.inputs) <= made
        assert not {str(s) for e in stage.expressions for s in e.free_symbols} & set(define)
        made |= set(stage.outputs)
