"""Conditions at walls that depend on the values of fields there: solved place by place.

A u + B du/dn = V, where A, B and V are expressions of the values at the wall. With du/dn of the polynomial through the
value u at the face and the cells beside it, as for any other condition, that is an equation for u, or one a field where
fields depend on each other; it is solved by Newton's method. So the value at the wall is implicit: what flows back from
a wall that is warmer makes no step shorter, however strong it is, as with a Robin condition of the same slope.
"""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.boundary import Near
from parsolve.equations.pointwise import Pointwise
from parsolve.problem.sides import places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from parsolve.domain.boundary import Face
    from parsolve.domain.grid import Grid, Triple
    from parsolve.problem.laws import Law

    Values = NDArray[np.float64]

MOST, CLOSE = 60, 1e-9  # iterations, and the last step of one over the value, which leaves less than round-off
ROUNDED = 1e-14  # of the terms of a law: what it is met to where their difference has no more digits
TINY = float(np.finfo(np.float64).tiny)
MOST_NAMED = 4  # of whose values both ends are looked at


class Coupling:
    """The laws of one side, as a ``Wall`` of domain/boundary.py.

    Args:
        grid: of the case.
        side: whose they are.
        laws: by field.
        parameters: constants.
        velocities: fields that are rates of others.

    Attributes:
        fields, reads, free: as of a ``Wall``.
        laws: by field.
        timed: whether they depend on time too.
    """

    def __init__(
        self, grid: Grid, side: str, laws: Mapping[str, Law], parameters: Mapping[str, float], velocities: Sequence[str]
    ) -> None:
        named = sorted({name for law in laws.values() for name in law.names})
        self.laws = dict(laws)
        self.fields = tuple(laws)
        self.reads = tuple(name for name in named if name not in laws)
        self.free = tuple(name for name in self.reads if name in velocities)
        parts = [part for law in laws.values() for part in law.parts]
        symbols = {s.name for part in parts for s in part.free_symbols}
        self.timed, self._placed = "t" in symbols, bool(symbols & {*grid.names})
        self._grid, self._side = grid, side
        self._parts = made = Pointwise(parts, self.fields, [*self.reads, *grid.names], parameters)
        factors = (varies for place, varies in enumerate(made.depends) if place % 3 < 2)  # A and B, which multiply u
        self._is_affine = made.is_affine and not any(factors)

    def __call__(
        self, time: float, start: Triple, near: Mapping[str, Near], known: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The values at the side on a box of its cells; NaN where there are none that meet the laws."""
        shape = near[self.fields[0]].first.shape
        here = self._here(time, start, shape) | {name: values.ravel() for name, values in known.items()}
        first = {name: near[name].first.ravel() for name in self.fields}
        inner = {name: near[name].inner.ravel() for name in self.fields}
        slopes = {name: near[name].slope for name in self.fields}
        if self._is_affine:
            steps, meant = self._solved(self._rows(here, first, inner, slopes), slopes)
            found = {name: first[name] - step for name, step in steps.items()}
        else:
            found, meant = self._sought(here, first, inner, slopes)
        return {name: np.where(meant, values, np.nan).reshape(shape) for name, values in found.items()}

    def _sought(
        self, here: Mapping[str, Values], first: Mapping[str, Values], inner: Mapping[str, Values],
        slopes: Mapping[str, float],
    ) -> tuple[dict[str, Values], NDArray[np.bool_]]:  # fmt: skip
        """The values that Newton's method finds from first ones, and where they meet the laws.

        It ends where steps are small; or come no nearer, and the laws are met to the rounding of their terms.
        """
        size = len(next(iter(first.values())))
        found, going, meant = dict(first), np.ones(size, bool), np.ones(size, bool)
        least = {name: np.full(size, np.inf) for name in self.fields}
        steps = {name: np.zeros(size) for name in self.fields}
        for _ in range(MOST):
            rows = self._rows(here, found, inner, slopes)
            others, lost = self._others(rows, found, steps)
            steps, now = self._solved(rows, slopes)
            steps = {name: np.where(lost, others[name], step) for name, step in steps.items()}
            meant = np.where(going, now, meant)
            moved, nearer = lost, lost
            for name, step in steps.items():
                found[name] = np.where(going, found[name] - step, found[name])
                largest = np.maximum(np.abs(found[name]), np.abs(first[name]))
                moves = ~(np.abs(step) <= CLOSE * largest) & np.isfinite(step)
                moved, nearer = moved | moves, nearer | (moves & (np.abs(step) < 0.5 * least[name]))
                least[name] = np.fmin(least[name], np.abs(step))
            going &= moved
            if (going & ~nearer).any():
                going &= nearer | ~self._is_met(here, found, inner, slopes)
            if not going.any():
                return found, meant
        return found, meant & (~going | self._is_met(here, found, inner, slopes))

    def at(self, values: Mapping[str, float]) -> list[Face]:
        """What the laws say if fields have these values at the wall whatever the time: functions of it."""

        def face(number: int) -> Face:
            def values_at(time: float, start: Triple, shape: Triple) -> np.ndarray:
                known = {name: np.full(prod(shape), value) for name, value in values.items()}
                return self._parts.values(self._here(time, start, shape) | known, prod(shape))[number].reshape(shape)

            return values_at

        return [face(number) for number in range(3 * len(self.laws))] if self.timed else []

    def imposed(
        self, name: str, ranges: Mapping[str, tuple[float, float]], time: float, slopes: Mapping[str, float]
    ) -> Values:
        """The values of a field on the side where all cells beside it have the least or the largest values.

        ``slopes``: of du/dn of each field by its value there. NaN where no value meets its law.
        """
        law, shape = self.laws[name], self._grid.side_shape(self._side) if self._placed else (1, 1, 1)
        named = [n for n in (*self.fields, *self.reads) if n in law.names or n == name][:MOST_NAMED]
        middle = {n: 0.5 * low + 0.5 * high for n, (low, high) in ranges.items()}
        found = []
        for ends in itertools.product(*(ranges[n] for n in named)):
            values = middle | dict(zip(named, ends, strict=True))
            known = {n: np.full(shape, values[n]) for n in (*self.fields, *self.reads)}
            near = {n: Near(slopes[n], slopes[n] * known[n], known[n]) for n in self.fields}
            found.append(self(time, (0, 0, 0), near, {n: known[n] for n in self.reads})[name].ravel())
        return np.concatenate(found)

    def _here(self, time: float, start: Triple, shape: Sequence[int]) -> dict[str, Values]:
        z, y, x = shape
        found = {"t": np.array(time)}
        for name, line in places(self._grid, self._side, start, (z, y, x)).items():
            found[name] = np.broadcast_to(line, (z, y, x)).ravel()
        return found

    def _rows(
        self, here: Mapping[str, Values], found: Mapping[str, Values], inner: Mapping[str, Values],
        slopes: Mapping[str, float],
    ) -> list[list[Values]]:  # fmt: skip
        """Of each law the derivatives by the fields at values, and last what is left of it there."""
        size = len(next(iter(found.values())))
        values, dots = self._parts.derived({**here, **found}, size)
        rows: list[list[Values]] = []
        with np.errstate(all="ignore"):
            for i, name in enumerate(self.fields):
                a, b, value = values[3 * i : 3 * i + 3]
                u, normal = found[name], slopes[name] * found[name] - inner[name]
                row = []
                for j in range(len(self.fields)):
                    by_a, by_b, by_value = dots[j][3 * i : 3 * i + 3]
                    entry = a + b * slopes[name] if i == j else np.zeros(size)
                    entry = entry if by_a is None else entry + by_a * u
                    entry = entry if by_b is None else entry + by_b * normal
                    row.append(entry if by_value is None else entry - by_value)
                rows.append([*row, a * u + b * normal - value])
        return rows

    def _others(
        self, rows: list[list[Values]], found: Mapping[str, Values], last: Mapping[str, Values]
    ) -> tuple[dict[str, Values], NDArray[np.bool_]]:
        """Steps where Newton's method has none, and where that is.

        From where a law has no value, half the way back; from where it is not met and infinitely steep, the least one
        to where it is less so.
        """
        beyond = np.logical_or.reduce([~np.isfinite(row[-1]) for row in rows])
        steep = [~np.isfinite(row[i]) & (row[-1] != 0) & ~beyond for i, row in enumerate(rows)]
        beyond &= np.logical_or.reduce([step != 0 for step in last.values()])
        steps: dict[str, Values] = {}
        for i, (name, is_steep) in enumerate(zip(self.fields, steep, strict=True)):
            back = np.where(beyond, -0.5 * last[name], 0.0)
            towards = np.where(np.isneginf(rows[i][i]), -rows[i][-1], rows[i][-1])
            steps[name] = np.where(is_steep, np.copysign(4 * np.spacing(np.abs(found[name])) + TINY, towards), back)
        return steps, np.logical_or.reduce([beyond, *steep])

    def _is_met(
        self, here: Mapping[str, Values], found: Mapping[str, Values], inner: Mapping[str, Values],
        slopes: Mapping[str, float],
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Where values meet the laws to the rounding of their terms, as exp(u) - 1 has it: closer steps cannot come."""
        known, size = {**here, **found}, len(next(iter(found.values())))
        values, lost = self._parts.values(known, size), self._parts.lost(known, size)
        met = np.ones(size, bool)
        with np.errstate(all="ignore"):
            for i, name in enumerate(self.fields):
                a, b, value = values[3 * i : 3 * i + 3]
                u, normal = found[name], slopes[name] * found[name] - inner[name]
                of_a, of_b, of_value = lost[3 * i : 3 * i + 3]
                most = of_a * np.abs(u) + of_b * np.abs(normal) + of_value
                met &= np.abs(a * u + b * normal - value) <= ROUNDED * most
        return met

    def _solved(
        self, rows: list[list[Values]], slopes: Mapping[str, float]
    ) -> tuple[dict[str, Values], NDArray[np.bool_]]:
        """Solutions of small systems, one at each place, whose last column is the right side; and where they are."""
        count = len(rows)
        meant = np.ones(len(rows[0][0]), bool)
        steps: dict[str, Values] = {}
        with np.errstate(all="ignore"):
            for i, (name, law) in enumerate(self.laws.items()):
                pivot = rows[i][i]
                meant &= pivot != 0 if law.least is None else pivot > law.least * slopes[name]
                meant &= np.isfinite(pivot) | (rows[i][count] == 0)  # beside it a step is 0 wherever the value is
                for k in range(i + 1, count):
                    factor = rows[k][i] / pivot
                    rows[k] = [v - factor * w for v, w in zip(rows[k], rows[i], strict=True)]
            for i in reversed(range(count)):
                total = rows[i][count]
                for k in range(i + 1, count):
                    total = total - rows[i][k] * steps[self.fields[k]]
                steps[self.fields[i]] = total / rows[i][i]
        return steps, meant
