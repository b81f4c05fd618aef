"""The rows of a slice while its run goes on, and the small result that they become.

They stand in the folder of the run, ``slice.NAME.rows``: a line of JSON that says what they are of, then a row for
each time: step, time, the values of each field, and a hash of all that. So a row costs one write, and those behind the
last whole one, as a kill leaves them, are known.
"""

from __future__ import annotations

import json
import os
import struct
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from parsolve.domain.grid import Grid
from parsolve.domain.picked import Picked
from parsolve.errors import StorageError
from parsolve.store.files import is_result, naming, outlast, rename, require_space, sync, write_at
from parsolve.store.hashes import BLOCK, hash_of
from parsolve.store.integrity import doubts, seal
from parsolve.store.layout import Content, FieldInfo, lay_out
from parsolve.store.places import ROWS
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOST = 1 << 24  # bytes of the line
_TIME, _HASH = struct.Struct("<qd"), 16  # step and time; bytes of a hash


class RowFile:
    """The file of a slice, to which one rank adds rows.

    Args:
        folder: of the run.
        name: of the slice.
        content: of the result that it becomes, without times.
    """

    def __init__(self, folder: Path, name: str, content: Content) -> None:
        self.path, self._content = folder / f"slice.{name}.rows", content
        self._size = content.grid.size * content.dtype.itemsize  # of a field

    @classmethod
    def of(cls, path: Path) -> RowFile:
        """The file that a run has left.

        Raises:
            StorageError: it is none, or cannot be read.
        """
        known, found = _said(path), ROWS.fullmatch(path.name)
        assert found is not None
        return cls(path.parent, found[1], known)

    def begin(self) -> None:
        """Begin without a row.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        with naming(self.path, "begin it"):
            self.path.write_bytes(_line(self._content))

    def add(self, step: int, time: float, values: Sequence[NDArray[np.generic]]) -> None:
        """Add a row: the values of each field, in order.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        with naming(self.path, "add to it"), self.path.open("ab", buffering=0) as file:
            _write(file.write, _row(step, time, b"".join(f.tobytes() for f in values)))

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
        size, last, held = len(self._begun()), (-1, 0.0), _said(self.path)
        self._refuse_other(self.path, held)
        for at, time, data in self._rows(step):
            size, last = size + _TIME.size + len(data) + _HASH, (at, time)
        with naming(self.path, "go on with it"):
            os.truncate(self.path, size)
            sync(self.path)
        return last

    def publish(self, path: Path, force: bool = False) -> None:
        """Make a result of the rows, which stay.

        Args:
            path: its name.
            force: whether it replaces an older result.

        Raises:
            StorageError, ResourceError: there is something of this name; the disk failed or is full.
        """
        if os.path.lexists(path) and not (force and is_result(path)):
            raise StorageError(f"{path}: something of this name was made meanwhile; the slice is in '{self.path}'")
        partial = path.with_name(f".{path.name}.partial")
        try:
            with naming(path, "write it"):
                self._write_result(partial)
            rename(partial, path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _write_result(self, path: Path) -> None:
        times, fields = [(step, time) for step, time, _ in self._rows()], self._content.fields
        if not times:
            raise StorageError(f"{self.path}: has no whole row")
        steps = tuple(step for step, _ in times)
        content = replace(self._content, times=tuple(time for _, time in times), steps=steps)
        require_space(path.parent, self._size * len(fields) * len(steps), "a slice")
        table = lay_out(path, content)
        hashes: dict[str, list[list[str]]] = {info.name: [] for info in fields}
        with path.open("r+b", buffering=0) as file:
            for n, (step, _, data) in enumerate(islice(self._rows(), len(steps))):  # there may be more now
                for i, info in enumerate(fields):
                    values = data[i * self._size : (i + 1) * self._size]
                    write_at(file.fileno(), values, table.values[info.name] + n * self._size)
                    hashes[info.name].append(_hashes(info.name, values, str(step)))
        seal(path, table, hashes)
        if doubts(path, table, [(info.name, n) for info in fields for n in range(len(steps))]):
            raise StorageError(f"{path}: is not there as it was written: look at the disk")

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
                    file.write(_row(at, time, b"".join(old.read(name, n).tobytes() for name in names)))
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

    def _begun(self) -> bytes:
        with naming(self.path, "read it"), self.path.open("rb") as file:
            return file.readline(MOST)

    def _rows(self, upto: int | None = None) -> Iterator[tuple[int, float, bytes]]:
        """The rows in order, those up to a step, as far as they are whole.

        Raises:
            StorageError: the file cannot be read, or there are whole ones up to there behind one that is not.
        """
        length = self._size * len(self._content.fields)
        damaged = -1
        with naming(self.path, "read it"), self.path.open("rb") as file:
            file.readline(MOST)
            for number in count():
                row = file.read(_TIME.size + length + _HASH)
                if len(row) < _TIME.size + length + _HASH:
                    return
                step, time = _TIME.unpack_from(row)
                if xxhash.xxh3_128_digest(row[:-_HASH]) != row[-_HASH:]:  # its step too may be another
                    damaged = number if damaged < 0 else damaged
                elif upto is not None and step > upto:
                    continue
                elif damaged < 0:
                    yield step, time, row[_TIME.size : -_HASH]
                elif upto is not None:
                    raise StorageError(f"{self.path}: row {damaged} is damaged; go on into another result with -o")


def title_of(title: str, name: str) -> str:
    """The title of a slice of a run."""
    return f"{title}, {name}" if title else name


def rows_in(folder: Path) -> dict[str, Path]:
    """The files of slices in a folder of a run, by name."""
    return {match[1]: path for path in sorted(folder.iterdir()) if (match := ROWS.fullmatch(path.name))}


def _hashes(name: str, values: bytes, context: str) -> list[str]:
    """Of the blocks of the values of a field at a time."""
    blocks = [values[at : at + BLOCK] for at in range(0, len(values), BLOCK)]
    return [hash_of((name, n, 0, len(block)), block, context) for n, block in enumerate(blocks)]


def _row(step: int, time: float, data: bytes) -> bytes:
    row = _TIME.pack(step, time) + data
    return row + xxhash.xxh3_128_digest(row)


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
    return json.dumps(said).encode() + b"\n"


def _said(path: Path) -> Content:
    """What the rows of a file are of.

    Raises:
        StorageError: it does not say, or cannot be read.
    """
    with naming(path, "read it"), path.open("rb") as file:
        line = file.readline(MOST)
    try:
        said = json.loads(line)
        tables = said["grid"]
        whole = Grid(**{key: tuple(value) for key, value in tables.pop("whole").items()})
        grid = Picked(**{key: tuple(value) for key, value in tables.items()}, whole=whole)
        fields, dimensions = (tuple(FieldInfo(**info) for info in said[key]) for key in ("fields", "dimensions"))
        return Content(grid, fields, np.dtype(said["dtype"]), said["provenance"], dimensions)
    except (ValueError, TypeError, KeyError, AttributeError) as caught:
        raise StorageError(f"{path}: is no file of a slice; move it away ({caught})") from None
