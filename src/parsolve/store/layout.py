"""The HDF5 layout of a result: netCDF4/CF, VTKHDF and NeXus names of the same data sets.

```
/u (time, z, y, x)   /x /y /z /time dimension scales   /step (time)
/VTKHDF              ImageData for ParaView; CellData/u is a hard link to /u
/entry/u             NXdata for h5web and silx; u, time, z, y, x are hard links
/series              what was measured (series.py)
/integrity           hashes of the values and of the rest (integrity.py)
/provenance          one string per key
```
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from parsolve.domain.grid import AXES
from parsolve.errors import CaseError
from parsolve.store.files import Image, create_contiguous, create_file, create_group, create_texts, open_file
from parsolve.store.integrity import GROUP, Table, create_table, read_table
from parsolve.store.provenance import SPENT
from parsolve.store.series import GROUP as SERIES
from parsolve.store.series import Series, write_series

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from parsolve.domain.grid import Grid

TIMES = ("time", "VTKHDF/Steps/Values")  # where the times of frames stand
OWN = ("case", "run", "created", SPENT)  # what runs on one grid do not share of where they come from
KEPT = 1 << 16  # most cells along all axes together of a grid of which the coordinates are kept in memory
RESERVED = frozenset({"x", "y", "z", "time", "step", "entry", "provenance", "VTKHDF", SERIES, GROUP})


@dataclass(frozen=True)
class FieldInfo:
    """Name, meaning and unit of a field, an axis or the time, as they stand in the file."""

    name: str
    long_name: str
    units: str


@dataclass(frozen=True)
class Content:
    """All of a result but its field values."""

    grid: Grid
    fields: tuple[FieldInfo, ...]
    dtype: np.dtype[np.generic]
    provenance: Mapping[str, str]
    dimensions: tuple[FieldInfo, ...] = ()  # of time and axes, as far as they have units
    times: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    series: tuple[Series, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a field's data set: time first, then the present axes, slowest first."""
        return (len(self.times), *self.grid.shape)

    def dimension(self, name: str) -> FieldInfo:
        """What is known of the time or an axis."""
        return next((info for info in self.dimensions if info.name == name), FieldInfo(name, name, "1"))


def check_names(fields: Sequence[FieldInfo]) -> None:
    """Refuse field names that the layout needs itself.

    Raises:
        CaseError: a name is reserved, empty, repeated or holds a slash.
    """
    seen: set[str] = set()
    for field in fields:
        if field.name in RESERVED or not field.name or "/" in field.name or field.name in seen:
            raise CaseError(
                f"field '{field.name}' cannot be stored under this name; choose another that is unique, "
                f"has no '/' and is none of {', '.join(sorted(RESERVED))}"
            )
        seen.add(field.name)


@dataclass(frozen=True)
class Drawn:
    """A file in memory, all but the field values and their hashes, and where in it stands what is not there yet.

    Attributes:
        image: the file.
        table: of its values and hashes.
        times, step: where the times and the numbers of steps stand.
    """

    image: Image
    table: Table
    times: tuple[int, ...]
    step: int


def lay_out(path: Path, content: Content, frames: Sequence[Path] = ()) -> Table:
    """Write the whole file but the field values and their hashes; return where these stand.

    With `frames` (paths relative to the file) the fields are virtual data sets over them.

    Raises:
        OSError: the file cannot be written.
    """
    drawn = draw(content, frames)
    drawn.image.save(path)
    return drawn.table


def draw(content: Content, frames: Sequence[Path] = ()) -> Drawn:
    """The whole file but the field values and their hashes, in memory.

    What runs on one grid share is drawn once: each run adds what it says of itself.
    """
    shared = tuple((key, text) for key, text in content.provenance.items() if key not in OWN)
    kind = (content.grid, content.fields, content.dtype, content.dimensions, len(content.times), shared)
    is_kept = not frames and sum(content.grid.shape) <= KEPT
    blank = _blank(*kind) if is_kept else _drawn(*kind, tuple(frames))
    image = blank.image.copy() if is_kept else blank.image
    with open_file(image) as file:
        sign(file, content)
    for at in blank.times:
        image.put(at, np.asarray(content.times, np.float64).tobytes())
    image.put(blank.step, np.asarray(content.steps, np.int64).tobytes())
    return replace(blank, image=image, table=replace(blank.table, steps=content.steps))


def _drawn(
    grid: Grid, fields: tuple[FieldInfo, ...], dtype: np.dtype[np.generic], dimensions: tuple[FieldInfo, ...],
    count: int, shared: tuple[tuple[str, str], ...], frames: Sequence[Path] = (),
) -> Drawn:  # fmt: skip
    """What files of a kind have in common, also of where they come from, with so many times, which are zero."""
    content = Content(grid, fields, dtype, dict(shared), dimensions, (0.0,) * count, (0,) * count)
    image = Image()
    with create_file(image) as file:
        if frames:
            compose(file, content, lambda name: _create_virtual(file, name, content, frames), has_values=False)
        else:
            compose(file, content, lambda name: create_contiguous(file, name, content.shape, dtype))
        table = read_table(Path("a file in memory"), file, [field.name for field in fields], content.steps)
        assert table is not None
        times = tuple(int(file[name].id.get_offset()) for name in TIMES)
        return Drawn(image, table, times, int(file["step"].id.get_offset()))


_blank = lru_cache(maxsize=8)(_drawn)


def compose(file: h5py.File, content: Content, create: Callable[[str], h5py.Dataset], has_values: bool = True) -> None:
    """Put all but values, hashes and what `sign` writes into a new file; ``create`` makes the data set of a field."""
    file.attrs["Conventions"] = "CF-1.11"
    file.attrs["source"] = f"parsolve {content.provenance.get('parsolve', '')}".strip()  # `is_result` looks for these
    if content.provenance.get("title"):
        file.attrs["title"] = content.provenance["title"]
    scales = _write_coordinates(file, content)
    for field in content.fields:
        dataset = create(field.name)
        _describe(dataset, field)
        for axis, scale in enumerate(scales):
            dataset.dims[axis].attach_scale(scale)
    _write_nexus(file, content)
    _write_vtk(file, content)
    size = content.grid.size * content.dtype.itemsize
    create_table(file, [field.name for field in content.fields] if has_values else [], len(content.times), size)
    texts = {key: text for key, text in content.provenance.items() if key not in OWN}
    create_texts(create_group(file, "provenance"), _named(texts))


def sign(file: h5py.File, content: Content) -> None:
    """Put what a run says of itself alone into a file; what is not known stays out."""
    known = content.provenance
    line = f"{known.get('created', '')} {known.get('command', '')}".strip()
    if line:
        file.attrs["history"] = line
    create_texts(file["provenance"], _named({key: known[key] for key in OWN if key in known}))
    write_series(file, content.series, content.dimension("time").units)


def _named(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts by names that a data set can have."""
    return {key.replace("/", "_"): text for key, text in texts.items()}


def _write_coordinates(file: h5py.File, content: Content) -> list[h5py.Dataset]:
    """Write time, step and cell centres; return the dimension scales in the order of the fields' axes."""
    time = _write_values(file, "time", np.asarray(content.times, np.float64))
    _describe(time, content.dimension("time"))
    time.attrs["axis"] = "T"
    time.make_scale("time")
    step = _write_values(file, "step", np.asarray(content.steps, np.int64))
    _describe(step, FieldInfo("step", "number of time steps", "1"))
    step.dims[0].attach_scale(time)
    scales = [time]
    for axis in content.grid.names[::-1]:
        scale = _write_values(file, axis, content.grid.coordinates(axis))
        _describe(scale, content.dimension(axis))
        place = AXES.index(axis)
        scale.attrs["axis"] = axis.upper()
        # Exact numbers of the grid: they cannot be had back from the centres to the last bit.
        scale.attrs["lower"] = np.float64(content.grid.lower[place])
        scale.attrs["spacing"] = np.float64(content.grid.spacing[place])
        scale.attrs["periodic"] = np.int8(content.grid.periodic[place])
        scale.make_scale(axis)
        scales.append(scale)
    return scales


def _write_values(parent: h5py.Group, name: str, values: NDArray[np.generic]) -> h5py.Dataset:
    """Return a small data set filled with values."""
    dataset = create_contiguous(parent, name, values.shape, values.dtype)
    dataset[...] = values
    return dataset


def _describe(dataset: h5py.Dataset, info: FieldInfo) -> None:
    """Set the CF attributes that every variable has."""
    dataset.attrs["units"] = info.units or "1"
    dataset.attrs["long_name"] = info.long_name


def _create_virtual(file: h5py.File, name: str, content: Content, frames: Sequence[Path]) -> h5py.Dataset:
    """Return a data set that shows the frames as one array with a time axis."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.VIRTUAL)
    creation.set_obj_track_times(False)
    creation.set_fill_value(np.array([np.nan]))  # a frame that is missing must not read as zeros
    shape = content.shape[1:]
    space, source = h5py.h5s.create_simple(content.shape), h5py.h5s.create_simple((1, *shape))
    for index, frame in enumerate(frames):
        space.select_hyperslab((index, *(0 for _ in shape)), (1, *shape))
        creation.set_virtual(space, os.fsencode(frame), name.encode(), source)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(content.dtype), space, creation))


def _write_nexus(file: h5py.File, content: Content) -> None:
    """Write the way default -> entry -> NXdata -> signal and axes, one NXdata per field."""
    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = "entry"
    entry = create_group(file, "entry")
    entry.attrs["NX_class"] = "NXentry"
    entry.attrs["default"] = content.fields[0].name
    axes = ["time", *content.grid.names[::-1]]
    for field in content.fields:
        data = create_group(entry, field.name)
        data.attrs["NX_class"] = "NXdata"
        data.attrs["signal"] = field.name
        data.attrs.create("axes", axes, dtype=h5py.string_dtype())
        data.attrs["title"] = field.long_name or field.name
        for name in (field.name, *axes):
            data[name] = file[name]


def _write_vtk(file: h5py.File, content: Content) -> None:
    """Write /VTKHDF as ImageData; an axis that the data sets lack has extent 0, 0: so VTK reads them."""
    grid = content.grid
    group = create_group(file, "VTKHDF")
    group.attrs["Version"] = np.array([2, 2], np.int64)
    group.attrs.create("Type", b"ImageData", dtype=h5py.string_dtype("ascii", len("ImageData")))
    ends = [n if present else 0 for n, present in zip(grid.cells, grid.present, strict=True)]
    group.attrs["WholeExtent"] = np.array([[0, n] for n in ends[::-1]], np.int64).ravel()
    group.attrs["Origin"] = np.array(grid.lower[::-1])
    group.attrs["Spacing"] = np.array(grid.spacing[::-1])
    group.attrs["Direction"] = np.eye(3).ravel()
    cells = create_group(group, "CellData")
    steps = create_group(group, "Steps")
    steps.attrs["NSteps"] = len(content.times)
    # Its own data set: h5netcdf would take the name of the time dimension from a second link to /time.
    _write_values(steps, "Values", np.asarray(content.times, np.float64))
    offsets = create_group(steps, "CellDataOffsets")
    for field in content.fields:
        cells[field.name] = file[field.name]
        _write_values(offsets, field.name, np.arange(len(content.times), dtype=np.int64))
