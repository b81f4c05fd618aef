"""Eigenvalues of the discretised equations: the known symbols, and the spectrum of the matrix itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.stencils import FIRST, ORDERS, SECOND
from parsolve.equations.symbol import SAMPLES, eigenvalues
from parsolve.problem.operators import coefficients

THETA = np.pi * np.array(SAMPLES)


def second(order: int, h: float) -> np.ndarray:
    """sum_m 2 a_m (cos(m theta) - 1)/h^2: of the second derivative, real, at most 0."""
    total: np.ndarray = sum(2 * float(a) * (np.cos(m * THETA) - 1) for m, a in enumerate(SECOND[order], 1)) / h**2
    return total


def first(order: int, h: float) -> np.ndarray:
    """sum_m 2 b_m sin(m theta)/h: of the first derivative over i."""
    total: np.ndarray = sum(2 * float(b) * np.sin(m * THETA) for m, b in enumerate(FIRST[order], 1)) / h
    return total


def found(lab: Any, case: dict[str, Any], **ranges: tuple[float, float]) -> tuple[np.ndarray, float]:
    problem = lab.pose(case)
    constants = {stage.name: coefficients(stage, problem.grid, problem.parameters) for stage in problem.program.stages}
    return eigenvalues(problem.program, constants, ranges)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("equation", ["a*u", "a*laplace(u)", "a*u*laplace(u)", "a*u - dx(u)"])
def test_rates_beyond_the_numbers_are_infinite(lab: Any, equation: str) -> None:
    """They grow with their factor until they are infinite."""
    sizes = []
    for power in range(290, 309):
        case = lab.case({"u": equation}, 32, parameters={"a": 1.0})
        problem = lab.pose(case)
        parameters = {"a": float(f"1e{power}")}
        constants = {s.name: coefficients(s, problem.grid, parameters) for s in problem.program.stages}
        values, _ = eigenvalues(problem.program, constants, {"u": (3.0, 4.0)})
        with np.errstate(over="ignore"):
            sizes.append(float(np.abs(values).max()))
    assert sizes == sorted(sizes)
    assert sizes[0] >= 1e290


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cells", [(16,), (16, 10), (16, 10, 8)], ids=len)
def test_linear_equations_have_the_known_symbols(lab: Any, cells: tuple[int, ...], order: int) -> None:
    h = [1 / n for n in cells]
    axes = range(len(cells))
    diffusion = np.array([sum(s) for s in itertools.product(*(second(order, h[d]) for d in axes))])
    run = {"order": order}

    heat, slow = found(lab, lab.case("heat", *cells, parameters={"D": 0.3}, run=run), u=(0.0, 1.0))
    assert slow == 0
    np.testing.assert_allclose(heat[0, :, 0], 0.3 * diffusion, rtol=1e-13, atol=1e-10)

    velocity = (1.5, -0.5, 0.25)[: len(cells)]
    case = lab.case(
        "advection-diffusion",
        *cells,
        parameters={"D": 0.02} | {f"v{a}": v for a, v in zip("xyz", velocity, strict=False)},
        run=run,
    )
    wind = [sum(s) for s in itertools.product(*(velocity[d] * first(order, h[d]) for d in axes))]
    advection, slow = found(lab, case, u=(0.0, 1.0))
    assert slow == 0
    known = [0.02 * diffusion - 1j * np.array(wind)]
    for signs in itertools.product((1, -1), repeat=len(cells) - 1):  # waves along any axis may go the other way
        if -1 in signs:
            v = np.multiply(velocity, (1, *signs))
            inside = [0.02 * second(order, h[d])[1:] - 1j * v[d] * first(order, h[d])[1:] for d in axes]
            known.append(np.array([sum(s) for s in itertools.product(*inside)]))
    np.testing.assert_allclose(advection[0, :, 0], np.concatenate(known), rtol=1e-13, atol=1e-10)

    wave, slow = found(lab, lab.case("wave", *cells, parameters={"c": 2.0}, run=run), u=(0.0, 1.0))
    frequency = 2 * np.sqrt(-diffusion)
    assert slow < 1e-6
    np.testing.assert_allclose(np.sort(wave[0].imag, axis=1), np.stack([-frequency, frequency], axis=1), atol=1e-5)
    np.testing.assert_allclose(wave[0].real, 0, atol=1e-5)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_symbol_is_the_spectrum_of_the_matrix(lab: Any, name: str) -> None:
    """Every eigenvalue at a wave that fits on a periodic line of ten cells is one of the Jacobian's there."""
    for order in (2, 6):
        case = lab.case(name, 10, length=7.0 if "-" in name else 1.0, run={"order": order, "device": "numpy"})
        problem = lab.pose(case)
        state = {u: 0.3 + 0.2 * i for i, u in enumerate(problem.program.unknowns)}
        values, _ = found(lab, case, **{u: (v, v) for u, v in state.items()})
        fitting = [i for i, s in enumerate(SAMPLES) if abs(s * 5 - round(s * 5)) < 1e-12]
        assert len(fitting) == 5
        matrix = jacobian(lab.rate(problem), state, 10)
        spectrum = np.linalg.eigvals(matrix)
        size = np.abs(spectrum).max()
        for value in values[0, fitting].ravel():
            assert np.abs(spectrum - value).min() < 2e-5 * size, (order, value)


def jacobian(rate: Any, state: dict[str, float], cells: int) -> np.ndarray:
    """Derivatives of all rates by all cells, by central differences about a constant state."""
    step, columns = 1e-5, []
    for name in state:
        for i in range(cells):
            difference = 0.0
            for sign in (1, -1):
                values = {u: np.full(cells, v) for u, v in state.items()}
                values[name][i] += sign * step
                difference = difference + sign * np.concatenate(list(rate(**values).values()))
            columns.append(difference / (2 * step))
    return np.array(columns).T
