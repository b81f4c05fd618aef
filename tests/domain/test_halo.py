"""Halo exchange: ghosts hold what the neighbour owns, corners included, on every process grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain import halo
from parsolve.domain.boundary import Condition
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.domain.halo import HaloExchange
from parsolve.domain.processes import factorizations

if TYPE_CHECKING:
    from collections.abc import Iterator

GRIDS = {  # cells of x, y, z, and the axes that are periodic; capitals: with the opposite sign
    "line": ((11,), "x"),
    "closed line": ((11,), ""),
    "plane": ((9, 7), "xy"),
    "plane of one periodic axis": ((9, 8), "y"),
    "closed plane": ((8, 9), ""),
    "space": ((7, 8, 6), "xyz"),
    "space, mixed": ((7, 6, 8), "xz"),
    "axes of one cell": ((8, 1, 1), "xyz"),
    "one row of closed cells": ((9, 1), ""),
    "thinner than its ghosts": ((2, 9), "xy"),
    "anti-periodic": ((6, 7), "Xy"),
    "anti-periodic, thinner than its ghosts": ((1, 6, 7), "XYz"),
}
CONDITION = {"xmin": Condition(1.0, 0.0, 3.0), "ymax": Condition(0.0, 1.0, -0.5), "zmin": Condition(2.0, 0.25, 1.0)}


def grid_of(name: str) -> Grid:
    cells, periodic = GRIDS[name]
    absent = 3 - len(cells)
    z, y, x = (*(1,) * absent, *reversed(cells))
    closed = tuple("zyx"[d] in periodic.lower() or d < absent for d in range(3))
    anti = tuple("ZYX"[d] in periodic for d in range(3))
    spacing = (0.25, 0.5, 0.125)
    return Grid(tuple("xyz"[: len(cells)]), (z, y, x), (0.0, 0.0, 0.0), spacing, closed, anti)  # type: ignore[arg-type]


def numbered(sub: Subdomain, name: str = "u", dtype: str = "float64") -> Field:
    """A field whose value at a cell is the cell's global index; ghosts are not numbers at first."""
    f = Field(name, sub, dtype)
    f.array[...] = np.nan
    whole = np.arange(sub.grid.size, dtype=dtype).reshape(sub.grid.cells) + (0.5 if name == "v" else 0.0)
    f.owned[...] = whole[tuple(slice(a, b) for a, b in zip(sub.start, sub.stop, strict=True))]
    return f


def exchanged(sub: Subdomain, depth: int, dtype: str = "float64", *, split: bool = False) -> list[Field]:
    fields = [numbered(sub, name, dtype) for name in ("u", "v")]
    points = min(1, *sub.grid.cells)
    exchange = HaloExchange(fields, {"v": CONDITION}, depth=depth, boundary_depth=depth, base=points)
    for _ in range(2):  # a plan serves many times
        if split:
            exchange.start(0.0)
            exchange.finish(0.0)
        else:
            exchange.fill(0.0)
    exchange.free()
    return fields


def process_grids(grid: Grid, size: int, depth: int) -> Iterator[tuple[int, int, int]]:
    """Those that leave each rank at least its ghosts, and two cells where the boundary is fixed."""
    for p in factorizations(size):
        if all(
            q == 1 or (present and n // q >= depth) for n, q, present in zip(grid.cells, p, grid.present, strict=True)
        ):
            yield p


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("name", GRIDS)
def test_ghosts_of_one_rank_are_the_indices_beyond(name: str, depth: int) -> None:
    grid = grid_of(name)
    u, v = exchanged(regular(grid, MPI.COMM_SELF, (1, 1, 1), depth), depth)
    index = np.indices(u.array.shape) - np.reshape(u.origin, (3, 1, 1, 1))
    n = np.reshape(grid.cells, (3, 1, 1, 1))
    periodic = np.reshape(grid.periodic, (3, 1, 1, 1))
    inside = np.where(periodic, index % n, np.clip(index, 0, n - 1))  # without a condition: no flux, the edge repeated
    rounds = ((index // n) * np.reshape(grid.anti, (3, 1, 1, 1))).sum(axis=0)
    sign = 1.0 - 2.0 * (rounds % 2)
    wanted = sign * np.ravel_multi_index(tuple(inside), grid.cells)
    if depth == 1 or all(grid.periodic):
        np.testing.assert_array_equal(u.array, wanted)
    known = ((index == index % n) | periodic).all(axis=0)
    np.testing.assert_array_equal(v.array[known], (wanted + 0.5 * sign)[known])
    assert np.isfinite(u.array).all()
    assert np.isfinite(v.array).all()


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize(("depth", "split"), [(1, False), (3, True)], ids=["fill", "start and finish"])
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("small", [0, halo.SMALL])
def test_ghosts_have_the_same_bits_on_every_process_grid(
    comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, name: str, depth: int, split: bool, small: int
) -> None:
    """By messages and through mailboxes."""
    monkeypatch.setattr(halo, "SMALL", small)
    grid = grid_of(name)
    dtype = "float32" if split else "float64"
    alone = exchanged(regular(grid, MPI.COMM_SELF, (1, 1, 1), depth), depth, dtype)
    wrong = []
    for processes in process_grids(grid, comm.size, depth):
        sub = regular(grid, comm, processes, depth)
        for f, whole in zip(exchanged(sub, depth, dtype, split=split), alone, strict=True):
            box = tuple(slice(a, b + 2 * g) for a, b, g in zip(sub.start, sub.stop, sub.ghosts, strict=True))
            if not np.array_equal(f.array, whole.array[box]):
                wrong.append((comm.rank, processes, f.name))
    assert comm.allreduce(wrong) == []


@pytest.mark.mpi(min_size=2)
def test_bytes_sent_are_those_of_the_slabs(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halo, "SMALL", 0)
    grid = grid_of("space")
    processes = next((p for p in process_grids(grid, comm.size, 1) if p[0] == comm.size), None)
    if processes is None:
        pytest.skip("too many ranks for this grid")
    sub = regular(grid, comm, processes, 1)
    fields = [Field(name, sub, "float32") for name in "uv"]
    exchange = HaloExchange(fields, {}, depth=1, boundary_depth=1, base=1)
    plane = fields[0].stride[0] * 4  # ghosts and padding of the rows are part of it
    assert plane >= (sub.shape[1] + 2) * (sub.shape[2] + 2) * 4
    assert exchange.bytes_sent == 2 * 2 * plane  # two sides, two fields
    assert exchange.is_split
    assert exchange.late_axes == (0,)
    exchange.free()
