"""Controls, and the one loop that they drive: it begins anywhere, and events see what they asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.domain.reduce import extrema
from parsolve.errors import CaseError
from parsolve.march.control import ErrorControlled, Limited
from parsolve.march.march import Event, march
from parsolve.march.schedule import START, AtTimes, Clock, EverySteps, Stop
from parsolve.problem.layout import decide
from parsolve.problem.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mpi4py import MPI

    from parsolve.problem.prepare import Prepared
    from parsolve.stages.operator import State


@pytest.fixture
def prepared(solo: MPI.Intracomm, lab: Any) -> Iterator[Any]:
    """Makes marches of cases, and frees them."""
    made: list[Prepared] = []

    def make(*args: Any, comm: MPI.Intracomm | None = None, **tables: Any) -> Prepared:
        problem = lab.pose(lab.case(*args, **tables))
        made.append(prepare(problem, decide(problem, comm or solo), comm or solo))
        return made[-1]

    yield make
    for each in made:
        each.free()


@pytest.mark.parametrize("scheme", ["euler", "rk4", "leapfrog"])
@pytest.mark.parametrize("pipeline", ["off", "auto"])
def test_a_march_in_two_parts_is_the_march(prepared: Any, scheme: str, pipeline: str) -> None:
    """From any step and time on: an event at the end of the first part sees the clock, and no bit changes."""
    case = ("wave" if scheme == "leapfrog" else {"u": "laplace(u) + sin(40*t)"}, 24, 20)
    tables = {"time": {"steps": 13, "dt": 1e-4, "scheme": scheme}, "run": {"pipeline": pipeline}}
    whole, parts = prepared(*case, **tables), prepared(*case, **tables)
    march(whole.steps, whole.control)
    clock = START
    for stop in (5, 6, 13):
        outcome = march(parts.steps, parts.control, clock=clock, end=Stop(step=stop))
        assert outcome.steps == stop
        clock = Clock(outcome.steps, outcome.time)
    np.testing.assert_array_equal(parts.state["u"].owned, whole.state["u"].owned)


def test_first_same_as_last(prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of bs23 takes 3 evaluations, one of dp45 takes 6, and a rejected one no more."""
    for scheme, evaluations in (("bs23", 3), ("dp45", 6)):
        ready = prepared({"u": "sin(9*t)*u"}, 4, time={"end": 1.0, "scheme": scheme, "tolerance": 1e-5},
                         run={"device": "numpy"})  # fmt: skip
        stages = ready.steps.stepper.work.operator.results
        kernel, calls = stages[0].kernel, [0]
        launch = type(kernel).launch

        def counted(self: Any, *args: Any, launch: Any = launch, calls: list[int] = calls) -> Any:
            calls[0] += 1
            return launch(self, *args)

        monkeypatch.setattr(type(kernel), "launch", counted)
        outcome = ready.run(lambda *_: None)
        monkeypatch.undo()
        assert outcome.rejected > 0 or scheme == "dp45"
        assert calls[0] == evaluations * (outcome.steps + outcome.rejected)


def test_events_see_the_times_that_they_asked_for(prepared: Any) -> None:
    ready = prepared("heat", 8, time={"end": 1e-3, "scheme": "bs23", "tolerance": 1e-4})
    times, seen, counted = (2e-4, 5e-4), [], []

    def look(clock: Clock, state: State) -> None:
        seen.append(clock.time)
        assert state is ready.state

    control = ErrorControlled(ready.comm, ready.layout.dt, 1e-3, 1e-4, 3)
    events = [Event(AtTimes(times), look), Event(EverySteps(2), lambda clock, _: counted.append(clock.step))]
    outcome = march(ready.steps, control, events)
    assert tuple(seen) == times
    assert outcome.time == 1e-3
    assert counted == list(range(2, outcome.steps + 1, 2))


@pytest.mark.mpi
def test_a_limit_that_is_looked_up_anew_keeps_a_front_stable(prepared: Any, comm: MPI.Intracomm) -> None:
    """Burgers' u_t = -u u_x with a source: the fixed step of the beginning is too long at the end."""
    rate = {"u": "-u*dx(u) + 0.02*dxx(u) + 4*u*(40 - u)/40"}
    tables = {"initial": {"u": "1 + 0.5*sin(2*pi*x)"}, "time": {"end": 1.0, "dt": 1e-3, "scheme": "ssprk33"}}
    ready = prepared(rate, 64, comm=comm, **tables)

    def limit(state: State, clock: Clock) -> tuple[float, float]:
        low, high = extrema(state["u"])
        return 0.5 / (max(abs(low), abs(high)) * 64 + 4 * 0.02 * 64**2), 5

    control = Limited(limit, Stop(time=1.0))
    before = control.limit(ready.state, START)[0]
    outcome = march(ready.steps, control, [Event(AtTimes((0.3,)), lambda clock, _: None)])
    assert outcome.time == 1.0
    assert control.dt < 0.5 * before
    assert outcome.steps > 1.5 / before
    low, high = extrema(ready.state["u"])
    assert 20 < low < high < 41


def test_adaptive_steps_need_an_embedded_scheme(lab: Any) -> None:
    with pytest.raises(CaseError, match="bs23 or dp45"):
        lab.solve(lab.case("heat", 8, time={"end": 1.0, "scheme": "rk4", "tolerance": 1e-3}))
