"""The file opens in xarray, VTK and h5web-like readers with equal values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.store.layout import Content, FieldInfo, lay_out
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from pathlib import Path

    from parsolve.domain.grid import Grid

SHAPES = [(13,), (9, 8), (8, 7, 6), (1, 7, 6)]


@pytest.fixture(params=[(shape, keep) for shape in SHAPES for keep in (False, True)], ids=str)
def made(request: pytest.FixtureRequest, alone: Any, tmp_path: Path) -> tuple[Path, Grid, Any]:
    shape, keep = request.param
    grid = alone.result(tmp_path / "r.h5", *shape, keep_frames=keep)
    return tmp_path / "r.h5", grid, alone


def test_xarray_gets_named_dimensions_and_coordinates(made: tuple[Path, Grid, Any]) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    path, grid, maker = made
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert set(data.data_vars) == {"u", "v", "step"}
        assert data["u"].dims == ("time", *grid.names[::-1])
        assert data["time"].values.tolist() == [0.0, 0.5, 1.0]
        assert data["step"].values.tolist() == [0, 10, 20]
        assert data["v"].attrs == {"units": "m/s", "long_name": "speed"}
        for axis in grid.names:
            np.testing.assert_array_equal(data[axis].values, grid.coordinates(axis))
        for frame in range(3):
            np.testing.assert_array_equal(data["v"].isel(time=frame).values, maker.values(grid, "v", frame))


def test_vtk_reads_every_time(made: tuple[Path, Grid, Any]) -> None:
    pytest.importorskip("vtk")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOHDF import vtkHDFReader

    path, grid, maker = made
    reader = vtkHDFReader()
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == 3
    for frame in range(3):
        reader.SetStep(frame)
        reader.Update()
        image = reader.GetOutput()
        assert image.GetNumberOfCells() == grid.size
        assert reader.GetTimeValue() == frame / 2
        for place, axis in enumerate("xyz"):
            if axis in grid.names:
                assert image.GetOrigin()[place] == grid.lower[2 - place]
                assert image.GetSpacing()[place] == grid.spacing[2 - place]
        for name in ("u", "v"):
            values = vtk_to_numpy(image.GetCellData().GetArray(name))
            np.testing.assert_array_equal(values, maker.values(grid, name, frame).ravel())


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def test_a_nexus_walk_ends_at_the_data(made: tuple[Path, Grid, Any]) -> None:
    path, grid, maker = made
    with h5py.File(path, "r") as file:
        group: h5py.Group = file
        for kind in ("NXroot", "NXentry"):
            assert text(group.attrs["NX_class"]) == kind
            group = group[text(group.attrs["default"])]
        assert text(group.attrs["NX_class"]) == "NXdata"
        signal = group[text(group.attrs["signal"])]
        np.testing.assert_array_equal(signal[1], maker.values(grid, "u", 1))
        axes = [text(axis) for axis in group.attrs["axes"]]
        assert axes == ["time", *grid.names[::-1]]
        assert tuple(group[axis].shape[0] for axis in axes) == signal.shape
        assert signal == file["u"]  # the same data set under another name: no copy


def test_global_attributes_say_where_it_comes_from(made: tuple[Path, Grid, Any]) -> None:
    with h5py.File(made[0], "r") as file:
        assert file.attrs["Conventions"] == "CF-1.11"
        assert file.attrs["title"] == "a plate"
        assert file.attrs["source"] == "parsolve 1.2.3"
        assert file.attrs["history"] == "2026-01-01 parsolve run"
        assert list(file)[:5] == ["time", "step", *made[1].names[::-1], "u", "v"][:5]
        assert file["provenance/case"].asstr()[()] == "a = 1\n"
        for axis in made[1].names:
            assert file[axis].attrs["axis"] == axis.upper()
            assert file[axis].is_scale


def test_there_are_no_time_stamps(made: tuple[Path, Grid, Any]) -> None:
    with h5py.File(made[0], "r") as file:
        objects = [file]
        file.visititems(lambda _, item: objects.append(item))
        assert [item.name for item in objects if h5py.h5o.get_info(item.id).ctime != 0] == []


def test_values_lie_in_one_piece_on_a_page(alone: Any, tmp_path: Path) -> None:
    alone.result(tmp_path / "r.h5", 40, 30)
    with h5py.File(tmp_path / "r.h5", "r") as file:
        assert file["u"].chunks is None
        assert file["u"].id.get_offset() % 4096 == 0


def test_units_and_names_are_those_that_are_said(alone: Any, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    said = (FieldInfo("x", "radius", "um"), FieldInfo("time", "time", "h"))
    for keep in (False, True):
        alone.result(tmp_path / f"{keep}.h5", 9, 8, dimensions=said, keep_frames=keep)
    for path in (tmp_path / "False.h5", tmp_path / "True.h5", *(tmp_path / "True.h5.frames").iterdir()):
        with xarray.open_dataset(path, engine="h5netcdf") as data:
            found = {
                name: (data[name].attrs["long_name"], data[name].attrs["units"]) for name in ("x", "y", "time", "u")
            }
        assert found == {"x": ("radius", "um"), "y": ("y", "1"), "time": ("time", "h"), "u": ("temperature", "K")}
        with open_result(path) as result:
            assert [result.units(name) for name in ("x", "y", "time")] == ["um", "", "h"]
    with open_result(tmp_path / "True.h5.frames") as result:
        assert [result.info(name) for name in ("x", "time")] == list(said)


def test_files_of_other_runs_leave_no_trace(alone: Any, tmp_path: Path) -> None:
    """What is kept from one file for the next is what they share: bytes depend on the content alone."""
    infos = (FieldInfo("u", "speed", "m/s"),)

    def write(name: str, case: str, times: tuple[float, ...], **more: str) -> bytes:
        texts = {"title": "a", "case": case, "run": case * 8, "created": "now", "command": "it", **more}
        steps = tuple(range(len(times)))
        lay_out(tmp_path / name, Content(alone.grid(5, 4), infos, np.dtype("f8"), texts, (), times, steps))
        with h5py.File(tmp_path / name) as file:
            assert {key: text.asstr()[()] for key, text in file["provenance"].items()} == texts
            assert file["time"][...].tolist() == file["VTKHDF/Steps/Values"][...].tolist() == list(times)
            assert file["step"][...].tolist() == list(steps)
        return (tmp_path / name).read_bytes()

    first = write("a.h5", "x", (0.0, 1.5))
    assert write("b.h5", "yy" * 3000, (0.25, 2.5)) != first
    assert write("c.h5", "z", (0.0, 1.5), inputs="another") != first
    assert write("d.h5", "x", (1.0,)) != first
    assert write("e.h5", "x", (0.0, 1.5)) == first
