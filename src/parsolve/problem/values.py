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
from parsolve.equations.values import fill
from parsolve.errors import CaseError, agreed
from parsolve.store.source import array_block, read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parsolve.case import Value
    from parsolve.domain.grid import Grid, Subdomain, Triple
    from parsolve.problem.problem import Problem

NOISE = re.compile(r"\bnoise\s*\(")  # a call, not a name that begins so


def initial(problem: Problem, name: str, start: Triple, shape: Triple) -> np.ndarray:
    """Initial values of a field on a box of global cells, shape (z, y, x), float64.

    Raises:
        CaseError: an expression or file is wrong.
    """
    key, value = problem.case.initial_of(name)
    return _values(problem, 0.0 if value is None else value, key, start, shape)


def array(problem: Problem, name: str, start: Triple, shape: Triple, *, finite: bool = True) -> np.ndarray:
    """Values of a coefficient field on a box of global cells, shape (z, y, x), float64.

    Raises:
        CaseError: an expression or file is wrong, or its values are not finite and must be.
    """
    if name not in problem.case.fields:
        return _values(problem, f"noise(seed={name.removeprefix('noise_')})", name, start, shape)
    return _values(problem, problem.case.fields[name], f"fields.{name}", start, shape, finite)


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
        if value.array is None:
            return read_block(value.file, value.dataset, grid, start, shape, np.float64, value.time)
        return array_block(value.array.values, grid, start, shape, np.float64)
    except CaseError as error:
        raise CaseError(f"{key}: {error}") from None


def coefficient_fields(problem: Problem, sub: Subdomain) -> dict[str, Field]:
    """The coefficient fields with their ghosts; collective.

    Beyond a physical face formulas are evaluated as they are and anything else is mirrored; so are formulas that only
    multiply gradients in fluxes, where all unknowns are.

    Raises:
        CaseError: a value that is read is not finite; the same one on all ranks.
    """
    fields = {name: Field(name, sub, problem.dtype, -1 - i) for i, name in enumerate(problem.arrays)}
    if not fields:
        return fields
    with agreed(sub.comm):
        for name, f in fields.items():
            set_values(f, partial(array, problem, name))
        look_beyond(problem, sub.start, sub.shape)
    exchange = HaloExchange(
        list(fields.values()), {}, depth=sub.ghosts, boundary_depth=problem.radius, base=1, signed=False
    )
    exchange.fill(0.0)
    exchange.free()
    for name, f in fields.items():
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
