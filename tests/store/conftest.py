"""Results with known values, made as a run makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.store.frames import FieldInfo, Recorder

if TYPE_CHECKING:
    from pathlib import Path

INFO = {"u": FieldInfo("u", "temperature", "K"), "v": FieldInfo("v", "speed", "m/s")}
PROVENANCE = {
    "title": "a plate",
    "parsolve": "1.2.3",
    "command": "parsolve run",
    "created": "2026-01-01",
    "case": "a = 1\n",
}


class Maker:
    """Grids, fields and whole results whose value at a cell is a function of field, time and cell."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm

    def grid(self, *shape: int) -> Grid:
        """Grid of the given cells, slowest axis first, with a spacing that is not exact in binary."""
        absent = 3 - len(shape)
        z, y, x = (1,) * absent + shape
        lower = tuple(0.0 if place < absent else -0.1 * (place + 1) for place in range(3))
        spacing = tuple(1.0 if place < absent else 0.1 * (place + 1) for place in range(3))
        periodic = tuple(place < absent or place == 2 for place in range(3))
        return Grid(tuple("xyz"[: len(shape)]), (z, y, x), lower, spacing, periodic)

    def values(self, grid: Grid, name: str, frame: int, dtype: str = "f8") -> Any:
        """The global array of a field at a frame, in the shape that the file has."""
        cell = np.arange(grid.size, dtype="f8").reshape(grid.shape)
        return (cell / 7 + 1000 * frame + (0.25 if name == "v" else 0.0)).astype(dtype)

    def fields(
        self, domain: Subdomain, frame: int, names: tuple[str, ...] = ("u", "v"), dtype: str = "f8"
    ) -> list[Field]:
        """The fields of a rank; ghosts hold a number that must never reach a file."""
        made = []
        for name in names:
            field = Field(name, domain, dtype)
            field.array[...] = -9999.0
            whole = self.values(domain.grid, name, frame, dtype).reshape(domain.grid.cells)
            box = tuple(slice(a, b) for a, b in zip(domain.start, domain.stop, strict=True))
            field.owned[...] = whole[box]
            made.append(field)
        return made

    def domain(self, grid: Grid, processes: tuple[int, int, int] | None = None) -> Subdomain:
        """The box of this rank; by default the slowest axis with enough cells is split."""
        if processes is None:
            axis = next(place for place in range(3) if grid.cells[place] >= self.comm.size)
            processes = tuple(self.comm.size if place == axis else 1 for place in range(3))
        return regular(grid, self.comm, processes, 1)

    def recorder(
        self, path: Path, grid: Grid, names: tuple[str, ...] = ("u", "v"), dtype: str = "f8", **options: Any
    ) -> Recorder:
        """A recorder of these fields."""
        return Recorder(self.comm, path, grid, [INFO[name] for name in names], dtype, PROVENANCE, **options)

    def result(
        self,
        path: Path,
        *shape: int,
        frames: int = 3,
        names: tuple[str, ...] = ("u", "v"),
        dtype: str = "f8",
        processes: tuple[int, int, int] | None = None,
        **options: Any,
    ) -> Grid:
        """Write a whole result: frame i has time i / 2 and step 10 i."""
        grid = self.grid(*shape)
        domain = self.domain(grid, processes)
        recorder = self.recorder(path, grid, names, dtype, **options)
        for frame in range(frames):
            recorder.write(frame / 2, 10 * frame, self.fields(domain, frame, names, dtype))
        recorder.finish()
        return grid


@pytest.fixture
def maker(comm: MPI.Intracomm) -> Maker:
    """Makes results on all ranks, collectively."""
    return Maker(comm)


@pytest.fixture
def alone() -> Maker:
    """Makes results on each rank by itself."""
    return Maker(MPI.COMM_SELF)
