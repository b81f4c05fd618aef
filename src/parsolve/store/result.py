"""Reading a result: fields by name and time, in pieces if wanted."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from math import inf, isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from parsolve.case.tables import nearest
from parsolve.domain.grid import AXES, Grid
from parsolve.errors import CaseError, StorageError
from parsolve.store.files import open_read
from parsolve.store.filters import require_filters
from parsolve.store.integrity import GROUP, doubts, read_table, seal
from parsolve.store.layout import Content, FieldInfo, lay_out
from parsolve.store.look import look, refuse_borrowed, refuse_empty, refuse_links
from parsolve.store.places import frames_in
from parsolve.store.series import GROUP as SERIES
from parsolve.store.series import Series, series_in, series_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_FRAMES = re.compile(r"[^/]+\.frames/\d{9,}\.h5")
Index = slice | int | EllipsisType | tuple[slice | int | EllipsisType, ...]


@dataclass(frozen=True)
class Result:
    """An open result file; `fields` and `axes` in file order, axes slowest first."""

    path: Path
    file: h5py.File
    fields: tuple[str, ...]
    axes: tuple[str, ...]
    times: NDArray[np.float64]
    steps: NDArray[np.int64]
    grid: Grid
    provenance: dict[str, str]

    def read(self, field: str, time_index: int, index: Index = ...) -> NDArray[Any]:
        """Return a field at one time over the present axes (slowest first), or the part that `index` picks.

        Raises:
            CaseError: there is no such field or time.
            StorageError: the file is damaged.
        """
        if field not in self.fields:
            raise CaseError(f"{self.path}: no field '{field}'{nearest(field, self.fields, 'fields')}")
        count = len(self.times)
        if not -count <= time_index < count:
            raise CaseError(f"{self.path}: no time index {time_index}; there are {count} times")
        place = index if isinstance(index, tuple) else (index,)
        try:
            values: NDArray[Any] = self.file[field][(time_index % count, *place)]
        except (OSError, RuntimeError) as caught:
            raise StorageError(f"{self.path}: cannot read field '{field}' ({caught})") from caught
        return values

    def doubt(self, *shown: tuple[str, int]) -> str:
        """Return that something is not as it was written, if so: of the values some fields at some time indices alone.

        Raises:
            StorageError: the file is damaged.
        """
        path, text = Path(self.file.filename), "damaged, or changed since it was written; `parsolve verify` tells what"
        try:
            table = read_table(path, self.file, self.fields, self.steps.tolist())
        except StorageError:
            return f"{self.path}: {text}"  # as of fields that were renamed, added or packed
        if table is not None and doubts(path, table, shown):
            return f"{self.path}: {text}"
        frames = self.moments() if self.file[self.fields[0]].is_virtual else []
        for name, n in shown if frames else ():
            frame = frames[n][0]
            with open_read(frame) as file:
                held = read_table(frame, file, self.fields, [int(self.steps[n])])
            if held is not None and doubts(frame, held, [(name, 0)]):
                return f"{frame}: {text}"
        return ""

    def units(self, name: str) -> str:
        """Return the unit of a field or an axis; empty if it has none."""
        units = self._said(name, "units")
        return "" if units == "1" else units

    def long_name(self, name: str) -> str:
        """Return what a field or an axis means; its name if the file does not say."""
        return self._said(name, "long_name") or name

    def _said(self, name: str, key: str) -> str:
        try:
            return str(self.file[name].attrs.get(key, ""))
        except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as caught:
            raise StorageError(f"{self.path}: cannot read '{key}' of '{name}' ({caught})") from None

    def info(self, name: str) -> FieldInfo:
        """Return name, meaning and unit of a field, an axis or the time."""
        return FieldInfo(name, self.long_name(name), self.units(name))

    @property
    def series(self) -> list[Series]:
        """The time series of what was measured.

        Raises:
            StorageError: they are damaged.
        """
        return series_in(self.file)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values of the first field."""
        kind: np.dtype[Any] = self.file[self.fields[0]].dtype
        return kind

    def content(self) -> Content:
        """Return all of it but the field values.

        Raises:
            StorageError: its fields are of several types.
        """
        if any(self.file[name].dtype != self.dtype for name in self.fields):
            raise StorageError(f"{self.path}: its fields are of several types")
        infos, dimensions = tuple(map(self.info, self.fields)), tuple(map(self.info, ("time", *self.axes)))
        times, steps, grid = tuple(map(float, self.times)), tuple(map(int, self.steps)), _exact(self.grid, self.file)
        return Content(grid, infos, self.dtype, self.provenance, dimensions, times, steps, tuple(self.series))

    def moments(self) -> list[tuple[Path, int]]:
        """Return of each time the file that has its values, and which of the times there it is."""
        first = self.file[self.fields[0]]
        if not first.is_virtual:
            return [(Path(self.file.filename), n) for n in range(len(self.times))]
        folder = Path(self.file.filename).resolve().parent
        return [(folder / source.file_name, 0) for source in first.virtual_sources()]


@contextmanager
def open_result(path: Path | str) -> Iterator[Result]:
    """Return a context manager that gives a result open for reading: a file, a frame, or a folder of frames.

    Raises:
        StorageError: the file is missing, damaged, not a result, or an index whose frames are missing.
    """
    path = Path(path)
    look(path)
    with ExitStack() as owner:
        if path.is_dir():
            scratch = owner.enter_context(TemporaryDirectory(prefix="parsolve-"))
            file = owner.enter_context(open_read(_index(path, Path(scratch))))
        else:
            file = owner.enter_context(open_read(path))
        yield _describe(path, file, path.is_dir())


def _index(folder: Path, scratch: Path) -> Path:
    """Return a file that shows the frames of a folder as one result.

    Raises:
        StorageError: there are none, or they are not of one run.
    """
    frames = [path.absolute() for path in frames_in(folder)]
    if not frames:
        raise StorageError(f"{folder}: is a folder without complete frames of a run")
    index = scratch / "index.h5"
    seal(index, lay_out(index, replace(content_of(frames), series=tuple(series_of(folder))), frames), {})
    return index


def content_of(frames: Sequence[Path]) -> Content:
    """Return what one result of some frames holds beside the values.

    Raises:
        StorageError: one is damaged, or they are not of one run.
    """
    times, steps = [], []
    look(*frames)
    with open_read(frames[0]) as file:
        first = _describe(frames[0], file)
        content = first.content()
    for frame in frames:
        with open_read(frame) as file:
            try:
                times.append(float(file["time"][0]))
                steps.append(int(file["step"][0]))
                same = all(file[name].shape == (1, *first.grid.shape) for name in first.fields)
                same &= _run(file) == first.provenance.get("run", "")
            except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError):
                same = False
        if not same:
            raise StorageError(f"{frame}: not a frame of the same run as '{frames[0].name}'")
    return replace(content, times=tuple(times), steps=tuple(steps))


def _run(file: h5py.File) -> str:
    """Return the name of the run that wrote a file; empty if it does not say.

    Raises:
        KeyError, TypeError, ValueError, OSError, RuntimeError: it is damaged.
    """
    refuse_links(file, "provenance")
    said = file["provenance"]
    return str(said["run"].asstr()[()]) if "run" in said else ""


def _describe(path: Path, file: h5py.File, is_scratch: bool = False) -> Result:
    """Return what stands in an open file beside the values.

    Raises:
        StorageError: it is not a result, or frames are missing.
    """
    try:
        refuse_links(file, "provenance", SERIES, GROUP, f"{GROUP}/blocks")
        if not is_scratch:
            _refuse_missing_frames(path, file)
        series = file[SERIES].values() if SERIES in file else ()
        for item in (*file.values(), *file["provenance"].values(), *series):
            if isinstance(item, h5py.Dataset):
                refuse_borrowed(item)
                refuse_empty(item)
                require_filters(item)
        times, steps = _numbers(file, "time", "fiu"), _numbers(file, "step", "iu")
        axes = tuple(axis for axis in AXES if axis in file)
        grid = _grid(file, axes)
        shape = (len(times), *grid.shape)
        inner = {"time", "step", *axes}
        found = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.shape == shape}
        fields = tuple(name for name, item in found.items() if name not in inner and item.dtype.kind in "fiu")
        provenance = {key: item.asstr()[()] for key, item in file["provenance"].items()}
        if not fields or not axes or len(times) != len(steps):
            raise KeyError("fields of one shape")
    except UnicodeDecodeError as caught:
        raise StorageError(f"{path}: not a complete result of parsolve (a text in it is not UTF-8)") from caught
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as caught:
        raise StorageError(f"{path}: not a complete result of parsolve ({caught})") from caught
    return Result(path, file, fields, axes, times, steps, grid, provenance)


def _refuse_missing_frames(path: Path, file: h5py.File) -> None:
    """Refuse an index without its frames, and what shows anything else.

    Raises:
        StorageError: some are missing, or are no frames in a folder beside it.
    """
    virtual = [item for item in file.values() if isinstance(item, h5py.Dataset) and item.is_virtual]
    frames = {source.file_name for dataset in virtual for source in dataset.virtual_sources()} - {"."}
    others = sorted(frame for frame in frames if not _FRAMES.fullmatch(frame))
    if others:
        raise StorageError(f"{path}: shows values of '{others[0]}', which is no frame in a folder beside it; not read")
    missing = sorted(frame for frame in frames if not (path.resolve().parent / frame).is_file())
    if missing:
        raise StorageError(
            f"{path}: index of frames, {len(missing)} of {len(frames)} are missing, the first is '{missing[0]}'; "
            "move the frames directory together with the file"
        )


def _numbers(file: h5py.File, name: str, kinds: str) -> NDArray[Any]:
    """Return a data set of at least one number, all of them finite.

    Raises:
        KeyError, TypeError, ValueError: it is missing, or another thing.
    """
    item = file[name]
    if item.dtype.kind not in kinds or item.shape is None or len(item.shape) != 1 or not item.shape[0]:
        raise TypeError(f"'{name}' is no list of numbers")
    values: NDArray[Any] = item[...]
    if not np.isfinite(values).all():
        raise ValueError(f"'{name}' is not finite")
    return values


def _grid(file: h5py.File, axes: tuple[str, ...]) -> Grid:
    """Return the grid, whose exact numbers stand with the coordinates."""

    def numbers(axis: str) -> tuple[int, float, float, bool]:
        if axis not in axes:
            return 1, *_place(file, axis), True
        known = file[axis].attrs
        lower, spacing = float(known["lower"]), float(known["spacing"])
        if not (isfinite(lower) and 0 < spacing < inf):
            raise ValueError(f"'{axis}' begins at {lower:g} with cells of {spacing:g}")
        return len(_numbers(file, axis, "fiu")), lower, spacing, bool(known["periodic"])

    cells, lower, spacing, periodic = zip(*map(numbers, AXES), strict=True)
    return Grid(axes[::-1], cells, lower, spacing, periodic)


def _place(file: h5py.File, axis: str) -> tuple[float, float]:
    """Return where the cell of an absent axis begins and how wide it is, as a slice says; else 0 and 1."""
    with suppress(KeyError, TypeError, ValueError, IndexError, AttributeError):
        known, place = file["VTKHDF"].attrs, AXES[::-1].index(axis)
        lower, spacing = float(known["Origin"][place]), float(known["Spacing"][place])
        if isfinite(lower) and 0 < spacing < inf:
            return lower, spacing
    return 0.0, 1.0


@dataclass(frozen=True, kw_only=True)
class _Exact(Grid):
    """A grid whose centres have other bits than their numbers give: of every k-th cell of a grid they have those there.

    Attributes:
        centres: of each axis that is present, x first.
    """

    centres: tuple[tuple[float, ...], ...]

    def coordinates(self, axis: str) -> NDArray[np.float64]:
        """Centres of the cells along an axis."""
        return np.asarray(self.centres[self.names.index(axis)])


def _exact(grid: Grid, file: h5py.File) -> Grid:
    """Return a grid with the centres of cells that stand in a file."""
    centres = [np.asarray(file[name][...], np.float64) for name in grid.names]
    if all(np.array_equal(grid.coordinates(name), known) for name, known in zip(grid.names, centres, strict=True)):
        return grid
    known = {one.name: getattr(grid, one.name) for one in fields(grid)}
    return _Exact(**known, centres=tuple(tuple(map(float, one)) for one in centres))
