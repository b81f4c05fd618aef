"""The outline of a frame: a result of one time without the values, laid out once and written for every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from parsolve.store.files import write_at
from parsolve.store.layout import draw

if TYPE_CHECKING:
    from pathlib import Path

    from parsolve.store.integrity import Table
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
    def of(cls, content: Content) -> Outline:
        """The outline of frames of a result."""
        drawn = draw(replace(content, times=(0.0,), steps=(0,)))
        image, length = drawn.image, content.grid.size * content.dtype.itemsize
        pieces, start = [], 0
        for offset in [*sorted(drawn.table.values.values()), image.size]:
            pieces.append((start, image.bytes_of(start, offset)))
            start = offset + length
        return cls(image.size, tuple(pieces), drawn.table, drawn.times, drawn.step)

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
