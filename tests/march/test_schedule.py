"""Equal steps that hit the frames, and the schedules of events."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.march.schedule import (
    START,
    AtSteps,
    AtTimes,
    Clock,
    Either,
    EverySteps,
    Schedule,
    Stop,
    counted_schedule,
    even_schedule,
)


@given(st.floats(1e-3, 1e3), st.floats(1e-4, 10.0), st.integers(1, 60))
def test_frames_that_divide_the_time_are_hit(every: float, dt: float, frames: int) -> None:
    dt = max(dt, every / 500)
    end = every * frames
    schedule = even_schedule(end, dt, every)
    assert schedule.dt <= dt * (1 + 1e-9)
    assert schedule.steps * schedule.dt == pytest.approx(end, rel=1e-12)
    assert len(schedule.records) == frames
    for i, step in enumerate(schedule.records, start=1):
        assert step * schedule.dt == pytest.approx(i * every, rel=1e-9)
    if frames > 1:
        assert schedule.steps < frames * (every / dt + 1 + 1e-6)  # no more steps than it takes


@given(st.floats(0.1, 10), st.floats(0.01, 1.0), st.floats(0.05, 12))
def test_frames_are_increasing_and_end_at_the_end(end: float, dt: float, every: float) -> None:
    schedule = even_schedule(end, dt, every)
    assert schedule.dt <= dt * (1 + 1e-9)
    assert schedule.steps * schedule.dt == pytest.approx(end, rel=1e-12)
    assert schedule.records[-1] == schedule.steps
    assert list(schedule.records) == sorted(set(schedule.records))
    for i in range(1, int(end / every) + 1):  # the nearest step, half a step away at most
        assert min(abs(step * schedule.dt - i * every) for step in (0, *schedule.records)) <= schedule.dt * (0.5 + 1e-6)


def test_a_step_that_divides_the_time_is_taken_as_it_is() -> None:
    assert even_schedule(1.0, 0.1, None) == Schedule(0.1, 10, (10,), 1.0)
    assert even_schedule(0.3, 0.1, 0.1) == Schedule(0.3 / 3, 3, (1, 2, 3), 0.3)


@pytest.mark.parametrize(
    ("steps", "every", "records"),
    [(10, None, (10,)), (10, 3, (3, 6, 9, 10)), (10, 5, (5, 10)), (10, 20, (10,)), (1, 1, (1,))],
)
def test_counted_steps(steps: int, every: int | None, records: tuple[int, ...]) -> None:
    assert counted_schedule(steps, 0.5, every) == Schedule(0.5, steps, records, steps * 0.5)


@given(st.lists(st.integers(1, 30), min_size=1, unique=True).map(sorted), st.integers(1, 9))
def test_nothing_that_is_due_is_passed(steps: list[int], every: int) -> None:
    """From stop to stop all steps are met at which one of the schedules is due, and no others."""
    when, clock, met = Either([AtSteps(tuple(steps)), EverySteps(every)]), START, []
    while clock.step < 40:
        stop = when.after(clock)
        assert stop.time == math.inf
        assert not stop.is_reached(clock)
        clock = Clock(int(stop.step))
        assert when.is_due(clock)
        met.append(clock.step)
    wanted = sorted({*steps, *range(every, 41, every)})
    assert [n for n in met if n <= 40] == [n for n in wanted if n <= 40]
    assert not any(when.is_due(Clock(n)) for n in range(1, 40) if n not in wanted)


@given(st.lists(st.integers(1, 90), min_size=1, unique=True).map(sorted))
def test_times_are_met_one_by_one(tenths: list[int]) -> None:
    times = [0.1 * n for n in tenths]
    when, clock = AtTimes(tuple(times)), START
    for time in times:
        assert when.after(clock) == Stop(time=time)
        assert not when.is_due(Clock(1, math.nextafter(time, 0.0)))
        clock = Clock(clock.step + 1, time)
        assert when.is_due(clock)
    assert when.after(clock) == Stop()


def test_a_stop_is_the_first_of_a_step_and_a_time() -> None:
    stop = Either([EverySteps(4), AtTimes((0.5,))]).after(Clock(5, 0.25))
    assert stop == Stop(8, 0.5)
    assert stop.is_reached(Clock(8, 0.3))
    assert stop.is_reached(Clock(6, 0.5))
    assert not stop.is_reached(Clock(7, 0.4))
