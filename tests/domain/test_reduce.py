"""Sums and extrema that depend neither on the order nor on the decomposition."""

from __future__ import annotations

import ctypes
import math
import re
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.domain.processes import factorizations
from parsolve.domain.reduce import Counts, checked, dot, exact_sum, extrema, first_bad, mean, norm, over_owned
from parsolve.errors import NumericalError, SetupError
from parsolve.kernels.library import SUM_DIGITS, SUM_FRACTION, Args, Extrema, best_level, core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TINY, HUGE = 5e-324, 1.7976931348623157e308
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def holding(values: Sequence[float], dtype: str = "float64") -> Field:
    """A field on one rank with these values; ghosts hold what must not be counted."""
    grid = Grid(("x",), (1, 1, len(values)), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    f = Field("u", regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), dtype)
    f.array[...] = np.nan
    f.owned[0, 0, :] = values
    return f


def digits(name: str, u: np.ndarray, v: np.ndarray, boxes: Iterable[tuple[int, int]], level: int | None = None) -> int:
    """The exact sum times 2**SUM_FRACTION that a function of the core adds up from these ranges of two rows."""
    found = np.zeros(SUM_DIGITS, np.int64)
    pointer = found.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
    function = core(level).function(name, u.dtype.name)
    args = Args()
    args.hi[:2], args.field[0], args.field[1] = (1, 1), u.ctypes.data, v.ctypes.data
    for args.lo[2], args.hi[2] in boxes:
        assert function(args, pointer) == 0
    assert found[-1] == 0
    assert found[:-2].min() >= 0
    assert found[:-2].max() < 1 << 32
    return int.from_bytes(found[:-1].astype("<u4").tobytes(), "little") + (
        int(found[-2] >> 32) << 32 * (SUM_DIGITS - 1)
    )


def whole(value: float) -> int:
    """A double times 2**1088."""
    n, d = value.as_integer_ratio()
    return n * ((1 << 1088) // d)


LAWS: dict[str, Callable[[float, float], int]] = {
    "sum": lambda x, y: whole(x) << 1088,
    "sum_abs": lambda x, y: whole(abs(x)) << 1088,
    "dot": lambda x, y: whole(x) * whole(y),
}


def wanted(name: str, u: np.ndarray, v: np.ndarray) -> int:
    return sum(map(LAWS[name], u.tolist(), v.tolist()))


def vectors(dtype: str) -> list[np.ndarray]:
    """Values that sums in floating point get wrong: huge, cancelling, subnormal, far apart, in the middle."""
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    huge, least = float(info.max), float(info.smallest_subnormal)
    low, high = info.minexp - info.nmant, info.maxexp
    cancel = rng.standard_normal(20) * 2.0 ** rng.integers(-20, high - 30, 20)
    lists = [
        [huge / 4, 1.0, -huge / 4, least, -1.0, 2.0**-53, 3.0] * 4,
        [*cancel, *-cancel[::-1], least],
        least * rng.integers(-(2**20), 2**20, 40).astype(float),
        rng.standard_normal(40) * 2.0 ** rng.integers(low, high - 3, 40).astype(float),
        [huge, huge, -huge, huge, -huge, huge / 2, least, 0.0, -0.0],
        [8.0, -8.0, 7.999999999999999, -7.999999999999999, 1e-20, 0.5, 2.0**-52, 2.0**-103, 2.0**-149],
        rng.standard_normal(40),
        rng.standard_normal(2100) * 10.0 ** rng.integers(-12, 12, 2100),
    ]
    return [np.array(values, dtype) for values in lists]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ten_thousand_permutations_and_splits_give_one_sum(dtype: str) -> None:
    rng = np.random.default_rng(7)
    tried = 0
    for u in vectors(dtype):
        v, n = rng.permutation(u), len(u)
        for name in LAWS:
            expected = wanted(name, u, v)
            for _ in range(240 if n < 100 else 20):
                order = rng.permutation(n)
                cuts = [0, *sorted(rng.integers(0, n + 1, 3).tolist()), n]
                boxes = rng.permutation(np.array([cuts[:-1], cuts[1:]]).T).tolist()
                assert digits(name, u[order], v[order], boxes) == expected
                tried += 1
    assert tried > 5000


@pytest.mark.parametrize("level", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_instruction_set_has_the_exact_sums(dtype: str, level: int) -> None:
    if level > best_level():
        pytest.skip(f"this CPU is not of level {level}")
    rng = np.random.default_rng(11)
    for n, spread, scale in [(5, 0, 0), (17, 3, 0), (1500, 1, 9), (3000, 8, -20), (1100, 25, 30), (2049, 14, -14)]:
        u, v = (
            (rng.standard_normal(n) * 10.0 ** np.minimum(scale + rng.uniform(-spread, spread, n), 37)).astype(dtype)
            for _ in "uv"
        )
        v[: n // 2] = u[: n // 2]
        for name in LAWS:
            assert digits(name, u, v, [(0, n)], level) == wanted(name, u, v), (n, spread, scale, name)


def test_rows_of_unlike_size_are_added_as_they_are() -> None:
    """The window in which values are split follows them up and down, and gets levels and loses them."""
    rng = np.random.default_rng(13)
    powers = rng.permutation(np.repeat(np.arange(-320, 300, 20), 4)).tolist()
    u = np.concatenate([rng.standard_normal(64) * 10.0**p for p in [0] * 150 + powers + [0] * 150])
    v = np.ones_like(u)
    for name in LAWS:
        boxes = [(i, i + 64) for i in range(0, len(u), 64)]
        assert digits(name, u, v, boxes) == digits(name, u, v, [(0, len(u))]) == wanted(name, u, v)


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


def test_counts_of_many_values_fit() -> None:
    u = np.full(9000, 7.75)
    for name in LAWS:
        assert digits(name, u, -u, [(0, 9000)]) == wanted(name, u, -u)
        assert digits(name, u, u[:1].repeat(9000) / 8, [(0, 9000)]) == wanted(name, u, u / 8)


PAIRS = st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20)


@given(PAIRS)
def test_products_are_those_of_fractions(pairs: list[tuple[float, float]]) -> None:
    u, v = (np.array(values) for values in zip(*pairs, strict=True))
    assert Fraction(digits("dot", u, v, [(0, len(u))]), 1 << SUM_FRACTION) == sum(
        (Fraction(x) * Fraction(y) for x, y in pairs), Fraction()
    )


@pytest.mark.parametrize(
    ("u", "v", "product"),
    [
        ([1e200, 1.0, 1e200], [1e200, 1.0, -1e200], 1.0),  # products beyond all doubles
        ([1e-200, 1.0, 1e-200], [1e-200, -0.0, 1.0], 1e-200),  # a product below all doubles is not the sum's end
        ([2.0**-600] * 4 + [1.0], [2.0**-475] * 4 + [0.0], 2.0**-1073),  # such products add up
        ([1.0 + 2.0**-52, 1.0], [1.0 + 2.0**-52, -1.0 - 2.0**-51], 2.0**-104),  # the error of a product
        ([2.0**-500 * (1 + 2.0**-52), 2.0**-500], [2.0**-500 * (1 + 2.0**-52), -(2.0**-500) * (1 + 2.0**-51)], 0.0),
        ([2.0**-48 * (1 + 2.0**-30), 1.0], [2.0**-48 * (1 - 2.0**-30), 0.0], 2.0**-96),  # an error far below a product
        ([HUGE, HUGE], [HUGE, HUGE], math.inf),
        ([0.0, 3.0], [TINY, 2.0], 6.0),
    ],
)
def test_dot_is_rounded_once(u: list[float], v: list[float], product: float) -> None:
    f, g = holding(u), holding(v)
    assert dot(f, g) == dot(g, f) == product
    assert dot(holding(u[::-1]), holding(v[::-1])) == product
    exact = [(np.array(w)) for w in (u, v)]
    assert digits("dot", *exact, [(0, len(u))]) == wanted("dot", *exact)


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_norms(values: list[float]) -> None:
    f = holding(values)
    squares = sum((Fraction(v) ** 2 for v in values), Fraction())
    root = norm(f)
    if root < math.inf:
        below = Fraction(math.nextafter(root, 0))
        above = Fraction(math.nextafter(root, math.inf)) if root < HUGE else Fraction(2) ** 1024
        assert ((below + Fraction(root)) / 2) ** 2 <= squares <= ((above + Fraction(root)) / 2) ** 2
    else:
        assert squares > Fraction(HUGE) ** 2
    ones = sum((abs(Fraction(v)) for v in values), Fraction())
    assert norm(f, 1) == (float(ones) if ones < Fraction(2) ** 1024 - Fraction(2) ** 970 else math.inf)
    assert norm(f, math.inf) == max(map(abs, values))


def test_norms_neither_overflow_nor_vanish_and_there_are_three() -> None:
    assert norm(holding([3 * 2.0**900, 4 * 2.0**900])) == 5 * 2.0**900
    assert norm(holding([3 * TINY, 4 * TINY])) == 5 * TINY
    assert norm(holding([3 * 2.0**-140, 4 * 2.0**-140], "float32")) == 5 * 2.0**-140
    assert norm(holding([0.0, -0.0])) == 0.0
    assert norm(holding([HUGE] * 4)) == math.inf
    with pytest.raises(ValueError, match="norm of order 3: it is 1, 2 or infinity"):
        norm(holding([1.0]), 3)


def test_a_product_of_unlike_fields_is_refused() -> None:
    with pytest.raises(SetupError, match="same layout"):
        dot(holding([1.0, 2.0]), holding([1.0, 2.0], "float32"))


def test_threads_find_the_same_bits() -> None:
    grid = Grid(("x", "y", "z"), (5, 7, 70), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    rng = np.random.default_rng(3)
    values = rng.standard_normal(grid.shape) * 10.0 ** rng.integers(-200, 200, grid.shape)
    found = set()
    for threads in (1, 2, 3, 6, 100):
        f = Field("u", replace(regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), threads=threads), "float64")
        f.owned[...] = values
        found.add((exact_sum(f), mean(f), dot(f, f), norm(f), norm(f, 1)))
    assert len(found) == 1
    assert found.pop()[0] == math.fsum(values.ravel().tolist())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_sum_with_what_is_no_number_is_none(bad: float, dtype: str) -> None:
    f, zero = holding([1.0, bad, 2.0, -bad], dtype), holding([0.0] * 4, dtype)
    for value in (exact_sum(f), mean(f), dot(f, zero), dot(zero, f), norm(f, 1), norm(f), norm(f, math.inf)):
        assert math.isnan(value)
    with pytest.raises(NumericalError, match="u is not finite at cell z = 0, y = 0, x = 1"):
        checked(dot(zero, f), zero, f)


def test_a_sum_beyond_all_doubles_is_infinite() -> None:
    f = holding([HUGE, HUGE])
    assert exact_sum(f) == math.inf
    assert exact_sum(holding([-HUGE, -HUGE])) == -math.inf
    assert mean(f) == HUGE
    with pytest.raises(NumericalError, match="a sum over u and u is too large for a double"):
        checked(dot(f, f), f, f)
    assert checked(2.0, f) == 2.0


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
    values = rng.standard_normal(grid.cells) * 10.0 ** rng.integers(-200, 200, grid.cells)
    found = []
    for processes in factorizations(comm.size):
        sub = regular(grid, comm, processes, 1)
        f = Field("u", sub, "float64")
        f.owned[...] = values[tuple(slice(a, b) for a, b in zip(sub.start, sub.stop, strict=True))]
        found.append((exact_sum(f), extrema(f), mean(f), dot(f, f), norm(f), norm(f, 1), norm(f, math.inf)))
        f.owned[-1, -1, 0] = np.nan
        with pytest.raises(NumericalError, match=re.escape("u is not finite at cell z = ")) as error:
            checked(exact_sum(f), f)
        cells = comm.allgather((sub.stop[0] - 1, sub.stop[1] - 1, sub.start[2]))
        assert str(error.value) == "u is not finite at cell z = {}, y = {}, x = {}".format(*min(cells))
    everything = [float(n) for n in values.ravel()]
    squares = sum(Fraction(n) ** 2 for n in everything)
    expected = (
        math.fsum(everything),
        (values.min(), values.max()),
        float(sum(map(Fraction, everything)) / grid.size),
        float(squares) if squares < HUGE else math.inf,
        found[0][4],
        math.fsum(map(abs, everything)),
        abs(values).max(),
    )
    assert set(comm.allreduce(found)) == {expected}


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]])
def test_there_is_one_zero(values: list[float]) -> None:
    """Which of two is found depends on the split."""
    f = holding(values)
    assert not np.signbit([*extrema(f), norm(f, math.inf), norm(f), mean(f)]).any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cells_are_counted_in_the_bins_of_numpy(dtype: str) -> None:
    rng = np.random.default_rng(7)
    edges = np.linspace(-0.3, 1.1, 15)
    values = [*rng.uniform(-1, 2, 500), *edges, *np.nextafter(edges, -9), *np.nextafter(edges, 9), HUGE, -TINY]
    f = holding(np.clip(values, -1e30, 1e30), dtype)
    for bounds in (edges, np.array([0.0, TINY, 2 * TINY]), np.array([-HUGE, 0.0, HUGE]), np.array([0.0, 1.0])):
        counts = Counts(bounds.tolist())
        count = counts.bound(f, over_owned(f))
        for again in (1, 2):
            counts.begin()
            for _ in range(again):
                count()
        total = counts.total(f.subdomain.comm)
        assert total is not None
        assert list(total) == list(2 * np.histogram(f.owned.astype(float), bounds)[0])
    bad = holding([0.0, np.inf], dtype)
    counts.bound(bad, over_owned(bad))()
    assert counts.total(f.subdomain.comm) is None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_extrema_are_those_of_numpy_however_long_a_row_is(dtype: str) -> None:
    """In every library; what is not a number is passed over, and the first cell that is not finite is told."""
    rng = np.random.default_rng(5)
    for n in (1, 2, 31, 32, 33, 64, 100, 517):
        values = rng.normal(size=n).astype(dtype)
        for bad in ([], [n - 1], [n // 2, n - 1]):
            values[bad] = np.nan
            f, found = holding(values.tolist(), dtype), Extrema()
            for level in {1, 3, best_level()} if best_level() >= 3 else {best_level()}:
                assert core(level).function("extrema", dtype)(ctypes.byref(over_owned(f)), ctypes.byref(found)) == 0
                known = values[np.isfinite(values)]
                assert found.minimum == known.min(initial=np.inf)
                assert found.maximum == known.max(initial=-np.inf)
                assert list(found.bad) == ([0, 0, bad[0]] if bad else [1, 1, 1])
