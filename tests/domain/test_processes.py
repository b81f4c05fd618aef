"""Process grids that make sense, and those that are refused."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsolve.case import Axis
from parsolve.domain.grid import Grid
from parsolve.domain.processes import best_processes, choose_processes, factorizations
from parsolve.errors import CaseError, SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping


def grid(*cells: int, periodic: bool = True) -> Grid:
    """A grid by its cells along x, y, z."""
    return Grid.of({a: Axis(cells=n, range=(0.0, 1.0), periodic=periodic) for a, n in zip("xyz", cells, strict=False)})


@given(st.integers(1, 96))
def test_factorizations_are_all_of_them(size: int) -> None:
    found = list(factorizations(size))
    assert len(found) == len(set(found))
    assert all(prod(p) == size for p in found)
    divisors = sum(size % n == 0 for n in range(1, size + 1))
    assert len({p[0] for p in found}) == divisors


@given(st.integers(1, 96), st.tuples(*[st.integers(1, 12)] * 3))
def test_factorizations_within_bounds(size: int, most: tuple[int, int, int]) -> None:
    fitting = [p for p in factorizations(size) if all(q <= m for q, m in zip(p, most, strict=True))]
    assert list(factorizations(size, most)) == fitting


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
    st.integers(1, 30),
    st.booleans(),
)
def test_a_process_grid_fits_or_is_refused_with_the_most_ranks_that_fit(
    cells: list[int], ranks: int, least: int, periodic: bool
) -> None:
    g = grid(*cells, periodic=periodic)
    ways = product(*(range(1, max(1, n // least) + 1) for n in g.cells))
    possible = {prod(p) for p in ways}
    if ranks not in possible:
        with pytest.raises(SetupError) as caught:
            best_processes(g, ranks, least)
        assert most_of(caught.value) == max(n for n in possible if n < ranks)
    else:
        p = best_processes(g, ranks, least)
        assert prod(p) == ranks
        assert all(q == 1 or n // q >= least for n, q in zip(g.cells, p, strict=True))
        assert all(present or q == 1 for present, q in zip(g.present, p, strict=True))


@pytest.mark.timeout(20)
@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=3),
    st.integers(1, 2**31) | st.integers(1, 10**30) | st.sampled_from([2**31 - 1, 2**31, 10**6, 10**9]),
    st.integers(1, 30),
)
@settings(max_examples=25, deadline=None)
def test_any_number_of_ranks_is_answered_at_once(cells: list[int], ranks: int, least: int) -> None:
    """Also far more than there are cells, and prime numbers."""
    g = grid(*cells)
    try:
        assert prod(best_processes(g, ranks, least)) == ranks
    except SetupError as error:
        most = most_of(error)
        assert 1 <= most < ranks
        assert prod(best_processes(g, most, least)) == most


def most_of(error: SetupError) -> int:
    return int(str(error).split("at most ")[1].split()[0])


@pytest.mark.parametrize(
    ("cells", "ranks", "processes", "kind", "words"),
    [
        ((4,), 8, None, SetupError, ("8 ranks for 4 cells", "ghost depth 2", "use at most 2 ranks")),
        ((6, 5), 16, None, SetupError, ("16 ranks for 6 x 5 cells", "use at most 6 ranks")),
        ((37, 23), 849, None, SetupError, ("use at most 198 ranks",)),
        ((24, 16), 10**6, None, SetupError, ("1000000 ranks", "use at most 96 ranks")),  # told at once
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
        choose_processes(grid(*cells), ranks, 2, processes=processes)
    for word in words:
        assert word in str(caught.value)


def test_a_boundary_needs_its_cells() -> None:
    with pytest.raises(CaseError, match=r"grid\.x\.cells.*at least 3 cells.*order = 2"):
        choose_processes(grid(2, periodic=False), 1, 1, 3)
    assert choose_processes(grid(2), 1, 1, 3) == (1, 1, 1)  # a periodic axis may be thinner than its ghosts


def test_one_rank_fits_whatever_the_ghosts() -> None:
    assert best_processes(grid(4, 4), 1, 30) == (1, 1, 1)
    with pytest.raises(SetupError, match="use at most 1 ranks"):
        best_processes(grid(4, 4), 2, 30)
