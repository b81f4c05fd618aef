"""Kernels that belong to no equation: the bits that NumPy gives with one rounding in each product and sum."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Box, Field, arguments, bind
from parsolve.domain.grid import Grid, regular
from parsolve.kernels.library import core, fma

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHTS = (0.7, -1.3, 0.2, 1.9)
BOXES = [
    pytest.param((1, 1, 1300), Box((0, 0, -2), (1, 1, 1302)), id="row of pieces"),
    pytest.param((1, 7, 600), Box((0, -1, 3), (1, 8, 600)), id="from ghosts"),
    pytest.param((4, 5, 6), Box((0, 0, 0), (4, 5, 6)), id="owned"),
]


def fields(n: int, shape: tuple[int, int, int], precision: str) -> list[Field]:
    names = tuple(axis for axis, extent in zip("xyz", reversed(shape), strict=True) if extent > 1)
    grid = Grid(names, shape, (0.0,) * 3, (1.0,) * 3, (True,) * 3)
    sub, random = regular(grid, MPI.COMM_SELF, (1, 1, 1), 2), np.random.default_rng(3)
    made = [Field(f"f{i}", sub, precision) for i in range(n)]
    for f in made:
        f.array[...] = random.uniform(-1, 1, f.array.shape)
    return made


def inside(f: Field, box: Box) -> np.ndarray:
    z, y, x = (slice(a + o, b + o) for a, b, o in zip(box.lo, box.hi, f.origin, strict=True))
    return f.array[z, y, x]


def combination(k: np.ndarray, scale: float, terms: Sequence[np.ndarray]) -> np.ndarray:
    """The values scale k + weights[0] terms[0] + sum_j>0 weights[j] (terms[j] - terms[0]) as a kernel rounds them."""
    real = k.dtype.type
    total = real(0) * k
    for w, term in zip(WEIGHTS[1:], terms[1:], strict=False):
        total = fma(real(w), term - terms[0], total)
    total = fma(real(scale), k, total)
    return fma(real(WEIGHTS[0]), terms[0], total) if terms else total


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("shape", "box"), BOXES)
@pytest.mark.parametrize("terms", [1, 2, 4])
def test_linear_is_the_combination(shape: tuple[int, int, int], box: Box, terms: int, precision: str) -> None:
    source, out, *rest = fields(2 + terms, shape, precision)
    before = out.array.copy()
    bind(core().kernel("linear", precision), box, [source], [out], [[f] for f in rest], weights=WEIGHTS[:terms],
         scale=0.37)()  # fmt: skip
    wanted = combination(inside(source, box), 0.37, [inside(f, box) for f in rest])
    assert inside(out, box).tobytes() == wanted.tobytes()
    inside(out, box)[...] = before[
        tuple(slice(a + o, b + o) for a, b, o in zip(box.lo, box.hi, out.origin, strict=True))
    ]
    np.testing.assert_array_equal(out.array, before)


def norm(made: Sequence[Field], box: Box, scale: float, absolute: float, relative: float) -> float:
    """The kernel's value for fields k, before, after, terms."""
    args = arguments(made[0].subdomain, made[0].stride, box)
    args.terms, args.scale = len(made) - 3, scale
    args.weight[: args.terms] = WEIGHTS[: args.terms]
    args.coefficient[:2] = [absolute, relative]
    args.field[: len(made)] = [f.address for f in made]
    result = ctypes.c_double(-1.0)
    assert core().function("error_norm", made[0].dtype.name)(ctypes.byref(args), ctypes.byref(result)) == 0
    return result.value


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("shape", "box"), BOXES)
@pytest.mark.parametrize("terms", [0, 1, 2, 4])
def test_error_norm_is_that_of_the_stored_error(
    shape: tuple[int, int, int], box: Box, terms: int, precision: str
) -> None:
    made = fields(3 + terms, shape, precision)
    k, before, after, *rest = (inside(f, box) for f in made)
    error = combination(k, -0.4, rest).astype(float)
    size = np.maximum(np.abs(before.astype(float)), np.abs(after.astype(float)))
    wanted = np.max(np.abs(error) / (1e-3 + 1e-2 * size))
    assert norm(made, box, -0.4, 1e-3, 1e-2) == wanted
    for source in (k, *rest):
        for value in (np.nan, np.inf, -np.inf):
            kept, source[-1, -1, -1] = source[-1, -1, -1], value
            assert norm(made, box, -0.4, 1e-3, 1e-2) == np.inf
            source[-1, -1, -1] = kept


def test_error_norm_of_an_empty_box_is_zero() -> None:
    made = fields(3, (1, 5, 6), "float64")
    assert norm(made, Box((0, 2, 0), (1, 2, 6)), 1.0, 1.0, 1.0) == 0.0
