"""Equal steps that hit the frames, and the schedules of events."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.march.schedule import (
    START,
    At,
    AtTimes,
    Clock,
    Either,
    EverySteps,
    EveryTime,
    Stop,
    equal_steps,
)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_equal_steps_fill_a_length(length: float, longest: float) -> None:
    """With no more of them than it takes, and none longer than asked for."""
    count, dt = equal_steps(length, longest)
    assert count >= 1
    assert dt <= longest * (1 + 1e-9)
    assert count * dt == pytest.approx(length, rel=1e-12)
    assert count < length / longest * (1 + 1e-9) + 1


def test_a_step_that_divides_a_length_is_taken_as_it_is() -> None:
    assert equal_steps(1.0, 0.1) == (10, 0.1)
    assert equal_steps(0.3, 0.1) == (3, 0.3 / 3)
    assert equal_steps(math.inf, 0.1) == (math.inf, 0.1)


@given(st.integers(1, 9999), st.integers(0, 6), st.integers(1, 200), st.booleans())
def test_times_are_the_multiples_that_one_writes_down(digits: int, places: int, frames: int, divides: bool) -> None:
    """Each multiple of an interval as a decimal number, bit for bit, however many, and then the end."""
    every = Decimal(digits).scaleb(-places)
    end = every * frames if divides else every * frames + every / 3
    wanted = [float(every * n) for n in range(1, frames + 1)]
    wanted += [] if divides else [float(end)]
    when, clock, met = EveryTime(float(every), float(end)), START, []
    while (stop := when.after(clock)) != Stop():
        assert not when.is_due(Clock(1, math.nextafter(stop.time, 0.0)))
        clock = Clock(clock.step + 1, stop.time)
        assert when.is_due(clock)
        met.append(clock.time)
    assert met == wanted
    assert when.count == len(wanted)


@given(st.lists(st.integers(1, 30), min_size=1, unique=True).map(sorted), st.integers(1, 9))
def test_nothing_that_is_due_is_passed(steps: list[int], every: int) -> None:
    """From stop to stop all steps are met at which one of the schedules is due, and no others."""
    when, clock, met = Either([*(At(Stop(step=n)) for n in steps), EverySteps(every)]), START, []
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
