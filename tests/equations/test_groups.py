"""Kernels of groups of outputs: each output once, no more than a kernel takes, and the same operations as of one."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from parsolve.equations.groups import TOGETHER, beyond
from parsolve.equations.program import Program, build
from parsolve.errors import CaseError
from parsolve.kernels.library import MAX_COEFFICIENTS, MAX_FIELDS


def network(count: int, partners: int, seed: int) -> dict[str, str]:
    """Rates of reactions between random partners, with diffusion."""
    rng = random.Random(seed)
    names = [f"u{n}" for n in range(count)]
    return {
        u: f"{rng.uniform(0.5, 2):.6f}*laplace({u}) - {u}*({' + '.join(rng.sample(names, min(partners, count)))})"
        for u in names
    }


def outputs_of(program: Program) -> list[str]:
    return [name for kernel in program.parts for name in kernel.outputs]


@pytest.mark.parametrize("count", [1, 11, 100])
@pytest.mark.parametrize("partners", [1, 3, 90])
@pytest.mark.parametrize("terms", [1, 4, 7])
def test_each_output_is_given_once_and_no_kernel_takes_too_much(
    equation: Any, count: int, partners: int, terms: int
) -> None:
    program = build(equation(network(count, partners, seed=count + terms)), ("x", "y"), 2, terms=terms)
    assert tuple(outputs_of(program)) == program.unknowns
    assert len({kernel.name for kernel in program.parts}) == len(program.parts)
    for kernel in program.parts:
        arrays = len(kernel.inputs) + len(kernel.outputs) * (1 + terms)
        assert arrays <= MAX_FIELDS
        assert len(kernel.coefficients) <= MAX_COEFFICIENTS
        assert len(kernel.outputs) == 1 or arrays <= max(TOGETHER, 2 * len(kernel.inputs))
        assert not beyond(kernel, terms)
    if partners == 90 == count - 10:  # what all rates read is read for several at once
        assert len(program.parts) < count / 3


def test_what_fits_is_one_kernel(equation: Any) -> None:
    program = build(equation(network(5, 3, 0)), ("x",), 2, terms=4)
    assert program.parts == (program.rate,)


def test_groups_give_the_bits_of_a_single_kernel(bench: Any, equation: Any) -> None:
    """Products that are shared by rates of several groups are fused as in one."""
    texts = network(40, 4, seed=3) | {f"v{n}": f"u{n}*u{n + 1} - u{n + 1}*u{n + 2}" for n in range(30)}
    wide = build(equation(texts), ("x",), 2, terms=0)
    narrow = build(equation(texts), ("x",), 2, terms=7)
    assert len(narrow.parts) > len(wide.parts)
    rng = np.random.default_rng(0)
    fields = {name: rng.uniform(-1, 1, (1, 1, 20)) for name in texts}
    whole = bench({"x": 0.1})(narrow, fields)
    for kernel in narrow.parts:
        alone = Program(narrow.equation, narrow.axes, narrow.order, (), kernel)
        for name, values in bench({"x": 0.1})(alone, fields).items():
            np.testing.assert_array_equal(values, whole[name])


def test_a_rate_of_more_than_a_kernel_takes_is_refused(equation: Any) -> None:
    names = [f"u{n}" for n in range(MAX_FIELDS - 1)]
    fitting = {u: "-" + u for u in names} | {"u0": " + ".join(names[:-4])}
    assert build(equation(fitting), ("x",), 2, terms=4).parts
    with pytest.raises(
        CaseError, match=rf"what gives u0 reads {len(names)} fields, and a kernel takes {MAX_FIELDS - 5}"
    ):
        build(equation(fitting | {"u0": " + ".join(names)}), ("x",), 2, terms=4)
    constants = {f"k{n}": 1.0 for n in range(MAX_COEFFICIENTS + 1)}
    with pytest.raises(CaseError, match=f"{MAX_COEFFICIENTS + 1} different constants, and a kernel takes"):
        build(
            equation({"u": " + ".join(f"{k}*u**{n % 60}" for n, k in enumerate(constants))}, parameters=constants),
            ("x",),
            2,
        )
