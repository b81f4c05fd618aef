"""Physical ghosts: Dirichlet, Neumann and Robin conditions, a u + b du/dn = value at the face.

A ghost is the value of the polynomial through the condition at the face and the nearest owned cells.  With order - 1
cells its error is O(h^order), which keeps the order of the scheme (Gustafsson, Math. Comp. 29 (1975) 396); beyond
order 4 one-sided polynomials make explicit schemes unstable, so that the boundary stays at order 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

CLOSURE_ORDER = 4


@dataclass(frozen=True)
class Condition:
    """a u + b du/dn = value on one side, n the outward normal.

    ``value`` is a number, or a function of (time, start, shape) that gives the values on the cells of a box one cell
    thick; ``varies`` says whether it depends on time.
    """

    a: float
    b: float
    value: float | Callable[[float, tuple[int, int, int], tuple[int, int, int]], np.ndarray]
    varies: bool = False


NO_FLUX = Condition(0.0, 1.0, 0.0)
Conditions = Mapping[str, Mapping[str, Condition]]  # field -> side -> condition


def closure_points(order: int) -> int:
    """How many owned cells a physical boundary reads."""
    return min(order, CLOSURE_ORDER) - 1


def ghost_weights(a: float, b: float, spacing: float, points: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ghost_k = sum_j w[k, j] u_j + v[k] value; shapes (depth, points) and (depth,).

    With s the distance from the face inward in cells, p(s) = sum_m c_m s^m, p(j + 1/2) = u_j and
    a p(0) - (b/h) p'(0) = value; ghost_k = p(-k - 1/2).  Solved in rational numbers, so that the weights are the same
    on every machine.

    Raises:
        ZeroDivisionError: a = b = 0, or the condition does not determine the ghost.
    """
    n = points + 1
    half = Fraction(1, 2)
    rows = [[(j + half) ** m for m in range(n)] for j in range(points)]
    rows.append([Fraction(a), -Fraction(b) / Fraction(spacing)] + [Fraction(0)] * (n - 2))
    inverse = _inverse(rows)
    ghosts = [[(-k - half) ** m for m in range(n)] for k in range(depth)]
    weights = np.array([[float(sum(g[m] * inverse[m][j] for m in range(n))) for j in range(n)] for g in ghosts])
    return weights[:, :points], weights[:, points]


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
