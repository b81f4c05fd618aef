"""The times of a problem: where its march ends, when it is looked at, how many steps and frames there will be."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING

from parsolve.equations.parse import parse_condition
from parsolve.equations.user import RESERVED
from parsolve.march.schedule import MOST_STEPS, START, At, Either, EverySteps, EveryTime, Stop, equal_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sympy

    from parsolve.case import Case
    from parsolve.case.schema import Measure, Slice
    from parsolve.march.schedule import Clock, When
    from parsolve.problem.problem import Problem

MOST_EVENTS = 1e7  # of a schedule: more than anybody has room or patience for
MUCH_SHORTER = 1000  # times: an interval of time that is so much shorter than a step is seldom meant


def end_of(problem: Problem) -> Stop:
    """Where the march ends."""
    time = problem.case.time
    return Stop(step=time.steps) if time.steps else Stop(time=time.end or inf)


def span(case: Case) -> float:
    """How long the march of a case is, infinity if that depends on its steps."""
    time = case.time
    return time.end or (time.dt * (time.steps or 0) if time.dt != "auto" else inf)


def frames_of(problem: Problem) -> When:
    """When frames are written after the first one; the last one at the end."""
    output, end = problem.case.output, At(end_of(problem))
    if output.every is not None:
        every = EveryTime(output.every, problem.case.time.end or inf)
        return Either((every, end)) if problem.case.time.steps else every
    return Either((EverySteps(output.every_steps), end)) if output.every_steps else end


def schedule_of(problem: Problem, looked: Measure | Slice) -> When:
    """When a measure or a slice is taken: on its schedule, or else with the frames."""
    if looked.every is not None:
        return EveryTime(looked.every, problem.case.time.end or inf)
    return EverySteps(looked.every_steps) if looked.every_steps else frames_of(problem)


def is_short(problem: Problem, looked: Measure | Slice, last: Clock, clock: Clock, frames: Sequence[int]) -> bool:
    """Whether a measure or a slice that was taken last at a place lacks something up to another.

    What is taken with the frames is compared with the steps of those, which may be of another schedule.
    """
    if last.step < 0:
        return True
    if looked.every or looked.every_steps:
        return schedule_of(problem, looked).after(last).is_reached(clock)
    return any(last.step < step <= clock.step for step in frames)


def measured_of(problem: Problem) -> list[When]:
    """When measures are taken, each."""
    return [schedule_of(problem, one) for one in problem.case.measures.values()]


def looks_of(problem: Problem) -> list[When]:
    """When measures and slices are taken, each."""
    return [*measured_of(problem), *(schedule_of(problem, one) for one in problem.case.slices.values())]


def first_length(problem: Problem) -> float:
    """The time up to the first stop, which steps divide; infinity if there is none."""
    return min(Either([frames_of(problem), *looks_of(problem)]).after(START).time, end_of(problem).time)


def schedules(case: Case) -> Iterator[tuple[str, str, float | None, int | None]]:
    """What happens on the schedules of a case: the table or key, what it is, every so much time or so many steps."""
    yield "output", "frames", case.output.every, case.output.every_steps
    common = True
    for name, one in case.measures.items():
        if case.has_own_schedule(name):
            yield f"measure.{name}", "measurements", one.every, one.every_steps
        elif common:
            yield "measure", "measurements", one.every, one.every_steps
            common = False
    for name, cut in case.slices.items():
        yield f"slices.{name}", "cuts", cut.every, cut.every_steps
    if case.averages:
        said = {key: value for key, value in case.average.items() if isinstance(value, int | float)}
        steps = said.get("every_steps")
        yield "average", "samples", said.get("every"), int(steps) if steps else None


def refuse_crowds(case: Case, steps: float | None = None) -> None:
    """Refuse schedules with far too many events, as far as their number is known.

    Args:
        case: with the schedules.
        steps: how many a march has, if it is known.

    Raises:
        CaseError: there is one.
    """
    steps = steps or case.time.steps
    for table, what, every, each in schedules(case):
        for key, whole, part in (("every", case.time.end, every), ("every_steps", steps, each)):
            if whole and part and whole / part > MOST_EVENTS:
                raise case.error(f"{table}.{key}", f"{whole / part:.3g} {what} are more than {MOST_EVENTS:.0e}")


def crowded(case: Case, dt: float) -> list[str]:
    """Texts about intervals of time that are far shorter than the steps of a march may be."""
    found, time = [], case.time
    for table, what, every, _ in schedules(case):
        if every and every * MUCH_SHORTER < dt:
            steps = time.steps or 0
            many = f"{time.end / every:.3g} {what}" if time.end else f"{steps} steps to t = {every * steps:.3g}"
            text = f"{every:.3g} is {dt / every:.2g} times shorter than a step may be, which is {dt:.3g}"
            found.append(f"{table}.every: {text}: steps are cut to it, for {many}")
    return found


def count_steps(problem: Problem, dt: float) -> tuple[int, int]:
    """How many steps of at most dt, and frames after the first, a march has whose steps do not change.

    Raises:
        CaseError: so many that they cannot be counted, or far too many events.
    """
    time, output = problem.case.time, problem.case.output
    if (time.steps or (time.end or 0.0) / dt) > MOST_STEPS:
        key = "time.steps" if time.steps else "time.end"
        raise problem.case.error(key, f"more than {MOST_STEPS:.0e} steps of {dt:.3g}")
    refuse_crowds(problem.case, (time.end or 0.0) / dt)
    each = int(min(MOST_STEPS, equal_steps(output.every, dt)[0])) if output.every else output.every_steps
    if time.steps:
        return time.steps, ceil(time.steps / each) if each else 1
    end = time.end or 0.0
    if not output.every:
        steps = int(equal_steps(end, dt)[0])
        return steps, ceil(steps / each) if each else 1
    frames = EveryTime(output.every, end).count
    rest = end - EveryTime(output.every).time(frames - 1)
    return (frames - 1) * (each or 1) + int(equal_steps(rest, dt)[0]), frames


def count_looks(problem: Problem, looked: Measure | Slice, steps: int, frames: int, dt: float) -> int:
    """How often a measure or a slice is taken after the start, in a march of so many steps of dt and frames."""
    if looked.every is not None:
        return EveryTime(looked.every, problem.case.time.end or steps * dt).count
    return ceil(steps / looked.every_steps) if looked.every_steps else frames


def condition_of(case: Case) -> sympy.Expr | None:
    """The condition on measures that ends a run: positive where it holds; None if there is none.

    Raises:
        CaseError: it is no condition, or of other names.
    """
    if case.stop is None or case.stop.when is None:
        return None
    names = [*case.measures, *(n for n in case.parameters if n not in RESERVED), "t", "step"]
    with case.located():
        return parse_condition(case.stop.when, names, key="stop.when")
