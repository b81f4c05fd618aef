"""Measures of a state are those of NumPy over the whole grid, and have the same bits on any ranks and parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from parsolve.case import Case
from parsolve.domain.redistribute import allgather
from parsolve.errors import CaseError
from parsolve.problem.layout import decide
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare
from parsolve.stages import sampling

MEASURES = {
    "mass": "integral(u)", "mean": "mean(u)", "low": "min(u)", "high": "max(u)", "dev": "std(u)", "l2": "norm(u)",
    "many": "count(u > 0.2)", "where_x": "at_max(u, x)", "where_y": "at_min(u, y)", "slope": "max(dx(u))",
    "energy": "integral(dot(grad(u), grad(u)))/2", "spread": "mean((u - mean(u))**2)", "curved": "max(dx(g))",
    "mixed": "2*D*max(u) - min(u)*t", "front": "max(where(u > 0.5, x, -1))",
}  # fmt: skip


def measured(lab, comm, **tables):
    case = lab.case(
        {"u": "D*laplace(u)"}, 20, 14, periodic="x", parameters={"D": 0.5}, define={"g": "dx(u)"},
        initial={"u": "sin(2*pi*x)*cos(pi*y) + 0.1*noise(seed=3)"}, time={"end": 0.01}, measure=MEASURES, **tables,
    )  # fmt: skip
    problem = pose(Case.from_dict(case), comm)
    march = prepare(problem, decide(problem, comm), comm)
    try:
        values = march.looking.measure(march.state, 0.25)
        return values, allgather(march.state["u"].owned, march.state["u"].subdomain), problem.grid
    finally:
        march.free()


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_they_are_what_numpy_makes_of_the_whole_grid(lab, comm, precision):
    found, u, grid = measured(lab, comm, run={"precision": precision})
    u = u.astype(float)
    x, y = grid.coordinates("x"), grid.coordinates("y")
    h, volume = grid.spacing[2], math.prod(grid.spacing)
    gx = (np.roll(u, -1, 1) - np.roll(u, 1, 1)) / (2 * h)
    wall = np.concatenate([u[:1], u, u[-1:]])
    gy = (wall[2:] - wall[:-2]) / (2 * grid.spacing[1])
    (_, at_x), (at_y, _) = (np.unravel_index(f, u.shape) for f in (u.argmax(), u.argmin()))
    expected = {
        "mass": u.sum() * volume, "mean": u.mean(), "low": u.min(), "high": u.max(), "dev": u.std(),
        "l2": math.sqrt((u**2).sum() * volume), "many": (u > 0.2).sum(), "where_x": x[at_x], "where_y": y[at_y],
        "slope": gx.max(), "energy": (gx**2 + gy**2).sum() * volume / 2, "spread": u.var(),
        "curved": ((np.roll(gx, -1, 1) - np.roll(gx, 1, 1)) / (2 * h)).max(), "mixed": u.max() - u.min() * 0.25,
        "front": np.where(u > 0.5, x, -1).max(),
    }  # fmt: skip
    tolerance = 1e-13 if precision == "float64" else 2e-6
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_parts_and_ranks_change_no_bit(lab, comm, solo, monkeypatch):
    values = [measured(lab, comm)[0]]
    for most in (1, 50):
        monkeypatch.setattr(sampling, "CELLS", most)
        values.append(measured(type(lab)(solo), solo)[0])
    assert values[0] == values[1] == values[2]


def test_without_a_compiler_they_are_the_same(lab, solo):
    compiled, plain = (measured(type(lab)(solo), solo, run={"device": d})[0] for d in ("cpu", "numpy"))
    assert compiled == plain


def test_a_value_that_is_not_finite_makes_its_measures_not_a_number(lab, solo):
    texts = {"a": "integral(log(u))", "b": "max(1/u)", "c": "at_max(sqrt(u), x)", "d": "max(u)"}
    case = lab.case("heat", 8, initial={"u": "x - 0.5"}, time={"end": 0.01}, measure=texts)
    problem = pose(Case.from_dict(case), solo)
    march = prepare(problem, decide(problem, solo), solo)
    found = march.looking.measure(march.state, 0.0)
    march.free()
    assert [math.isnan(found[name]) for name in "acd"] == [True, True, False]


@pytest.mark.parametrize("shape", [(9,), (9, 7), (9, 7, 6)])
def test_at_a_point_they_are_linear_between_centres_and_exact_for_linear_fields(lab, comm, shape):
    texts = {"inside": "x + 2*y - z", "corner": "x + 2*y - z"}
    for axis in "xyz"[len(shape) :]:
        texts = {name: text.replace(f" + 2*{axis}", "").replace(f" - {axis}", "") for name, text in texts.items()}
    points = {"inside": [0.41, 0.77, 0.23], "corner": [1.0, 0.0, 1.0]}
    measure = {}
    for name, text in texts.items():
        place = ", ".join(map(str, points[name][: len(shape)]))
        measure[name] = f"at({text}, {place})"
    case = lab.case("heat", *shape, periodic=False, initial={"u": "0"}, time={"end": 0.01}, measure=measure)
    problem = pose(Case.from_dict(case), comm)
    march = prepare(problem, decide(problem, comm), comm)
    found = march.looking.measure(march.state, 0.0)
    march.free()
    for name in ("inside", "corner"):
        x, y, z = (value if n < len(shape) else 0.0 for n, value in enumerate(points[name]))
        assert found[name] == pytest.approx(x + 2 * y - z, abs=1e-13)


@pytest.mark.parametrize("text", ["at(u)", "at(u, 2.0, 0.5)", "at(u, x, 0.5)", "at(u, 0.5)", "at(u, t, 0.5)"])
def test_points_outside_and_what_is_no_point_are_refused(lab, text):
    case = lab.case("heat", 8, 8, time={"end": 0.01}, measure={"m": text})
    with pytest.raises(CaseError, match="measure"):
        pose(Case.from_dict(case))


def test_of_equal_values_the_place_is_the_first_cell_also_where_later_parts_have_them(lab, comm, monkeypatch):
    monkeypatch.setattr(sampling, "CELLS", 1)
    texts = {
        "a": "at_max(where(u > 0.4, 0, -1), x)",
        "b": "at_min(where(u > 0.4, -1, 1), y)",
        "c": "at_max(where(u > 0.4, 0, -t), y)",
    }
    initial = {"u": "where((x > 0.5) and (y > 0.3), 1, 0)"}
    case = lab.case("heat", 10, 10, periodic=False, initial=initial, time={"end": 0.01}, measure=texts)
    problem = pose(Case.from_dict(case), comm)
    march = prepare(problem, decide(problem, comm), comm)
    again = [march.looking.measure(march.state, 0.0) for _ in range(2)]
    march.free()
    assert again[0] == again[1] == pytest.approx({"a": 0.55, "b": 0.35, "c": 0.05})
