"""Time integration schemes as data, each with its citation.

A Runge-Kutta scheme is given by its Butcher tableau A, b, c (and b_hat for an error estimate).  It is run in the form
    y_i = sum_j w_ij y_j + beta_i dt f(y_{i-1}),     y_0 = y(t),  y_s = y(t + dt),
which is that of Shu & Osher (J. Comput. Phys. 77 (1988) 439) where A allows it and stores stages instead of rates: one
kernel, one output a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

F = Fraction


@dataclass(frozen=True)
class Row:
    """One stage: y_i = sum of weights[j] * y_j + beta * dt * f(y_{i-1}, t + c dt); zero weights are left out."""

    weights: dict[int, Fraction]
    beta: Fraction
    c: Fraction


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge-Kutta scheme.

    Attributes:
        order: order of accuracy.
        A: rows 2..s of the tableau, without zeros above the diagonal.
        b: weights of the step.
        b_hat: weights of the embedded step, with one more for f(y_s) if the scheme is "first same as last".
        source: citation.
        calculus: in whose sense it takes noise in time, the same in all stages of a step; empty: it takes none.
    """

    name: str
    order: int
    A: tuple[tuple[Fraction, ...], ...]
    b: tuple[Fraction, ...]
    source: str
    b_hat: tuple[Fraction, ...] = ()
    calculus: str = ""
    derivative = 1  # of the unknowns, that f gives

    @property
    def stages(self) -> int:
        """Number of evaluations of f in a step."""
        return len(self.b)

    def alternates(self, adaptive: bool) -> bool:
        """Whether y_0 and y_s swap registers at every step; else y_s goes over y_0, read at its own cell alone."""
        return adaptive or self.stages == 1

    def registers(self, adaptive: bool) -> int:
        """How many registers the y_i need."""
        return self.stages + self.alternates(adaptive)

    def register(self, y: int, parity: int, adaptive: bool) -> int:
        """Register of y_0 ... y_s in steps of a parity."""
        if not self.alternates(adaptive):
            return y % self.stages
        return self.stages - y if parity and y in (0, self.stages) else y

    @property
    def c(self) -> tuple[Fraction, ...]:
        """Times of the stages in units of dt."""
        return (F(0), *(sum(row, F(0)) for row in self.A))

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The stages as combinations of earlier stages."""
        return tuple(_row([*self.A, self.b], i, self.c[i]) for i in range(self.stages))

    @cached_property
    def error(self) -> Row | None:
        """y_s - y_hat in the same form, evaluated after the step with f(y_s); None without an embedded scheme."""
        if not self.b_hat:
            return None
        d = [b - h for b, h in zip((*self.b, F(0)), self.b_hat, strict=True)]
        full = _row([*self.A, self.b, tuple(d)], self.stages, F(1))
        # _row gives y_0 + dt sum d_j k_j; the error is without y_0
        weights = {0: full.weights.get(0, F(0)) - 1, **{j: w for j, w in full.weights.items() if j}}
        return Row({j: w for j, w in sorted(weights.items()) if w}, full.beta, F(1))

    @cached_property
    def polynomial(self) -> tuple[float, ...]:
        """Coefficients of the stability function R(z) = 1 + sum_k z^k b A^(k-1) 1, constant term first."""
        s = self.stages
        a = [[F(0)] * s for _ in range(s)]
        for i, row in enumerate(self.A, start=1):
            a[i][: len(row)] = row
        vector, coefficients = [F(1)] * s, [F(1)]
        for _ in range(s):
            coefficients.append(sum((b * v for b, v in zip(self.b, vector, strict=True)), F(0)))
            vector = [sum((a[i][j] * vector[j] for j in range(s)), F(0)) for i in range(s)]
        return tuple(float(v) for v in coefficients)


def _row(lower: Sequence[Sequence[Fraction]], i: int, c: Fraction) -> Row:
    """Row i of y_i = y_0 + dt sum_j L_ij k_j with the k_j, j < i, written by y_1 ... y_i.

    From the rows before, dt k = L^-1 (y - y_0), so y_i = y_0 + sum_j g_j (y_j - y_0) + dt L_ii k_i with g L = L_i.
    """
    target = list(lower[i])
    g = [F(0)] * i
    for j in reversed(range(i)):
        g[j] = target[j] / lower[j][j]
        for m in range(j + 1):
            target[m] -= g[j] * lower[j][m]
    weights = {0: 1 - sum(g, F(0))} | {j + 1: w for j, w in enumerate(g)}
    return Row({j: w for j, w in weights.items() if w}, lower[i][i], c)


@dataclass(frozen=True)
class StormerVerlet:
    """u(t + dt) = 2 u(t) - u(t - dt) + dt^2 u_tt(u(t)), for equations that give u_tt; y_-1 is u(t - dt)."""

    name: str
    order: int
    source: str
    stages = 1
    derivative = 2
    calculus = ""
    error = None
    polynomial = None  # its limit is 2 over the largest frequency
    rows = (Row({-1: F(-1), 0: F(2)}, F(1), F(0)),)

    def alternates(self, adaptive: bool) -> bool:
        """Whether registers swap at every step: y_1 is written over y_-1."""
        return True

    def registers(self, adaptive: bool) -> int:
        """How many registers there are."""
        return 2

    def register(self, y: int, parity: int, adaptive: bool) -> int:
        """Register of y_-1, y_0 and y_1 in steps of a parity."""
        return (y + parity) % 2


# With noise that of Maruyama, Rend. Circ. Mat. Palermo 4 (1955) 48: strong order 1/2, of additive noise 1; weak 1.
EULER = RungeKutta("euler", 1, (), (F(1),), "Euler, Institutionum calculi integralis (1768)", calculus="Ito")
# Heun's scheme: with noise strong order 1 for one noise, weak 1 (Kloeden & Platen, Numerical Solution of Stochastic
# Differential Equations, 1992; Ruemelin, SIAM J. Numer. Anal. 19 (1982) 604).
SSPRK22 = RungeKutta(
    "ssprk22",
    2,
    ((F(1),),),
    (F(1, 2), F(1, 2)),
    "Gottlieb, Shu & Tadmor, SIAM Review 43 (2001) 89",
    calculus="Stratonovich",
)
SSPRK33 = RungeKutta(
    "ssprk33",
    3,
    ((F(1),), (F(1, 4), F(1, 4))),
    (F(1, 6), F(1, 6), F(2, 3)),
    "Shu & Osher, J. Comput. Phys. 77 (1988) 439",
)
RK4 = RungeKutta(
    "rk4",
    4,
    ((F(1, 2),), (F(0), F(1, 2)), (F(0), F(0), F(1))),
    (F(1, 6), F(1, 3), F(1, 3), F(1, 6)),
    "Kutta, Z. Math. Phys. 46 (1901) 435",
)
BS23 = RungeKutta(
    "bs23",
    3,
    ((F(1, 2),), (F(0), F(3, 4))),
    (F(2, 9), F(1, 3), F(4, 9)),
    "Bogacki & Shampine, Appl. Math. Lett. 2 (1989) 321",
    (F(7, 24), F(1, 4), F(1, 3), F(1, 8)),
)
DP45 = RungeKutta(
    "dp45",
    5,
    (
        (F(1, 5),),
        (F(3, 40), F(9, 40)),
        (F(44, 45), F(-56, 15), F(32, 9)),
        (F(19372, 6561), F(-25360, 2187), F(64448, 6561), F(-212, 729)),
        (F(9017, 3168), F(-355, 33), F(46732, 5247), F(49, 176), F(-5103, 18656)),
    ),
    (F(35, 384), F(0), F(500, 1113), F(125, 192), F(-2187, 6784), F(11, 84)),
    "Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19",
    (F(5179, 57600), F(0), F(7571, 16695), F(393, 640), F(-92097, 339200), F(187, 2100), F(1, 40)),
)
LEAPFROG = StormerVerlet("leapfrog", 2, "Hairer, Lubich & Wanner, Acta Numerica 12 (2003) 399")

Scheme = RungeKutta | StormerVerlet
SCHEMES: dict[str, Scheme] = {s.name: s for s in (EULER, SSPRK22, SSPRK33, RK4, BS23, DP45, LEAPFROG)}
STOCHASTIC = tuple(s.name for s in SCHEMES.values() if s.calculus)
EMBEDDED = tuple(s.name for s in SCHEMES.values() if s.error)
