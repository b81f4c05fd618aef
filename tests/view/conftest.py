"""Results to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.store.frames import FieldInfo, Recorder

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a result whose u is x and v is a turn, both times 1 + the number of the frame; a frame may hold a NaN."""

    def made(
        name: str, *shape: int, frames: int = 3, bad: int = -1, add: float = 0.0, length: float = 1.0,
        periodic: bool = True,
    ) -> Path:  # fmt: skip
        cells = (1,) * (3 - len(shape)) + shape
        spacing = tuple(length / n for n in cells)
        grid = Grid(tuple("xyz"[: len(shape)]), cells, (0.0, 0.0, 0.0), spacing, (periodic,) * 3)
        domain = regular(grid, MPI.COMM_SELF, (1, 1, 1), 1)
        u, v = Field("u", domain, "f8"), Field("v", domain, "f8")
        infos = [FieldInfo("u", "speed <x>", "m/s"), FieldInfo("v", "v", "m/s")]
        title = {"title": "A <b>$test</b> & more"}
        recorder = Recorder(MPI.COMM_SELF, tmp_path / name, grid, infos, "f8", title)
        z, y, x = np.meshgrid(*(grid.coordinates(axis) for axis in "zyx"), indexing="ij")
        for frame in range(frames):
            u.owned[...] = (frame + 1) * x + add
            v.owned[...] = (frame + 1) * np.sin(2 * np.pi * y) + z
            if frame == bad:
                u.owned[0, 0, 0] = np.nan
            recorder.write(frame / 4, frame, [u, v])
        return recorder.finish()

    return made
