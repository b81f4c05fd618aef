"""Arrays from files: every rank reads its own box of an HDF5 data set, a .npy array or an image.

Images are grey, 0 (black) to 1 (white): 8 and 16 bit whole numbers are divided by 255 and 65535, floats stay.
Colours become 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), transparency is ignored. Row 0, the top, is the
largest y (on an x-z or y-z face: z).
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from parsolve.case.tables import nearest
from parsolve.domain.grid import AXES
from parsolve.errors import CaseError, ParsolveError, SetupError, StorageError
from parsolve.store.files import is_file, open_read
from parsolve.store.filters import require_filters
from parsolve.store.layout import RESERVED
from parsolve.store.look import look, refuse_borrowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from parsolve.domain.grid import Grid

HDF5 = {".h5", ".hdf5", ".hdf", ".nc", ".nc4", ".vtkhdf"}
_TIFF = {".tif", ".tiff"}
_IMAGES = {".png", *_TIFF}
_PACKING = {"scale_factor": 1.0, "add_offset": 0.0}  # of netCDF, and what changes nothing
_FILLS = ("_FillValue", "missing_value")
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def read_block(
    path: Path | str, dataset: str | None, grid: Grid, start: Sequence[int], shape: Sequence[int], dtype: DTypeLike,
    time: float | None = None, frame: int | None = None,
) -> NDArray[Any]:  # fmt: skip
    """Return the box (start, shape), both (z, y, x) of the grid, of an array in a file; not collective.

    HDF5 data sets, .npy arrays and uncompressed TIFF are read in part, other images as a whole. An array with
    one more axis in front, as in a result of parsolve, has times there: the last one is taken, or that of `time`, or
    the one with the number `frame`.

    Raises:
        CaseError: the file or data set is missing or unreadable, or its shape is not that of the grid.
        SetupError: the package that reads this image is not installed.
    """
    path = Path(path)
    if not is_file(path):
        raise CaseError(f"{path}: no such file (relative names start at the current directory, '{Path.cwd()}')")
    kind = path.suffix.lower()
    box = tuple(slice(first, first + count) for first, count in zip(start, shape, strict=True))
    try:
        if kind in HDF5:
            values = _read_hdf5(path, dataset, grid, box, time, frame)
        elif time is not None:
            raise CaseError(f"{path}: time = {time:g} is for results in HDF5; leave it out")
        elif dataset is not None:
            raise CaseError(f"{path}: dataset = '{dataset}' is for HDF5; leave it out")
        elif kind == ".npy":
            values = _read_npy(path, grid, box)
        elif kind in _IMAGES:
            values = _read_image(path, grid, box)
        else:
            known = ", ".join(sorted(HDF5 | _IMAGES | {".npy"}))
            raise CaseError(f"{path}: cannot read '{kind or 'no suffix'}' files; known: {known}")
    except ParsolveError as caught:
        raise caught if isinstance(caught, CaseError | SetupError) else CaseError(str(caught)) from caught
    except MemoryError:
        raise
    except Exception as caught:  # of broken files the readers raise KeyError, RuntimeError, EOFError, SyntaxError, ...
        raise CaseError(f"{path}: cannot be read: {' '.join(str(caught).split())}") from caught
    _check_finite(path, values, grid, start, shape)
    return np.ascontiguousarray(values.reshape(tuple(shape)), dtype=dtype)


def _check_finite(path: Path, values: NDArray[Any], grid: Grid, start: Sequence[int], shape: Sequence[int]) -> None:
    """Refuse values that are not finite.

    Raises:
        CaseError: with the first of their cells.
    """
    finite = np.isfinite(values)
    if not finite.all():
        raise CaseError(f"{path}: a value is not finite, the first at cell {_first(~finite, grid, start, shape)}")


def _first(wrong: NDArray[np.bool_], grid: Grid, start: Sequence[int], shape: Sequence[int]) -> str:
    """Return the first cell of a box, for people, of which something is wrong."""
    place = np.unravel_index(int(np.argmax(wrong)), tuple(shape))
    cell = {axis: first + int(i) for axis, first, i in zip(AXES, start, place, strict=True)}
    return ", ".join(f"{axis} = {cell[axis]}" for axis in grid.names)


def look_at(paths: Iterable[Path]) -> None:
    """Refuse files of which HDF5 cannot be trusted to return; those of other formats, or missing, are passed over.

    Raises:
        CaseError: a file is damaged.
    """
    try:
        look(*(path for path in paths if path.suffix.lower() in HDF5 and is_file(path)))
    except StorageError as caught:
        raise CaseError(str(caught)) from caught


def array_block(
    array: NDArray[Any], grid: Grid, start: Sequence[int], shape: Sequence[int], dtype: DTypeLike
) -> NDArray[Any]:
    """Return the box (start, shape) of an array in memory, as `read_block` does of one in a file.

    Raises:
        CaseError: its shape is not that of the grid.
    """
    box = tuple(slice(first, first + count) for first, count in zip(start, shape, strict=True))
    values = array[_selection("the array", array.shape, grid, box)]
    return np.ascontiguousarray(values.reshape(tuple(shape)), dtype=dtype)


def _read_hdf5(
    path: Path, dataset: str | None, grid: Grid, box: tuple[slice, ...], time: float | None, frame: int | None
) -> NDArray[Any]:
    """Return a box of a data set; only this box is read."""
    with open_read(path) as file:
        array = find_dataset(path, file, dataset, grid)
        if array.dtype.kind not in "biuf":
            raise CaseError(f"{path}: data set '{array.name}' has type {array.dtype}, expected real numbers")
        refuse_borrowed(array)
        require_filters(array)
        _refuse_packed(path, array)
        index = _selection(f"{path}: data set '{array.name}'", array.shape, grid, box)
        if time is not None:
            index = (_frame_at(path, array, isinstance(index[0], int), time), *index[1:])
        if frame is not None:
            index = (frame, *index[1:])
        values: NDArray[Any] = array[index]
        start, shape = [part.start for part in box], [part.stop - part.start for part in box]
        for name in _FILLS:
            if (missing := np.isin(values, _fill_values(array, name))).any():
                where = _first(missing, grid, start, shape)
                raise CaseError(
                    f"{path}: data set '{array.name}' has no value, but its {name}, at cell {where} and perhaps others;"
                    " fill them in first"
                )
    return values


def _refuse_packed(path: Path, array: h5py.Dataset) -> None:
    """Refuse a data set that holds codes of its values, by the conventions of netCDF.

    Raises:
        CaseError: with the attribute that says so.
    """
    found = {name: array.attrs[name] for name in (*_PACKING, "_Unsigned") if name in array.attrs}
    for name, value in found.items():
        if name in _PACKING:
            is_neutral = bool(np.all(np.asarray(value) == _PACKING[name]))
        else:
            is_neutral = array.dtype.kind != "i" or str(value).lower().strip("b'") != "true"
        if not is_neutral:
            raise CaseError(
                f"{path}: data set '{array.name}' is packed, {name} = {np.ravel(value)[0]}; unpack it first, for "
                "example xarray.open_dataset(name).drop_encoding().to_netcdf(other)"
            )


def _fill_values(array: h5py.Dataset, name: str) -> NDArray[Any]:
    """Return the numbers of a data set, in its type, that by an attribute stand for none."""
    given = np.ravel(array.attrs[name]) if name in array.attrs else np.empty(0)
    if given.dtype.kind not in "biuf":
        return np.empty(0, array.dtype)
    with np.errstate(all="ignore"):
        held = given.astype(array.dtype)
    return held if array.dtype.kind == "f" else held[held == given]


def _frame_at(path: Path, array: h5py.Dataset, framed: bool, time: float) -> int:
    """Return which entry of the first axis of a data set is at a time; ``framed``: whether it is an axis of times.

    Raises:
        CaseError: it is not, or none of its times is this one.
    """
    times = array.parent.get("time") if framed else None
    if not isinstance(times, h5py.Dataset) or times.shape != array.shape[:1] or times.dtype.kind not in "iuf":
        raise CaseError(f"{path}: data set '{array.name}' has no times, time = {time:g} is none of them; leave it out")
    refuse_borrowed(times)
    known = np.asarray(times[...], dtype=float)
    best = int(np.argmin(np.abs(known - time)))
    if abs(known[best] - time) > 1e-9 * np.abs(known).max():
        near = ", ".join(f"{t:.10g}" for t in known[max(0, best - 4) : best + 5])
        raise CaseError(f"{path}: no frame at time = {time:.10g}; there are {len(known)} times, among them {near}")
    return best


def find_dataset(path: Path, file: h5py.File, dataset: str | None, grid: Grid) -> h5py.Dataset:
    """Return the data set by its path or its last name; without a name, the only one that fits the grid."""
    if dataset is not None:
        # A case may say "fields/v" where the file has "/v": groups are a matter of the file's maker.
        head, _, tail = dataset.strip("/").rpartition("/")
        for name in (dataset,) if head.split("/")[0] in file else (dataset, tail):
            if name and isinstance(_get(file, name), h5py.Dataset):
                return file[name]
    known = _dataset_names(file)
    if dataset is not None:
        raise CaseError(f"{path}: no data set '{dataset}'{nearest(dataset, known, 'data sets')}")
    fitting = [name for name in known if _fits(file[name].shape, grid)]
    if len(fitting) == 1:
        return file[fitting[0]]
    if fitting:
        raise CaseError(f"{path}: {len(fitting)} data sets fit the grid; say dataset = one of {', '.join(fitting)}")
    shapes = ", ".join(f"{name} {file[name].shape}" for name in known) or "none"
    raise CaseError(f"{path}: no data set has the grid's shape {grid.shape}; data sets: {shapes}")


def _dataset_names(file: h5py.File) -> tuple[str, ...]:
    """Return the paths of all data sets, those at the root first; each has one name only."""
    names: list[str] = []
    seen = set()

    def collect(name: str, item: h5py.HLObject | None) -> None:
        if isinstance(item, h5py.Dataset) and name.split("/")[0] not in RESERVED:
            address = h5py.h5o.get_info(item.id).addr
            if address not in seen:
                seen.add(address)
                names.append(name)

    for name in file:
        collect(name, _get(file, name))
    file.visititems(collect)
    return tuple(names)


def _get(file: h5py.File, name: str) -> h5py.HLObject | None:
    """Return what a name leads to; links may lead nowhere."""
    try:
        return file.get(name)
    except (OSError, RuntimeError, ValueError):
        return None


def _fits(shape: tuple[int, ...] | None, grid: Grid) -> bool:
    """Return whether an array has the grid's shape, perhaps with axes of one cell or a time axis in front."""
    if not shape or 0 in shape:  # None: a data set without a place for values
        return False
    return any(shape[skip:] in (grid.shape, grid.cells) for skip in (0, 1))


def _selection(what: str, shape: tuple[int, ...], grid: Grid, box: tuple[slice, ...]) -> tuple[slice | int, ...]:
    """Return the index of a box in an array of the shape of the grid; a leading time axis gives its last entry."""
    if not _fits(shape, grid):
        axes = ", ".join(axis for axis in AXES if axis in grid.names)
        raise CaseError(f"{what} has shape {shape}, the grid is {grid.shape} ({axes}); give the grid these cells")
    exact: dict[tuple[int, ...], tuple[slice, ...]] = {
        grid.cells: box,
        grid.shape: tuple(part for part, axis in zip(box, AXES, strict=True) if axis in grid.names),
    }
    return exact[shape] if shape in exact else (shape[0] - 1, *exact[shape[1:]])


def _read_npy(path: Path, grid: Grid, box: tuple[slice, ...]) -> NDArray[Any]:
    """Return a box of a .npy array; the file is mapped meanwhile, so only the pages of the box are read."""
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind not in "biuf":
        raise CaseError(f"{path}: has type {array.dtype}, expected real numbers")
    return np.array(array[_selection(str(path), array.shape, grid, box)])


def _read_image(path: Path, grid: Grid, box: tuple[slice, ...]) -> NDArray[Any]:
    """Return a box of an image; rows and columns are the last two axes, pages of a TIFF the first, from below."""
    array = _open_tiff(path) if path.suffix.lower() in _TIFF else _open_png(path)
    axes = grid.ndim
    colours = array.shape[-1] if array.ndim == axes + 1 and array.shape[-1] in (2, 3, 4) else 0
    size = array.shape[:-1] if colours else array.shape
    if size != grid.shape or axes < 2:
        raise CaseError(
            f"{path}: the image is {size} (rows last but one, columns last), the grid is {grid.shape}; "
            "give the grid as many cells, or scale the image"
        )
    index = [part for part, axis in zip(box, AXES, strict=True) if axis in grid.names]
    rows = index[axes - 2]
    index[axes - 2] = slice(size[-2] - rows.stop, size[-2] - rows.start)
    part = np.asarray(array[tuple(index)])
    if part.dtype.kind not in "buf":
        raise CaseError(f"{path}: pixels have type {part.dtype}, expected unsigned whole numbers or floats")
    scale = 1.0 if part.dtype.kind in "bf" else float(np.iinfo(part.dtype).max)
    grey = part[..., :3] @ _LUMINANCE if colours >= 3 else part[..., 0] if colours else part
    return np.asarray(np.flip(grey / scale, axis=axes - 2))


def _open_tiff(path: Path) -> NDArray[Any]:
    """Return a TIFF as an array, mapped if it is not compressed."""
    try:
        import tifffile
    except ImportError as caught:
        raise SetupError(f'{path}: reading TIFF needs tifffile: pip install "parsolve[images]"') from caught
    log = logging.getLogger("tifffile")
    said, log.disabled = log.disabled, True  # the error says it
    try:
        return np.asarray(tifffile.memmap(path, mode="r"))
    except ValueError:  # compressed, tiled or in several pieces
        return np.asarray(tifffile.imread(path))
    finally:
        log.disabled = said


def _open_png(path: Path) -> NDArray[Any]:
    """Return a PNG as an array of its own depth; palettes become colours."""
    try:
        from PIL import Image
    except ImportError as caught:
        raise SetupError(f'{path}: reading PNG needs Pillow: pip install "parsolve[images]"') from caught
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large images are what this is for
        try:
            image = Image.open(path)
        except Image.DecompressionBombError as caught:
            raise CaseError(f"{path}: too many pixels for the PNG reader; convert it to TIFF or .npy") from caught
        with image:
            array = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    # 16 bit grey arrives as int32 in some versions of Pillow.
    return array.astype(np.uint16) if array.dtype == np.int32 else array
