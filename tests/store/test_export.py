"""What is written in other formats is opened by the readers of others, and gives the same values to the last bit."""

from __future__ import annotations

import csv
import json
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import vtk
import xarray
from vtk.util.numpy_support import vtk_to_numpy

from parsolve.ensemble.operations import convert
from parsolve.errors import ResourceError, SetupError
from parsolve.store.export import WRITERS, to_zarr
from parsolve.store.files import is_result
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mpi4py import MPI

SHAPES = [(11,), (4, 7), (3, 4, 5)]


@pytest.fixture(
    params=[(shape, kind, dtype) for shape, kind, dtype in zip(SHAPES, "aib", ("f8", "f4", "f8"), strict=True)]
)
def source(request: pytest.FixtureRequest, alone: Any, tmp_path: Path) -> Path:
    """Results of one, two and three axes; one of them an index over frames."""
    shape, kind, dtype = request.param
    alone.result(tmp_path / "a.h5", *shape, dtype=dtype, keep_frames=kind == "i")
    return tmp_path / "a.h5"


@pytest.fixture
def written(source: Path, solo: MPI.Intracomm) -> Callable[[str], Path]:
    def write(to: str) -> Path:
        target = source.with_name("b" + WRITERS[to][0])
        convert(solo, source, target, False, to)
        return target

    return write


def values(source: Path, name: str) -> Any:
    with open_result(source) as result:
        return np.stack([result.read(name, n) for n in range(len(result.times))])


def same_as(source: Path, data: xarray.Dataset) -> None:
    with open_result(source) as result:
        assert set(data.data_vars) == {*result.fields, "step"}
        for name in result.fields:
            assert data[name].dims == ("time", *result.axes)
            assert data[name].dtype == result.dtype
            assert np.array_equal(data[name].values, values(source, name))
        assert data["u"].attrs["units"] == "K"
        assert data["u"].attrs["long_name"] == "temperature"
        assert np.array_equal(data["time"], result.times)
        assert np.array_equal(data["step"], result.steps)
        for axis in result.axes:
            assert np.array_equal(data[axis], result.file[axis])
        assert data.attrs["title"] == "a plate"
        assert data.attrs["parsolve_case"] == result.provenance["case"]


def test_what_is_written_is_not_taken_for_a_result(written: Callable[[str], Path]) -> None:
    assert not is_result(written("netcdf"))


def test_a_full_disk_is_an_error_of_netcdf_too(
    source: Path, written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ResourceError, match=r"b\.nc"):
        written("netcdf")
    assert not list(source.parent.glob("*b.nc*"))


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_netcdf(source: Path, written: Callable[[str], Path], engine: str) -> None:
    with xarray.open_dataset(written("netcdf"), engine=engine) as data:
        same_as(source, data)


def test_zarr(source: Path, written: Callable[[str], Path]) -> None:
    path = written("zarr")
    with xarray.open_zarr(path, consolidated=False) as data:
        same_as(source, data)
    assert json.loads((path / "zarr.json").read_text())["zarr_format"] == 3


def test_npz(source: Path, written: Callable[[str], Path]) -> None:
    path = written("npz")
    with np.load(path) as data, open_result(source) as result:
        assert set(data.files) == {*result.fields, *result.axes, "time", "step", "provenance"}
        for name in result.fields:
            assert np.array_equal(data[name], values(source, name))
        assert json.loads(str(data["provenance"])) == result.provenance
    first = path.read_bytes()
    path.unlink()
    written("npz")
    assert path.read_bytes() == first


def test_csv(source: Path, written: Callable[[str], Path]) -> None:
    with written("csv").open() as file:
        rows = list(csv.DictReader(file))
    with open_result(source) as result:
        assert [int(row["step"]) for row in rows] == result.steps.tolist()
        assert [float(row["time"]) for row in rows] == result.times.tolist()
    for n, row in enumerate(rows):
        u = values(source, "u")[n].astype("f8")
        assert [float(row["u_min"]), float(row["u_max"])] == [u.min(), u.max()]
        assert float(row["u_mean"]) == pytest.approx(u.mean(), rel=1e-14)
        assert float(row["u_std"]) == pytest.approx(u.std(), rel=1e-13)


def test_xdmf_is_read_by_vtk(source: Path, written: Callable[[str], Path]) -> None:
    reader = vtk.vtkXdmfReader()
    reader.SetFileName(str(written("xdmf")))
    reader.UpdateInformation()
    times = reader.GetOutputInformation(0).Get(vtk.vtkStreamingDemandDrivenPipeline.TIME_STEPS())
    with open_result(source) as result:
        assert list(times) == result.times.tolist()
        grid = result.grid
    for n, time in enumerate(times):
        reader.UpdateTimeStep(time)
        block = reader.GetOutputDataObject(0)
        while block.IsA("vtkMultiBlockDataSet"):
            block = block.GetBlock(0)
        for name in ("u", "v"):
            found = vtk_to_numpy(block.GetCellData().GetArray(name))
            assert np.array_equal(found, values(source, name)[n].ravel())
        bounds = np.array(block.GetBounds()).reshape(3, 2)[::-1]
        assert bounds[:, 0] == pytest.approx(grid.lower)
        assert bounds[:, 1] == pytest.approx(np.array(grid.lower) + np.array(grid.spacing) * grid.cells)


def test_a_folder_of_the_name_zarr_is_not_the_package(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.result(tmp_path / "a.h5", 4)
    monkeypatch.setitem(sys.modules, "zarr", ModuleType("zarr"))  # what a folder without files of Python is
    with open_result(tmp_path / "a.h5") as result, pytest.raises(SetupError, match="extra convert"):
        to_zarr(result, tmp_path / "a.zarr", tmp_path / "a.zarr")


def test_vtkhdf_is_read_by_vtk(source: Path, solo: MPI.Intracomm) -> None:
    target = source.with_name("b.vtkhdf")
    convert(solo, source, target, False, "vtkhdf")
    reader = vtk.vtkHDFReader()
    reader.SetFileName(str(target))
    reader.UpdateInformation()
    reader.SetStep(2)
    reader.Update()
    found = vtk_to_numpy(reader.GetOutput().GetCellData().GetArray("v"))
    assert np.array_equal(found, values(source, "v")[2].ravel())
