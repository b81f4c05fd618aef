"""Loops over arrays with ghosts, compiled by numba, the slowest axis on threads; a kernel for each benchmark.

Weights come as scalars of the fields' type, so that float32 stays float32.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from numba import njit, prange

if TYPE_CHECKING:
    from peer import Array, Problem


@njit(parallel=True, fastmath=True)
def heat(u: Array, un: Array, c: Any, z: Any, y: Any, x: Any) -> None:
    """One step of u_t = D lap(u) in 3-D, order 2."""
    nz, ny, nx = u.shape
    for k in prange(1, nz - 1):
        for j in range(1, ny - 1):
            for i in range(1, nx - 1):
                un[k, j, i] = (
                    c * u[k, j, i]
                    + z * (u[k - 1, j, i] + u[k + 1, j, i])
                    + y * (u[k, j - 1, i] + u[k, j + 1, i])
                    + x * (u[k, j, i - 1] + u[k, j, i + 1])
                )


@njit(parallel=True, fastmath=True)
def wave(u: Array, un: Array, c: Any, z: Any, y: Any, x: Any) -> None:
    """One step of u_tt = c^2 lap(u) in 3-D, order 8; ``un`` holds the values before, which the next ones replace."""
    nz, ny, nx = u.shape
    for k in prange(4, nz - 4):
        for j in range(4, ny - 4):
            row = un[k, j, 4 : nx - 4]  # LLVM vectorizes the update in place of a row, not of un[k, j, i]
            for n in range(nx - 8):
                i = n + 4
                row[n] = (
                    c * u[k, j, i]
                    - row[n]
                    + z[0] * (u[k - 1, j, i] + u[k + 1, j, i])
                    + z[1] * (u[k - 2, j, i] + u[k + 2, j, i])
                    + z[2] * (u[k - 3, j, i] + u[k + 3, j, i])
                    + z[3] * (u[k - 4, j, i] + u[k + 4, j, i])
                    + y[0] * (u[k, j - 1, i] + u[k, j + 1, i])
                    + y[1] * (u[k, j - 2, i] + u[k, j + 2, i])
                    + y[2] * (u[k, j - 3, i] + u[k, j + 3, i])
                    + y[3] * (u[k, j - 4, i] + u[k, j + 4, i])
                    + x[0] * (u[k, j, i - 1] + u[k, j, i + 1])
                    + x[1] * (u[k, j, i - 2] + u[k, j, i + 2])
                    + x[2] * (u[k, j, i - 3] + u[k, j, i + 3])
                    + x[3] * (u[k, j, i - 4] + u[k, j, i + 4])
                )


@njit(parallel=True, fastmath=True)
def gray_scott2(u: Array, v: Array, un: Array, vn: Array, cu: Any, cv: Any, wu: Any, wv: Any, f: Any, dt: Any) -> None:
    """One step of Gray-Scott in 2-D, order 2; both sums before both results, so that LLVM vectorizes."""
    ny, nx = u.shape
    for j in prange(1, ny - 1):
        for i in range(1, nx - 1):
            p, q = u[j, i], v[j, i]
            r = dt * p * q * q
            a = cu * p + f - r + wu[0] * (u[j - 1, i] + u[j + 1, i]) + wu[1] * (u[j, i - 1] + u[j, i + 1])
            b = cv * q + r + wv[0] * (v[j - 1, i] + v[j + 1, i]) + wv[1] * (v[j, i - 1] + v[j, i + 1])
            un[j, i], vn[j, i] = a, b


@njit(parallel=True, fastmath=True)
def gray_scott3(u: Array, v: Array, un: Array, vn: Array, cu: Any, cv: Any, wu: Any, wv: Any, f: Any, dt: Any) -> None:
    """One step of Gray-Scott in 3-D, order 2."""
    nz, ny, nx = u.shape
    for k in prange(1, nz - 1):
        for j in range(1, ny - 1):
            for i in range(1, nx - 1):
                p, q = u[k, j, i], v[k, j, i]
                r = dt * p * q * q
                a = cu * p + f - r
                a += wu[0] * (u[k - 1, j, i] + u[k + 1, j, i])
                a += wu[1] * (u[k, j - 1, i] + u[k, j + 1, i])
                a += wu[2] * (u[k, j, i - 1] + u[k, j, i + 1])
                b = cv * q + r
                b += wv[0] * (v[k - 1, j, i] + v[k + 1, j, i])
                b += wv[1] * (v[k, j - 1, i] + v[k, j + 1, i])
                b += wv[2] * (v[k, j, i - 1] + v[k, j, i + 1])
                un[k, j, i], vn[k, j, i] = a, b


KERNELS: dict[tuple[str, int, int], Any] = {
    ("heat", 3, 2): heat,
    ("wave", 3, 8): wave,
    ("gray-scott", 2, 2): gray_scott2,
    ("gray-scott", 3, 2): gray_scott3,
}


class Stepper:
    """March by numba."""

    def __init__(self, problem: Problem) -> None:
        case = (problem.name, len(problem.spacing), problem.order)
        if case not in KERNELS:
            sys.exit(f"numba: no kernel for {case[0]} in {case[1]}-D, order {case[2]}")
        self.kernel, self.radius = KERNELS[case], problem.order // 2
        self.now = [problem.padded(name) for name in ("u", "v") if name in problem.fields]
        self.next = [problem.padded("u_before")] if problem.name == "wave" else [field.copy() for field in self.now]
        p, dt, kind = problem.parameters, problem.dt, problem.fields["u"].dtype.type
        if problem.name == "gray-scott":
            wu, wv = problem.weights(dt * p["Du"]), problem.weights(dt * p["Dv"])
            cu, cv = 1 - dt * p["F"] + wu[:, 0].sum(), 1 - dt * (p["F"] + p["k"]) + wv[:, 0].sum()
            near = [tuple(map(kind, w[:, 1])) for w in (wu, wv)]
            self.constants = (kind(cu), kind(cv), *near, kind(dt * p["F"]), kind(dt))
        elif problem.name == "wave":
            w = problem.weights((dt * p["c"]) ** 2)
            self.constants = (kind(2 + w[:, 0].sum()), *(tuple(map(kind, row[1:])) for row in w))
        else:
            w = problem.weights(dt * p["D"])
            self.constants = (kind(1 + w[:, 0].sum()), *map(kind, w[:, 1]))

    def march(self, steps: int) -> None:
        """March some steps onwards."""
        for _ in range(steps):
            self.kernel(*self.now, *self.next, *self.constants)
            self.now, self.next = self.next, self.now

    def u(self) -> Array:
        """The field u now, without ghosts."""
        return self.now[0][(slice(self.radius, -self.radius),) * self.now[0].ndim]
