"""Boundary conditions of the case file as conditions at a face: numbers, expressions of place and time, files."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from parsolve.case import FileValue
from parsolve.domain.boundary import MIRROR, Condition, Face
from parsolve.domain.closure import closure_base, determines, slope_weights
from parsolve.domain.grid import AXES, Grid, Triple
from parsolve.equations.parse import parse
from parsolve.equations.values import evaluate, fill
from parsolve.errors import CaseError
from parsolve.problem.times import span
from parsolve.problem.values import course_of, stored
from parsolve.store.course import between

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import sympy

    from parsolve.case import Case, SideCondition

LARGEST = 1 << 22
SMALLEST = 1e-200  # of the coefficients of a condition: weights of ghosts are made with one over them
KINDS = {"dirichlet": (1.0, 0.0, 0.0), "neumann": (0.0, 1.0, 0.0), "curvature": (0.0, 0.0, 1.0)}  # a, b, c


def side_condition(
    case: Case, grid: Grid, key: str, side: str, condition: SideCondition, parameters: Mapping[str, float]
) -> Condition:
    """A condition of the case file as a u + b du/dn + c d2u/dn2 = value.

    Raises:
        CaseError: an expression or file is wrong.
    """
    varies = False

    def face(value: float | str | FileValue, key: str) -> float | Face:
        nonlocal varies
        if isinstance(value, FileValue):
            varies |= value.moves
            return CourseFace(grid, side, value, key, span(case)) if value.moves else _file_face(grid, side, value, key)
        if not isinstance(value, str):
            return float(value)
        expression = parse(value, [*grid.names, "t", *parameters], key=key)
        result, moves = _expression_face(grid, key, side, expression, parameters)
        varies |= moves
        return result

    if condition.robin is not None:
        a, b, value = (face(v, f"{key}.robin[{i}]") for i, v in enumerate(condition.robin))
        return Condition(a, b, value, varies=varies)
    for kind, (a, b, c) in KINDS.items():
        given = getattr(condition, kind)
        if given is not None:
            value = face(given, f"{key}.{kind}")
            if kind == "neumann" and not callable(value) and value == 0:
                return MIRROR
            return Condition(a, b, value, c, varies)
    raise case.error(key, "gives no condition")


def face_condition(
    grid: Grid, side: str, parts: Sequence[sympy.Expr], parameters: Mapping[str, float], key: str, *, curved: bool
) -> Condition:
    """The condition a u + b du/dn = v of expressions of place and time; ``curved``: d2u/dn2 = v.

    Raises:
        CaseError: one has no value.
    """
    (a, _), (b, _), (value, _) = found = [_expression_face(grid, key, side, part, parameters) for part in parts]
    if (a, b, value, curved) == (0.0, 1.0, 0.0, False) and not key.endswith(".robin"):
        return MIRROR
    return Condition(a, b, value, float(curved), varies=any(moves for _, moves in found))


def on_side(grid: Grid, side: str, value: float | Face, time: float) -> np.ndarray:
    """What a condition says of a whole side at a time: an array of one cell's depth, or of a number."""
    return value(time, (0, 0, 0), grid.side_shape(side)) if callable(value) else np.array(value)


def slope_at(grid: Grid, side: str, condition: Condition, order: int) -> float:
    """How much du/dn at a side grows with the value there, the cells beside it being held."""
    axis = AXES.index(side[0])
    points = min(condition.closure(closure_base(order), 1), grid.cells[axis])
    return -slope_weights(grid.spacing[axis], points)[1]


def imposed(
    grid: Grid, side: str, condition: Condition, slope: float, values: Sequence[float], time: float
) -> np.ndarray:
    """The values at a side that meet a u + b du/dn = value where all cells beside it have each of some values."""
    a, b, value = (on_side(grid, side, part, time) for part in (condition.a, condition.b, condition.value))
    with np.errstate(all="ignore"):
        return np.concatenate([((value + b * slope * u) / (a + b * slope)).ravel() for u in values])


def refuse_singular(case: Case, grid: Grid, conditions: Mapping[str, Mapping[str, Condition]]) -> None:
    """Refuse Robin conditions that at first do not determine the values at some place.

    What is not finite is not looked at (see ``Walls``), nor are sides of more than LARGEST cells.

    Raises:
        CaseError: there is one.
    """
    for field, sides in conditions.items():
        for side, condition in sides.items():
            if (
                case.boundary[field][side].robin is None
                or condition.wall is not None
                or prod(grid.side_shape(side)) > LARGEST
            ):
                continue
            a, b = (on_side(grid, side, v, 0.0) for v in (condition.a, condition.b))
            finite = np.isfinite(a) & np.isfinite(b)
            a, b = np.where(finite, a, 1.0), np.where(finite, b, 0.0)
            key, axis = f"boundary.{field}.{side}.robin", AXES.index(side[0])
            if ((a == 0) & (b == 0)).any():
                raise case.error(key, "a and b of a u + b du/dn = c are both zero at some place")
            if (np.maximum(np.abs(a), np.abs(b)) < SMALLEST).any():
                problem = f"a and b of a u + b du/dn = c are less than {SMALLEST:g}; multiply a, b and c by one number"
                raise case.error(key, problem)
            points = min(condition.closure(closure_base(case.run.order), 1), grid.cells[axis])
            if not determines(a, b, grid.spacing[axis], points):
                text = (
                    "a u + b du/dn = c does not determine u at the face, as a/b is minus what the cells beside it weigh"
                )
                raise case.error(key, f"{text}; change the sign of a or b, or the number of cells along {side[0]}")


def _expression_face(
    grid: Grid, key: str, side: str, expression: sympy.Expr, parameters: Mapping[str, float]
) -> tuple[float | Face, bool]:
    """The values of an expression on the face of a side, or its one value, and whether they change in time."""
    if not {s.name for s in expression.free_symbols} & {*grid.names, "t"}:
        return float(fill(expression, grid, (0, 0, 0), (1, 1, 1), parameters=parameters, key=key)[0, 0, 0]), False

    def values(time: float, start: Triple, shape: Triple) -> np.ndarray:
        environment: dict[str, float | np.ndarray] = {**parameters, "t": time, **places(grid, side, start, shape)}
        return np.broadcast_to(evaluate(expression, environment), shape)

    return values, "t" in {s.name for s in expression.free_symbols}


def places(grid: Grid, side: str, start: Triple, shape: Triple) -> dict[str, np.ndarray]:
    """The coordinates of a box of cells of a side at the face itself, to be broadcast; periodic axes begin again."""
    axis, found = AXES.index(side[0]), dict[str, np.ndarray]()
    end = grid.lower[axis] + grid.cells[axis] * grid.spacing[axis] * side.endswith("max")
    for d, name in enumerate(AXES):
        if name in grid.names:
            index = np.arange(start[d], start[d] + shape[d])
            if grid.periodic[d]:
                index %= grid.cells[d]
            line = np.array([end]) if d == axis else grid.lower[d] + (index + 0.5) * grid.spacing[d]
            found[name] = line.reshape([-1 if i == d else 1 for i in range(3)])
    return found


def _file_face(grid: Grid, side: str, value: FileValue, key: str) -> Face:
    """The values of a file on the face of a side: an array over the other axes.

    Beyond its ends a periodic axis begins again, and along others the last value goes on.

    Raises:
        CaseError: the file does not fit.
    """
    axis, face = AXES.index(side[0]), _face_grid(grid, side)
    stored(value, face, (0, 0, 0), (1, 1, 1), key)  # what is wrong is wrong for all ranks
    return lambda time, start, shape: _meant(
        face, axis, start, shape, lambda first, extent: stored(value, face, first, extent, key)
    )


class CourseFace:
    """The values of a file on the face of a side, at the times that it has; NaN at others.

    Attributes:
        course: what the file holds.

    Raises:
        CaseError: the file does not fit, or does not cover the times from 0 to ``end``.
    """

    def __init__(self, grid: Grid, side: str, value: FileValue, key: str, end: float) -> None:
        self._face, self._axis, self._key = _face_grid(grid, side), AXES.index(side[0]), key
        self.course = course_of(value, self._face, key, end)
        self._known: dict[tuple[int, Triple, Triple], np.ndarray] = {}  # of two frames, by number and box

    def __call__(self, time: float, start: Triple, shape: Triple) -> np.ndarray:
        """The values on a box of cells of the side."""
        place = self.course.place(time)
        if place is None:
            return np.full(shape, np.nan)
        n, part = place
        for known in [known for known in self._known if known[0] not in (n, n + 1)]:
            del self._known[known]
        return between(self._frame(n, start, shape), self._frame(n + 1, start, shape), part)

    def _frame(self, n: int, start: Triple, shape: Triple) -> np.ndarray:
        if (n, start, shape) not in self._known:
            frame = _meant(self._face, self._axis, start, shape, lambda first, extent: self._read(n, first, extent))
            self._known[n, start, shape] = frame
        return self._known[n, start, shape]

    def _read(self, n: int, start: Triple, shape: Triple) -> np.ndarray:
        try:
            return self.course.frame(n, start, shape)
        except CaseError as error:
            raise CaseError(f"{self._key}: {error}") from None


def _face_grid(grid: Grid, side: str) -> Grid:
    """The grid of the cells at a side."""
    z, y, x = grid.side_shape(side)
    return replace(grid, names=tuple(name for name in grid.names if name != side[0]), cells=(z, y, x))


def _meant(
    face: Grid, axis: int, start: Triple, shape: Triple, read: Callable[[Triple, Triple], np.ndarray]
) -> np.ndarray:
    """The values of a box, of which a part may be beyond the ends, of those that are read of a box inside."""
    meant = []
    for d, (first, extent, cells) in enumerate(zip(start, shape, face.cells, strict=True)):
        index = np.arange(first, first + extent) if d != axis else np.zeros(1, int)
        meant.append(index % cells if face.periodic[d] and d != axis else index.clip(0, cells - 1))
    z, y, x = (int(index.min()) for index in meant)
    k, j, i = (int(index.max()) + 1 - low for index, low in zip(meant, (z, y, x), strict=True))
    block = read((z, y, x), (k, j, i))
    wanted: np.ndarray = block[np.ix_(*(index - low for index, low in zip(meant, (z, y, x), strict=True)))]
    return wanted
