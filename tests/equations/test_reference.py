"""The compiled kernels compute what the NumPy reference computes, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Box, Field, bind
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.codegen import CATALOGUE_ORDERS, DIMENSIONS
from parsolve.equations.program import Stage, build
from parsolve.equations.reference import NumpyKernel
from parsolve.kernels.library import core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsolve.kernels.library import Kernel

CELLS = (3, 5, 19)  # z, y, x: x is longer than a vector and no multiple of one
BOX = Box((0, 1, 1), (1, 4, 18))


def stages(name: str, axes: tuple[str, ...], order: int) -> Iterator[Stage]:
    equation = CATALOGUE[name]
    yield from build(equation, axes, order).stages
    if equation.time_order == 2:
        yield from build(equation, axes, order, acceleration=True).stages


def subdomain(axes: tuple[str, ...], ghost: int) -> Subdomain:
    z, y, x = (n if axis in axes else 1 for n, axis in zip(CELLS, "zyx", strict=True))
    grid = Grid(axes, (z, y, x), (0.0, 0.0, 0.0), (0.7, 0.3, 0.1), (True, True, True))
    return regular(grid, MPI.COMM_SELF, (1, 1, 1), ghost)


def launch(
    kernel: Kernel, stage: Stage, sub: Subdomain, precision: str, terms: int, seed: int
) -> dict[str, np.ndarray]:
    """All arrays after one launch on random data; the first term is the output itself, as in a march."""
    rng = np.random.default_rng(seed)

    def fields(names: tuple[str, ...]) -> list[Field]:
        made = [Field(name, sub, precision) for name in names]
        for f in made:
            f.array[...] = rng.uniform(-1, 1, f.array.shape)
        return made

    inputs, outputs = fields(stage.inputs), fields(stage.outputs)
    more = [outputs, *(fields(stage.outputs) for _ in range(terms - 1))] if terms else []
    coefficients = rng.uniform(-2, 2, len(stage.coefficients)).tolist()
    weights = rng.uniform(-1, 1, terms).tolist()
    present = [axis in sub.grid.names for axis in "zyx"]
    lo, hi = (tuple(b if p else e for b, p, e in zip(edge, present, (0, 0, 0) if i == 0 else (1, 1, 1), strict=True))
              for i, edge in enumerate((BOX.lo, BOX.hi)))  # fmt: skip
    bound = bind(kernel, Box(lo, hi), inputs, outputs, more, coefficients=coefficients, weights=weights, scale=0.3)  # type: ignore[arg-type]
    bound()
    return {f"{i} {f.name}": f.array for i, f in enumerate((*inputs, *outputs))}


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("axes", DIMENSIONS, ids=lambda axes: f"{len(axes)}d")
def test_compiled_kernels_equal_the_reference(name: str, axes: tuple[str, ...]) -> None:
    for order in CATALOGUE_ORDERS:
        sub = subdomain(axes, order // 2)
        for stage in stages(name, axes, order):
            for precision in ("float64", "float32"):
                for terms in (1, 4) if stage.updates else (0,):
                    seed = order + terms
                    compiled = launch(core().kernel(stage.name, precision), stage, sub, precision, terms, seed)
                    reference = launch(NumpyKernel(stage), stage, sub, precision, terms, seed)
                    for key, values in reference.items():
                        np.testing.assert_array_equal(
                            compiled[key], values, f"{stage.name} {precision} {key}", strict=True
                        )


def test_a_launch_writes_its_box_alone() -> None:
    stage = build(CATALOGUE["gray-scott"], ("x", "y", "z"), 2).rate
    sub = subdomain(("x", "y", "z"), 1)
    for kernel in (core().kernel(stage.name, "float64"), NumpyKernel(stage)):
        inputs, outputs = ([Field(n, sub, "float64") for n in stage.inputs] for _ in range(2))
        for f in (*inputs, *outputs):
            f.array[...] = 7.5
        box = Box((1, 1, 2), (2, 4, 9))
        bind(kernel, box, inputs, outputs, [outputs], weights=[1.0], coefficients=[1.0] * len(stage.coefficients))()
        for f in outputs:
            touched = f.array != 7.5
            touched[2:3, 2:5, 3:10] = False
            assert not touched.any()
            assert (f.owned[1:2, 1:4, 2:9] != 7.5).all()
        assert all((f.array == 7.5).all() for f in inputs)


def test_an_empty_box_is_no_work() -> None:
    stage = build(CATALOGUE["heat"], ("x",), 2).rate
    sub = subdomain(("x",), 1)
    for kernel in (core().kernel(stage.name, "float64"), NumpyKernel(stage)):
        f, out = Field("u", sub, "float64"), Field("u", sub, "float64")
        f.array[...] = 1.0
        bind(kernel, Box((0, 0, 5), (1, 1, 5)), [f], [out], [[out]], weights=[1.0], coefficients=[1.0])()
        assert not out.array.any()
