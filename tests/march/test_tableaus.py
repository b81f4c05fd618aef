"""Schemes: the rows that are run are the Butcher tableau, which meets the conditions of its order."""

from __future__ import annotations

import math
from fractions import Fraction as F
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.march.tableaus import SCHEMES, RungeKutta, StormerVerlet

if TYPE_CHECKING:
    from collections.abc import Sequence

RK = {name: s for name, s in SCHEMES.items() if s.derivative == 1}
EMBEDDED = {"bs23": 2, "dp45": 4}  # order of the second solution


def rate(t: F, y: F) -> F:
    return t - y * y / 3 + F(1, 7)


def full(scheme: RungeKutta, *, last: bool = False) -> tuple[list[list[F]], list[F]]:
    """A as a square matrix and c; with ``last``, the stage at the end of the step is one more."""
    lower = [(), *scheme.A, *([scheme.b] if last else [])]
    a = [[*map(F, row), *[F(0)] * (len(lower) - len(row))] for row in lower]
    return a, [sum(row, F(0)) for row in a]


def butcher_step(scheme: RungeKutta, t: F, y: F, dt: F) -> tuple[F, F]:
    """One step as the textbook has it, and the embedded solution (or the same again)."""
    a, c = full(scheme, last=bool(scheme.b_hat))
    k: list[F] = []
    for row, ci in zip(a, c, strict=True):
        k.append(rate(t + ci * dt, y + dt * sum((w * s for w, s in zip(row, k, strict=False)), F(0))))
    b, b_hat = scheme.b, scheme.b_hat or scheme.b
    return tuple(y + dt * sum((w * s for w, s in zip(weights, k, strict=False)), F(0)) for weights in (b, b_hat))  # type: ignore[return-value]


@pytest.mark.parametrize("name", RK)
def test_rows_are_the_butcher_tableau(name: str) -> None:
    """In rational numbers, hence exactly."""
    scheme, t, y, dt = RK[name], F(1, 3), F(5, 4), F(1, 8)
    stages = [y]
    for row in scheme.rows:
        assert all(j < len(stages) for j in row.weights)
        combination = sum((w * stages[j] for j, w in row.weights.items()), F(0))
        stages.append(combination + row.beta * dt * rate(t + row.c * dt, stages[-1]))
    wanted, embedded = butcher_step(scheme, t, y, dt)
    assert stages[-1] == wanted
    assert len(scheme.rows) == scheme.stages
    if scheme.error is None:
        assert not scheme.b_hat
        return
    row = scheme.error
    error = sum((w * stages[j] for j, w in row.weights.items()), F(0)) + row.beta * dt * rate(
        t + row.c * dt, stages[-1]
    )
    assert error == wanted - embedded


@pytest.mark.parametrize("name", RK)
def test_rows_keep_a_constant(name: str) -> None:
    """Weights sum to 1, those of the error to 0."""
    assert all(sum(row.weights.values()) == 1 for row in RK[name].rows)
    error = RK[name].error
    assert error is None or sum(error.weights.values()) == 0


@pytest.mark.parametrize("name", ["euler", "ssprk22", "ssprk33"])
def test_strong_stability_preserving_rows_are_convex(name: str) -> None:
    """Shu and Osher's form: convex combinations of Euler steps no longer than dt (SSP coefficient 1)."""
    for row in RK[name].rows:
        last = max(row.weights)
        assert all(w >= 0 for w in row.weights.values())
        assert 0 < row.beta <= row.weights[last]


# Conditions of order p: b . phi = 1/gamma for all rooted trees of p vertices (Hairer, Norsett & Wanner, II.2).
Tree = tuple["Tree", ...]


def trees(vertices: int) -> list[Tree]:
    """Rooted trees: the branches at the root, largest first."""

    def forests(n: int, most: int) -> list[Tree]:
        if n == 0:
            return [()]
        found = []
        for size in range(min(n, most), 0, -1):
            for tree in trees(size):
                found += [(tree, *rest) for rest in forests(n - size, size) if not rest or _key(rest[0]) <= _key(tree)]
        return found

    return forests(vertices - 1, vertices - 1)


def _key(tree: Tree) -> tuple[int, str]:
    return _size(tree), repr(tree)


def _size(tree: Tree) -> int:
    return 1 + sum(map(_size, tree))


def gamma(tree: Tree) -> int:
    return _size(tree) * math.prod(map(gamma, tree))


def phi(tree: Tree, a: Sequence[Sequence[F]]) -> list[F]:
    result = [F(1)] * len(a)
    for branch in tree:
        inner = phi(branch, a)
        for i, row in enumerate(a):
            result[i] *= sum((w * v for w, v in zip(row, inner, strict=True)), F(0))
    return result


def meets(order: int, b: Sequence[F], a: Sequence[Sequence[F]]) -> bool:
    """Whether all conditions of exactly this order hold."""
    return all(sum(w * v for w, v in zip(b, phi(tree, a), strict=True)) == F(1, gamma(tree)) for tree in trees(order))


def test_there_are_as_many_trees_as_known() -> None:
    assert [len(trees(n)) for n in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@pytest.mark.parametrize("name", RK)
def test_order_conditions(name: str) -> None:
    scheme = RK[name]
    a, _ = full(scheme)
    assert all(meets(p, scheme.b, a) for p in range(1, scheme.order + 1))
    assert not meets(scheme.order + 1, scheme.b, a)
    if scheme.b_hat:
        a, _ = full(scheme, last=True)
        assert all(meets(p, scheme.b_hat, a) for p in range(1, EMBEDDED[name] + 1))
        assert not meets(EMBEDDED[name] + 1, scheme.b_hat, a)
    assert bool(scheme.b_hat) == (name in EMBEDDED)


@pytest.mark.parametrize("name", RK)
def test_polynomial_is_a_step_of_the_test_equation(name: str) -> None:
    scheme, z = RK[name], -0.3 + 0.7j
    stages: list[complex] = [1.0]
    for row in scheme.rows:
        stages.append(sum(float(w) * stages[j] for j, w in row.weights.items()) + float(row.beta) * z * stages[-1])
    assert np.polynomial.polynomial.polyval(z, scheme.polynomial) == pytest.approx(stages[-1], rel=1e-13)
    for k in range(scheme.order + 1):
        assert scheme.polynomial[k] == pytest.approx(1 / math.factorial(k), rel=1e-14)


def test_every_scheme_is_cited_and_named_after_itself() -> None:
    for name, scheme in SCHEMES.items():
        assert scheme.name == name
        assert any(ch.isdigit() for ch in scheme.source)
    assert isinstance(SCHEMES["leapfrog"], StormerVerlet)
