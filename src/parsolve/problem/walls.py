"""What boundary conditions impose, looked at as it is used: all ranks together tell of a value that is not finite."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.errors import CaseError, NumericalError, ParsolveError, agree, is_agreed
from parsolve.problem.laws import FASTEST
from parsolve.problem.sides import KINDS, CourseFace, slope_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mpi4py import MPI

    from parsolve.domain.boundary import Condition, Conditions, Face, Near, Wall
    from parsolve.domain.grid import Triple
    from parsolve.problem.problem import Problem

PARTS = ("a", "b", "value")


class Walls:
    """The conditions of a problem, for one rank, which keep the first value that is not finite as an error.

    Ranks own different places, so that none may raise it alone: it is NaN in the ghosts, which no division by a
    Robin condition's a or b hides, and ``error`` is for a moment at which all ranks agree.

    Attributes:
        conditions: those of the problem, by field and side.
        error: of the first value that was not finite: a CaseError at the start, a NumericalError later.
    """

    def __init__(self, problem: Problem) -> None:
        self.error: ParsolveError | None = None
        self._problem = problem
        self._largest = float(np.finfo(problem.dtype).max)
        self._coupled: dict[Wall, _Watched] = {}
        self.conditions: Conditions = {
            field: {side: self._watched(field, side, c) for side, c in sides.items()}
            for field, sides in problem.conditions.items()
        }

    def look(self, start: Sequence[int], shape: Sequence[int]) -> None:
        """Look at the values at the start on all faces of a box of cells.

        Raises:
            CaseError: one is not finite.
        """
        cells, program = self._problem.grid.cells, self._problem.program
        depth = program.radius if program.has_corners else 0  # of ghosts of ghosts that are read
        for sides in self.conditions.values():
            for side, condition in sides.items():
                axis, first, extent = AXES.index(side[0]), [*start], [*shape]
                outer = 0 if side.endswith("min") else cells[axis]
                if outer in (start[axis], start[axis] + shape[axis]):
                    for d, n in enumerate(cells):
                        if depth and extent[d] > 1 and not self._problem.grid.periodic[d]:
                            first[d] -= depth * (start[d] == 0)
                            extent[d] += depth * ((start[d] == 0) + (start[d] + shape[d] == n))
                    first[axis], extent[axis] = 0, 1
                    for face in (condition.a, condition.b, condition.value):
                        if callable(face):
                            face(0.0, (first[0], first[1], first[2]), (extent[0], extent[1], extent[2]))
        if self.error is not None:
            raise self.error

    @contextmanager
    def blamed(self, comm: MPI.Comm) -> Iterator[None]:
        """Tell, for a numerical error of the body that all ranks raise, what a wall imposed before; collective."""
        try:
            yield
        except NumericalError as error:
            if is_agreed(comm, error):
                agree(comm, self.error)
            raise

    def _watched(self, field: str, side: str, condition: Condition) -> Condition:
        if condition.wall is not None:
            wall = self._coupled.setdefault(condition.wall, _Watched(condition.wall, side, self._found))
            return replace(condition, wall=wall)
        a, b, value = (self._face(self._key(field, side, name), getattr(condition, name)) for name in PARTS)
        if not condition.c and self._problem.case.boundary[field][side].robin is None:
            resolved = self._face(self._key(field, side, "a"), self._resolved(field, side, condition), field)
            a = resolved if callable(resolved) else a
        return replace(condition, a=a, b=b, value=value)

    def _resolved(self, field: str, side: str, condition: Condition) -> float | Face:
        """The a of a condition made of a law that is linear in a field; NaN where no value of it meets the law.

        As beside a wall that is solved place by place, what the law imposes is not to grow faster than is resolved.
        """
        a, b, problem = condition.a, condition.b, self._problem
        if callable(b) or (a, b) in ((1.0, 0.0), (0.0, 1.0)):
            return a
        slope = b * slope_at(problem.grid, side, condition, problem.case.run.order)

        def face(time: float, start: Triple, shape: Triple) -> np.ndarray:
            values = a(time, start, shape) if callable(a) else np.full(shape, a)
            met = values + slope > FASTEST * slope if b else values != 0
            return np.where(met, values, np.nan)

        return face if callable(a) else float(face(0.0, (0, 0, 0), (1, 1, 1))[0, 0, 0])

    def _face(self, key: str, face: float | Face, sought: str = "") -> float | Face:
        if callable(face):
            return lambda time, start, shape: self._finite(
                key, time, start, self._given(key, face, time, start, shape), sought
            )
        self._finite(key, 0.0, (0, 0, 0), np.full((1, 1, 1), face), sought)
        return face

    def _given(self, key: str, face: Face, time: float, start: Triple, shape: Triple) -> np.ndarray:
        """What a condition says; NaN where a file cannot be read, or has nothing at this time, which is kept."""
        error: ParsolveError | None = None
        try:
            if not isinstance(face, CourseFace) or face.course.place(time) is not None:
                return face(time, start, shape)
            error = self._problem.case.error(key, face.course.beyond(time, time))
        except CaseError as caught:
            error = caught
        self.error = self.error or error
        return np.full(shape, np.nan)

    def _found(self, field: str, side: str, time: float, start: Triple, values: np.ndarray) -> np.ndarray:
        """The values of a field that meet the condition of a side, NaN where none do, which is kept as an error."""
        return self._finite(self._key(field, side, "value").removesuffix("[2]"), time, start, values, field)

    def _finite(self, key: str, time: float, start: Triple, values: np.ndarray, sought: str = "") -> np.ndarray:
        """The values, NaN where they are not finite; the first of these is kept as an error.

        ``sought``: the field of whose values at the side they are.
        """
        usable = np.abs(values) <= self._largest
        if not usable.all() and not self._problem.program.has_corners:
            usable |= self._beyond(start, values.shape)
        if usable.all():
            return values
        if self.error is None:
            self.error = self._error(key, time, start, values, usable, sought)
        return np.where(usable, values, np.nan)

    def _beyond(self, start: Triple, shape: Sequence[int]) -> np.ndarray:
        """The places beyond the ends of the axes along a side: ghosts of ghosts, which only corners read."""
        beyond = np.zeros(shape, bool)
        for d, n in enumerate(self._problem.grid.cells):
            if shape[d] > 1 and not self._problem.grid.periodic[d]:
                index = np.arange(start[d], start[d] + shape[d]).reshape([-1 if i == d else 1 for i in range(3)])
                beyond |= (index < 0) | (index >= n)
        return beyond

    def _error(
        self, key: str, time: float, start: Triple, found: np.ndarray, usable: np.ndarray, sought: str
    ) -> ParsolveError:
        problem = self._problem
        place = np.argwhere(~usable)[0]
        along = [name for name in problem.grid.names if name != key.split(".")[2][0]]
        cell = ", ".join(f"{name} = {start[AXES.index(name)] + place[AXES.index(name)]}" for name in along)
        value, where = found[tuple(place)], f" at t = {time:.6g}" + (f", cell {cell}" if cell else "")
        text = f"the value {value:.6g}{where} is not finite in {problem.dtype}"
        if sought:
            axis = key.split(".")[2][0]
            text = (
                f"no value of {sought} at the wall meets it{where}: it has no value itself, or it grows with {sought} "
                f"faster than cells of {problem.grid.spacing[AXES.index(axis)]:.3g} along {axis} resolve"
            )
        error = problem.case.error(key, text)
        return NumericalError(str(error)) if time else error

    def _key(self, field: str, side: str, part: str) -> str:
        given, key = self._problem.case.boundary[field][side], f"boundary.{field}.{side}"
        if given.robin is not None:
            return f"{key}.robin[{PARTS.index(part)}]"
        return f"{key}.{next(kind for kind in (*KINDS, 'outflow') if getattr(given, kind) is not None)}"


class _Watched:
    """A wall that depends on fields, whose values are looked at as they are found."""

    def __init__(self, wall: Wall, side: str, found: Callable[..., np.ndarray]) -> None:
        self.fields, self.reads, self.free = wall.fields, wall.reads, wall.free
        self._wall, self._side, self._found = wall, side, found

    def __call__(
        self, time: float, start: Triple, near: Mapping[str, Near], known: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The values on a box of cells of the side; NaN beside what is not finite, which is no error."""
        given = [*(part for n in near.values() for part in (n.first, n.inner)), *known.values()]
        sound = np.logical_and.reduce([np.isfinite(values) for values in given])
        found = {}
        for name, values in self._wall(time, start, near, known).items():
            looked_at = self._found(name, self._side, time, start, np.where(sound, values, 0.0))
            found[name] = np.where(sound, looked_at, np.nan)
        return found
