"""Weights of polynomials through a condition at a face and the cells beside it.

They are made in rational numbers, so that they are the same on all machines.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np

CLOSURE_ORDER = 4


def closure_base(order: int) -> int:
    """How many owned cells a Dirichlet condition reads."""
    return min(order, CLOSURE_ORDER) - 1


@cache
def ghost_weights(
    a: float, b: float, spacing: float, points: int, depth: int, c: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ghost_k = sum_j w[k, j] u_j + v[k] value; shapes (depth, points) and (depth,).

    With s the distance from the face inward in cells, p(s) = sum_m c_m s^m, p(j + 1/2) = u_j and
    a p(0) - (b/h) p'(0) + (c/h^2) p''(0) = value; ghost_k = p(-k - 1/2).

    Raises:
        ZeroDivisionError: the condition does not determine the ghost.
    """
    n = points + 1
    ghosts = [[(-k - Fraction(1, 2)) ** m for m in range(n)] for k in range(depth)]
    return _weights(_polynomial(a, b, c, spacing, points), ghosts)


def mirror_weights(points: int, depth: int) -> np.ndarray:
    """Weights of ghosts that are the cells mirrored at the face; where there are fewer cells, mirrored at both ends."""
    weights = np.zeros((depth, points))
    for k in range(depth):
        turn, cell = divmod(k, points)
        weights[k, points - 1 - cell if turn % 2 else cell] = 1.0
    return weights


@cache
def slope_weights(spacing: float, points: int) -> tuple[np.ndarray, float]:
    """Weights of -du/dn = sum_j w[j] u_j + v f at a face where u = f; shape (points,) and a number."""
    row = [Fraction(0), 1 / Fraction(spacing)] + [Fraction(0)] * (points - 1)
    weights, value = _weights(_polynomial(1.0, 0.0, 0.0, spacing, points), [row])
    return weights[0], float(value[0])


@cache
def face_weights(a: float, b: float, c: float, spacing: float, points: int) -> tuple[np.ndarray, float]:
    """Weights of the value at a face of the nearest cells and of what the condition says; shape (points,), a number.

    Without a condition (a = b = c = 0) it is that of the polynomial through the cells.
    """
    if a == b == c == 0:
        cells = [[(j + Fraction(1, 2)) ** m for m in range(points)] for j in range(points)]
        return np.array([float(v) for v in _inverse(cells)[0]]), 0.0
    weights, value = _weights(_polynomial(a, b, c, spacing, points), [[Fraction(1)] + [Fraction(0)] * points])
    return weights[0], float(value[0])


def determines(a: np.ndarray, b: np.ndarray, spacing: float, points: int) -> bool:
    """Whether a u + b du/dn = value and the nearest owned cells determine the value at the face, wherever it is.

    They do unless a + b sum_j 1/(j + 1/2)/h = 0: then the polynomial that is zero in these cells meets it too.
    """
    if a.ndim == b.ndim == 0:
        slope = sum(1 / (j + Fraction(1, 2)) for j in range(points)) / Fraction(spacing)
        return Fraction(float(a)) + Fraction(float(b)) * slope != 0
    return bool((np.abs(a - b * slope_weights(spacing, points)[1]) > 1e-15 * np.abs(a)).all())


def _polynomial(a: float, b: float, c: float, spacing: float, points: int) -> list[list[Fraction]]:
    """Coefficients c_m of p as combinations of u_0 ... and the value, in rational numbers: same on all machines."""
    h, n = Fraction(spacing), points + 1
    rows = [[(j + Fraction(1, 2)) ** m for m in range(n)] for j in range(points)]
    rows.append(([Fraction(a), -Fraction(b) / h, 2 * Fraction(c) / h**2] + [Fraction(0)] * n)[:n])
    return _inverse(rows)


def _weights(inverse: list[list[Fraction]], rows: list[list[Fraction]]) -> tuple[np.ndarray, np.ndarray]:
    n = len(inverse)
    weights = np.array([[float(sum(g[m] * inverse[m][j] for m in range(n))) for j in range(n)] for g in rows])
    return weights[:, :-1], weights[:, -1]


def _inverse(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """Inverse of a small matrix by Gauss-Jordan elimination in rational numbers."""
    n = len(rows)
    work = [row + [Fraction(int(i == j)) for j in range(n)] for i, row in enumerate(rows)]
    for i in range(n):
        pivot = next((r for r in range(i, n) if work[r][i] != 0), None)
        if pivot is None:
            raise ZeroDivisionError("the boundary condition does not determine the boundary value")
        work[i], work[pivot] = work[pivot], work[i]
        work[i] = [v / work[i][i] for v in work[i]]
        for r in range(n):
            if r != i and work[r][i] != 0:
                work[r] = [v - work[r][i] * w for v, w in zip(work[r], work[i], strict=True)]
    return [row[n:] for row in work]
