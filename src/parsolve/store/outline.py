"""The outline of a frame: a result of one time without the values, laid out once and written for every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import h5py
import numpy as np

from parsolve.store.files import write_at
from parsolve.store.integrity import Table, read_table
from parsolve.store.layout import TIMES, lay_out

if TYPE_CHECKING:
    from pathlib import Path

    from parsolve.store.layout import Content


@dataclass(frozen=True)
class Outline:
    """All bytes of a file but those of the fields' values, and where the numbers are that frames differ in."""

    size: int
    pieces: tuple[tuple[int, bytes], ...]
    table: Table
    times: tuple[int, ...]
    step: int

    @classmethod
    def of(cls, path: Path, content: Content) -> Outline:
        """The outline of frames of a result; `path` is that of a file to be made for this.

        Raises:
            OSError: the file cannot be written.
        """
        lay_out(path, replace(content, times=(0.0,), steps=(0,)))
        names = [field.name for field in content.fields]
        with h5py.File(path, "r", locking=False) as file:
            times = tuple(int(file[name].id.get_offset()) for name in TIMES)
            step = int(file["step"].id.get_offset())
            table = read_table(path, file, names, (0,))
        assert table is not None
        size, length = path.stat().st_size, content.grid.size * content.dtype.itemsize
        pieces, start = [], 0
        with path.open("rb") as file:
            for offset in [*sorted(table.values.values()), size]:
                file.seek(start)
                pieces.append((start, file.read(offset - start)))
                start = offset + length
        return cls(size, tuple(pieces), table, times, step)

    def write(self, path: Path, time: float, step: int) -> None:
        """Write the file of a frame, all but the values.

        Raises:
            OSError: the file cannot be written.
        """
        places = [(place, np.float64(time).tobytes()) for place in self.times]
        path.unlink(missing_ok=True)
        with path.open("xb", buffering=0) as file:
            file.truncate(self.size)
            for start, content in (*self.pieces, *places, (self.step, np.int64(step).tobytes())):
                write_at(file.fileno(), content, start)
