"""What a run would do, without solving: process grid, halo, memory, frames, time step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from parsolve.case import FileValue
from parsolve.domain.grid import AXES, Triple, slabs, smallest_and_largest
from parsolve.domain.memory import described, free_memory
from parsolve.kernels.library import best_level, instruction_set
from parsolve.march.schedule import equal_steps
from parsolve.problem.layout import plan_layout
from parsolve.problem.limits import begin, with_walls
from parsolve.problem.memory import PROCESS, advice, gathering, memory_of
from parsolve.problem.peclet import peclet_warnings
from parsolve.problem.pose import pose
from parsolve.problem.renewal import renews
from parsolve.problem.times import count_looks, count_steps, crowded, first_length
from parsolve.problem.values import array, initial, look_beyond, times_of
from parsolve.problem.walls import Walls
from parsolve.store.source import look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsolve.case import Case
    from parsolve.problem.problem import Problem

MOST_LOOKED, COARSE = 1 << 27, 1 << 21  # cells that are all looked at, and where there are more, of a grid in place


@dataclass(frozen=True)
class Plan:
    """The plan of a run; shapes are (z, y, x), bytes are of the rank that has most.

    Attributes:
        local_shapes: smallest and largest subdomain.
        imbalance: cells of the largest subdomain over the mean.
        slices: of each how many ``frames`` it has, and the ``frame_bytes`` of one.
        dt: the (first) time step; ``steps`` is None if steps are adapted to the tolerance, and how many there would be
            of the first one if ``changes``.
        boundary: what each side does, one line a field and side.
        steps_a_pass, tile: of passes through memory; 0: step by step; (): a single tile.
        memory_per_rank, memory_free: that a rank needs, and that is free here now; None: the system does not tell.
        warnings: what the numbers may not be trusted for, and what is lacking here.
    """

    processes: dict[str, int]
    local_shapes: tuple[Triple, Triple]
    imbalance: float
    halo_bytes_per_step: int
    memory_per_rank: int
    memory_free: int | None
    frames: int
    frame_bytes: int
    slices: dict[str, dict[str, int]]
    dt: float
    steps: int | None
    changes: bool
    boundary: list[str]
    threads: int
    steps_a_pass: int
    tile: tuple[int, ...]
    instruction_set: str
    warnings: list[str]


def check(case: Case, ranks: int) -> Plan:
    """The plan of a case on a number of ranks.

    Raises:
        ParsolveError: as ``run`` would.
    """
    look_at(case.files)
    problem = pose(case)
    grid, program = problem.grid, problem.program
    layout = plan_layout(problem, ranks, best_level())
    processes, ghosts = layout.processes, layout.ghosts
    least, most = smallest_and_largest(grid, processes)
    seen, unseen = _looked_at(problem)
    extrema = {name: _extrema(seen, partial(initial, seen, name)) for name in program.unknowns}
    extrema |= {
        name: _extrema(seen, *(partial(array, seen, name, time=time) for time in times_of(seen, name)))
        for name in problem.arrays
    }
    look_beyond(seen, (0, 0, 0), seen.grid.cells)
    for name in problem.velocities:
        _extrema(seen, partial(initial, seen, name))
    Walls(seen).look((0, 0, 0), seen.grid.cells)
    start = begin(problem, with_walls(seen, extrema, (0.0,)))
    memory = PROCESS + memory_of(problem, most, ghosts)
    beside = gathering(problem)
    free = min(free_memory().values(), default=None)
    lacking = _lacking(problem, ranks, ranks * memory + beside, free)
    steps, frames = count_steps(problem, start.dt)
    stored = len(problem.recorded)
    return Plan(
        {axis: processes[AXES.index(axis)] for axis in grid.names},
        (least, most),
        prod(most) * ranks / grid.size,
        _halo_bytes(problem, processes, most, ghosts, layout.blocking.steps),
        memory + beside,
        free,
        1 + frames,
        grid.size * stored * problem.dtype.itemsize,
        _slices(problem, steps, frames, start.dt),
        start.dt if problem.is_adaptive else equal_steps(first_length(problem), start.dt)[1],
        None if problem.is_adaptive else steps,
        problem.is_adaptive or renews(problem),
        _boundary_notes(problem),
        layout.threads,
        layout.blocking.steps,
        layout.blocking.tile or (),
        instruction_set(layout.level),
        [*lacking, *unseen, *start.warnings, *crowded(case, start.dt), *peclet_warnings(problem, extrema)],
    )


def _lacking(problem: Problem, ranks: int, memory: int, free: int | None) -> list[str]:
    """A text where this machine has too little for the memory of all ranks."""
    if free is None or memory <= free:
        return []
    return [f"{described(ranks, memory, free, 'this machine')}; {advice(problem)}"]


def _looked_at(problem: Problem) -> tuple[Problem, list[str]]:
    """The problem whose values are looked at: on a coarser grid where there are very many, and a text that says so.

    Values of files are all looked at.
    """
    case, grid = problem.case, problem.grid
    sides = [side for field in case.boundary.values() for side in field.values()]
    walls = [v for s in sides for v in (s.dirichlet, s.neumann, s.curvature, *(s.robin or ()))]
    given = (*case.initial.values(), *case.fields.values(), *walls)
    if grid.size <= MOST_LOOKED or any(isinstance(value, FileValue) for value in given):
        return problem, []
    most = round(COARSE ** (1 / grid.ndim))
    axes = {name: replace(axis, cells=min(axis.cells, most)) for name, axis in case.grid.items()}
    text = f"values were looked at on at most {most} cells along each axis: a run may begin with another dt"
    return pose(replace(case, grid=axes, slices={})), [text]


def _slices(problem: Problem, steps: int, frames: int, dt: float) -> dict[str, dict[str, int]]:
    """What is written of some cells, in a march of so many steps of dt and frames after the first."""
    asked, item = problem.case.slices, problem.dtype.itemsize
    return {
        one.name: {
            "frames": 1 + count_looks(problem, asked[one.name], steps, frames, dt),
            "frame_bytes": one.cells.size * len(one.chosen) * item,
        }
        for one in problem.slices
    }


def _extrema(problem: Problem, *values_of: Callable[[Triple, Triple], np.ndarray]) -> tuple[float, float]:
    """Range of the values of a field, at one time or several, read or evaluated in slabs of bounded size."""
    low, high = np.inf, -np.inf
    for values_at, (start, shape) in product(values_of, slabs(problem.grid.cells)):
        values = values_at(start, shape)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _halo_bytes(problem: Problem, processes: Triple, shape: Triple, ghosts: Triple, steps: int) -> int:
    """Bytes that a rank in the middle sends in a step: both sides of each split axis, with corners.

    Without passes every stage exchanges what it reads; a pass of several steps exchanges the whole state once.
    """
    program, scheme = problem.program, problem.scheme
    cells = 0
    for axis in (2, 1, 0):
        if processes[axis] > 1:
            wide = [n + 2 * g if d > axis else n for d, (n, g) in enumerate(zip(shape, ghosts, strict=True))]
            neighbours = 2 if processes[axis] > 2 or problem.grid.periodic[axis] else 1
            cells += neighbours * ghosts[axis] * prod(n for d, n in enumerate(wide) if d != axis)
    fields = problem.carried / steps if steps else scheme.stages * len(program.exchanged)
    return int(cells * fields * problem.dtype.itemsize)


def _boundary_notes(problem: Problem) -> list[str]:
    grid, order = problem.grid, problem.case.run.order
    physical = [axis for axis in grid.names if not grid.periodic[AXES.index(axis)]]
    if not physical:
        return ["all axes are periodic"]
    notes = []
    given = problem.case.boundary
    for name in (*problem.program.exchanged, *problem.program.intermediate):
        missing = [
            f"{axis}{end}" for axis in physical for end in ("min", "max") if f"{axis}{end}" not in given.get(name, {})
        ]
        if missing:
            notes.append(f"{name}: no flux (the default) on {', '.join(missing)}")
    if order > 4:
        notes.append(f"order {order} inside, order 4 at the boundary")
    sides = [(name, side, c) for name, sides in problem.conditions.items() for side, c in sides.items()]
    notes += [f"{name}: order 2 on {side}, beside jumps of a coefficient" for name, side, c in sides if c.coarse]
    return notes
