"""Waiting does the work that is waited for."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.ensemble.waiting import TaskFuture, as_completed, results, wait

if TYPE_CHECKING:
    from collections.abc import Callable


class Hand:
    """An executor that ends one future at each look, with its place as the value, or with an error."""

    def __init__(self, bad: int = -1) -> None:
        self.left: list[Future[Any]] = []
        self.bad, self.done = bad, 0

    def future(self) -> Future[Any]:
        self.left.append(TaskFuture(self))
        return self.left[-1]

    def look(self) -> None:
        if self.left:
            future = self.left.pop(0)
            if not future.cancelled():
                future.set_running_or_notify_cancel()
                if self.done == self.bad:
                    future.set_exception(ValueError("bad"))
                else:
                    future.set_result(self.done)
            self.done += 1

    def work(self, is_enough: Callable[[], bool], timeout: float | None = None) -> bool:
        end = time.monotonic() + (1e9 if timeout is None else timeout)
        while not is_enough():
            if time.monotonic() > end:
                return False
            self.look()
        return True

    def is_elsewhere(self) -> bool:
        return False


def test_a_result_is_worked_for() -> None:
    hand = Hand()
    first, second = hand.future(), hand.future()
    assert second.result() == 1
    assert first.done()
    assert first.exception() is None


def test_a_look_may_end_it() -> None:
    assert Hand().future().done()


def test_a_result_that_does_not_come_in_time() -> None:
    future: Future[Any] = TaskFuture(Hand())
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0)


def test_who_waits_for_what_is_cancelled_is_told() -> None:
    hand = Hand()
    future = hand.future()
    called: list[Future[Any]] = []
    future.add_done_callback(called.append)
    assert future.cancel()
    assert future.cancel()
    assert called == [future]
    assert wait(hand.work, [future], None, FIRST_COMPLETED) == ({future}, set())


def test_wait_ends_when_it_is_enough() -> None:
    for when, bad, count in ((FIRST_COMPLETED, -1, 1), (FIRST_EXCEPTION, 2, 3), (FIRST_EXCEPTION, -1, 5)):
        hand = Hand(bad)
        every = [hand.future() for _ in range(5)]
        done, not_done = wait(hand.work, every, None, when)
        assert done == set(every[:count])
        assert not_done == set(every[count:])


def test_each_is_given_once_when_it_has_ended() -> None:
    hand = Hand()
    every = [hand.future() for _ in range(5)]
    assert list(as_completed(hand.work, every + every, None)) == every
    with pytest.raises(TimeoutError, match="1 of 1"):
        list(as_completed(hand.work, [Future()], 0.01))


def test_results_that_nobody_asks_for_are_cancelled() -> None:
    hand = Hand(bad=2)
    every = [hand.future() for _ in range(5)]
    found = results(every, None)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="bad"):
        next(found)
    assert [f.cancelled() for f in every] == [False] * 3 + [True] * 2
