"""The rules that end a march before its time."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from parsolve.case.checks import seconds_of
from parsolve.domain.reduce import magnitude
from parsolve.equations.values import evaluate
from parsolve.errors import on_root
from parsolve.march.march import Event
from parsolve.march.schedule import At, EverySteps, Stop
from parsolve.problem.times import condition_of, end_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.march.schedule import Clock
    from parsolve.problem.measuring import Measured
    from parsolve.problem.prepare import Prepared
    from parsolve.stages.operator import State


class Rules:
    """The rules of a case, looked at while it is marched; collective.

    A rule that is met where the march ends anyway has not ended it.

    Args:
        march: which they end.

    Attributes:
        reason: the rule that ended it; empty until one does.
    """

    def __init__(self, march: Prepared) -> None:
        self._march, self._case, self.reason = march, march.problem.case, ""
        self._condition = condition_of(self._case)
        self._begun = monotonic()

    def go_on(self, spent: float) -> None:
        """Begin anew, after so many seconds of marching."""
        self.reason, self._begun = "", monotonic() - spent

    @property
    def of_measures(self) -> bool:
        """Whether there is a rule on measures."""
        return self._condition is not None

    @property
    def events(self) -> list[Event]:
        """Where the others are looked at."""
        rules, found = self._case.stop, list[Event]()
        if rules is not None and (rules.steady or rules.walltime):
            found.append(Event(EverySteps(self._case.run.check_every), self._judge))
        if rules is not None and rules.steps:
            due = f"{rules.steps} steps"
            found.append(Event(At(Stop(step=rules.steps)), lambda clock, state: self._end(clock, due)))
        return found

    def is_over(self) -> bool:
        """Whether a rule has ended it."""
        return bool(self.reason)

    def judge_measures(self, clock: Clock, values: Mapping[str, Measured]) -> None:
        """Look at the rule on measures, if there is one."""
        march, rules = self._march, self._case.stop
        if self._condition is None or rules is None:
            return
        known = {**march.problem.parameters, **single(values), "t": clock.time, "step": float(clock.step)}
        if on_root(march.comm, lambda: float(evaluate(self._condition, known)) > 0):
            self._end(clock, f"{rules.when}")

    def judge_again(self, clock: Clock, measured: bool) -> None:
        """Look at the rules at which the run that is gone on with has looked here, in its order: one may have ended it.

        Args:
            clock: where it is.
            measured: whether that run has measured here by a schedule, and not as it ended here.
        """
        rules, march = self._case.stop, self._march
        if rules is None or not clock.step:
            return
        if self._condition is not None and measured:
            self.judge_measures(clock, march.looking.measure(march.state, clock.time))
        if rules.steady and EverySteps(self._case.run.check_every).is_due(clock):
            self._judge(clock, march.state)
        if rules.steps and clock.step >= rules.steps:
            self._end(clock, f"{rules.steps} steps")

    def _judge(self, clock: Clock, state: State) -> None:
        """Look at the rules that are no measures."""
        rules, march = self._case.stop, self._march
        assert rules is not None
        if rules.steady is not None:
            rates = march.steps.stepper.sizes_of_rates(clock.time)
            sizes = {name: magnitude(f) for name, f in state.items()}
            if all(rates[name] <= rules.steady * sizes[name] for name in sizes):
                self._end(clock, f"steady: no field changes by more than {rules.steady:g} of its size per unit of time")
        if rules.walltime is not None:
            left = on_root(march.comm, lambda: seconds_of(rules.walltime or "") - (monotonic() - self._begun))
            if left <= 0:
                self._end(clock, f"its time of {rules.walltime} was over")

    def _end(self, clock: Clock, reason: str) -> None:
        """Let a rule end the march, but for one that is at its end: that is finished, whatever holds there."""
        if not end_of(self._march.problem).is_reached(clock):
            self.reason = self.reason or reason


def single(values: Mapping[str, Measured]) -> dict[str, float]:
    """Of measures those that are one number."""
    return {name: value for name, value in values.items() if isinstance(value, float)}
