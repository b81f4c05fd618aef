"""Weights at a face are exact for polynomials of their degree, whatever is given there."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve.domain.closure import face_weights, slope_weights

SPACING = 0.25


@pytest.mark.parametrize("given", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (2.0, 0.5, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("points", [2, 3, 4])
def test_the_value_at_a_face_is_that_of_the_polynomial(given: tuple[float, float, float], points: int) -> None:
    """p(s) of degree points - 1, or points where there is a condition, s inwards in cells."""
    a, b, c = given
    p = np.polynomial.Polynomial(np.random.default_rng(3).normal(size=points + any(given)))
    imposed = a * p(0) - b * p.deriv()(0) / SPACING + c * p.deriv(2)(0) / SPACING**2
    weights, weight = face_weights(a, b, c, SPACING, points)
    assert weights @ p(np.arange(points) + 0.5) + weight * imposed == pytest.approx(p(0), rel=1e-12)


@pytest.mark.parametrize("points", [1, 3, 4])
def test_the_slope_at_a_face_is_that_of_the_polynomial(points: int) -> None:
    p = np.polynomial.Polynomial(np.random.default_rng(4).normal(size=points + 1))
    weights, weight = slope_weights(SPACING, points)
    found = weights @ p(np.arange(points) + 0.5) + weight * p(0)
    assert found == pytest.approx(p.deriv()(0) / SPACING, rel=1e-12)
