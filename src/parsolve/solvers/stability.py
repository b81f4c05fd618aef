"""The largest stable time step from the eigenvalues of the linearised, discretised equation (von Neumann analysis)."""

from __future__ import annotations

import numpy as np

from parsolve.errors import CaseError
from parsolve.solvers.tableaus import RungeKutta, Scheme

SAFETY = 0.9  # of the limit: coefficients move while the equation marches


def stable_step(scheme: Scheme, eigenvalues: np.ndarray, slow: float, duration: float) -> float:
    """Safety times the largest dt at which no mode grows that should not.

    Args:
        scheme: of a first-order system; for leapfrog ``eigenvalues`` are those of u_tt = lambda u.
        eigenvalues: of all modes (complex, any shape).
        slow: rate at which the equation itself may oscillate or grow; |R(dt lambda)| <= 1 + slow dt is accepted
            (Lax & Richtmyer, Comm. Pure Appl. Math. 9 (1956) 267).
        duration: the step is not longer than this.

    Raises:
        CaseError: the scheme is not stable for this equation at any useful step.
    """
    values = np.unique(np.round(eigenvalues.ravel(), 12))
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return duration
    if not isinstance(scheme, RungeKutta):
        return min(duration, SAFETY * 2 / float(np.sqrt(largest)))
    step = _largest(scheme.polynomial, values, slow)
    if step * largest < 1e-4:
        raise CaseError(
            f"time.scheme: '{scheme.name}' is unstable for this equation at any useful time step; "
            "use ssprk33 or rk4 (leapfrog for u_tt)"
        )
    return min(duration, SAFETY * step)


def _largest(polynomial: np.ndarray, values: np.ndarray, slow: float) -> float:
    """Largest dt for which every smaller one is stable too: scan up, then bisect."""

    def is_stable(dt: float) -> bool:
        r = np.polynomial.polynomial.polyval(dt * values, polynomial)
        growing = np.maximum(values.real, 0.0)
        return bool(np.all(np.abs(r) <= (1 + slow * dt) * np.exp(growing * dt) + 1e-10))

    largest = float(np.abs(values).max())
    low, high = 0.0, 1e-5 / largest
    while is_stable(high) and high * largest < 1e3:
        low, high = high, 1.05 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_stable(middle) else (low, middle)
    return low
