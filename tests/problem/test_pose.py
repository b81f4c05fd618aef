"""A case against its equation: names that belong to it, and parameters of one's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve import Case, make_case, open_result, solve
from parsolve.errors import CaseError
from parsolve.problem.pose import pose
from parsolve.store.layout import RESERVED

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


def heat(**tables: Any) -> Any:
    grid = {"x": {"cells": 8, "range": (0, 1)}, "y": {"cells": 4, "range": (0, 1)}}
    return make_case(**{"equation": "heat", "grid": grid, "initial": {"u": "x"}, "time": {"steps": 5}} | tables)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (
            {"boundary": {"u": {"xmin": {"robin": ["h", 1, "h*20"]}}}},
            {"boundary": {"u": {"xmin": {"robin": [3, 1, 60]}}}},
        ),
        ({"boundary": {"u": {"xmax": {"neumann": "-h*t"}}}}, {"boundary": {"u": {"xmax": {"neumann": "-3*t"}}}}),
        ({"initial": {"u": "h*x"}}, {"initial": {"u": "3*x"}}),
    ],
)
def test_own_parameters_stand_in_initial_and_boundary_values(tmp_path: Path, text: Any, number: Any) -> None:
    found = []
    for name, tables in (("a", {"parameters": {"h": 3}} | text), ("b", number)):
        solve(heat(**tables), tmp_path / f"{name}.h5")
        with open_result(tmp_path / f"{name}.h5") as result:
            found.append(result.read("u", -1))
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"d": 3}, "heat has no such parameter, and no initial or boundary value uses it; did you mean 'D'?"),
        ({"h": 3}, "heat has no such parameter"),  # of "hx" alone
        ({"x": 3}, "'x' is a name of the language or a field"),
        ({"sin": 3}, "'sin' is a name of the language or a field"),
    ],
)
def test_a_parameter_that_changes_nothing_is_refused(parameters: dict[str, float], words: str) -> None:
    case = heat(initial={"u": "sin(x) + hx"}, parameters=parameters | {"hx": 1})
    with pytest.raises(CaseError) as caught:
        pose(case)
    assert words in str(caught.value)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("scheme", ["bs23", "dp45"])
def test_a_tolerance_that_the_precision_cannot_meet_is_refused(scheme: str, precision: str) -> None:
    """And the least that is named is taken."""
    least = 8 * float(np.finfo(precision).eps)
    for factor in (0.999, 1e-3):
        time = {"end": 1.0, "scheme": scheme, "tolerance": factor * least}
        with pytest.raises(CaseError, match=rf"time\.tolerance: .* is below what {precision} resolves") as caught:
            pose(heat(time=time, run={"precision": precision}))
        named = float(str(caught.value).split("at least ")[1].split()[0])
        assert named >= least
        pose(heat(time=time | {"tolerance": named}, run={"precision": precision}))


@pytest.mark.mpi
@pytest.mark.parametrize(("axis", "wall", "order"), [("x", "y", 8), ("y", "x", 2), ("x", "z", 4)])
@pytest.mark.parametrize(
    ("rate", "low", "high"),
    [
        ("dxy(u)", {"dirichlet": "sin(pi*s)"}, {"neumann": "cos(t)*sin(pi*s)"}),
        ("dx(dy(u)**2*u) + dy(dx(u)**2*u)", {"dirichlet": "sin(pi*s)"}, {"curvature": "sin(3*pi*s)"}),
        ("dxy(u)", {"robin": ["2 + cos(2*pi*s)", -1, "sin(pi*s)"]}, {"robin": [1, "3 + sin(2*pi*s)", "sin(pi*s)"]}),
        ("div(k*grad(u)) + dxy(u)", {"neumann": "sin(pi*s)"}, {"neumann": "cos(pi*s)"}),
    ],
)
def test_half_of_a_periodic_axis_with_two_opposite_halves_is_an_anti_periodic_one(
    lab: Any, comm: MPI.Intracomm, rate: str, low: Any, high: Any, axis: str, wall: str, order: int
) -> None:
    """Whatever walls impose along it, also on intermediate fields; coefficients are the same in both halves."""
    axes = "xyz" if wall == "z" else "xy"
    rate = f"{rate} + dxy(cube) + u*dxy(square)"
    define = {"cube": "u**2*laplace(u)", "square": "u*laplace(u)"}

    def along(side: dict[str, Any]) -> dict[str, Any]:
        return json.loads(json.dumps(side).replace("*s)", f"*{axis})"))

    sides = {f"{wall}min": along(low), f"{wall}max": along(high)}
    squares = {f"{wall}min": along({"dirichlet": "sin(pi*s)**2"})}
    found = []
    for halves in (2, 1):
        case = lab.case(
            {"u": rate if wall != "z" else rate.replace("dxy", "dxz")}, *(32 * halves if a == axis else 16 for a in axes),
            length=[float(halves) if a == axis else 1.0 for a in axes], periodic=axis if halves == 2 else "",
            define=define, fields={"k": f"where(sin(2*pi*{axis}) > 0.3, 5, 1)*where({wall} > 0.1, 3, 1)"}, run={"order": order},
            initial={"u": f"sin(pi*{axis})*(1 + {wall}) + 0.3*cos(3*pi*{axis})"},
            boundary={"u": sides, "cube": sides, "square": squares}, time={"steps": 2, "dt": 1e-7, "scheme": "rk4"},
        )  # fmt: skip
        case["grid"][axis]["periodic"] = True if halves == 2 else "anti"
        found.append(lab.solve(case, comm).fields["u"])
    half = found[0].take(range(32), -1 - "xyz".index(axis))
    assert np.abs(half - found[1]).max() < 1e-12 * np.abs(half).max()


@pytest.mark.parametrize("name", sorted(RESERVED - {"x", "y", "z"}))
@pytest.mark.parametrize("ending", ["", "_t", "_tt"])
def test_names_of_the_result_file_are_refused_with_their_line(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(
        f"initial.{name} = 0\ntime.steps = 1\n[evolve]\n{name}{ending} = 'laplace({name})'\n"
        "[grid]\nx = { cells = 8, range = [0, 1] }\n"
    )
    with pytest.raises(
        CaseError, match=rf"case\.toml:4: evolve\.{name}{ending}: '{name}' is a name of the result file"
    ):
        pose(Case.load(path))
