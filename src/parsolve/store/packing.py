"""Packed results: values in chunks that HDF5's filters make smaller, the same bytes on any number of ranks.

Bytes of the same place of the values are put together first (shuffle), then gzip, which every HDF5 has, or zstd, of
the package hdf5plugin. The ranks pack chunks, each with a file in memory, and rank 0 writes them in their order.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from parsolve.errors import ParsolveError, SetupError, StorageError, agreed, on_root
from parsolve.store.files import Disk, create_contiguous, create_file, naming, open_read, reproducible
from parsolve.store.filters import INSTALL, ZSTD, has_filter, require_filters
from parsolve.store.integrity import Table, array_hashes, damages, known_hashes, read_table, seal
from parsolve.store.layout import compose, sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.store.layout import Content

SMALLEST, LARGEST = 1 << 12, 1 << 30  # bytes of a chunk: one of its own costs some 100, and HDF5 takes up to 4 GiB
CHUNK = 1 << 20  # bytes: enough for a disk to be read at its speed, and what HDF5 keeps in memory
LEVELS = {"gzip": (0, 9, 4), "zstd": (1, 22, 3)}  # least, most, and the usual one

Box = tuple[slice, ...]
Moment = tuple["Path", int]  # a file, and which of its times
Packed = tuple[int, bytes]  # a chunk: which filters are left out, and what the others made


@dataclass(frozen=True)
class Packing:
    """How values are packed: ``method`` gzip or zstd, its level, and the cells of a chunk by axis (the rest: all)."""

    method: str
    level: int | None = None
    cells: Mapping[str, int] | None = None

    def require(self) -> None:
        """Make the filter known to HDF5.

        Raises:
            SetupError: it is not installed.
        """
        if self.method == "zstd" and not has_filter(ZSTD):
            raise SetupError(f"compression 'zstd' needs the package hdf5plugin: {INSTALL}; 'gzip' needs nothing")

    def create(self, parent: h5py.Group, name: str, shape: Sequence[int], chunk: Sequence[int], dtype: Any) -> Any:
        """Return a new data set without chunks."""
        creation = reproducible(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(tuple(chunk))
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        creation.set_shuffle()
        level = LEVELS[self.method][2] if self.level is None else self.level
        if self.method == "zstd":
            creation.set_filter(ZSTD, h5py.h5z.FLAG_MANDATORY, (level,))
        else:
            creation.set_deflate(level)
        kind, space = h5py.h5t.py_create(np.dtype(dtype)), h5py.h5s.create_simple(tuple(shape))
        return h5py.Dataset(h5py.h5d.create(parent.id, name.encode(), kind, space, creation))


class _Packer:
    """Packs chunks as HDF5 does, one after the other, in a file in memory."""

    def __init__(self, packing: Packing, chunk: Sequence[int], dtype: Any) -> None:
        self._file = h5py.File(f"packed-{id(self)}", "w", driver="core", backing_store=False, rdcc_nbytes=0)
        self._dataset = packing.create(self._file, "values", chunk, chunk, dtype)
        self._whole = np.zeros(chunk, dtype)

    def pack(self, values: NDArray[Any]) -> Packed:
        """Return a chunk, filled up with zeros."""
        if values.size < self._whole.size:
            self._whole[...] = 0
        self._whole[tuple(map(slice, values.shape))] = values
        self._dataset[...] = self._whole
        mask, data = self._dataset.id.read_direct_chunk((0,) * self._whole.ndim)
        return mask, bytes(data)

    def close(self) -> None:
        """Free the memory."""
        self._file.close()


def chunk_of(
    axes: Sequence[str], shape: Sequence[int], itemsize: int, cells: Mapping[str, int] | None
) -> Sequence[int]:
    """Return the shape of a chunk at one time: whole layers, rows or a part of one up to 1 MiB, or as it is given."""
    found, room = list[int](), max(1, CHUNK // itemsize)
    for axis, there in zip(reversed(axes), reversed(shape), strict=True):
        wish = cells.get(axis, there) if cells else room
        found.insert(0, max(1, min(there, wish)))
        room //= found[0]
    return found


def write_packed(
    comm: MPI.Intracomm, path: Path, content: Content, moments: Sequence[Moment], packing: Packing | None
) -> None:
    """Write a self-contained result of what files hold at some times, packed or as it is; collective.

    Its hashes are those that the files say, if they do: so damage in them, and on the way, is found at the end.

    Args:
        comm: the ranks.
        path: of the result.
        content: of it.
        moments: each of its times.
        packing: of the values; None: as they are.

    Raises:
        StorageError, ResourceError: a file is damaged, or the disk failed or is full.
        SetupError: a filter is not installed.
    """
    names, shape = [field.name for field in content.fields], content.grid.shape
    chunk = chunk_of(content.grid.names[::-1], shape, content.dtype.itemsize, packing.cells if packing else None)
    boxes = list(_boxes(shape, chunk))
    tasks = _Tasks(len(moments), names, boxes)
    with agreed(comm):
        _refuse_chunk(path, chunk, shape, content.dtype.itemsize)
    reader, target, packer = _Reader(), None, None
    try:
        with agreed(comm):
            if packing is not None:
                packing.require()
                packer = _Packer(packing, chunk, content.dtype)
            if comm.rank == 0:
                with naming(path, "create it"):
                    target = _Target(path, content, packing, chunk)
        for first in range(0, len(tasks), comm.size):
            data: Packed | NDArray[Any] | None = None
            with agreed(comm):
                for n, name, box in tasks.some(first + comm.rank, 1):
                    values = reader.read(moments[n], name, box)
                    data = packer.pack(values) if packer else values
            parts = comm.gather(data)
            with agreed(comm):
                if target is not None and parts is not None:
                    for (n, name, box), part in zip(tasks.some(first, comm.size), parts, strict=False):
                        target.put(name, n, box, part)
        with agreed(comm):
            if target is not None:
                target.close()
        hashes = _hashes(comm, reader, moments, names, content.steps)
    finally:
        reader.close()
        if packer is not None:
            packer.close()
        if target is not None:
            with suppress(ParsolveError):
                target.close()
    _seal(comm, path, content, hashes, moments)


def _seal(
    comm: MPI.Intracomm, path: Path, content: Content, hashes: Mapping[str, Sequence[Sequence[str]]],
    moments: Sequence[Moment],
) -> None:  # fmt: skip
    """Write the hashes into the file, and see that its values have them; collective.

    Raises:
        StorageError: they have not.
    """

    def sealed() -> Table:
        with naming(path, "write its hashes"):
            with open_read(path) as file:
                table = read_table(path, file, list(hashes), content.steps)
            assert table is not None
            seal(path, table, hashes)
        return table

    wrong = damages(comm, path, on_root(comm, sealed))
    with agreed(comm):
        if wrong:
            sources = ", ".join(dict.fromkeys(str(source) for source, _ in moments[:3]))
            raise StorageError(f"{wrong[0]}, so the file that it was read from ({sources}) is, or this disk")


def _boxes(shape: Sequence[int], chunk: Sequence[int]) -> Iterator[Box]:
    """The boxes of the chunks of a field."""
    for corner in product(*(range(0, n, c) for n, c in zip(shape, chunk, strict=True))):
        yield tuple(slice(at, min(at + c, n)) for at, c, n in zip(corner, chunk, shape, strict=True))


def _hashes(
    comm: MPI.Intracomm, reader: _Reader, moments: Sequence[Moment], names: Sequence[str], steps: Sequence[int]
) -> dict[str, list[list[str]]]:
    """The hashes of each field by time, as the files say or, where they do not, of what is in them; collective."""
    tasks = [(name, n) for name in names for n in range(len(moments))]
    own: list[list[str]] = []
    with agreed(comm):
        for name, n in tasks[comm.rank :: comm.size]:
            source, index = moments[n]
            file = reader.open(source)
            known = known_hashes(file, name, index)
            with naming(source, f"read '{name}'"):
                own.append(known or array_hashes(file[name], index, str(steps[n])))
    parts = comm.allgather(own)
    found: dict[str, list[list[str]]] = {name: [] for name in names}
    for i, (name, _) in enumerate(tasks):
        found[name].append(parts[i % comm.size][i // comm.size])
    return found


def _refuse_chunk(path: Path, chunk: Sequence[int], shape: Sequence[int], itemsize: int) -> None:
    """Refuse chunks so small that they cost more than they hold, or larger than HDF5 takes.

    Raises:
        StorageError: with what is due.
    """
    size = math.prod(chunk) * itemsize
    if size > LARGEST or size < min(SMALLEST, math.prod(shape) * itemsize):
        raise StorageError(f"{path}: a chunk of {size} bytes; give --chunks of {SMALLEST} to {LARGEST} bytes")


class _Tasks:
    """All chunks of all fields at all times, numbered in the order in which they are written."""

    def __init__(self, times: int, names: Sequence[str], boxes: Sequence[Box]) -> None:
        self._times, self._names, self._boxes = times, names, boxes

    def __len__(self) -> int:
        return self._times * len(self._names) * len(self._boxes)

    def some(self, first: int, count: int) -> Iterator[tuple[int, str, Box]]:
        """Yield time index, field and box of so many, as far as there are so many."""
        for i in range(first, min(first + count, len(self))):
            field, box = divmod(i, len(self._boxes))
            n, name = divmod(field, len(self._names))
            yield n, self._names[name], self._boxes[box]


class _Reader:
    """Reads boxes of files, of which one is open at a time."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: h5py.File | None = None

    def open(self, path: Path) -> h5py.File:
        """Return the open file."""
        if self._file is None or path != self._path:
            self.close()
            self._path, self._file = path, open_read(path)
        return self._file

    def read(self, moment: Moment, name: str, box: Box) -> NDArray[Any]:
        """Return the values of a field in a box at one time."""
        path, n = moment
        dataset = self.open(path)[name]
        require_filters(dataset)
        with naming(path, f"read '{name}'"):
            values: NDArray[Any] = np.ascontiguousarray(dataset[(n, *box)])
        return values

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Target:
    """The result while it is written, on rank 0."""

    def __init__(self, path: Path, content: Content, packing: Packing | None, chunk: Sequence[int]) -> None:
        self._disk = Disk(path)
        self._file = create_file(self._disk)

        def create(name: str) -> h5py.Dataset:
            if packing is None:
                return create_contiguous(self._file, name, content.shape, content.dtype)
            return packing.create(self._file, name, content.shape, (1, *chunk), content.dtype)

        compose(self._file, content, create)
        sign(self._file, content)
        self._disk.check()

    def put(self, name: str, n: int, box: Box, part: Packed | NDArray[Any]) -> None:
        """Write a chunk, or values.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        if isinstance(part, tuple):
            mask, data = part
            self._file[name].id.write_direct_chunk((n, *(side.start for side in box)), data, mask)
        else:
            self._file[name][(n, *box)] = part
        self._disk.check()

    def close(self) -> None:
        """Bring it to the disk, once or more.

        Raises:
            StorageError, ResourceError: it could not be.
        """
        self._file.close()
        self._disk.close()
        self._disk.check()
