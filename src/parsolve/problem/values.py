"""The values of a problem at cells: initial values, coefficient fields with their ghosts, noise."""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from parsolve.case import FileValue
from parsolve.domain.boundary import ENDS
from parsolve.domain.field import Field
from parsolve.domain.grid import AXES, slabs
from parsolve.domain.halo import HaloExchange
from parsolve.domain.reduce import extrema
from parsolve.equations.linearise import tangent
from parsolve.equations.values import fill
from parsolve.errors import CaseError, agreed
from parsolve.problem.times import span
from parsolve.store.course import between, read_course
from parsolve.store.source import array_block, read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parsolve.case import Value
    from parsolve.domain.grid import Grid, Subdomain, Triple
    from parsolve.problem.problem import Problem
    from parsolve.store.course import Course

NOISE = re.compile(r"\bnoise\s*\(")  # a call, not a name that begins so


def initial(problem: Problem, name: str, start: Triple, shape: Triple) -> np.ndarray:
    """Initial values of a field on a box of global cells, shape (z, y, x), float64.

    Raises:
        CaseError: an expression or file is wrong.
    """
    key, value = problem.case.initial_of(name)
    return _values(problem, 0.0 if value is None else value, key, start, shape)


def array(
    problem: Problem, name: str, start: Triple, shape: Triple, *, finite: bool = True, time: float = 0.0
) -> np.ndarray:
    """Values of a coefficient field on a box of global cells, shape (z, y, x), float64; of some files at a time.

    Raises:
        CaseError: an expression or file is wrong, or its values are not finite and must be.
    """
    if name in problem.courses:
        with problem.case.located():
            return course_block(problem.courses[name], f"fields.{name}", time, start, shape)
    if name not in problem.case.fields:
        return _values(problem, f"noise(seed={name.removeprefix('noise_')})", name, start, shape)
    return _values(problem, problem.case.fields[name], f"fields.{name}", start, shape, finite)


def times_of(problem: Problem, name: str) -> list[float]:
    """The times of a march between which a coefficient field has no values beyond those at them.

    Those of a file that gives what multiplies unknowns, on which the stable step depends; of others the start alone.
    """
    if name not in problem.courses or name not in tangent(problem.program).arrays:
        return [0.0]
    end, times = span(problem.case), problem.courses[name].times
    return [0.0, *times[(times > 0) & (times < end)].tolist(), *([end] if end < np.inf else [])]


def extent(problem: Problem, f: Field, time: float) -> tuple[float, float]:
    """Smallest and largest value of a coefficient field in all of the march, which is at a time; collective."""
    if not isinstance(f, Moving):
        return extrema(f)
    found = []
    for other in times_of(problem, f.name):
        f.renew(other)
        found.append(extrema(f))
    f.renew(time)
    lows, highs = zip(*found, strict=True)
    return min(lows), max(highs)


def noise(problem: Problem, start: Triple, shape: Triple) -> np.ndarray:
    """Values in [-1, 1) that depend on the global cell alone."""
    return _values(problem, "noise(seed=0)", "noise", start, shape)


def is_formula(problem: Problem, name: str) -> bool:
    """Whether a coefficient field has values beyond the domain too: an expression or a number, without noise."""
    value = problem.case.fields.get(name)
    return value is not None and not isinstance(value, FileValue) and not NOISE.search(str(value))


def _values(problem: Problem, value: Value, key: str, start: Triple, shape: Triple, finite: bool = True) -> np.ndarray:
    with problem.case.located():
        if isinstance(value, FileValue):
            return stored(value, problem.grid, start, shape, key)
        return fill(value, problem.grid, start, shape, parameters=problem.parameters, key=key, finite=finite)


def stored(value: FileValue, grid: Grid, start: Triple, shape: Triple, key: str) -> np.ndarray:
    """A box of the values of a file, or of an array given from Python, float64; each rank takes its own.

    Raises:
        CaseError: they do not fit the grid, or the file cannot be read.
    """
    try:
        if isinstance(value.time, str):
            raise CaseError(f"time = '{value.time}' is for [fields] and walls; give the time of one frame")
        if value.array is None:
            return read_block(value.file, value.dataset, grid, start, shape, np.float64, value.time)
        return array_block(value.array.values, grid, start, shape, np.float64)
    except CaseError as error:
        raise CaseError(f"{key}: {error}") from None


def course_of(value: FileValue, grid: Grid, key: str, end: float) -> Course:
    """What a file gives at the times from 0 to an end.

    Raises:
        CaseError: it cannot be read, does not fit the grid, or has not all of these times.
    """
    try:
        if value.array is not None or not isinstance(value.time, str):
            raise CaseError("time is of files; leave it out")
        course = read_course(value.file, value.dataset, grid, value.time)
        end = end if end < np.inf else 0.0
        if not course.covers(0.0, end):
            raise CaseError(course.beyond(0.0, end))
        course.frame(0, (0, 0, 0), (1, 1, 1))  # what is wrong is wrong for all ranks
    except CaseError as error:
        raise CaseError(f"{key}: {error}") from None
    return course


def course_block(course: Course, key: str, time: float, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """What a file gives at a time on a box of cells.

    Raises:
        CaseError: it cannot be read, or has nothing at this time.
    """
    try:
        return course.block(time, start, shape)
    except CaseError as error:
        raise CaseError(f"{key}: {error}") from None


class Moving(Field):
    """A coefficient field of the frames of a file: it has the values of the time that it was told last.

    Args:
        problem: whose field it is.
        name: of the field.
        subdomain: where.
        colour: as of every field.
    """

    moves = True

    def __init__(self, problem: Problem, name: str, subdomain: Subdomain, colour: int) -> None:
        super().__init__(name, subdomain, problem.dtype, colour)
        self._course, self._key, self._radius = problem.courses[name], f"fields.{name}", problem.radius
        self._frames: dict[int, np.ndarray] = {}  # at most two, by their numbers, with ghosts
        self._time: float | None = None

    def renew(self, time: float) -> None:
        """Take the values of a time; collective.

        Raises:
            CaseError: the file cannot be read, or has nothing at this time; the same one on all ranks.
        """
        if time == self._time:
            return
        place = self._course.place(time)
        if place is None:
            with agreed(self.subdomain.comm):
                raise CaseError(f"{self._key}: {self._course.beyond(time, time)}")
        n, part = place
        self._frames = {m: values for m, values in self._frames.items() if m in (n, n + 1)}
        for m in (n, n + 1):
            if m not in self._frames:
                self._frames[m] = self._read(m)
        self.array[...] = between(self._frames[n], self._frames[n + 1], part)
        self._time = time

    def _read(self, n: int) -> np.ndarray:
        def frame(start: Triple, shape: Triple) -> np.ndarray:
            try:
                return self._course.frame(n, start, shape)
            except CaseError as error:
                raise CaseError(f"{self._key}: {error}") from None

        self._time = None
        with agreed(self.subdomain.comm):
            set_values(self, frame)
        fill_ghosts([self], self._radius)
        return self.array.copy()


def fill_ghosts(fields: Sequence[Field], radius: int) -> None:
    """Make the ghosts of coefficient fields, mirrored beyond walls; collective."""
    exchange = HaloExchange(fields, {}, depth=fields[0].subdomain.ghosts, boundary_depth=radius, base=1, signed=False)
    exchange.fill(0.0)
    exchange.free()


def coefficient_fields(problem: Problem, sub: Subdomain, time: float = 0.0) -> dict[str, Field]:
    """The coefficient fields with their ghosts, those that move at a time; collective.

    Beyond a physical face formulas are evaluated as they are and anything else is mirrored; so are formulas that only
    multiply gradients in fluxes, where all unknowns are.

    Raises:
        CaseError: a value that is read is not finite; the same one on all ranks.
    """
    fields: dict[str, Field] = {}
    for i, name in enumerate(problem.arrays):
        moves = name in problem.courses
        fields[name] = Moving(problem, name, sub, -1 - i) if moves else Field(name, sub, problem.dtype, -1 - i)
    still = {name: f for name, f in fields.items() if not f.moves}
    for f in fields.values():
        f.renew(time)
    if not still:
        return fields
    with agreed(sub.comm):
        for name, f in still.items():
            set_values(f, partial(array, problem, name))
        look_beyond(problem, sub.start, sub.shape)
    fill_ghosts(list(still.values()), problem.radius)
    for name, f in still.items():
        for axis, side in _continued(problem, name):
            if sub.is_physical(axis, side):
                _continue_formula(problem, f, axis, side)
    return fields


def _continued(problem: Problem, name: str) -> list[tuple[int, int]]:
    """Axes and sides beyond which a coefficient field goes on by its formula."""
    if not is_formula(problem, name):
        return []
    grid, is_even = problem.grid, name in problem.even
    sides = [(axis, side) for axis in range(3) if not grid.periodic[axis] for side in (0, 1)]
    return [(a, s) for a, s in sides if not (is_even and problem.is_mirror(f"{AXES[a]}{ENDS[s]}"))]


def look_beyond(problem: Problem, start: Triple, shape: Triple) -> None:
    """Look at the values of formulas beyond walls that rates at a box of cells read; others need not be finite.

    Raises:
        CaseError: one is not finite.
    """
    for name in problem.arrays:
        for axis, side in _continued(problem, name):
            if start[axis] + shape[axis] * side == problem.grid.cells[axis] * side:
                for first, extent in _read_beyond(problem, name, axis, side, start, shape):
                    for part, size in slabs(extent):
                        place = [a + b for a, b in zip(first, part, strict=True)]
                        try:
                            _periodic_image(problem, name, place, size)
                        except CaseError as error:
                            raise CaseError(f"{error}, and beyond a wall where rates read it") from None


def _read_beyond(
    problem: Problem, name: str, axis: int, side: int, start: Triple, shape: Triple
) -> Iterator[tuple[Triple, Triple]]:
    """Starts and shapes of what is read of a coefficient field beyond a wall, from a box of cells beside it."""
    deepest: dict[Triple, int] = {}  # by displacement along the wall
    for stage in (stage for program in (problem.program, *problem.looks) for stage in program.stages):
        for op in stage.operations:
            if op.name == "load" and stage.inputs[op.data[0]] == name:
                along, outward = list(op.data[1]), op.data[1][axis] * (1 if side else -1)
                along[axis] = 0
                z, y, x = along
                deepest[z, y, x] = max(deepest.get((z, y, x), 0), outward)
    for along_wall, depth in deepest.items():
        if depth > 0:
            first, extent = [a + b for a, b in zip(start, along_wall, strict=True)], list(shape)
            first[axis], extent[axis] = problem.grid.cells[axis] if side else -depth, depth
            yield (first[0], first[1], first[2]), (extent[0], extent[1], extent[2])


def _continue_formula(problem: Problem, f: Field, axis: int, side: int) -> None:
    """Set the ghosts of a coefficient field beyond a wall."""
    sub = f.subdomain
    start = [s - g for s, g in zip(sub.start, sub.ghosts, strict=True)]
    shape = [n + 2 * g for n, g in zip(sub.shape, sub.ghosts, strict=True)]
    index, depth = [slice(None)] * 3, sub.ghosts[axis]
    shape[axis] = depth
    start[axis] = sub.stop[axis] if side else sub.start[axis] - depth
    index[axis] = slice(-depth, None) if side else slice(0, depth)
    with np.errstate(over="ignore"):
        f.array[tuple(index)] = _periodic_image(problem, f.name, start, shape, finite=False)


def _periodic_image(
    problem: Problem, name: str, start: Sequence[int], shape: Sequence[int], *, finite: bool = True
) -> np.ndarray:
    """Values of a coefficient field on a box; beyond a periodic axis those of the cells that are meant."""
    values = np.empty(shape)
    pieces = []
    for first, extent, cells, periodic in zip(start, shape, problem.grid.cells, problem.grid.periodic, strict=True):
        done, along = 0, []
        while done < extent:
            at = (first + done) % cells if periodic else first
            length = min(cells - at, extent - done) if periodic else extent
            along.append((at, length, slice(done, done + length)))
            done += length
        pieces.append(along)
    for z, y, x in itertools.product(*pieces):
        start, shape = (z[0], y[0], x[0]), (z[1], y[1], x[1])
        values[z[2], y[2], x[2]] = array(problem, name, start, shape, finite=finite)
    return values


def set_values(f: Field, values_of: Callable[[Triple, Triple], np.ndarray]) -> None:
    """Set the owned cells slab by slab: no second array of their size is needed."""
    for first, shape in slabs(f.subdomain.shape):
        z, y, x = (a + b for a, b in zip(f.subdomain.start, first, strict=True))
        part = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
        with np.errstate(over="ignore"):  # what the type does not hold is infinite, and told as that
            f.owned[part] = values_of((z, y, x), shape)
