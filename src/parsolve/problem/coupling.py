"""Conditions at walls that depend on the values of fields there: read, and solved place by place.

A u + B du/dn = V, where A, B and V are expressions of the values at the wall. With du/dn of the polynomial through the
value u at the face and the cells beside it, as for any other condition, that is an equation for u, or one a field where
fields depend on each other; it is solved by Newton's method. So the value at the wall is implicit: what flows back from
a wall that is warmer makes no step shorter, however strong it is, as with a Robin condition of the same slope.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import sympy

from parsolve.equations.parse import parse
from parsolve.equations.pointwise import Pointwise
from parsolve.errors import CaseError
from parsolve.problem.sides import places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from parsolve.case import Case, SideCondition
    from parsolve.domain.boundary import Face, Near
    from parsolve.domain.grid import Grid, Triple
    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program

    Values = NDArray[np.float64]

WORD = re.compile(r"[A-Za-z_]\w*")
MOST, CLOSE = 60, 1e-9  # iterations, and the last step of one over the value, which leaves less than round-off
ROUNDED = 1e-14  # of the terms of a law: what it is met to where their difference has no more digits
MOST_NAMED = 4  # of whose values both ends are looked at
FASTEST = 0.5  # of the slope between face and cells: as much as what a wall imposes may grow with its own value


@dataclass(frozen=True)
class Law:
    """A u + B du/dn = V at a side, of the values there.

    Attributes:
        key: of the case.
        parts: A, B and V.
        names: of the fields that they depend on.
        least: what the derivative of A u + B du/dn - V by u must be more than, over the slope of du/dn; None: not zero.
    """

    key: str
    parts: tuple[sympy.Expr, sympy.Expr, sympy.Expr]
    names: frozenset[str]
    least: float | None = None


def law_of(
    case: Case, grid: Grid, place: tuple[str, str], condition: SideCondition, parameters: Mapping[str, float],
    equation: Equation, program: Program,
) -> Law | None:  # fmt: skip
    """What a condition of the case says of values of fields at a field's side; None: it names no field.

    Raises:
        CaseError: an expression is wrong, or what it names has no value at a wall.
    """
    name, side = place
    key = f"boundary.{name}.{side}"
    texts: dict[str, object] = {f"{key}.{n}": getattr(condition, n) for n in ("dirichlet", "neumann", "curvature")}
    texts |= {f"{key}.outflow": condition.outflow}
    texts |= {f"{key}.robin[{n}]": v for n, v in enumerate(condition.robin or ())}
    fields, made = program.unknowns, {*equation.define, *equation.arrays}
    symbols = [*grid.names, "t", *parameters, *fields]
    words = {at: WORD.findall(given) if isinstance(given, str) else [] for at, given in texts.items()}
    if condition.outflow is None and not any({*found} & {*fields, *made} for found in words.values()):
        return None
    found: dict[str, sympy.Expr] = {}
    for at, given in texts.items():
        for word in words[at]:
            if word in made and word not in symbols:
                text = f"'{word}' has no value at a wall: name fields that are marched ({', '.join(fields)})"
                raise CaseError(f"{at}: {text}")
        if isinstance(given, str | float | int):
            value = parse(given, symbols, key=at) if isinstance(given, str) else _number(float(given))
            found[at.rpartition(".")[2]] = value
    names = frozenset(s.name for e in found.values() for s in e.free_symbols) & {*fields}
    law = _law(case, key, name, condition, found, names, equation, program)
    _check(case, grid, law, name, program)
    return law


def _number(given: float) -> sympy.Expr:
    """A number; to SymPy a Float is equal to no integer, not even to 0."""
    return sympy.Integer(int(given)) if given.is_integer() else sympy.Float(given)


def _law(
    case: Case, key: str, name: str, condition: SideCondition, found: Mapping[str, sympy.Expr], names: frozenset[str],
    equation: Equation, program: Program,
) -> Law:  # fmt: skip
    zero, one = sympy.S.Zero, sympy.S.One
    if condition.outflow is not None:
        if equation.time_order != 2:
            text = "is for fields of u_tt; for u_t give { curvature = 0.0 }, which lets out what the equation carries"
            raise CaseError(f"{key}.outflow: {text}")
        if f"{name}_t" not in program.unknowns:
            raise CaseError(f"{key}.outflow: takes {name}_t, which is marched by schemes such as 'rk4' alone")
        speed = found["outflow"]
        if speed.is_Number and speed <= 0:
            raise CaseError(f"{key}.outflow: is the speed outwards, above 0, not {float(speed):g}")
        rate = sympy.Symbol(f"{name}_t", real=True)
        return Law(f"{key}.outflow", (zero, speed, -rate), names | {rate.name}, 0.0)
    if condition.curvature is not None:
        raise CaseError(f"{key}.curvature: cannot depend on fields; dirichlet, neumann and robin can")
    if condition.robin is not None:
        a, b, value = (found[f"robin[{n}]"] for n in range(3))
        return Law(f"{key}.robin", (a, b, value), names)
    if condition.dirichlet is not None:
        return Law(f"{key}.dirichlet", (one, zero, found["dirichlet"]), names)
    return Law(f"{key}.neumann", (zero, one, found["neumann"]), names, FASTEST)


def _check(case: Case, grid: Grid, law: Law, name: str, program: Program) -> None:
    """Refuse what a law cannot be of."""
    if name not in program.unknowns:
        raise CaseError(f"{law.key}: '{name}' is made of the fields, and its walls cannot depend on them")
    for other in (name, *sorted(law.names)):
        if other in program.at:
            raise CaseError(f"{law.key}: '{other}' lives at faces, so that it has no value at this wall")
    if any(grid.anti):
        raise CaseError(f"{law.key}: a wall that depends on fields goes with no anti-periodic axis")
    if any(type(f).__name__ == "noise" for e in law.parts for f in e.atoms(sympy.Function)):
        raise CaseError(f"{law.key}: there is no noise at a wall that depends on fields")


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
        self.timed = any(s.name == "t" for part in parts for s in part.free_symbols)
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
        found, going, meant = dict(first), np.ones(prod(shape), bool), np.ones(prod(shape), bool)
        for _ in range(1 if self._is_affine else MOST):
            steps, now = self._step(here, found, inner, slopes)
            meant = np.where(going, now, meant)
            moved = np.zeros(prod(shape), bool)
            for name, step in steps.items():
                found[name] = np.where(going, found[name] - step, found[name])
                size = np.maximum(np.abs(found[name]), np.abs(first[name]))
                moved |= ~(np.abs(step) <= CLOSE * size) & np.isfinite(step)
            going &= moved
            if not going.any():
                break
        if going.any() and not self._is_affine:
            going &= ~self._is_met(here, found, inner, slopes)
        bad = ~meant if self._is_affine else ~meant | going
        return {name: np.where(bad, np.nan, values).reshape(shape) for name, values in found.items()}

    def at(self, values: Mapping[str, float]) -> list[Face]:
        """What the laws say if fields have these values at the wall whatever the time: functions of it."""

        def face(number: int) -> Face:
            def values_at(time: float, start: Triple, shape: Triple) -> np.ndarray:
                known = {name: np.full(prod(shape), value) for name, value in values.items()}
                return self._parts.values(self._here(time, start, shape) | known, prod(shape))[number].reshape(shape)

            return values_at

        return [face(number) for number in range(3 * len(self.laws))] if self.timed else []

    def imposed(self, name: str, ranges: Mapping[str, tuple[float, float]], time: float) -> Values:
        """What a field is held at on the whole side, where others have the least and the largest of their values.

        None of it unless the side gives its value.
        """
        law, shape = self.laws[name], self._grid.side_shape(self._side)
        if law.parts[:2] != (1, 0):
            return np.empty(0)
        here, place = self._here(time, (0, 0, 0), shape), 3 * self.fields.index(name) + 2
        named = [n for n in (*self.fields, *self.reads) if n in law.names][:MOST_NAMED]
        middle = {n: 0.5 * low + 0.5 * high for n, (low, high) in ranges.items()}
        found = []
        for ends in itertools.product(*(ranges[n] for n in named)):
            values = middle | dict(zip(named, ends, strict=True))
            known = {n: np.full(prod(shape), values[n]) for n in (*self.fields, *self.reads)}
            found.append(self._parts.values(here | known, prod(shape))[place])
        return np.concatenate(found)

    def _here(self, time: float, start: Triple, shape: Sequence[int]) -> dict[str, Values]:
        z, y, x = shape
        found = {"t": np.array(time)}
        for name, line in places(self._grid, self._side, start, (z, y, x)).items():
            found[name] = np.broadcast_to(line, (z, y, x)).ravel()
        return found

    def _step(
        self, here: Mapping[str, Values], found: Mapping[str, Values], inner: Mapping[str, Values],
        slopes: Mapping[str, float],
    ) -> tuple[dict[str, Values], NDArray[np.bool_]]:  # fmt: skip
        """A step of Newton's method from values, to be subtracted; and where what it divides by is as it is to be."""
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
            return self._solved(rows, slopes)

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
        for i, (name, law) in enumerate(self.laws.items()):
            pivot = rows[i][i]
            meant &= pivot != 0 if law.least is None else pivot > law.least * slopes[name]
            meant &= np.isfinite(pivot) | (rows[i][count] == 0)  # beside it a step is 0 wherever the value is
            for k in range(i + 1, count):
                factor = rows[k][i] / pivot
                rows[k] = [v - factor * w for v, w in zip(rows[k], rows[i], strict=True)]
        steps: dict[str, Values] = {}
        for i in reversed(range(count)):
            total = rows[i][count]
            for k in range(i + 1, count):
                total = total - rows[i][k] * steps[self.fields[k]]
            steps[self.fields[i]] = total / rows[i][i]
        return steps, meant
