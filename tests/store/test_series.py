"""Time series: lines while a run goes on, data sets in its result."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from parsolve.errors import StorageError
from parsolve.store.series import Coordinate, Series, SeriesFile, series_in, series_of, table_of, write_series

STEPS, TIMES = np.array([0, 10, 20]), np.array([0.0, 0.1, 0.30000000000000004])
MASS = Series("mass", STEPS, TIMES, np.array([1.0, 1 / 3, np.nan]), "kg", "mass in all")
FRONT = Series("front", STEPS[:2], TIMES[:2], np.array([-1e300, 5e-324]), own=True)
BINS = Coordinate("bin", np.array([0.1, 1 / 3]))
CELLS = Series("cells", STEPS, TIMES, np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 1e300]]), own=True, coordinate=BINS)


def filled(folder, series=MASS):
    several = {series.name: series.coordinate} if series.coordinate else {}
    file = SeriesFile(folder, [series.name], series.own, several)
    file.begin()
    for row in zip(series.steps, series.times, series.values, strict=True):
        file.add(int(row[0]), row[1], [row[2]])
    return file


def test_lines_hold_every_bit_and_belong_to_their_schedule(tmp_path):
    filled(tmp_path, MASS).keep()
    filled(tmp_path, FRONT)
    mass, front = series_of(tmp_path)
    assert (front.name, front.own, mass.name, mass.own) == ("front", True, "mass", False)
    for found, given in ((mass, MASS), (front, FRONT)):
        assert found.values.tobytes() == given.values.tobytes()
        assert found.times.tobytes() == given.times.tobytes()
        assert list(found.steps) == list(given.steps)


def test_a_run_goes_on_after_a_step_without_later_lines_and_without_a_line_that_a_kill_cut(tmp_path):
    file = filled(tmp_path)
    with file.path.open("a") as cut:
        cut.write("30,0.4,0.12")
    assert len(series_of(tmp_path)[0].steps) == 3
    file.go_on(10, [])
    file.add(20, 0.3, [7.0])
    assert [list(series_of(tmp_path)[0].steps), list(series_of(tmp_path)[0].values)] == [[0, 10, 20], [1.0, 1 / 3, 7.0]]


def test_lines_that_only_the_result_has_are_taken_from_there(tmp_path):
    SeriesFile(tmp_path, ["mass"]).go_on(10, [MASS])
    assert list(series_of(tmp_path)[0].steps) == [0, 10]
    with pytest.raises(StorageError, match="is missing"):
        SeriesFile(tmp_path, ["front"], own=True).go_on(10, [MASS])
    with pytest.raises(StorageError, match="other measures"):
        SeriesFile(tmp_path, ["volume"]).go_on(10, [MASS])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step,time\n",
        "a,b,c\n",
        "step,time,mass\n1,2\n",
        "step,time,mass\n1,x,2\n",
        "step,time,mass\n1,0,2\n1,0,2\n",
        "step,time,mass\n-1,0,2\n",
    ],
)
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "series.csv").write_text(text)
    with pytest.raises(StorageError, match=r"series\.csv"):
        series_of(tmp_path)


def test_what_is_no_file_is_not_waited_for_and_no_measure_is_there_twice(tmp_path):
    os.mkfifo(tmp_path / "series.csv")
    with pytest.raises(StorageError, match=r"series\.csv: is no file of time series"):
        series_of(tmp_path)
    (tmp_path / "series.csv").unlink()
    (tmp_path / "series.copy.csv").write_bytes(filled(tmp_path).path.read_bytes())
    with pytest.raises(StorageError, match=r"series\.csv: has 'mass', as series\.copy\.csv has"):
        series_of(tmp_path)


def test_a_result_gives_them_back_and_xarray_opens_them(tmp_path):
    xarray = pytest.importorskip("xarray")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_series(file, [MASS, FRONT], "s")
    with h5py.File(tmp_path / "a.h5") as file:
        mass, front = sorted(series_in(file), key=lambda s: s.own)
    assert (mass.units, mass.long_name, front.own) == ("kg", "mass in all", True)
    assert mass.values.tobytes() == MASS.values.tobytes()
    assert list(front.times) == list(FRONT.times)
    with xarray.open_dataset(tmp_path / "a.h5", group="series", engine="h5netcdf") as data:
        assert data["mass"].dims == ("time",)
        assert data["front"].dims == ("front_time",)
        assert data["time"].attrs["units"] == "s"


def test_as_text_for_a_spreadsheet():
    assert list(table_of([MASS]))[:2] == ["step,time,mass", "0,0.0,1.0"]
    head = "step,time,mass,cells[bin=0.1],cells[bin=0.3333333333333333]"
    assert list(table_of([MASS, CELLS]))[:2] == [head, "0,0.0,1.0,1.0,2.0"]


def test_several_numbers_have_a_column_for_each_and_their_coordinate_in_a_result(tmp_path):
    filled(tmp_path, CELLS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_series(file, [MASS, CELLS])
        found = {s.name: s for s in series_in(file)}
        assert found.keys() == {"mass", "cells"}
    for cells in (found["cells"], series_of(tmp_path)[0]):
        assert (cells.own, cells.columns) == (True, ["cells[bin=0.1]", "cells[bin=0.3333333333333333]"])
        assert cells.values.tobytes() == CELLS.values.tobytes()
    (tmp_path / "series.cells.csv").unlink()
    SeriesFile(tmp_path, ["cells"], True, {"cells": BINS}).go_on(10, [MASS, CELLS])
    assert series_of(tmp_path)[0].values.tolist()[0] == [1.0, 2.0]
    with pytest.raises(StorageError, match="other measures"):
        SeriesFile(tmp_path, ["cells"], True, {"cells": Coordinate("bin", np.array([0.1, 0.2]))}).go_on(10, [])
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["series/cells_bin"]
        with pytest.raises(StorageError, match="no coordinate"):
            series_in(file)
