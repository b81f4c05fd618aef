"""The members of a sweep as one table, and their last frames as one array."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from parsolve.errors import StorageError
from parsolve.store.files import Image, create_contiguous, create_file, create_group, naming, rename, sync, write_at
from parsolve.store.places import partial_of
from parsolve.store.provenance import storable
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from parsolve.ensemble.members import Sweep
    from parsolve.ensemble.standing import Record

TEXT = h5py.string_dtype()
NUMBERS = ("min", "max", "mean")
OF_MEMBER = {"steps": -1, "time": np.nan, "start": np.nan, "start_processor": np.nan, "marching": np.nan}  # if not done


def write_table(path: Path, found: Sweep, records: Sequence[Record], result: str) -> None:
    """Write a table with a row for each member, a data set for each column.

    ``number``, ``state``, ``error``, ``seconds``, ``start``, ``start_processor``, ``marching``, ``result``, ``steps``,
    ``time``;
    ``parameters/KEY`` of what varies;
    ``fields/NAME/min``, ``max`` and ``mean`` of the last state; ``measures/NAME`` of it.
    NaN and -1 stand for what a member has not.

    Raises:
        StorageError, ResourceError: it could not be brought to the disk.
    """
    image, rows = Image(), range(len(records))
    with create_file(image) as file:
        file.attrs["source"] = "parsolve sweep"
        _column(file, "number", list(rows))
        _column(file, "state", [record.state for record in records])
        _column(file, "error", [record.error for record in records])
        _column(file, "seconds", [record.seconds for record in records])
        for name, missing in OF_MEMBER.items():
            _column(file, name, [type(missing)(record.summary.get(name, missing)) for record in records])
        _column(file, "result", [f"{found.folder(n)}/{result}" for n in rows])
        parameters = create_group(file, "parameters")
        for key in found.members[0]:
            _column(parameters, key, [member[key] for member in found.members])
        fields = create_group(file, "fields")
        for name in dict.fromkeys(name for record in records for name in record.summary.get("fields", {})):
            group = create_group(fields, name)
            for what in NUMBERS:
                known = [record.summary.get("fields", {}).get(name, {}).get(what, np.nan) for record in records]
                _column(group, what, known)
        measures = create_group(file, "measures")
        for name in dict.fromkeys(name for record in records for name in record.summary.get("measures", {})):
            last = [record.summary.get("measures", {}).get(name) for record in records]
            _column(measures, name, [np.nan if value is None else value for value in last])
    _save(image, path)


def _column(group: h5py.Group, name: str, values: Sequence[Any]) -> None:
    """Write a column, of texts if there is one among the values."""
    if any(isinstance(value, str) for value in values) or np.array(values).dtype == object:  # as beyond 64 bits
        group.create_dataset(name, data=[storable(str(value)) for value in values], dtype=TEXT)
    else:
        group.create_dataset(name, data=np.array(values))


def _save(image: Image, path: Path) -> None:
    partial = partial_of(path)
    try:
        with naming(path, "write it"):
            image.save(partial)
            sync(partial)
            rename(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_stack(path: Path, results: Sequence[Path], records: Sequence[Record]) -> None:
    """Write the last frames of all members, each field as an array (member, z, y, x), a member after the other.

    NaN stands for those that are not done.

    Raises:
        StorageError: members have other grids or fields, one cannot be read, or the disk failed.
    """
    done = [n for n, record in enumerate(records) if record.state == "done"]
    if not done:
        return
    with open_result(results[done[0]]) as first:
        names, shape, dtype = first.fields, first.grid.shape, first.file[first.fields[0]].dtype
    image, partial = Image(), partial_of(path)
    with create_file(image) as file:
        file.attrs["source"] = "parsolve sweep"
        file.create_dataset("done", data=np.isin(np.arange(len(results)), done))
        for name in names:
            create_contiguous(file, name, (len(results), *shape), dtype)
    try:
        with naming(path, "write it"):
            image.save(partial)
            with h5py.File(partial, "r", locking=False) as file:
                places = {name: int(file[name].id.get_offset()) for name in names}
            with partial.open("r+b", buffering=0) as target:
                for n, result in enumerate(results):
                    for name, values in _last(result, names, shape, dtype, records[n].state == "done").items():
                        write_at(target.fileno(), values.data.cast("B"), places[name] + n * values.nbytes)
                os.fsync(target.fileno())
            rename(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _last(path: Path, names: Sequence[str], shape: tuple[int, ...], dtype: Any, is_done: bool) -> dict[str, Any]:
    """The last frame of a result, NaN if it is not done.

    Raises:
        StorageError: it is of another grid or has other fields.
    """
    if not is_done:
        return {name: np.full(shape, np.nan, dtype) for name in names}
    with open_result(path) as result:
        is_alike = set(names) <= set(result.fields) and all(result.file[name].dtype == dtype for name in names)
        if result.grid.shape != shape or not is_alike:
            raise StorageError(f"{path}: has another grid, precision or fields than the first member: leave stack out")
        return {name: np.ascontiguousarray(result.read(name, -1)) for name in names}
