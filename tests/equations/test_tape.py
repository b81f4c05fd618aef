"""Fused operations: fewer of them, the same mathematics, and zero where the plain ones are zero."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.equations.operations import NUMPY
from parsolve.equations.tape import Operation, Tape, fused
from parsolve.kernels.library import fma

VALUES = st.floats(-1e3, 1e3)


def loads(tape: Tape, n: int) -> list[int]:
    return [tape.push("load", data=(i, (0, 0, 0))) for i in range(n)]


def evaluated(operations: tuple[Operation, ...], results: tuple[int, ...], inputs: list[float]) -> list[float]:
    values: list[np.ndarray] = []
    for op in operations:
        if op.name == "load":
            values.append(np.float64(inputs[op.data[0]]))
        elif op.name == "constant":
            values.append(np.float64(op.data))
        else:
            values.append(NUMPY[op.name](*(values[a] for a in op.arguments)))
    return [float(values[n]) for n in results]


@given(VALUES, VALUES, VALUES)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    assert float(fma(a, b, c)) == float(exact)


def test_fma_of_float32_rounds_once() -> None:
    a, b, c = (np.random.default_rng(0).uniform(-1, 1, 1000).astype("float32") for _ in range(3))
    exact = [
        np.float32(float(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))))
        for x, y, z in zip(a, b, c, strict=True)
    ]
    found = fma(a, b[::-1][::-1], c)
    assert found.dtype == np.float32
    assert np.mean(found == np.array(exact)) > 0.999  # rounding to double first may round twice


@given(VALUES, VALUES, VALUES)
def test_second_difference_keeps_its_bits(a: float, b: float, c: float) -> None:
    """(a + c) - (b + b): doubling is exact, so the fused form rounds as the plain one."""
    tape = Tape()
    x, y, z = loads(tape, 3)
    result = tape.push("sub", tape.push("add", x, z), tape.push("add", y, y))
    operations, results = fused(tape.operations, [result])
    assert [op.name for op in operations].count("fma") == 1
    assert evaluated(operations, results, [a, b, c]) == [(a + c) - (b + b)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", ["add", "sub"])
@given(a=VALUES, b=VALUES, c=VALUES)
def test_a_product_is_fused_into_its_sum(name: str, order: tuple[int, int], a: float, b: float, c: float) -> None:
    tape = Tape()
    x, y, z = loads(tape, 3)
    sides = (tape.push("mul", x, y), z)
    operations, results = fused(tape.operations, [tape.push(name, *(sides[i] for i in order))])
    product, other = Fraction(a) * Fraction(b), Fraction(c)
    first, second = ((product, other)[i] for i in order)
    assert "mul" not in [op.name for op in operations]
    assert evaluated(operations, results, [a, b, c]) == [float(first + second if name == "add" else first - second)]


@given(VALUES, VALUES)
def test_equal_products_cancel(a: float, b: float) -> None:
    """u_{i+1}^2 - u_{i-1}^2 of a constant is zero only if both are rounded."""
    tape = Tape()
    w, x, y, z = loads(tape, 4)
    result = tape.push("sub", tape.push("mul", w, x), tape.push("mul", y, z))
    assert evaluated(*fused(tape.operations, [result]), [a, b, a, b]) == [0.0]


def test_a_product_that_is_used_twice_is_computed_once() -> None:
    tape = Tape()
    x, y, z = loads(tape, 3)
    product = tape.push("mul", x, y)
    results = [tape.push("add", z, product), tape.push("sub", z, product)]
    operations, _ = fused(tape.operations, results)
    assert [op.name for op in operations] == ["load", "load", "load", "mul", "add", "sub"]
