"""A problem on a subdomain, ready to march: registers with initial values, time step and schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from parsolve.domain.reduce import extrema, magnitude
from parsolve.errors import NumericalError, StorageError, agree, agreed, on_root, owning
from parsolve.kernels.library import CompiledKernel
from parsolve.march.control import ErrorControlled, Limited, cautious_step
from parsolve.march.growth import Growth
from parsolve.march.history import History
from parsolve.march.march import Event, check_finite, march
from parsolve.march.schedule import START, Clock, Either, EverySteps, equal_steps
from parsolve.march.stepper import Stepper, Workspace
from parsolve.march.steps import Steps
from parsolve.problem.kernels import kernels
from parsolve.problem.limits import NOT_FINITE, PER_CHANGE
from parsolve.problem.measuring import Looking
from parsolve.problem.operators import operator_of
from parsolve.problem.peclet import peclet_warnings
from parsolve.problem.renewal import Renewal
from parsolve.problem.tiles import remember
from parsolve.problem.times import count_steps, crowded, end_of, first_length, frames_of
from parsolve.problem.values import coefficient_fields, initial, set_values
from parsolve.problem.walls import Walls
from parsolve.stages.blocking import PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Triple
    from parsolve.march.control import Control
    from parsolve.march.march import Outcome, Progress
    from parsolve.problem.averaging import Averages
    from parsolve.problem.layout import Layout
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State

BEYOND = 1e300  # a rate that no growth is beyond

Record = Callable[[Clock, "State"], None]
Values = Callable[[str, "Triple", "Triple"], "NDArray[Any]"]  # of a field on a box (start, shape) of cells


@dataclass(frozen=True)
class Prepared:
    """A march that is ready to go: its steps hold the initial state; ``layout`` has the (first) time step.

    ``warnings`` say what is doubtful, and grow while it marches.
    """

    problem: Problem
    layout: Layout
    steps: Steps
    control: Control
    renewal: Renewal
    growth: Growth
    walls: Walls
    history: History
    looking: Looking
    free: Callable[[], None]
    warnings: list[str]

    @property
    def state(self) -> State:
        """The current fields."""
        return self.steps.state

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Over the owned cells, by name, the values without which it does not go on with the same bits."""
        kept = {name: f.owned for name, f in self.steps.stepper.kept.items()}
        return kept | self.renewal.arrays | self.looking.averages.arrays

    def numbers(self) -> dict[str, Any]:
        """The rest of what it needs for that, as JSON takes it."""
        stepper, parts = self.steps.stepper, {name: part.numbers() for name, part in self._parts.items()}
        return {"parity": stepper.parity, "dt": stepper.dt, **parts}

    def restore(self, numbers: Mapping[str, Any], fill: Callable[[Mapping[str, NDArray[Any]]], None]) -> None:
        """Be as it was at a checkpoint: what ``numbers`` gave then, and a function that fills the ``arrays``.

        Raises:
            StorageError: these are numbers of another march.
        """
        stepper = self.steps.stepper
        try:
            stepper.parity, stepper.dt = numbers["parity"], numbers["dt"]
            for name, part in self._parts.items():
                part.restore(numbers[name])
            if self.renewal.is_other and isinstance(self.control, Limited):
                self.control.look_again()
        except (KeyError, TypeError, ValueError) as caught:
            raise StorageError(f"the checkpoint is of another kind of march: {caught}") from None
        fill(self.arrays)

    @property
    def _parts(self) -> dict[str, Control | Renewal | Growth | Averages]:
        parts: dict[str, Control | Renewal | Growth | Averages] = {
            "control": self.control, "renewal": self.renewal, "growth": self.growth,
        }  # fmt: skip
        return {**parts, "averages": self.looking.averages} if self.problem.case.averages else parts

    def run(
        self, record: Record, progress: Progress | None = None, clock: Clock = START, more: Sequence[Event] = (),
        is_over: Callable[[], bool] = lambda: False,
    ) -> Outcome:  # fmt: skip
        """March to the end; ``record`` is called at every frame after the first; collective.

        Args:
            record: takes the clock and the state.
            progress: is told of it on rank 0.
            clock: where it is now.
            more: events beside checks and frames, which come after them.
            is_over: whether it is to end after the events of a step.

        Raises:
            NumericalError: a value is not finite, or no step is stable or meets the tolerance.
        """
        problem, control, frames = self.problem, self.control, frames_of(self.problem)
        end = end_of(problem)
        checks = Either((frames, EverySteps(problem.case.run.check_every)))

        def look(clock: Clock, state: State) -> None:
            check_finite(state, clock, control.dt, self.walls.error)
            self.growth.look(state, clock)
            if isinstance(control, Limited) and end.is_reached(clock):
                control.limit(state, clock)  # the last steps were not too long either

        shown = self.history
        shown.tells(progress if self.comm.rank == 0 else None)
        shown.begin(clock.step, clock.time, control.dt)
        shown.start(problem.case.time.end, problem.case.time.steps, problem.grid.size)
        averages = self.looking.averages
        sampling = [Event(averages.when, averages.take)] if problem.case.averages else []
        events = [Event(checks, look, marching=True), *sampling, Event(frames, record), *more]
        with self.walls.blamed(self.comm):
            outcome = march(self.steps, control, events, clock=clock, progress=shown, is_over=is_over, took=shown.took)
        shown.finish()
        self.warnings.extend(self.growth.warnings)
        return outcome

    @property
    def changes(self) -> bool:
        """Whether the time step may change."""
        return not (isinstance(self.control, Limited) and self.control.is_steady)

    @property
    def comm(self) -> MPI.Intracomm:
        """Its ranks."""
        return self.steps.stepper.work.subdomain.comm


def prepare(
    problem: Problem, layout: Layout, comm: MPI.Intracomm, clock: Clock = START, given: Values | None = None
) -> Prepared:
    """The march of a problem, ready to go, to be freed at the end; collective.

    It begins where the ``clock`` is with the values ``given``, by default those of the case.

    Raises:
        ParsolveError: initial values are wrong, or there is no stable step; the same one on all ranks.
    """
    sub = layout.subdomain(problem.grid, comm)
    with owning(comm) as owner:
        arrays, walls = coefficient_fields(problem, sub, clock.time), Walls(problem)
        operator = operator_of(
            problem.program, problem.grid, problem.parameters, walls.conditions, kernels(problem, comm, sub.device)
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
                set_values(f, partial(given, f.name) if given else partial(initial, problem, f.name))
            walls.look(sub.start, sub.shape)
        check_finite(stepper.state, clock, 0.0)
        known = {f.name.removesuffix("_t"): magnitude(f) for f in velocity.values()}
        with walls.blamed(comm):
            sizes = stepper.sizes_of_rates(clock.time)

            def speeds(time: float) -> dict[str, float]:
                return known or (stepper.sizes_of_rates(time) if time != clock.time else sizes)

            renewal = Renewal(problem, work, stepper.state, speeds, clock)
            owner.callback(renewal.free)
            agree(comm, None if all(map(isfinite, sizes.values())) else NumericalError(NOT_FINITE))
            if stepper.is_noisy:  # which makes fields larger than any rate tells
                sizes = dict.fromkeys(sizes, BEYOND)
            growth = Growth(stepper.state, sizes, lambda: renewal.growth, clock)
            control = _control(problem, renewal, stepper, clock)
        stepper.start(clock.time, control.dt, {name.removesuffix("_t"): f for name, f in velocity.items()})
        agree(comm, walls.error)
        layout = replace(layout, dt=control.dt)
        ranges = {name: extrema(f) for name, f in stepper.state.items()} | renewal.coefficients
        start = renewal.start
        warnings = start.warnings + crowded(problem.case, start.dt) + peclet_warnings(problem, ranges)
        looking = Looking(problem, work, walls)
        looking.averages.take(clock, stepper.state)
        return Prepared(
            problem, layout, steps, control, renewal, growth, walls, History(), looking, owner.pop_all().close, warnings
        )


def _control(problem: Problem, renewal: Renewal, stepper: Stepper, clock: Clock) -> Control:
    """What chooses the steps; its ``dt`` is the first."""
    time, comm = problem.case.time, stepper.work.subdomain.comm
    if time.tolerance is None:
        dt = renewal.dt
        on_root(comm, lambda: count_steps(problem, dt))  # or there are too many
        return Limited(renewal, end_of(problem), equal_steps(first_length(problem), dt)[1])
    assert time.end is not None
    longest = 0.5 * PER_CHANGE * renewal.start.resolving
    dt = cautious_step(stepper, clock.time, time.tolerance, min(renewal.dt, longest))
    return ErrorControlled(comm, dt, time.end, time.tolerance, problem.scheme.order, longest)
