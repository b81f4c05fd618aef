"""Values at cells: right, finite, and the same bits wherever they are computed."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from parsolve.equations.parse import parse
from parsolve.equations.syntax import ExpressionError
from parsolve.equations.values import evaluate, fill, global_index, noise
from parsolve.errors import CaseError


@dataclass(frozen=True)
class Cells:
    names: tuple[str, ...]
    cells: tuple[int, int, int]
    lower: tuple[float, float, float]
    spacing: tuple[float, float, float]


LINE = Cells(("x",), (1, 1, 7), (0.0, 0.0, -1.0), (1.0, 1.0, 0.3))
PLANE = Cells(("x", "y"), (1, 9, 13), (0.0, -1.0, 0.5), (1.0, 0.25, 0.1))
SPACE = Cells(("x", "y", "z"), (5, 6, 11), (0.25, -1.0, 0.5), (0.2, 0.3, 0.1))
EXPRESSIONS = [
    "sin(2*pi*x)*cos(y) + exp(-z*t)",
    "tanh((x - 0.7)/0.05)*atan2(y, x) - erf(z)",
    "x**1.7 + (1 + y**2)**x + 2**z - x**-3 + sqrt(x)/y",
    "where(x**2 + y**2 < 1 and not z > 0.5 or x == y, log(x), sinh(z))",
    "box(x, 0.8, 1.2)*noise(seed=4) + heaviside(y) + floor(10*z) - ceil(y) + sign(y)*abs(x)",
    "min(x, y, z)*max(x, y)/3 + asin(y/3) + acos(z/3) + atan(x) + cosh(x) + tan(y)",
    "noise(seed=1)",
    "a*t",
    "1",
]


def whole(text: str, grid: Cells = SPACE) -> np.ndarray:
    return fill(text, grid, (0, 0, 0), grid.cells, time=0.3, parameters={"a": 2.5})


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_box_is_a_slice_of_the_whole_bit_for_bit(text: str) -> None:
    expected = whole(text)
    source = np.random.default_rng(1)
    corners = [(0, 0, 0), (4, 5, 10), *source.integers(0, SPACE.cells, (30, 3)).tolist()]
    for start in corners:
        shape = source.integers(1, np.subtract(SPACE.cells, start) + 1)
        for extent in (shape, (1, 1, 1), (1, 1, shape[2])):
            box = tuple(slice(a, a + n) for a, n in zip(start, extent, strict=True))
            found = fill(text, SPACE, start, extent, time=0.3, parameters={"a": 2.5})
            assert found.tobytes() == np.ascontiguousarray(expected[box]).tobytes()


def test_values_are_those_of_the_formula_at_the_centres() -> None:
    for text in EXPRESSIONS[:-3]:
        if "noise" in text:
            continue
        found = whole(text)
        for cell in itertools.product(*(range(0, n, 3) for n in SPACE.cells)):
            z, y, x = (a + (i + 0.5) * h for a, i, h in zip(SPACE.lower, cell, SPACE.spacing, strict=True))
            assert found[cell] == pytest.approx(by_python(text, x, y, z, 0.3), rel=1e-13, abs=1e-13)


def by_python(text: str, x: float, y: float, z: float, t: float) -> float:
    names = {name: getattr(math, name) for name in dir(math) if not name.startswith("_")}
    names |= {"abs": abs, "min": min, "max": max, "x": x, "y": y, "z": z, "t": t}
    if text.startswith("where"):
        return math.log(x) if (x**2 + y**2 < 1 and not z > 0.5) or x == y else math.sinh(z)
    return float(eval(text, {"__builtins__": {}}, names))


@pytest.mark.parametrize("grid", [LINE, PLANE, SPACE])
def test_ghost_cells_follow_the_same_formula(grid: Cells) -> None:
    found = fill("3*x", grid, (0, 0, -2), (1, 1, 4))
    expected = 3 * (grid.lower[2] + (np.arange(-2, 2) + 0.5) * grid.spacing[2])
    assert np.array_equal(found[0, 0], expected)
    assert found.dtype == np.float64
    assert found.flags.c_contiguous


@pytest.mark.parametrize("value", [2, 2.5, "5/2", sympy.Float(2.5)])
def test_numbers_fill_the_box(value: float | str) -> None:
    found = fill(value, SPACE, (1, 1, 1), (2, 3, 4))
    assert found.shape == (2, 3, 4)
    assert (found == float(sympy.Rational(5, 2) if value != 2 else 2)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("log(x)", r"initial\.u: the value is nan at x = -0\.85 \(cell 0\)"),
        ("1/floor(x)", r"initial\.u: the value is inf at x = 0\.05 \(cell 3\)"),
        ("where(x > 0.5, sqrt(-x), 0)", r"nan at x = 0\.65 \(cell 5\)"),
        ("exp(1000*x + 1000)", r"inf at"),
        ("a*x", r"nan at"),
        (float("nan"), "nan"),
        ("sqrt(-1)", "not a finite real"),
    ],
)
def test_a_value_that_is_not_finite_is_reported(value: str | float, words: str) -> None:
    with pytest.raises(CaseError, match=words):
        fill(value, LINE, (0, 0, 0), LINE.cells, parameters={"a": math.nan}, key="initial.u")


@pytest.mark.filterwarnings("error")
def test_the_branch_not_taken_may_have_no_value() -> None:
    found = fill("where(x > 0, log(x), 0)", LINE, (0, 0, 0), LINE.cells)
    assert (found[0, 0, :3] == 0).all()


def test_an_absent_axis_is_named() -> None:
    with pytest.raises(ExpressionError, match="no axis z in this case"):
        fill("x + z", PLANE, (0, 0, 0), PLANE.cells)


def test_float32_stays_float32() -> None:
    u = np.linspace(0, 1, 5, dtype=np.float32)
    found = evaluate(parse("0.1*u**3 + sin(u)/a + max(u, 0.5) - where(u > a, 1, u)", "ua"), {"u": u, "a": 0.3})
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32


def test_division_is_division() -> None:
    x, y = np.array([5.0, 7.0]), np.array([3.0, 11.0])
    for text, expected in [("x/y", x / y), ("x/3", x / 3), ("2*x/(7*y)", 2 * x / (7 * y)), ("1/y", 1 / y)]:
        assert np.array_equal(evaluate(parse(text, "xy"), {"x": x, "y": y}), expected)


def test_scalars_stay_scalars() -> None:
    assert evaluate(parse("x**2 + min(x, 1)", "x"), {"x": 3.0}) == 10.0
    assert math.isinf(evaluate(parse("1/x", "x"), {"x": 0.0}))


def test_what_has_no_value_is_named() -> None:
    with pytest.raises(ValueError, match="no value for 'x'"):
        evaluate(parse("x", "x"), {})
    with pytest.raises(ValueError, match="noise"):
        evaluate(parse("noise(seed=1)", ()), {})


GOLDEN = [
    (0, 0, 0.3048969727480644),
    (1, 0, -0.2636209686966611),
    (1, 1, 0.8871284617297088),
    (2, 0, -0.21556707515293638),
    (2**53 - 1, 12345, -0.8845379772098969),
    (1, 2**64 - 1, 0.7257122977221173),
]


@pytest.mark.parametrize(("seed", "index", "expected"), GOLDEN)
def test_noise_is_fixed_for_good(seed: int, index: int, expected: float) -> None:
    assert noise(seed, np.uint64(index)) == expected


def test_noise_is_uniform_and_seeds_are_independent() -> None:
    first, second = noise(1, np.arange(200_000)), noise(2, np.arange(200_000))
    deviation = 1 / math.sqrt(3 * len(first))
    assert abs(first.mean()) < 5 * deviation
    assert abs(first.var() - 1 / 3) < 5 * deviation
    assert first.min() >= -1
    assert first.max() < 1
    for other in (second, np.roll(first, 1), np.roll(first, 11)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 5 / math.sqrt(len(first))


def test_noise_depends_on_the_global_index() -> None:
    grid = SPACE
    expected = noise(7, np.arange(np.prod(grid.cells))).reshape(grid.cells)
    assert np.array_equal(fill("noise(seed=7)", grid, (0, 0, 0), grid.cells), expected)
    assert np.array_equal(noise(7, global_index(grid.cells, (2, 1, 3), (2, 4, 5))), expected[2:4, 1:5, 3:8])


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(-(2**40), 2**40)] * 3))
def test_the_global_index_wraps(start: tuple[int, int, int]) -> None:
    nx, ny = 2**31, 2**21
    grid = Cells(("x", "y", "z"), (2**31, ny, nx), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    k, j, i = start
    assert int(global_index(grid.cells, start, (1, 1, 1))[0, 0, 0]) == ((k * ny + j) * nx + i) % 2**64
