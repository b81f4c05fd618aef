"""Who owns what: every cell once, process grids that make sense, and those that are refused."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.case import Axis
from parsolve.domain.grid import (
    Grid,
    Halo,
    Subdomain,
    best_processes,
    choose_processes,
    decompose,
    factorizations,
    split,
)
from parsolve.errors import CaseError, SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping


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


@given(st.integers(1, 96))
def test_factorizations_are_all_of_them(size: int) -> None:
    found = list(factorizations(size))
    assert len(found) == len(set(found))
    assert all(prod(p) == size for p in found)
    divisors = sum(size % n == 0 for n in range(1, size + 1))
    assert len({p[0] for p in found}) == divisors


@pytest.mark.parametrize(
    ("cells", "ranks", "processes"),
    [
        ((512, 512), 4, (1, 4, 1)),  # x stays whole: rows are long and contiguous
        ((512, 512), 16, (1, 16, 1)),
        ((64, 64, 64), 16, (4, 4, 1)),
        ((64, 64, 64), 8, (4, 2, 1)),
        ((64, 64, 64), 1, (1, 1, 1)),
        ((1000, 8), 4, (1, 1, 4)),  # slabs of y would be slivers
        ((40,), 4, (1, 1, 4)),
        ((8, 8, 512), 4, (4, 1, 1)),
        ((8, 512, 8), 4, (1, 4, 1)),
    ],
)
def test_process_grids_have_little_halo_and_whole_rows(
    cells: tuple[int, ...], ranks: int, processes: tuple[int, int, int]
) -> None:
    found = best_processes(grid(*cells), ranks, 1)
    assert sorted(found[:2]) == sorted(processes[:2])
    assert found[2] == processes[2]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(1, 24),
    st.integers(1, 4),
    st.booleans(),
)
def test_a_process_grid_fits_or_is_refused_with_the_most_ranks_that_fit(
    cells: list[int], ranks: int, least: int, periodic: bool
) -> None:
    g = grid(*cells, periodic=periodic)
    try:
        p = best_processes(g, ranks, least)
    except SetupError as error:
        most = int(str(error).split("at most ")[1].split()[0])
        assert 1 <= most < ranks
        assert prod(best_processes(g, most, least)) == most
    else:
        assert prod(p) == ranks
        assert all(q == 1 or n // q >= least for n, q in zip(g.cells, p, strict=True))
        assert all(present or q == 1 for present, q in zip(g.present, p, strict=True))


@pytest.mark.parametrize(
    ("cells", "ranks", "processes", "kind", "words"),
    [
        ((4,), 8, None, SetupError, ("8 ranks for 4 cells", "ghost depth 2", "use at most 2 ranks")),
        ((6, 5), 16, None, SetupError, ("16 ranks for 6 x 5 cells", "use at most 6 ranks")),
        ((8, 8), 4, {"x": 3}, SetupError, ("run.processes: 3 x 1 is 3 ranks, but there are 4",)),
        ((8, 8), 2, {"z": 2}, CaseError, ("run.processes.z", "x, y")),
        ((8, 8), 8, {"x": 8}, SetupError, ("axis x: 8 cells over 8 ranks leave 1 a rank", "ghost depth is 2")),
    ],
)
def test_what_does_not_fit_is_refused(
    cells: tuple[int, ...],
    ranks: int,
    processes: Mapping[str, int] | None,
    kind: type[Exception],
    words: tuple[str, ...],
) -> None:
    with pytest.raises(kind) as caught:
        choose_processes(grid(*cells), ranks, Halo(2), processes)
    for word in words:
        assert word in str(caught.value)


def test_a_boundary_needs_its_cells() -> None:
    with pytest.raises(CaseError, match=r"grid\.x\.cells.*at least 3 cells.*order = 2"):
        choose_processes(grid(2, periodic=False), 1, Halo(1, 3), None)
    assert choose_processes(grid(2), 1, Halo(1, 3), None) == (1, 1, 1)  # a periodic axis may be thinner than its ghosts


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

        self.subdomain = Subdomain(g, Rank(), processes, 1)  # type: ignore[arg-type]
        self.start, self.stop = self.subdomain.start, self.subdomain.stop


def test_decompose_on_one_rank(solo: MPI.Intracomm) -> None:
    sub = decompose(grid(6, 5), solo, Halo(2))
    assert sub.shape == (1, 5, 6)
    assert sub.ghosts == (0, 2, 2)
    assert (sub.start, sub.stop, sub.coords) == ((0, 0, 0), (1, 5, 6), (0, 0, 0))
    assert sub.neighbour(2, 0) == 0


@pytest.mark.mpi(min_size=2)
def test_decompose_is_the_same_on_all_ranks(comm: MPI.Intracomm) -> None:
    sub = decompose(grid(24, 20, periodic=False), comm, Halo(1))
    assert len(set(comm.allgather(sub.processes))) == 1
    assert prod(sub.processes) == comm.size
    assert sum(comm.allgather(prod(sub.shape))) == sub.grid.size
