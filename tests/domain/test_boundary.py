"""Physical ghosts: polynomials that meet the condition are continued exactly, on every side and in corners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.domain.boundary import MIRROR, BoundaryFill, Condition
from parsolve.domain.closure import closure_base, ghost_weights
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.domain.halo import HaloExchange
from parsolve.errors import CaseError

KINDS = {"dirichlet": (1.0, 0.0), "neumann": (0.0, 1.0), "robin": (2.0, 0.5)}


@pytest.mark.parametrize("points", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_ghosts_are_exact_for_polynomials(kind: str, points: int) -> None:
    """A polynomial of degree `points` through the cells and the condition is continued to every ghost."""
    a, b = KINDS[kind]
    h, depth = 0.125, 4
    weights, value_weights = ghost_weights(a, b, h, points, depth)
    for degree in range(points + 1):
        cells = np.array([(j + 0.5) ** degree for j in range(points)])
        slope = -float(degree == 1) / h  # d/dn, n outwards, of s^degree at s = 0
        value = a * float(degree == 0) + b * slope
        ghosts = [(-k - 0.5) ** degree for k in range(depth)]
        np.testing.assert_allclose(weights @ cells + value_weights * value, ghosts, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("points", [2, 3, 5])
def test_ghosts_with_a_given_curvature_are_exact_for_polynomials(points: int) -> None:
    h, depth = 0.125, 2
    weights, value_weights = ghost_weights(0.0, 0.0, h, points, depth, 1.0)
    for degree in range(points + 1):
        cells = np.array([(j + 0.5) ** degree for j in range(points)])
        curvature = 2.0 * (degree == 2) / h**2
        ghosts = [(-k - 0.5) ** degree for k in range(depth)]
        np.testing.assert_allclose(weights @ cells + value_weights * curvature, ghosts, rtol=1e-12, atol=1e-11)


def test_second_order_conditions_are_the_familiar_ones() -> None:
    h = 0.1
    for a, b, wanted, of_value in (
        (1.0, 0.0, -1.0, 2.0),  # 2 v - u
        (0.0, 1.0, 1.0, h),  # u + h v
        (3.0, 0.5, (0.5 / h - 1.5) / (0.5 / h + 1.5), 1 / (0.5 / h + 1.5)),
    ):
        weights, value_weights = ghost_weights(a, b, h, closure_base(2), 1)
        assert weights.shape == (1, 1)
        assert weights[0, 0] == pytest.approx(wanted, rel=1e-15)
        assert value_weights[0] == pytest.approx(of_value, rel=1e-15)


@given(
    st.floats(-10, 10, allow_subnormal=False),
    st.floats(-10, 10, allow_subnormal=False),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_weights_reproduce_constants_and_lines(a: float, b: float, points: int, depth: int) -> None:
    assume(abs(a) + abs(b) > 1e-3)
    try:
        weights, value_weights = ghost_weights(a, b, 1.0, points, depth)
    except ZeroDivisionError:  # a p(0) - b p'(0) says nothing that the cells do not
        return
    assume(np.abs(weights).max() < 1e6)
    np.testing.assert_allclose(weights.sum(axis=1) + a * value_weights, 1.0, atol=1e-8)
    line = weights @ (np.arange(points) + 0.5) - b * value_weights
    np.testing.assert_allclose(line, -np.arange(depth) - 0.5, atol=1e-8)


def test_a_condition_that_determines_nothing_is_refused() -> None:
    with pytest.raises(ZeroDivisionError, match="does not determine"):
        ghost_weights(0.0, 0.0, 0.1, 1, 1)
    with pytest.raises(ZeroDivisionError):  # on lines through u_0, u - h/2 du/dn is u_0 itself
        ghost_weights(1.0, -0.25, 0.5, 1, 1)


def test_the_side_is_named_when_its_condition_is_refused() -> None:
    f = Field("u", subdomain((4, 4), 1), "float64")
    fixed = {"u": {"ymax": Condition(0.0, 0.0, 1.0)}}
    with pytest.raises(CaseError, match=r"boundary\.u\.ymax"):
        BoundaryFill([f], fixed, 1, 1, 1, [(0, 1), (0, 4), (0, 4)])


@given(st.sampled_from(["a", "b", "value"]), st.integers(0, 3), st.integers(1, 3), st.floats(-1e9, 1e9))
def test_what_a_condition_does_not_say_is_in_every_ghost(part: str, place: int, base: int, size: float) -> None:
    """NaN in any part of a condition is NaN in the ghosts there, and nowhere else, whatever is beside it."""
    f = Field("u", subdomain((4, 4), 2), "float64")
    f.owned[...] = size

    def spoilt(time: float, start: Any, shape: Any) -> np.ndarray:
        values = np.full(shape, 1.0)
        values[0, place, 0] = np.nan
        return values

    parts: dict[str, Any] = {"a": 3.0, "b": lambda time, start, shape: np.full(shape, 1.0), "value": size}
    wall = Condition(**parts | {part: spoilt})
    BoundaryFill([f], {"u": {"xmax": wall}}, 2, 2, base, [(0, 1), (0, 4), (0, 4)], sides=(1,))(0.0)
    bad = np.isnan(f.array)
    assert bad[0, f.origin[1] + place, -2:].all()
    assert bad.sum() == 2


def subdomain(cells: tuple[int, ...], ghost: int) -> Subdomain:
    absent = 3 - len(cells)
    z, y, x = (*(1,) * absent, *reversed(cells))
    spacing = (0.5, 0.25, 0.125)
    grid = Grid(tuple("xyz"[: len(cells)]), (z, y, x), (-1.0, 0.5, 0.25), spacing, (absent > 0, absent > 1, False))
    return regular(grid, MPI.COMM_SELF, (1, 1, 1), ghost)


def polynomial(axes: Any, degree: int) -> tuple[Any, list[Any]]:
    """A product of polynomials of x, y, z, and its derivatives along each: exact ghosts in corners too."""

    def factor(s: Any, k: int) -> tuple[Any, Any]:
        c = [1.0, 0.5 + 0.25 * k, -0.25, 0.125][: degree + 1]
        return sum(v * s**n for n, v in enumerate(c)), sum(n * v * s ** (n - 1) for n, v in enumerate(c) if n)

    parts = [factor(s, k) for k, s in enumerate(axes)]
    value = np.prod(np.broadcast_arrays(*(p for p, _ in parts)), axis=0)
    slopes = [value / p * q for p, q in parts]
    return value, slopes


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cells", [(6,), (5, 4), (4, 6, 5)], ids=len)
@pytest.mark.parametrize("points", [1, 3])
def test_all_sides_and_corners_of_a_field(cells: tuple[int, ...], points: int, dtype: str) -> None:
    sub = subdomain(cells, 2)
    grid = sub.grid

    def centres(start: Any, shape: Any) -> list[np.ndarray]:
        lines = [grid.lower[d] + (np.arange(start[d], start[d] + shape[d]) + 0.5) * grid.spacing[d] for d in range(3)]
        return [line.reshape([-1 if d == i else 1 for i in range(3)]) for d, line in enumerate(lines)]

    conditions: dict[str, Condition] = {}
    for n, axis in enumerate(grid.names):
        d = "zyx".index(axis)
        for side, end in enumerate(("min", "max")):
            a, b = list(KINDS.values())[(2 * n + side) % 3]

            def value(
                time: float, start: Any, shape: Any, d: int = d, side: int = side, a: float = a, b: float = b
            ) -> Any:
                axes = centres(start, shape)
                axes[d] = np.array(grid.lower[d] + side * grid.cells[d] * grid.spacing[d]).reshape(1, 1, 1)
                u, slopes = polynomial(axes, points)
                return np.broadcast_to(a * u + b * (1 if side else -1) * slopes[d], shape)

            conditions[f"{axis}{end}"] = Condition(a, b, value)
    f = Field("u", sub, dtype)
    f.array[...] = np.nan
    everywhere, _ = polynomial(centres([-g for g in sub.ghosts], f.array.shape), points)
    f.owned[...] = everywhere[tuple(slice(g, g + n) for g, n in zip(sub.ghosts, sub.shape, strict=True))]
    HaloExchange([f], {"u": conditions}, depth=2, boundary_depth=2, base=points).fill(0.0)
    np.testing.assert_allclose(f.array, everywhere, rtol=1e-11 if dtype == "float64" else 1e-3)


def test_values_are_taken_at_the_time_of_the_fill() -> None:
    sub = subdomain((4,), 1)
    f = Field("u", sub, "float64")
    calls = []

    def value(time: float, start: Any, shape: Any) -> np.ndarray:
        calls.append(time)
        return np.full(shape, time)

    moving = {"u": {"xmin": Condition(1.0, 0.0, value, varies=True), "xmax": Condition(1.0, 0.0, value)}}
    exchange = HaloExchange([f], moving, depth=1, boundary_depth=1, base=1)
    for time in (0.0, 0.5, 0.5, 2.0):
        exchange.fill(time)
        assert f.array[0, 0, 0] == 2 * time
        assert f.array[0, 0, -1] == 0.0
    assert sorted(calls) == [0.0, 0.0, 0.5, 2.0]  # not again at the same time


@pytest.mark.parametrize("base", [1, 3])
@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("condition", [None, MIRROR])
def test_a_side_without_flux_is_a_mirror(condition: Condition | None, depth: int, base: int) -> None:
    """At any depth and order; where there are fewer cells than ghosts, both ends are mirrors."""
    f = Field("u", subdomain((4, 3), 8), "float64")
    f.owned[...] = np.arange(12.0).reshape(1, 3, 4)
    given = {} if condition is None else {"u": {f"{axis}{end}": condition for axis in "xy" for end in ("min", "max")}}
    HaloExchange([f], given, depth=8, boundary_depth=depth, base=base).fill(0.0)
    wanted = np.pad(f.owned, ((0, 0), (depth, depth), (depth, depth)), mode="symmetric")
    inner = slice(8 - depth, depth - 8 or None)
    np.testing.assert_array_equal(f.array[:, inner, inner], wanted)


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("part", ["value", "a", "b"])
@pytest.mark.parametrize("given", ["number", "function", "of time"])
@pytest.mark.parametrize("cells", [(2, 5, 4), (5, 1, 6)], ids=str)
def test_a_field_beyond_an_anti_periodic_end_is_the_cell_that_is_meant_with_the_opposite_sign(
    cells: tuple[int, int, int], given: str, part: str, turns: bool
) -> None:
    """Also in the ghosts of a wall, however often it goes round: the value turns as the field does, a and b do not.

    A field that does not turn is met by the value as it is.
    """
    depth, grid = 2, Grid(tuple("xyz"), cells, (0.0,) * 3, (0.5,) * 3, (True, False, True), (True, False, True))
    sub = regular(grid, MPI.COMM_SELF, (1, 1, 1), depth)

    def face(time: float, start: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        z, x = ((start[d] + np.arange(shape[d])) % cells[d] for d in (0, 2))
        return (2.0 + time * (given == "of time") + z[:, None, None] + 0.1 * x) * np.ones(shape)

    parts: dict[str, Any] = {"a": 1.0, "b": 0.5, "value": 3.0} | ({part: face} if given != "number" else {})
    condition = Condition(**parts, varies=given == "of time", turns=turns)
    field = Field("u", sub, "float64")
    field.owned[...] = np.random.default_rng(1).random(cells)
    options: dict[str, Any] = {"depth": depth, "boundary_depth": depth, "base": 1, "signed": turns}
    exchange = HaloExchange([field], {"u": dict.fromkeys(("ymin", "ymax"), condition)}, **options)
    exchange.fill(0.7)
    exchange.free()
    z, _, x = np.indices(field.array.shape) - np.reshape(field.origin, (3, 1, 1, 1))
    sign = 1.0 - 2.0 * ((z // cells[0] + x // cells[2]) % 2) * turns
    meant = field.array[(z % cells[0]) + depth, np.indices(field.array.shape)[1], (x % cells[2]) + depth]
    np.testing.assert_array_equal(field.array, sign * meant)
