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
from parsolve.equations.balance import even
from parsolve.equations.values import fill
from parsolve.errors import CaseError, agreed
from parsolve.store.source import array_block, read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.case import Value
    from parsolve.domain.grid import Grid, Subdomain, Triple
    from parsolve.problem.problem import Problem

NOISE = re.compile(r"\bnoise\s*\(")  # a call, not a name that begins so


def initial(problem: Problem, name: str, start: Triple, shape: Triple) -> np.ndarray:
    """Initial values of a field on a box of global cells, shape (z, y, x), float64.

    Raises:
        CaseError: an expression or file is wrong.
    """
    return _values(problem, problem.case.initial.get(name, 0.0), f"initial.{name}", start, shape)


def array(problem: Problem, name: str, start: Triple, shape: Triple) -> np.ndarray:
    """Values of a coefficient field on a box of global cells, shape (z, y, x), float64.

    Raises:
        CaseError: an expression or file is wrong.
    """
    if name not in problem.case.fields:
        return _values(problem, f"noise(seed={name.removeprefix('noise_')})", name, start, shape)
    return _values(problem, problem.case.fields[name], f"fields.{name}", start, shape)


def noise(problem: Problem, start: Triple, shape: Triple) -> np.ndarray:
    """Values in [-1, 1) that depend on the global cell alone."""
    return _values(problem, "noise(seed=0)", "noise", start, shape)


def is_formula(problem: Problem, name: str) -> bool:
    """Whether a coefficient field has values beyond the domain too: an expression or a number, without noise."""
    value = problem.case.fields.get(name)
    return value is not None and not isinstance(value, FileValue) and not NOISE.search(str(value))


def _values(problem: Problem, value: Value, key: str, start: Triple, shape: Triple) -> np.ndarray:
    with problem.case.located():
        if isinstance(value, FileValue):
            return stored(value, problem.grid, start, shape, key)
        return fill(value, problem.grid, start, shape, parameters=problem.parameters, key=key)


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
    """
    fields = {name: Field(name, sub, problem.dtype, -1 - i) for i, name in enumerate(problem.program.arrays)}
    if not fields:
        return fields
    with agreed(sub.comm):
        for name, f in fields.items():
            set_values(f, partial(array, problem, name))
    exchange = HaloExchange(
        list(fields.values()), {}, depth=sub.ghosts, boundary_depth=problem.program.radius, base=1, signed=False
    )
    exchange.fill(0.0)
    exchange.free()
    mirrored = even(problem.program)
    for name, f in fields.items():
        if is_formula(problem, name):
            _continue_formula(problem, f, name in mirrored)
    return fields


def _continue_formula(problem: Problem, f: Field, is_even: bool) -> None:
    sub = f.subdomain
    first = [s - g for s, g in zip(sub.start, sub.ghosts, strict=True)]
    extent = [n + 2 * g for n, g in zip(sub.shape, sub.ghosts, strict=True)]
    for axis in range(3):
        for side in (0, 1):
            if sub.is_physical(axis, side) and not (is_even and problem.is_mirror(f"{AXES[axis]}{ENDS[side]}")):
                start, shape, index, depth = list(first), list(extent), [slice(None)] * 3, sub.ghosts[axis]
                shape[axis] = depth
                start[axis] = sub.stop[axis] if side else sub.start[axis] - depth
                index[axis] = slice(-depth, None) if side else slice(0, depth)
                with np.errstate(over="ignore"):
                    f.array[tuple(index)] = _periodic_image(problem, f.name, start, shape)


def _periodic_image(problem: Problem, name: str, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
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
        values[z[2], y[2], x[2]] = array(problem, name, (z[0], y[0], x[0]), (z[1], y[1], x[1]))
    return values


def set_values(f: Field, values_of: Callable[[Triple, Triple], np.ndarray]) -> None:
    """Set the owned cells slab by slab: no second array of their size is needed."""
    for first, shape in slabs(f.subdomain.shape):
        z, y, x = (a + b for a, b in zip(f.subdomain.start, first, strict=True))
        part = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
        with np.errstate(over="ignore"):  # what the type does not hold is infinite, and told as that
            f.owned[part] = values_of((z, y, x), shape)
