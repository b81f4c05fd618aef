"""A result in the formats of others, written piece by piece: netCDF, Zarr, NumPy, CSV of statistics, and XDMF.

XDMF is a text that shows the values where they are; all others hold them, and nothing else is needed.
"""

from __future__ import annotations

import csv
import json
import os
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as xml

import numpy as np

from parsolve.errors import SetupError
from parsolve.store.files import Disk, create_file
from parsolve.store.packing import chunk_of
from parsolve.store.statistics import pieces, statistics_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from parsolve.store.result import Result

INSTALL = "install the extra convert: pip install 'parsolve[convert]'"
SOURCE = "parsolve"
CONVENTIONS = "CF-1.10"  # not those of a result, for which it would be taken


def to_netcdf(result: Result, path: Path, target: Path) -> None:
    """Write netCDF4 with the conventions CF: variables ``(time, z, y, x)``, provenance as attributes.

    Raises:
        SetupError: h5netcdf is not installed.
        OSError: it cannot be written.
    """
    try:
        import h5netcdf
    except ImportError:
        raise SetupError(f"netCDF is written with the package h5netcdf: {INSTALL}") from None
    with closing(Disk(path)) as disk, create_file(disk) as image, h5netcdf.File(image, "a") as file:
        file.dimensions = dict(zip(("time", *result.axes), (len(result.times), *result.grid.shape), strict=True))
        file.attrs.update({"Conventions": CONVENTIONS, **_attributes(result)})
        for name, dims, values in _coordinates(result):
            variable = file.create_variable(name, dims, values.dtype, data=values)
            variable.attrs.update(_words(result, name))
        for name in result.fields:
            variable = file.create_variable(name, ("time", *result.axes), result.file[name].dtype)
            variable.attrs.update(_words(result, name))
            for n in range(len(result.times)):
                for part, values in pieces(result, name, n):
                    variable[(n, part)] = values
                    disk.check()
    disk.check()


def to_zarr(result: Result, path: Path, target: Path) -> None:
    """Write a group of Zarr 3 with named dimensions, as xarray has it; a chunk has one time.

    Raises:
        SetupError: zarr 3 is not installed.
        OSError: it cannot be written.
    """
    try:
        from zarr import open_group  # a folder zarr in this one is no such package
    except ImportError:
        raise SetupError(f"Zarr is written with the package zarr: {INSTALL}") from None
    group = open_group(path, mode="w", zarr_format=3)
    group.attrs.update(_attributes(result))
    for name, dims, values in _coordinates(result):
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, dimension_names=dims)
        array.attrs.update(_words(result, name))
        array[...] = values
    for name in result.fields:
        dtype, shape = result.file[name].dtype, result.grid.shape
        chunk = (1, *chunk_of(result.axes, shape, dtype.itemsize, None))
        array = group.create_array(
            name, shape=(len(result.times), *shape), dtype=dtype, chunks=chunk, dimension_names=("time", *result.axes)
        )
        array.attrs.update(_words(result, name))
        for n in range(len(result.times)):
            for part, values in pieces(result, name, n):
                array[(n, part)] = values


def to_npz(result: Result, path: Path, target: Path) -> None:
    """Write what `numpy.load` gives: fields ``(time, z, y, x)``, ``time``, ``step``, axes, provenance as a JSON text.

    Raises:
        OSError: it cannot be written.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
        for name, _, values in _coordinates(result):
            _write_npy(file, name, values.shape, values.dtype, iter([values]))
        text = np.array(json.dumps(result.provenance))
        _write_npy(file, "provenance", (), text.dtype, iter([text]))
        for name in result.fields:
            parts = (values for n in range(len(result.times)) for _, values in pieces(result, name, n))
            _write_npy(file, name, (len(result.times), *result.grid.shape), result.file[name].dtype, parts)


def _write_npy(file: zipfile.ZipFile, name: str, shape: Sequence[int], dtype: Any, parts: Iterator[Any]) -> None:
    """Write an array of a file .npz, of which the parts follow each other."""
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    info = zipfile.ZipInfo(f"{name}.npy")  # of 1980: the same bytes whenever it is written
    with file.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_2_0(member, head)
        for part in parts:
            member.write(np.ascontiguousarray(part).tobytes())


def to_csv(result: Result, path: Path, target: Path) -> None:
    """Write a line a time: step, time, and of each field minimum, maximum, mean and standard deviation.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        kinds = ("min", "max", "mean", "std")
        lines.writerow(["step", "time", *(f"{name}_{kind}" for name in result.fields for kind in kinds)])
        for n, (step, time) in enumerate(zip(result.steps, result.times, strict=True)):
            found = [statistics_at(result, name, n).table() for name in result.fields]
            numbers = [one[kind] for one in found for kind in kinds]
            texts = ["nan" if number is None else repr(number) for number in numbers]
            lines.writerow([int(step), repr(float(time)), *texts])


def to_xdmf(result: Result, path: Path, target: Path) -> None:
    """Write a text of XDMF 3 for VisIt and older ParaView that shows the values in the result, named from ``target``.

    Raises:
        OSError: it cannot be written.
    """
    root = xml.Element("Xdmf", Version="3.0")
    series = xml.SubElement(xml.SubElement(root, "Domain"), "Grid", Name="result", GridType="Collection")
    series.set("CollectionType", "Temporal")
    grid = result.grid  # of three axes, as readers place a plane of two elsewhere: an absent one is a cell
    for n, (time, (file, index)) in enumerate(zip(result.times, result.moments(), strict=True)):
        one = xml.SubElement(series, "Grid", Name=f"frame {n}", GridType="Uniform")
        xml.SubElement(one, "Time", Value=repr(float(time)))
        corners = " ".join(str(cells + 1) for cells in grid.cells)
        xml.SubElement(one, "Topology", TopologyType="3DCoRectMesh", Dimensions=corners)
        geometry = xml.SubElement(one, "Geometry", GeometryType="ORIGIN_DXDYDZ")
        for numbers in (grid.lower, grid.spacing):
            item = xml.SubElement(geometry, "DataItem", Dimensions="3", Format="XML", NumberType="Float")
            item.set("Precision", "8")
            item.text = " ".join(repr(float(number)) for number in numbers)
        count = len(result.times) if file.samefile(result.file.filename) else 1
        name = os.path.relpath(file, target.resolve().parent)
        for field in result.fields:
            _show(one, result, field, f"{name}:/{field}", index, count)
    xml.indent(root)
    path.write_bytes(xml.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _show(grid: xml.Element, result: Result, field: str, where: str, index: int, count: int) -> None:
    """Put the values of a field at one time, of so many in the file, as a part of its data set."""
    held = result.grid.shape  # as the data set has it, which lacks absent axes
    attribute = xml.SubElement(grid, "Attribute", Name=field, AttributeType="Scalar", Center="Cell")
    part = xml.SubElement(attribute, "DataItem", ItemType="HyperSlab", Dimensions=" ".join(map(str, result.grid.cells)))
    part.set("Type", "HyperSlab")
    rows = ((index, *(0 for _ in held)), (1 for _ in (0, *held)), (1, *held))
    selection = xml.SubElement(part, "DataItem", Dimensions=f"3 {len(held) + 1}", Format="XML")
    selection.text = " ".join(str(number) for row in rows for number in row)
    dtype = result.file[field].dtype
    values = xml.SubElement(part, "DataItem", Format="HDF", Dimensions=" ".join(map(str, (count, *held))))
    values.set("NumberType", "Float" if dtype.kind == "f" else "Int")
    values.set("Precision", str(dtype.itemsize))
    values.text = where


def _coordinates(result: Result) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Yield time, step and axes: name, dimensions and values."""
    yield "time", ("time",), np.asarray(result.times)
    yield "step", ("time",), np.asarray(result.steps)
    for axis in result.axes:
        yield axis, (axis,), result.file[axis][...]


def _words(result: Result, name: str) -> dict[str, str]:
    info = result.info(name)
    return {"units": info.units or "1", "long_name": info.long_name}


def _attributes(result: Result) -> dict[str, str]:
    """What is known of the whole result."""
    known = result.provenance
    words = {"source": f"{SOURCE} {known.get('parsolve', '')}".strip(), "title": known.get("title", "")}
    return {key: text for key, text in words.items() if text} | {f"{SOURCE}_{key}": text for key, text in known.items()}


WRITERS: dict[str, tuple[str, Callable[[Result, Path, Path], None]]] = {
    "netcdf": (".nc", to_netcdf),
    "zarr": (".zarr", to_zarr),
    "npz": (".npz", to_npz),
    "csv": (".csv", to_csv),
    "xdmf": (".xdmf", to_xdmf),
}
