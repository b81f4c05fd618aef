"""The rows of a slice while its run goes on, and the small result that they become.

They stand in the folder of the run, ``slice.NAME.rows``: a line that says what they are of, a hash and JSON, then a
row for each time: step, time, the values of each field, and a hash of all that. So a row costs one write, and those
behind the last whole one, as a kill leaves them, are known. Which there are is known since the file was begun or looked
at, so that they are read once to become a result.
"""

from __future__ import annotations

import json
import os
import struct
from array import array
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from parsolve.domain.grid import Grid
from parsolve.domain.picked import Picked
from parsolve.errors import StorageError, on_root
from parsolve.store.files import is_result, naming, outlast, rename, require_space, sync, write_at
from parsolve.store.hashes import BLOCK, hash_of, text_hash
from parsolve.store.integrity import doubts, seal
from parsolve.store.layout import Content, FieldInfo, lay_out
from parsolve.store.packing import write_packed
from parsolve.store.places import ROWS, partial_of
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.store.packing import Packing

MOST = 1 << 24  # bytes of the line
_TIME, _HASH = struct.Struct("<qd"), 16  # step and time; bytes of a hash


class RowFile:
    """The file of a slice, to which one rank adds rows.

    Args:
        folder: of the run.
        name: of the slice.
        content: of the result that it becomes, without times.

    Attributes:
        steps, times: of the rows.
        doubt: what is wrong with the row behind them, if whole ones are behind that; else an empty text.
    """

    def __init__(self, folder: Path, name: str, content: Content) -> None:
        self.path, self._content = folder / f"slice.{name}.rows", content
        self._size = content.grid.size * content.dtype.itemsize  # of a field
        self.steps, self.times, self.doubt = array("q"), array("d"), ""

    @classmethod
    def of(cls, path: Path) -> RowFile:
        """The file that a run has left, with the rows before the first that is damaged.

        Raises:
            StorageError: it is none, or cannot be read.
        """
        known, found = _said(path), ROWS.fullmatch(path.name)
        assert found is not None
        file = cls(path.parent, found[1], known)
        file._look()
        return file

    def begin(self) -> None:
        """Begin without a row.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        self.steps, self.times = array("q"), array("d")
        with naming(self.path, "begin it"):
            self.path.write_bytes(_line(self._content))

    def add(self, step: int, time: float, values: Sequence[NDArray[np.generic]]) -> None:
        """Add a row: the values of each field, in order.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        with naming(self.path, "add to it"), self.path.open("ab", buffering=0) as file:
            _write(file.write, _row(step, time, values))
        self._know(step, time)

    def keep(self) -> None:
        """See to it that the rows so far outlast the machine.

        Raises:
            StorageError, ResourceError: the disk failed.
        """
        outlast(self.path)

    def go_on(self, step: int, result: Path) -> tuple[int, float]:
        """Go on after a step, without later rows, or with those of ``result`` if there is no file.

        Returns:
            Step and time of the last row.

        Raises:
            StorageError: what there was is missing, damaged or of another run; the disk failed.
        """
        if not self.path.exists():
            self._take(step, result)
        self._refuse_other(self.path, _said(self.path))
        self._look(step)
        if self.doubt:
            raise StorageError(f"{self.doubt}; go on into another result with -o")
        with naming(self.path, "go on with it"):
            with self.path.open("rb") as file:
                begun = len(file.readline(MOST))
            os.truncate(self.path, begun + len(self.times) * self._length)
            sync(self.path)
        return (self.steps[-1], self.times[-1]) if self.steps else (-1, 0.0)

    def write_result(self, path: Path) -> Content:
        """Write a result of the rows, which stay; what is in it.

        Raises:
            StorageError, ResourceError: there is no row, or one is damaged; the disk failed or is full.
        """
        if not self.times:
            raise StorageError(f"{self.path}: has no whole row")
        fields, count = self._content.fields, len(self.times)
        content = replace(self._content, times=tuple(self.times), steps=tuple(self.steps))
        require_space(path.parent, self._size * len(fields) * count, "a slice")
        table = lay_out(path, content)
        hashes: dict[str, list[list[str]]] = {info.name: [] for info in fields}
        with path.open("r+b", buffering=0) as file:
            for n, row in enumerate(islice(self._rows(), count)):  # there may be more now
                if row is None or row[:2] != (self.steps[n], self.times[n]):
                    raise StorageError(f"{self.path}: row {n} is damaged; `gather` makes a slice of those before it")
                for i, info in enumerate(fields):
                    values = row[2][i * self._size : (i + 1) * self._size]
                    write_at(file.fileno(), values, table.values[info.name] + n * self._size)
                    hashes[info.name].append(_hashes(info.name, values, str(self.steps[n])))
        seal(path, table, hashes)
        if doubts(path, table, [(info.name, n) for info in fields for n in range(count)]):
            raise StorageError(f"{path}: is not there as it was written: look at the disk")
        return content

    def _take(self, step: int, result: Path) -> None:
        """Begin with the rows up to a step that a result has."""
        if not result.exists():
            raise StorageError(f"{self.path}: is missing, as is '{result}'; put one back, or give another -o")
        aside = self.path.with_name(f".{self.path.name}.partial")
        with open_result(result) as old, naming(aside, "write it"), aside.open("wb") as file:
            names = [info.name for info in self._content.fields]
            held = old.content()
            ordered = self._content.fields if {*old.fields} == {*names} else held.fields
            self._refuse_other(result, replace(held, fields=ordered))
            file.write(_line(self._content))
            for n, (at, time) in enumerate(zip(old.steps.tolist(), old.times.tolist(), strict=True)):
                if at <= step:
                    if doubt := old.doubt(*((name, n) for name in names)):
                        raise StorageError(doubt)
                    _write(file.write, _row(at, time, [old.read(name, n) for name in names]))
        rename(aside, self.path)

    def _refuse_other(self, path: Path, held: Content) -> None:
        """Refuse to go on with the rows of another run or other cells.

        Raises:
            StorageError: they are.
        """
        own = self._content
        if held.provenance.get("run") != own.provenance.get("run"):
            raise StorageError(f"{path}: is of another run than the checkpoint; move it away, or give another -o")
        kinds = [(c.provenance.get("slice"), c.dtype, c.grid.shape, [i.name for i in c.fields]) for c in (held, own)]
        if kinds[0] != kinds[1]:
            raise StorageError(f"{path}: has other cells or fields; move it away, or give another -o")

    def _look(self, step: float = inf) -> None:
        """Look which rows there are up to a step, before the first that is damaged.

        Raises:
            StorageError: the file cannot be read.
        """
        self.steps, self.times, self.doubt, damaged = array("q"), array("d"), "", -1
        for number, row in enumerate(self._rows()):
            if row is None:  # its step too may be another
                damaged = number if damaged < 0 else damaged
            elif row[0] <= step and damaged >= 0:
                self.doubt = f"{self.path}: row {damaged} is damaged"
                return
            elif row[0] <= step:
                self._know(*row[:2])

    def _know(self, step: int, time: float) -> None:
        """Note a row."""
        self.steps.append(step)
        self.times.append(time)

    def _rows(self) -> Iterator[tuple[int, float, memoryview] | None]:
        """Step, time and values of the rows that are there to their end, None for one that has another hash.

        Raises:
            StorageError: the file cannot be read.
        """
        with naming(self.path, "read it"), self.path.open("rb") as file:
            file.readline(MOST)
            while len(data := file.read(self._length)) == self._length:
                row = memoryview(data)
                step, time = _TIME.unpack_from(row)
                is_whole = xxhash.xxh3_128_digest(row[:-_HASH]) == row[-_HASH:]
                yield (step, time, row[_TIME.size : -_HASH]) if is_whole else None

    @property
    def _length(self) -> int:
        """Bytes of a row."""
        return _TIME.size + self._size * len(self._content.fields) + _HASH


def publish(
    comm: MPI.Intracomm, rows: RowFile | None, path: Path, packing: Packing | None = None, force: bool = False
) -> int:
    """Make a result of the rows of a slice, which stay; how many there are; collective.

    Args:
        comm: all ranks.
        rows: of the slice, on rank 0.
        path: the name of the result.
        packing: of its values; None: as they are.
        force: whether it replaces an older result.

    Raises:
        StorageError, ResourceError: there is something of this name, a row is damaged; the disk failed or is full.
    """
    partial = partial_of(path)
    plain = path.with_name(f".{path.name}.plain.partial") if packing else partial

    def written() -> Content:
        assert rows is not None
        if os.path.lexists(path) and not (force and is_result(path)):
            raise StorageError(f"{path}: something of this name was made meanwhile; the slice is in '{rows.path}'")
        with naming(path, "write it"):
            return rows.write_result(plain)

    try:
        content = on_root(comm, written)
        if packing is not None:
            write_packed(comm, partial, content, [(plain, n) for n in range(len(content.times))], packing)
        on_root(comm, lambda: rename(partial, path))
    finally:
        if comm.rank == 0:
            for unfinished in {plain, partial}:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)
    return len(content.times)


def title_of(title: str, name: str) -> str:
    """The title of a slice of a run."""
    return f"{title}, {name}" if title else name


def rows_in(folder: Path) -> dict[str, Path]:
    """The files of slices in a folder of a run, by name."""
    return {match[1]: path for path in sorted(folder.iterdir()) if (match := ROWS.fullmatch(path.name))}


def _hashes(name: str, values: memoryview, context: str) -> list[str]:
    """Of the blocks of the values of a field at a time."""
    blocks = [values[at : at + BLOCK] for at in range(0, len(values), BLOCK)]
    return [hash_of((name, n, 0, len(block)), block, context) for n, block in enumerate(blocks)]


def _row(step: int, time: float, values: Sequence[NDArray[np.generic]]) -> bytes:
    """A row as it stands in the file; beside the values there is one copy of them."""
    parts: list[Any] = [_TIME.pack(step, time), *map(np.ascontiguousarray, values)]
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return b"".join([*parts, digest.digest()])


def _write(write: Callable[[memoryview], int | None], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[write(left) or 0 :]


def _line(content: Content) -> bytes:
    """What rows are of, as a line."""
    said: dict[str, Any] = {
        "grid": asdict(content.grid), "fields": [asdict(i) for i in content.fields], "dtype": content.dtype.str,
        "provenance": dict(content.provenance), "dimensions": [asdict(i) for i in content.dimensions],
    }  # fmt: skip
    text = json.dumps(said)
    return f"{text_hash(text)} {text}\n".encode()


def _said(path: Path) -> Content:
    """What the rows of a file are of.

    Raises:
        StorageError: it does not say, or cannot be read.
    """
    with naming(path, "read it"), path.open("rb") as file:
        line = file.readline(MOST)
    try:
        digest, _, text = line.decode().rstrip("\n").partition(" ")
        if text_hash(text) != digest:
            raise ValueError("its first line has another hash")
        said = json.loads(text)
        tables = said["grid"]
        whole = Grid(**{key: tuple(value) for key, value in tables.pop("whole").items()})
        grid = Picked(**{key: tuple(value) for key, value in tables.items()}, whole=whole)
        fields, dimensions = (tuple(FieldInfo(**info) for info in said[key]) for key in ("fields", "dimensions"))
        return Content(grid, fields, np.dtype(said["dtype"]), said["provenance"], dimensions)
    except (ValueError, TypeError, KeyError, AttributeError) as caught:
        raise StorageError(f"{path}: is damaged, or no file of a slice; move it away ({caught})") from None
