"""Sums and extrema that depend neither on the order nor on the decomposition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.domain.processes import factorizations
from parsolve.domain.reduce import exact_sum, extrema, first_bad, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

TINY, HUGE = 5e-324, 1.7976931348623157e308
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def holding(values: Sequence[float], dtype: str = "float64") -> Field:
    """A field on one rank with these values; ghosts hold what must not be counted."""
    grid = Grid(("x",), (1, 1, len(values)), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    f = Field("u", regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), dtype)
    f.array[...] = np.nan
    f.owned[0, 0, :] = values
    return f


@pytest.mark.parametrize(
    "values",
    [
        [1e300, 1.0, -1e300],
        [HUGE, HUGE, -HUGE, -HUGE, 1e-300],
        [HUGE, -HUGE, TINY, TINY],
        [TINY] * 7,
        [1.0, 2.0**-53, 2.0**-105],  # just above the middle between two doubles
        [1.0, 2.0**-53],  # the middle itself: to even
        [1.0 + 2.0**-52, 2.0**-53],
        [-0.0, -0.0],
        [0.1] * 10,
        [2.0**k * (-1) ** k for k in range(-1074, 1024, 7)],
    ],
)
def test_adversarial_sums_are_rounded_once(values: list[float]) -> None:
    total = exact_sum(holding(values))
    try:
        wanted = math.fsum(values)
    except OverflowError:  # of a partial sum
        wanted = math.fsum(v / 4 for v in values) * 4
    assert total == wanted
    assert total == exact_sum(holding(values[::-1]))
    assert exact_sum(holding([-v for v in values])) == -total


@settings(max_examples=200)
@given(st.lists(FINITE, min_size=1, max_size=40), st.randoms())
def test_sums_are_those_of_fsum_in_any_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    total = exact_sum(holding(values))
    assert exact_sum(holding(shuffled)) == total
    try:
        assert total == math.fsum(values)
    except OverflowError:
        assert abs(total) > HUGE / 2 or any(abs(v) > HUGE / 64 for v in values)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_sums_of_singles(values: list[float]) -> None:
    assert exact_sum(holding(values, "float32")) == math.fsum(values)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_sum_with_what_is_no_number_is_none(bad: float, dtype: str) -> None:
    assert math.isnan(exact_sum(holding([1.0, bad, 2.0, -bad], dtype)))


def test_a_sum_beyond_all_doubles_is_infinite() -> None:
    assert exact_sum(holding([HUGE, HUGE])) == math.inf
    assert exact_sum(holding([-HUGE, -HUGE])) == -math.inf


def test_extrema_and_mean() -> None:
    f = holding([3.0, -2.0, 0.5, 6.5])
    assert extrema(f) == (-2.0, 6.5)
    assert mean(f) == 2.0
    assert first_bad(f) is None


def test_the_first_bad_cell_is_told_by_its_global_index() -> None:
    grid = Grid(("x", "y", "z"), (3, 4, 5), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    f = Field("w", regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), "float32")
    f.array[...] = np.nan
    f.owned[...] = 1.0
    assert first_bad(f) is None
    for cell in ((2, 3, 4), (2, 0, 1), (0, 3, 0)):
        f.owned[cell] = np.inf if cell[0] else -np.inf
        bad = first_bad(f)
        assert bad is not None
        assert (bad.field, bad.index) == ("w", cell)


@pytest.mark.mpi(min_size=2)
def test_sums_and_extrema_are_the_same_on_every_process_grid(comm: MPI.Intracomm) -> None:
    grid = Grid(("x", "y", "z"), (4, 5, 6), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    rng = np.random.default_rng(3)
    whole = rng.standard_normal(grid.cells) * 10.0 ** rng.integers(-200, 200, grid.cells)
    wanted = math.fsum(whole.ravel().tolist())
    found = []
    for processes in factorizations(comm.size):
        sub = regular(grid, comm, processes, 1)
        f = Field("u", sub, "float64")
        f.owned[...] = whole[tuple(slice(a, b) for a, b in zip(sub.start, sub.stop, strict=True))]
        found.append((exact_sum(f), extrema(f)))
    assert set(comm.allreduce(found)) == {(wanted, (whole.min(), whole.max()))}
