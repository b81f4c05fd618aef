"""A problem on a subdomain, ready to march: registers with initial values, time step and schedule."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parsolve.domain.field import Field
from parsolve.domain.grid import slabs
from parsolve.domain.halo import HaloExchange, is_crowded
from parsolve.domain.reduce import extrema
from parsolve.equations.codegen import library_text
from parsolve.equations.reference import NumpyKernel
from parsolve.errors import agreed
from parsolve.kernels.jit import NoCompiler, load
from parsolve.kernels.library import core
from parsolve.march.march import Progress as StepProgress
from parsolve.march.march import Record, Result, check_finite, march, march_adaptive
from parsolve.march.power import largest_rate
from parsolve.march.stepper import RungeKuttaStepper, Stepper, StormerVerletStepper, Workspace
from parsolve.march.tableaus import RungeKutta
from parsolve.problem.tiles import recall
from parsolve.stages.passes import Passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mpi4py import MPI

    from parsolve.domain.grid import Subdomain, Triple
    from parsolve.equations.program import Stage
    from parsolve.kernels.library import Kernel
    from parsolve.march.schedule import Schedule
    from parsolve.problem.problem import Problem
    from parsolve.stages.evaluation import State


class Progress(StepProgress, Protocol):
    """Shows how far a run is; of rank 0 alone."""

    def start(self, total_time: float | None, total_steps: int | None, cells: int) -> None:
        """Tell what is ahead."""

    def finish(self) -> None:
        """Tell that the march is over."""


@dataclass(frozen=True)
class March:
    """A stepper that holds the initial state, and when to do what.

    ``schedule`` is None if steps are adapted to the tolerance; ``dt`` is then the first to try.
    """

    problem: Problem
    stepper: Stepper
    schedule: Schedule | None
    dt: float

    @property
    def state(self) -> State:
        """The current fields."""
        return self.stepper.state

    def run(self, record: Record, progress: Progress | None = None) -> Result:
        """March to the end; ``record`` is called at every frame after the first; collective.

        Raises:
            NumericalError: a value is not finite, or no step meets the tolerance.
        """
        case, schedule, stepper = self.problem.case, self.schedule, self.passes
        shown = progress if self._subdomain.comm.rank == 0 else None
        if shown is not None:
            shown.start(case.time.end, schedule.steps if schedule else None, self.problem.grid.size)
        if schedule is not None:
            result = march(stepper, schedule, record, check_every=case.run.check_every, progress=shown)
        else:
            assert not isinstance(stepper, StormerVerletStepper)
            assert case.time.tolerance is not None
            result = march_adaptive(
                stepper, self.problem.record_times(), self.dt, case.time.tolerance, self.problem.scheme.order, record,
                check_every=case.run.check_every, progress=shown,
            )  # fmt: skip
        if shown is not None:
            shown.finish()
        stepper.free()
        return result

    @cached_property
    def passes(self) -> Passes | Stepper:
        """What takes the steps: the stepper itself, or passes of several of its steps; collective at first."""
        if not self._subdomain.deep or isinstance(self.stepper.work.rates.rate.kernel, NumpyKernel):
            return self.stepper
        return Passes(self.stepper, *recall(self.problem, self._subdomain.comm))

    @property
    def order(self) -> tuple[int, tuple[int, ...]]:
        """Steps in a pass and cells of its tiles, () for a single one; 0 and (): step by step."""
        return (self.passes.steps, self.passes.tile or ()) if isinstance(self.passes, Passes) else (0, ())

    @property
    def _subdomain(self) -> Subdomain:
        return next(iter(self.state.values())).subdomain


def prepare(problem: Problem, sub: Subdomain) -> March:
    """The march of a problem on a subdomain, ready to go; collective.

    Raises:
        ParsolveError: initial values are wrong, or there is no stable step; the same one on all ranks.
    """
    case, comm = problem.case, sub.comm
    crowded = is_crowded(comm)
    rates = problem.rates(kernels(problem, comm))
    arrays = coefficient_fields(problem, sub, crowded)
    work = Workspace(rates, sub, problem.dtype, crowded, arrays)
    stepper: Stepper
    if isinstance(problem.scheme, RungeKutta):
        stepper = RungeKuttaStepper(problem.scheme, work, adaptive=problem.is_adaptive)
    else:
        stepper = StormerVerletStepper(work)
    velocity = work.fields(problem.velocities)
    with agreed(comm):
        _set_initial(problem, [*stepper.state.values(), *velocity.values()])
    check_finite(stepper.state, 0, 0.0, 0.0)
    ranges = {name: extrema(f) for name, f in {**stepper.state, **arrays}.items()}
    time = case.time
    dt = _automatic_dt(problem, work, stepper.state, ranges) if time.dt == "auto" else float(time.dt)
    if problem.is_adaptive:
        return March(problem, stepper, None, dt)
    schedule = problem.schedule(dt)
    if isinstance(stepper, StormerVerletStepper):
        renamed = {name.removesuffix("_t"): f for name, f in velocity.items()}
        stepper.start(renamed, schedule.dt)
    return March(problem, stepper, schedule, schedule.dt)


def _automatic_dt(problem: Problem, work: Workspace, state: State, ranges: Mapping[str, tuple[float, float]]) -> float:
    """The stable step; that of a user's equation is checked by a power iteration on the kernels themselves."""
    duration = problem.case.time.end or np.inf
    if not problem.case.evolve:
        return problem.stable_dt(ranges, duration)
    found = largest_rate(work, state, lambda f: problem.noise(f.subdomain.start, f.subdomain.shape))
    return problem.stable_dt(ranges, duration, found)


def kernels(problem: Problem, comm: MPI.Intracomm | None) -> Callable[[Stage], Kernel]:
    """Where the kernel of a stage comes from: the installed library, the run-time compiler, or NumPy; collective.

    Raises:
        SetupError: a compiler is missing or fails, and ``run.require_compiled`` is set.
    """
    run = problem.case.run
    if run.device == "numpy":
        return NumpyKernel
    if not problem.case.evolve:
        return lambda stage: core().kernel(stage.name, run.precision)
    try:
        library = load(comm, library_text(problem.program), run.precision, key_hint="user")
    except NoCompiler as error:
        if run.require_compiled:
            raise
        if comm is None or comm.rank == 0:
            warnings.warn(f"{error}; the equation runs with NumPy, which is 10 to 100 times slower", stacklevel=2)
        return NumpyKernel
    return lambda stage: library.kernel(stage.name, run.precision)


def coefficient_fields(problem: Problem, sub: Subdomain, crowded: bool) -> dict[str, Field]:
    """The coefficient fields with their ghosts; collective.

    Beyond a physical face a formula is evaluated as it is, anything else goes on with its last value.
    """
    fields = {name: Field(name, sub, problem.dtype, -1 - i) for i, name in enumerate(problem.program.arrays)}
    if not fields:
        return fields
    with agreed(sub.comm):
        for name, f in fields.items():
            _set_values(f, partial(problem.array, name))
    ghost = sub.ghost
    exchange = HaloExchange(
        list(fields.values()),
        {},
        depth=ghost,
        boundary_depth=ghost,
        points=1,
        yielding=crowded,
        signed=False,
        deep=True,
    )
    exchange.fill(0.0)
    exchange.free()
    for name, f in fields.items():
        if problem.is_formula(name):
            _continue_formula(problem, f)
    return fields


def _continue_formula(problem: Problem, f: Field) -> None:
    sub = f.subdomain
    first = [s - g for s, g in zip(sub.start, sub.ghosts, strict=True)]
    extent = [n + 2 * g for n, g in zip(sub.shape, sub.ghosts, strict=True)]
    for axis in range(3):
        for side in (0, 1):
            if sub.is_physical(axis, side):
                start, shape, index, depth = list(first), list(extent), [slice(None)] * 3, sub.ghosts[axis]
                shape[axis] = depth
                start[axis] = sub.stop[axis] if side else sub.start[axis] - depth
                index[axis] = slice(-depth, None) if side else slice(0, depth)
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
        values[z[2], y[2], x[2]] = problem.array(name, (z[0], y[0], x[0]), (z[1], y[1], x[1]))
    return values


def _set_initial(problem: Problem, fields: Iterable[Field]) -> None:
    for f in fields:
        _set_values(f, partial(problem.initial, f.name))


def _set_values(f: Field, values_of: Callable[[Triple, Triple], np.ndarray]) -> None:
    """Set the owned cells slab by slab: no second array of their size is needed."""
    for first, shape in slabs(f.subdomain.shape):
        z, y, x = (a + b for a, b in zip(f.subdomain.start, first, strict=True))
        part = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
        f.owned[part] = values_of((z, y, x), shape)
