"""A problem on a subdomain, ready to march: registers with initial values, time step and schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.halo import is_crowded
from parsolve.domain.reduce import extrema
from parsolve.errors import agreed
from parsolve.solvers.march import Schedule, check_finite
from parsolve.solvers.stepper import RungeKuttaStepper, Stepper, StormerVerletStepper, Workspace
from parsolve.solvers.tableaus import RungeKutta
from parsolve.store.frames import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Subdomain
    from parsolve.problem import Problem


def field_infos(problem: Problem) -> list[FieldInfo]:
    """What the result says of each field that it holds."""
    meanings = problem.equation.fields
    names = problem.case.output.fields or problem.program.unknowns
    return [
        FieldInfo(name, meanings.get(name, f"rate of {meanings.get(name.removesuffix('_t'), name)}"), "1")
        for name in names
    ]


def prepare(problem: Problem, sub: Subdomain) -> tuple[Stepper, Schedule | None, float]:
    """The stepper with the initial state, its schedule (None if adaptive), and the (first) time step; collective.

    Raises:
        ParsolveError: initial values are wrong, or there is no stable step; the same one on all ranks.
    """
    case, comm = problem.case, sub.comm
    work = Workspace(problem.rates(), sub, problem.dtype, yielding=is_crowded(comm))
    stepper: Stepper
    if isinstance(problem.scheme, RungeKutta):
        stepper = RungeKuttaStepper(problem.scheme, work, adaptive=problem.is_adaptive)
    else:
        stepper = StormerVerletStepper(work)
    velocity = work.fields(problem.velocities)
    with agreed(comm):
        _set_initial(problem, [*stepper.state.values(), *velocity.values()])
    check_finite(stepper.state, 0, 0.0, 0.0)
    ranges = {name: extrema(f) for name, f in stepper.state.items()}
    time = case.time
    dt = problem.stable_dt(ranges, time.end or np.inf) if time.dt == "auto" else float(time.dt)
    if problem.is_adaptive:
        return stepper, None, dt
    schedule = problem.schedule(dt)
    if isinstance(stepper, StormerVerletStepper):
        renamed = {name.removesuffix("_t"): f for name, f in velocity.items()}
        stepper.start(renamed, schedule.dt)
    return stepper, schedule, schedule.dt


def _set_initial(problem: Problem, fields: Iterable[Field]) -> None:
    for f in fields:
        f.owned[...] = problem.initial(f.name, f.subdomain.start, f.subdomain.shape)
