"""The largest stable time step from the eigenvalues of the linearised, discretised equation (von Neumann analysis)."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.closure import closure_base
from parsolve.equations.stencils import SECOND
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.boundary import Condition
    from parsolve.march.tableaus import RungeKutta, Scheme

SAFETY = 0.9  # of the limit: coefficients move while the equation marches
SCANNED = 1 << 15  # values of a stability function at once
SMALL = 0.1  # dt times the largest rate
ROUNDING = 1e-14  # of the growth in a step
PARTS, CUTS = 32, 8  # into which an interval is cut, and how often: to the last bit but some


def stable_step(
    scheme: Scheme, eigenvalues: np.ndarray, slow: float, duration: float, slack: float | None = None
) -> float:
    """Safety times the largest dt at which no mode grows that should not.

    Args:
        scheme: of a first-order system; for leapfrog ``eigenvalues`` are those of u_tt = lambda u.
        eigenvalues: of all modes (complex, any shape).
        slow: rate at which the equation itself may oscillate or grow; |R(dt lambda)| <= 1 + slack dt is accepted of
            modes that are about as slow, 1 + 2 Re(lambda) dt of those that grow themselves
            (Lax & Richtmyer, Comm. Pure Appl. Math. 9 (1956) 267).
        duration: the step is not longer than this.
        slack: by default slow.

    Raises:
        CaseError: the scheme is not stable for this equation at any useful step, or any step is.
    """
    largest = float(np.abs(eigenvalues).max(initial=0.0))
    if largest == 0 and duration == np.inf:
        raise CaseError("time.dt: nothing in the equation limits the time step; give time.dt")
    if largest == 0:
        return duration
    if scheme.polynomial is None:  # leapfrog
        return min(duration, SAFETY * 2 / float(np.sqrt(largest)))
    units, exponent = _units(eigenvalues, largest)
    with np.errstate(all="ignore"):
        slow, slack = (float(np.ldexp(rate, -exponent)) for rate in (slow, slow if slack is None else slack))
        step = _largest(scheme, units, slow, slack)
        longest = float(np.ldexp(SAFETY * step, -exponent))
    if step * float(np.abs(units).max()) < 1e-3:
        raise CaseError(
            f"time.scheme: '{scheme.name}' is unstable for this equation at any useful time step; "
            "use ssprk33 or rk4 (leapfrog for u_tt)"
        )
    return min(duration, longest)


def excess(scheme: Scheme, eigenvalues: np.ndarray, slow: float, dt: float, slack: float | None = None) -> float:
    """Ln of how much more than it should any mode grows in a step; at most 0 if the step is stable.

    The other arguments are those of ``stable_step``.
    """
    largest = float(np.abs(eigenvalues).max(initial=0.0))
    units, exponent = _units(eigenvalues, largest)
    with np.errstate(all="ignore"):
        if scheme.polynomial is not None:
            slow, slack = (float(np.ldexp(rate, -exponent)) for rate in (slow, slow if slack is None else slack))
            return _excess(scheme.polynomial, units, slow, slack, float(np.ldexp(dt, exponent)))
        root_exponent = exponent // 2
        values, dt = _scaled(units, exponent - 2 * root_exponent), float(np.ldexp(dt, root_exponent))
        half = 1 + 0.5 * dt * dt * values  # r^2 - 2 half r + 1 = 0
        root = np.sqrt(half * half - 1)
        grows = np.log(np.maximum(np.abs(half + root), np.abs(half - root)))
        return float(_worst(grows - dt * np.sqrt(values).real))


def _units(eigenvalues: np.ndarray, largest: float) -> tuple[np.ndarray, int]:
    """Those that differ, of size one at most, and by which power of two they are multiplied."""
    if not largest:
        return np.zeros(1, complex), 0
    exponent = frexp(largest)[1]
    size = float(np.ldexp(largest, -exponent))
    return np.unique(np.round(_scaled(eigenvalues, -exponent) / size, 12)) * size, exponent


def _scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """The values times a power of two, exactly unless they are beyond the numbers."""
    scaled: np.ndarray = np.ldexp(values.ravel().astype(complex).view(float), exponent).view(complex)
    return scaled


def _worst(growth: np.ndarray) -> np.ndarray:
    """The largest along the last axis; what is not a number has grown beyond all of them."""
    worst: np.ndarray = np.where(np.isnan(growth), np.inf, growth).max(axis=-1)
    return worst


def _excess(polynomial: Sequence[float], values: np.ndarray, slow: float, slack: float, dt: float) -> float:
    modes = _Modes.of(values, slow, slack)
    grows = np.log(np.maximum(np.abs(modes.factor(polynomial, dt)), 1e-300))
    return float(_worst(grows - np.log1p(modes.allowed * dt) - modes.growing * dt))


@dataclass(frozen=True)
class _Modes:
    """Eigenvalues, by how much modes may grow as 1 + allowed dt, and the rates at which they grow themselves."""

    values: np.ndarray
    allowed: np.ndarray
    growing: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, slow: float, slack: float) -> _Modes:
        """Those of eigenvalues; fast modes must not grow unless they should."""
        growing = np.maximum(values.real, 0.0)
        return cls(values, np.where(np.abs(values) <= 2 * slow, np.maximum(slack, growing), growing), growing)

    def factor(self, polynomial: Sequence[float], dt: np.ndarray | float) -> np.ndarray:
        """By what each is multiplied in a step."""
        z = dt * self.values
        r = np.full_like(z, polynomial[-1])
        for c in reversed(polynomial[:-1]):
            r *= z
            r += c
        return r

    def grow(self, polynomial: Sequence[float], steps: np.ndarray) -> np.ndarray:
        """Whether each grows more than it should, of shape (steps, modes); what is not a number does."""
        dt = steps[:, None]
        most = (1 + ROUNDING) * (1 + self.allowed * dt)
        if self.growing.any():
            most *= np.exp(self.growing * dt)
        grows: np.ndarray = ~(np.abs(self.factor(polynomial, dt)) <= most)
        return grows

    def only(self, chosen: np.ndarray) -> _Modes:
        """Some of them."""
        return _Modes(self.values[chosen], self.allowed[chosen], self.growing[chosen])


def _largest(scheme: RungeKutta, values: np.ndarray, slow: float, slack: float) -> float:
    """Largest dt for which every smaller one is stable too: scan up, many at once, then look closer where it ends."""
    real = values.real[values.imag == 0]  # most are, and take a part of the time
    kinds = (real[real <= 0], real[real > 0], values[values.imag != 0])
    every = [_Modes.of(some, slow, slack) for some in kinds if some.size]

    def ends(modes: Sequence[_Modes]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda steps: np.any(
            [m.grow(scheme.polynomial, steps).any(axis=1) for m in modes] or [steps < 0], axis=0
        )

    largest, many = float(np.abs(values).max()), max(1, min(96, SCANNED // values.size))
    low, high, found = 0.0, 1e-5 / largest, False
    while not found:
        # Where dt lambda is small the factor is its Taylor series: what begins to grow there goes on growing.
        steps = np.multiply.accumulate([high, *[1.5 if high * largest < SMALL else 1.05] * many])
        steps = steps[: int((steps * largest < SMALL).sum()) + 1] if high * largest < SMALL else steps
        over = ends(every)(steps) | (steps * largest >= 1e3)
        found = bool(over.any())
        last = int(over.argmax()) if found else len(steps) - 1
        low, high = (float(steps[last - 1]) if last else low), float(steps[last])
    growing = [m.only(m.grow(scheme.polynomial, np.array([high]))[0]) for m in every]
    first = _first(low, high, ends([m for m in growing if m.values.size]))
    if ends(every)(np.array([first]))[0]:  # another one grows, before them alone
        first = _first(low, first, ends(every))
    return first


def _first(low: float, high: float, ends: Callable[[np.ndarray], np.ndarray]) -> float:
    """The last number from low on before something ends, as it has at high."""
    for _ in range(CUTS):
        numbers = low + (high - low) * np.arange(1, PARTS) / PARTS
        over = ends(numbers)
        last = int(over.argmax()) if over.any() else len(numbers)
        low, high = (float(numbers[last - 1]) if last else low), (float(numbers[last]) if over.any() else high)
    return low


def closure_factor(order: int, spacing: float, condition: Condition) -> float:
    """How much the largest eigenvalue of a second difference grows by the closure at a face; at least 1.

    One-sided polynomials of order 4 make a mode at the face that is faster than any wave inside: with Dirichlet
    conditions 1.15 times at order 4, 1.08 at order 6, 1.04 at order 8.
    """
    reach, cells = order // 2, 4 * order
    points = condition.closure(closure_base(order), reach)
    extended = np.zeros((cells + 2 * reach, cells))  # ghosts and cells from cells
    extended[reach:-reach] = np.eye(cells)
    weights, _ = condition.weights(spacing, points, reach)  # no mixture of conditions is faster than Dirichlet
    extended[:reach, :points] = weights[::-1]
    extended[-reach:, -points:] = weights[:, ::-1]
    inside = slice(reach, reach + cells)
    matrix = np.zeros((cells, cells))
    fastest = 0.0
    for m, weight in enumerate(map(float, SECOND[order]), start=1):
        left, right = (extended[inside.start + by : inside.stop + by] for by in (-m, m))
        matrix += weight * (left + right - 2 * extended[inside])
        fastest += 4 * weight * (m % 2)
    return max(1.0, float(np.abs(np.linalg.eigvals(matrix)).max()) / fastest)
