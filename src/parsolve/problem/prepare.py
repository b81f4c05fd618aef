"""A problem on a subdomain, ready to march: registers with initial values, time step and schedule."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.reduce import extrema
from parsolve.equations.codegen import library_text
from parsolve.equations.reference import NumpyKernel
from parsolve.errors import agreed, on_root, owning
from parsolve.kernels.device import find_device
from parsolve.kernels.jit import NoCompiler, load
from parsolve.kernels.library import CompiledKernel
from parsolve.march.control import ErrorControlled, Fixed
from parsolve.march.march import Event, check_finite, march
from parsolve.march.power import largest_rate
from parsolve.march.schedule import START, AtSteps, AtTimes, Clock, Either, EverySteps
from parsolve.march.stepper import Stepper, Workspace
from parsolve.march.steps import Steps
from parsolve.problem.operators import operator_of
from parsolve.problem.peclet import peclet_warnings
from parsolve.problem.tiles import remember
from parsolve.problem.times import record_times, schedule_of, stable_dt
from parsolve.problem.values import coefficient_fields, initial, noise, set_values
from parsolve.stages.blocking import PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpi4py import MPI

    from parsolve.equations.program import Stage
    from parsolve.kernels.device import Device
    from parsolve.kernels.library import Kernel
    from parsolve.march.control import Control
    from parsolve.march.march import Outcome, Progress
    from parsolve.march.schedule import Schedule, When
    from parsolve.problem.layout import Layout
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State

Record = Callable[[Clock, "State"], None]


@dataclass(frozen=True)
class Prepared:
    """A march that is ready to go: its steps hold the initial state; ``layout`` has the (first) time step.

    ``schedule`` is None if steps are adapted to the tolerance; ``warnings`` are known before the first step.
    """

    problem: Problem
    layout: Layout
    steps: Steps
    schedule: Schedule | None
    free: Callable[[], None]
    warnings: list[str]

    @property
    def state(self) -> State:
        """The current fields."""
        return self.steps.state

    def run(self, record: Record, progress: Progress | None = None) -> Outcome:
        """March to the end; ``record`` is called at every frame after the first; collective.

        Raises:
            NumericalError: a value is not finite, or no step meets the tolerance.
        """
        problem, time, comm = self.problem, self.problem.case.time, self.comm
        control: Control
        frames: When
        if self.schedule is not None:
            control, frames = Fixed(self.schedule), AtSteps(self.schedule.records)
        else:
            assert time.tolerance is not None
            times = tuple(record_times(problem))
            control = ErrorControlled(comm, self.layout.dt, times[-1], time.tolerance, problem.scheme.order)
            frames = AtTimes(times)
        checks = Either((frames, EverySteps(problem.case.run.check_every)))
        events = [
            Event(checks, lambda clock, state: check_finite(state, clock, control.dt), marching=True),
            Event(frames, record),
        ]
        shown = progress if comm.rank == 0 else None
        if shown is not None:
            shown.start(time.end, self.schedule.steps if self.schedule else None, problem.grid.size)
        outcome = march(self.steps, control, events, progress=shown)
        if shown is not None:
            shown.finish()
        return outcome

    @property
    def comm(self) -> MPI.Intracomm:
        """Its ranks."""
        return self.steps.stepper.work.subdomain.comm


def prepare(problem: Problem, layout: Layout, comm: MPI.Intracomm) -> Prepared:
    """The march of a problem, ready to go, to be freed at the end; collective.

    Raises:
        ParsolveError: initial values are wrong, or there is no stable step; the same one on all ranks.
    """
    sub, time = layout.subdomain(problem.grid, comm), problem.case.time
    with owning(comm) as owner:
        arrays = coefficient_fields(problem, sub)
        operator = operator_of(
            problem.program, problem.grid, problem.parameters, problem.conditions, kernels(problem, comm, sub.device)
        )
        if not all(isinstance(stage.kernel, CompiledKernel) for stage in operator.stages):
            layout = replace(layout, blocking=PLAIN)
        work = Workspace(operator, sub, problem.dtype, arrays)
        linear = sub.device.kernel("linear", problem.dtype.name)
        stepper = Stepper(problem.scheme, work, linear, adaptive=problem.is_adaptive)
        found = partial(remember, layout.tile_key) if layout.tile_key and comm.rank == 0 else None
        steps = Steps(stepper, layout.blocking, found)
        owner.callback(steps.free)
        velocity = work.fields(problem.velocities)
        with agreed(comm):
            for f in (*stepper.state.values(), *velocity.values()):
                set_values(f, partial(initial, problem, f.name))
        check_finite(stepper.state, START, 0.0)
        ranges = {name: extrema(f) for name, f in {**stepper.state, **arrays}.items()}
        dt = _automatic_dt(problem, work, stepper.state, ranges) if time.dt == "auto" else float(time.dt)
        schedule = None if problem.is_adaptive else schedule_of(problem, dt)
        layout = replace(layout, dt=schedule.dt if schedule else dt)
        stepper.start(0.0, layout.dt, {name.removesuffix("_t"): f for name, f in velocity.items()})
        return Prepared(problem, layout, steps, schedule, owner.pop_all().close, peclet_warnings(problem, ranges))


def _automatic_dt(problem: Problem, work: Workspace, state: State, ranges: Mapping[str, tuple[float, float]]) -> float:
    """The stable step; that of a user's equation is checked by a power iteration on the kernels themselves."""
    duration = problem.case.time.end or np.inf
    found = None
    if problem.case.evolve:
        found = largest_rate(work, state, lambda f: noise(problem, f.subdomain.start, f.subdomain.shape))
    return on_root(work.subdomain.comm, lambda: stable_dt(problem, ranges, duration, found))


def kernels(problem: Problem, comm: MPI.Intracomm | None, device: Device | None = None) -> Callable[[Stage], Kernel]:
    """Where the kernel of a stage comes from: the installed library, the run-time compiler, or NumPy; collective.

    Raises:
        SetupError: a compiler is missing or fails, and ``run.require_compiled`` is set.
    """
    run = problem.case.run
    if run.device == "numpy":
        return NumpyKernel
    if not problem.case.evolve:
        installed = device or find_device()
        return lambda stage: installed.kernel(stage.name, run.precision)
    try:
        library = load(comm, library_text(problem.program), run.precision, key_hint="user")
    except NoCompiler as error:
        if run.require_compiled:
            raise
        if comm is None or comm.rank == 0:
            warnings.warn(f"{error}; the equation runs with NumPy, which is 10 to 100 times slower", stacklevel=2)
        return NumpyKernel
    return lambda stage: library.kernel(stage.name, run.precision)
