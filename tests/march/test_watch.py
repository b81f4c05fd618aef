"""Signals are noted once, and a march looks at its time early enough."""

from __future__ import annotations

import math
import signal
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from parsolve.march import watch
from parsolve.march.schedule import Clock
from parsolve.march.watch import Due, Signals, Watch

if TYPE_CHECKING:
    from mpi4py import MPI


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What reaches those who had the signals before."""
    found: list[int] = []
    before = {number: signal.signal(number, lambda n, _: found.append(n)) for number in watch.CAUGHT}
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", watch.CAUGHT)
def test_a_second_signal_is_for_others_but_not_the_same_one_passed_on(
    others: list[int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with Signals() as signals:
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert (signals.received, others) == (number, [])
        monkeypatch.setattr(watch, "AGAIN", 0.0)
        signal.raise_signal(number)
        assert (signals.received, others) == (number, [number])
    signal.raise_signal(number)
    assert others == [number, number]


def test_another_signal_is_a_second_one(others: list[int]) -> None:
    with Signals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert (signals.received, others) == (signal.SIGUSR1, [signal.SIGTERM])


@pytest.mark.parametrize(("costs", "is_over"), [(1.0, False), (30.0, True)])
def test_time_is_over_while_a_checkpoint_can_still_be_written(solo: MPI.Intracomm, costs: float, is_over: bool) -> None:
    """A minute before the end, a checkpoint of half a minute is begun, as the one under way is completed before."""
    look = Watch(solo, Due(), Signals(), monotonic() + 60, costs)
    look.begin(Clock())
    assert look.look(Clock(1, 0.1)) == bool(look.reason) == is_over
    look = Watch(solo, Due(), Signals(), monotonic() + 60, 1e9)
    look.begin(Clock())
    look.took(costs)  # counts more than what was guessed
    assert look.look(Clock(1, 0.1)) == is_over


def test_a_checkpoint_that_is_due_waits_until_the_one_before_is_written(solo: MPI.Intracomm) -> None:
    look = Watch(solo, Due(time=1.0), Signals(), math.inf)
    look.begin(Clock())
    assert not look.look(Clock(1, 0.9))
    assert not look.look(Clock(2, 1.1), ready=False)
    assert look.look(Clock(3, 1.2))
    look.begun(Clock(3, 1.2))
    assert not look.look(Clock(4, 1.9))
    assert look.look(Clock(5, 2.0))


def test_sigusr1_waits_for_those_who_note_it(others: list[int]) -> None:
    """Before and after them, whatever MPI or Python would do with it."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        signal.raise_signal(signal.SIGUSR1)
        assert others == []
        with Signals() as signals:
            assert (signals.received, others) == (signal.SIGUSR1, [])
        signal.raise_signal(signal.SIGUSR1)
        assert others == []
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert others == [signal.SIGUSR1]
    with Signals():
        pass
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_came_before_is_known_within(others: list[int]) -> None:
    """As in a sweep, between two members."""
    with Signals() as outer:
        signal.raise_signal(signal.SIGTERM)
        with Signals() as inner:
            assert inner.received == outer.received == signal.SIGTERM
        assert others == []
