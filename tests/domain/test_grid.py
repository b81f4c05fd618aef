"""Who owns what: every cell once, process grids that make sense, and those that are refused."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.case import Axis
from parsolve.domain.grid import Grid, Subdomain, regular, smallest_and_largest, split, split_grid
from parsolve.domain.processes import best_processes
from parsolve.errors import SetupError
from parsolve.kernels.device import find_device


def grid(*cells: int, periodic: bool = True) -> Grid:
    """A grid by its cells along x, y, z."""
    return Grid.of({a: Axis(cells=n, range=(0.0, 1.0), periodic=periodic) for a, n in zip("xyz", cells, strict=False)})


@given(st.integers(1, 10**6), st.integers(1, 300))
def test_split_covers_and_is_even(cells: int, parts: int) -> None:
    edges = split(cells, parts)
    assert edges[0] == 0
    assert edges[-1] == cells
    sizes = [b - a for a, b in zip(edges, edges[1:], strict=False)]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_a_grid_is_ordered_z_y_x() -> None:
    g = Grid.of({"x": Axis(cells=4, range=(-1.0, 1.0)), "y": Axis(cells=5, range=(0.0, 10.0), periodic=True)})
    assert g.names == ("x", "y")
    assert g.cells == (1, 5, 4)
    assert g.shape == (5, 4)
    assert g.spacing == (1.0, 2.0, 0.5)
    assert g.periodic == (True, True, False)
    assert g.present == (False, True, True)
    assert (g.ndim, g.size) == (2, 20)
    assert g.coordinates("x").tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert g.coordinates("y").tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]


@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_the_smallest_and_the_largest_box(cells: tuple[int, int, int], processes: tuple[int, int, int]) -> None:
    g = grid(*cells)
    sizes = [{b - a for a, b in pairwise(s)} for s in split_grid(g, processes)]
    assert smallest_and_largest(g, processes) == (tuple(map(min, sizes)), tuple(map(max, sizes)))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(1, 24), st.booleans())
def test_subdomains_cover_the_grid_once(cells: list[int], ranks: int, periodic: bool) -> None:
    g = grid(*cells, periodic=periodic)
    try:
        processes = best_processes(g, ranks, 1)
    except SetupError:
        return
    parts = [Placed(g, processes, rank) for rank in range(ranks)]
    seen: dict[tuple[int, ...], int] = {}
    for rank, part in enumerate(parts):
        for k in range(part.start[0], part.stop[0]):
            for j in range(part.start[1], part.stop[1]):
                for i in range(part.start[2], part.stop[2]):
                    assert (k, j, i) not in seen
                    seen[k, j, i] = rank
    assert len(seen) == g.size
    for rank, part in enumerate(parts):
        for axis in range(3):
            for side in (0, 1):
                beyond = list(part.start)
                beyond[axis] = part.stop[axis] if side else part.start[axis] - 1
                if periodic:
                    beyond[axis] %= g.cells[axis]
                owner = seen.get(tuple(beyond))
                neighbour = part.subdomain.neighbour(axis, side)
                if g.present[axis]:
                    assert neighbour == owner
                    assert part.subdomain.is_physical(axis, side) == (owner is None)
                else:
                    assert not part.subdomain.is_physical(axis, side)
                if neighbour is not None:
                    assert parts[neighbour].subdomain.neighbour(axis, 1 - side) == rank


class Placed:
    """The subdomain of one of many ranks, without the others."""

    def __init__(self, g: Grid, processes: tuple[int, int, int], rank: int) -> None:
        class Rank:
            def __init__(self) -> None:
                self.rank = rank

        self.subdomain = Subdomain(g, Rank(), split_grid(g, processes), (1, 1, 1), find_device())  # type: ignore[arg-type]
        self.start, self.stop = self.subdomain.start, self.subdomain.stop


@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 4))
def test_pieces_that_coarsen_begin_at_multiples(cells: int, parts: int, levels: int) -> None:
    multiple = 2**levels
    edges = split(cells, parts, multiple)
    assert (edges[0], edges[-1], len(edges)) == (0, cells, parts + 1)
    assert all(edge % multiple == 0 for edge in edges[:-1])
    assert edges == sorted(edges)
    if cells % multiple == 0:
        assert [edge // multiple for edge in edges] == split(cells // multiple, parts)


def test_a_regular_subdomain(solo: MPI.Intracomm) -> None:
    sub = regular(grid(6, 5), solo, (1, 1, 1), 2)
    assert sub.shape == (1, 5, 6)
    assert sub.ghosts == (0, 2, 2)
    assert (sub.start, sub.stop, sub.coords) == ((0, 0, 0), (1, 5, 6), (0, 0, 0))
    assert sub.neighbour(2, 0) == 0


def test_boxes_may_be_given_as_they_are() -> None:
    """Of any size, and with ghosts of their own along each axis."""
    starts = ((0, 1), (0, 2, 9), (0, 7))
    sub = Subdomain(grid(7, 9), MPI.COMM_SELF, starts, (0, 3, 1), find_device())
    assert sub.processes == (1, 2, 1)
    assert (sub.start, sub.stop, sub.shape) == ((0, 0, 0), (1, 2, 7), (1, 2, 7))


@pytest.mark.mpi(min_size=2)
def test_regular_subdomains_are_the_grid(comm: MPI.Intracomm) -> None:
    g = grid(24, 20, periodic=False)
    sub = regular(g, comm, best_processes(g, comm.size, 1), 1)
    assert len(set(comm.allgather(sub.processes))) == 1
    assert prod(sub.processes) == comm.size
    assert sum(comm.allgather(prod(sub.shape))) == sub.grid.size
    assert sub.placement.on_one_node
