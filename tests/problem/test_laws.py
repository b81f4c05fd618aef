"""What is said of walls: laws that are linear are the conditions that they are, and names stand for what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve import make_case
from parsolve.errors import CaseError, NumericalError
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from conftest import Lab

NUMBERS = {"h": 1.7, "k": 0.3, "T": 2.0}
LINEAR: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"neumann": "h*(T - u)"}, {"robin": ["h", 1, "h*T"]}),
    ({"neumann": "h*(T*cos(9*t) - u) - k*u + y"}, {"robin": ["h + k", 1, "h*T*cos(9*t) + y"]}),
    ({"neumann": "where(y < 0.5, h*(T - u), k*t)"}, {"robin": ["where(y < 0.5, h, 0)", 1, "where(y < 0.5, h*T, k*t)"]}),
    ({"neumann": "u/2 - h*(1 + t)*(u - y)*k"}, {"robin": ["h*k*(1 + t) - 1/2", 1, "h*k*y*(1 + t)"]}),
    ({"robin": ["h", "1 + y", "k*u + T"]}, {"robin": ["h - k", "1 + y", "T"]}),
    ({"robin": ["h + 0*u", 1, "u - k*(1 + u)"]}, {"robin": ["h + k - 1", 1, "-k"]}),
    ({"dirichlet": "k*(u + y)"}, {"robin": ["1 - k", 0, "k*y"]}),
    ({"dirichlet": "cooler"}, {"dirichlet": "T - k*t"}),
    ({"neumann": "0*u"}, {"neumann": 0.0}),
    ({"neumann": "skin*(cooler - u)"}, {"robin": ["h*(1 + x)", 1, "h*(1 + x)*(T - k*t)"]}),
    ({"robin": ["skin", 1, "constant - u"]}, {"robin": ["1 + h*(1 + x)", 1, "0.25"]}),
    ({"curvature": "cooler"}, {"curvature": "T - k*t"}),
]


def plate(lab: Lab, wall: dict[str, Any], **tables: Any) -> dict[str, Any]:
    define = {"cooler": "T - k*t", "third": "u*square", "square": "u**2 - 1/T"}
    given = {"define": define, "fields": {"skin": "h*(1 + x)", "constant": 0.25}}
    time = {"steps": 9, "dt": "auto", "scheme": "euler"}
    boundary = {"u": {"xmax": wall}}
    return lab.case(
        {"u": "laplace(u)"}, 12, 8, periodic=False, boundary=boundary,
        parameters=NUMBERS, **{"time": time, "initial": {"u": "1 + x*y"}, **given, **tables},
    )  # fmt: skip


@pytest.mark.parametrize(("law", "table"), LINEAR)
@pytest.mark.parametrize("order", [2, 4])
def test_a_linear_law_has_the_bits_of_the_table(
    lab: Lab, law: dict[str, Any], table: dict[str, Any], order: int
) -> None:
    """And the length of its steps, in passes."""
    cases = [plate(lab, wall, run={"order": order}) for wall in (law, table)]
    problem = pose(make_case(cases[0]))
    assert not problem.walls
    found, known = map(lab.solve, cases)
    assert found.dt == known.dt
    np.testing.assert_array_equal(found.fields["u"], known.fields["u"])


def test_what_is_defined_stands_for_its_text(lab: Lab) -> None:
    """Where it names fields too; a coefficient field has the value of its expression at the wall itself."""
    walls = ({"neumann": "-k*skin*third"}, {"neumann": "-k*2*h*(u**3 - u/T)"})
    found, known = (lab.solve(plate(lab, wall)) for wall in walls)
    np.testing.assert_allclose(found.fields["u"], known.fields["u"], rtol=1e-13)


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        ({"neumann": "steep - u"}, "neumann: 'steep' has no value at a wall: it holds derivatives"),
        ({"neumann": "steeper*u"}, "neumann: 'steep' has no value at a wall: it holds derivatives"),
        ({"robin": [1, "total", "u"]}, r"robin\[1\]: 'total' has no value at a wall: it holds an integral"),
        ({"dirichlet": "rough"}, "dirichlet: 'rough' has no value at a wall: it holds noise"),
        ({"dirichlet": "shaken + u"}, "dirichlet: 'shaken' has no value at a wall: it holds noise"),
        ({"dirichlet": "sand"}, "dirichlet: there is no noise at a wall"),
        ({"dirichlet": "stored"}, "dirichlet: 'stored' has no value at a wall: it is given at cells alone"),
        ({"curvature": "third"}, "curvature: cannot depend on fields"),
    ],
)
def test_what_has_no_value_at_a_wall_is_told(lab: Lab, wall: dict[str, Any], text: str) -> None:
    define = {"steep": "dx(u)", "steeper": "2*steep", "total": "integral(u)", "rough": "noise(seed=1)", "third": "u**3",
              "shaken": "noise(seed=2, each='step')"}  # fmt: skip
    fields = {"sand": "noise(seed=1)", "stored": np.ones((8, 12))}
    case = lab.case(
        {"u": "laplace(u)"}, 12, 8, periodic=False, boundary={"u": {"xmax": wall}}, define=define, fields=fields
    )
    with pytest.raises(CaseError, match=rf"boundary\.u\.xmax\.{text}"):
        pose(make_case(case))


@pytest.mark.parametrize(("order", "most"), [(2, 12.0), (4, 12 * (1 + 1 / 3 + 1 / 5 + 1 / 7))])
def test_a_linear_law_grows_no_faster_than_is_resolved(lab: Lab, order: int, most: float) -> None:
    """By half the slope between wall and cells, as beside walls that are solved place by place; then its place is told.

    From the start, and later in time.
    """
    run, text = {"order": order}, r"xmax\.neumann: no value of u at the wall meets it at t = {}, cell y = {}: it has"
    lab.solve(plate(lab, {"neumann": f"{0.999 * most!r}*u"}, run=run, time={"steps": 1, "dt": 1e-9}))
    for factor, place in (("1", 0), ("where(y > 0.5, 1, 0)", 4)):
        with pytest.raises(CaseError, match=text.format(0, place)):
            lab.solve(plate(lab, {"neumann": f"{1.001 * most!r}*{factor}*u"}, run=run))
    late = {"neumann": f"{most!r}*where(y > 0.5, t/0.0005, 0)*u"}
    with pytest.raises(NumericalError, match=text.format(r"0\.0005\d*", 4)):
        lab.solve(plate(lab, late, run=run, time={"end": 0.1, "unstable": "allow", "dt": 1e-5}))
