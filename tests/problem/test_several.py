"""Histograms and spectra are those of NumPy over the whole grid, with the same bits on any ranks and parts."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve import Simulation, make_case, solve
from parsolve.case import Case
from parsolve.cli.main import main
from parsolve.domain.redistribute import allgather
from parsolve.domain.spectrum import radial_spectrum
from parsolve.errors import CaseError
from parsolve.problem.layout import decide
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare
from parsolve.problem.several import gathered
from parsolve.stages import sampling
from parsolve.store.compare import compare

MEASURES = {
    "cells": "histogram(u, -D, to=2*D, bins=7)", "steep": "histogram(dx(u)**2, from=0, to=30, bins=3)",
    "waves": "spectrum(u)", "curved": "spectrum(dx(u))", "top": "max(u)",
}  # fmt: skip
INITIAL = {"u": "sin(2*pi*x)*cos(4*pi*y) + 0.3*noise(seed=3)"}


def measured(lab, comm, precision="float64", **tables):
    case = lab.case({"u": "D*laplace(u)"}, 20, 14, parameters={"D": 0.5}, time={"end": 0.01}, run={"precision": precision},
                    **{"measure": MEASURES, "initial": INITIAL} | tables)  # fmt: skip
    problem = pose(Case.from_dict(case), comm)
    march = prepare(problem, decide(problem, comm), comm)
    try:
        values = march.looking.measure(march.state, 0.25)
        return values, allgather(march.state["u"].owned, march.state["u"].subdomain), problem
    finally:
        march.free()


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_they_are_what_numpy_makes_of_the_whole_grid(lab, comm, precision):
    found, u, problem = measured(lab, comm, precision)
    slope = (np.roll(u, -1, 1) - np.roll(u, 1, 1)).astype(float) / (2 * problem.grid.spacing[2])
    assert list(found["cells"]) == list(np.histogram(u.astype(float), np.linspace(-0.5, 1, 8))[0])
    assert list(found["steep"]) == list(np.histogram(slope**2, np.linspace(0, 30, 4))[0])
    assert found["waves"].tobytes() == radial_spectrum(u, problem.grid)[1].tobytes()
    tolerance = 1e-12 if precision == "float64" else 1e-5
    np.testing.assert_allclose(found["curved"], radial_spectrum(slope, problem.grid)[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_value_at_an_edge_is_in_the_bin_above_whatever_the_precision(solo, precision):
    edges = np.linspace(-0.3, 0.9, 13)  # of which some are rounded down in float32, some up
    case = make_case(
        evolve={"u": "0*u"}, grid={"x": {"cells": 15, "range": [0, 1]}}, time={"steps": 1, "dt": 1},
        initial={"u": [*edges, -0.4, 1.0]}, run={"precision": precision},
    )  # fmt: skip
    with Simulation(case, solo) as sim:
        found = [sim.measure(text) for text in ("histogram(u, -0.3, 0.9, 12)", "count(u < -0.3)", "count(u > 0.9)")]
    assert [*found[0], *found[1:]] == [*[1] * 11, 2, 1, 1]


def test_parts_and_ranks_change_no_bit(lab, comm, solo, monkeypatch):
    values = [measured(lab, comm)[0]]
    monkeypatch.setattr(sampling, "CELLS", 50)
    values.append(measured(type(lab)(solo), solo)[0])
    for name in MEASURES:
        assert np.asarray(values[0][name]).tobytes() == np.asarray(values[1][name]).tobytes()


def test_a_value_that_is_not_finite_leaves_no_number(lab, solo):
    found = measured(lab, solo, measure={"a": "histogram(log(u), 0, 1, 3)", "b": "spectrum(log(u))"})[0]
    assert [len(found["a"]), np.isnan(found["a"]).all(), np.isnan(found["b"]).all()] == [3, True, True]


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"measure": {"h": "histogram(u, D, 0, 4)"}}, r"measure\.h: 4 bins from 0\.5 to 0 do not increase"),
        ({"measure": {"s": "spectrum(u)"}, "periodic": "y"}, r"measure\.s: x is not periodic"),
        ({"measure": {"s": "spectrum(u)", "show": ["s"]}}, r"measure\.show: 's' is several numbers"),
        ({"measure": {"s": "spectrum(u)"}, "stop": {"when": "s > 1"}}, r"stop\.when: 's' is several numbers"),
        ({"measure": {"s": "spectrum(u)", "s_k": "max(u)"}}, r"measure\.s_k: 's_k' is a name of 's'"),
        ({"measure": {f"h{n}": "histogram(u, 0, 1, 10000)" for n in range(7)}}, "70000 numbers at once"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_the_run(lab, tables, why):
    case = lab.case({"u": "D*laplace(u)"}, 8, 8, parameters={"D": 0.5}, time={"end": 0.01}, **tables)
    with pytest.raises(CaseError, match=why):
        pose(Case.from_dict(case))


def test_the_rank_that_has_the_whole_field_needs_memory_for_it(lab):
    problem = pose(Case.from_dict(lab.case("heat", 8, 8, time={"end": 0.01}, measure={"s": "spectrum(u)"})))
    assert gathered(problem.measures, problem.grid, 8) == 64 * 32
    assert gathered(None, problem.grid, 8) == 0


def test_a_result_has_them_with_their_coordinates_as_table_and_for_xarray(solo, tmp_path, capsys):
    xarray = pytest.importorskip("xarray")
    case = make_case(
        evolve={"u": "0.01*laplace(u)"}, grid={"x": {"cells": 16, "range": [0, 2], "periodic": True}}, time={"steps": 4},
        initial={"u": "sin(4*pi*x)"},
        measure={"every_steps": 2, "h": "histogram(u, -1, 1, 4)", "s": {"of": "spectrum(u)", "every_steps": 4}},
    )  # fmt: skip
    summary = solve(case, tmp_path / "a.h5", solo)
    assert summary.measures == {}
    with xarray.open_dataset(tmp_path / "a.h5", group="series", engine="h5netcdf") as data:
        assert (data["h"].dims, data["s"].dims) == (("time", "h_bin"), ("s_time", "s_k"))
        assert list(data["h_bin"].values) == [-0.75, -0.25, 0.25, 0.75]
        assert data["h"].sum("h_bin").values.tolist() == [16, 16, 16]
        assert float(data["s"][0].idxmax()) == pytest.approx(4 * np.pi)
    assert main(["info", str(tmp_path / "a.h5"), "--series"], lambda: solo) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step,time,h[bin=-0.75],h[bin=-0.25],h[bin=0.25],h[bin=0.75]"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "2", "4"]
    other = make_case(case, initial={"u": "cos(4*pi*x)"}, measure={"h": "histogram(u, -1, 1, 5)"})
    solve(other, tmp_path / "b.h5", solo)
    told = [line for line in compare(tmp_path / "a.h5", tmp_path / "b.h5").lines if line.startswith("series")]
    assert told[0] == "series 'h': 3 x 4 and 3 x 5 values"
