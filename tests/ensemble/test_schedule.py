"""The schedule: whatever comes and goes, no rank has two groups at once, nothing starves, and all is done."""

from __future__ import annotations

import random
from concurrent.futures import Future

import pytest

from parsolve.ensemble.schedule import ROW, Schedule, Task


def make(number: int, ranks: int = 1, priority: float = 0) -> Task:
    return Task(number, b"", ranks, priority, False, Future())


def fill(schedule: Schedule, *tasks: Task) -> None:
    for one in tasks:
        schedule.push(one)


@pytest.mark.parametrize("seed", range(30))
def test_everything_is_done_and_ranks_of_groups_are_free(seed: int) -> None:
    chance = random.Random(seed)
    size = chance.choice((1, 2, 3, 4, 8))
    schedule = Schedule([rank // 4 * 4 for rank in range(size)])
    waiting = [make(i, chance.randint(1, size), chance.randint(0, 2)) for i in range(200)]
    begun: list[int] = []
    loads: dict[int, list[int]] = {rank: [] for rank in range(size)}  # numbers, in their order
    running: dict[int, tuple[int, ...]] = {}
    while len(begun) < 200 or running:
        for _ in range(chance.randint(0, 20)):
            if waiting:
                schedule.push(waiting.pop())
        absent = (0,) if chance.random() < 0.3 else ()
        for one, members in schedule.assign(absent):
            assert len(members) == one.ranks
            assert not set(members) & set(absent)
            if one.ranks > 1:
                (had,) = {tuple(loads[rank]) for rank in members}  # none, or the task before of the same group
                assert len(had) <= (0 not in members)
            begun.append(one.number)
            running[one.number] = members
            for rank in members:
                loads[rank].append(one.number)
        ready = [n for n, members in running.items() if all(loads[rank][0] == n for rank in members)]
        assert bool(ready) == bool(running)
        if ready:
            number = chance.choice(ready)
            for rank in running.pop(number):
                loads[rank].remove(number)
            schedule.finish(number, chance.choice((1e-6, 1e-3, 1.0)))
    assert sorted(begun) == list(range(200))
    assert not schedule.is_running


def test_a_large_task_waits_for_no_more_than_what_runs() -> None:
    schedule = Schedule([0] * 4)
    fill(schedule, *(make(i) for i in range(4)))
    assert len(list(schedule.assign())) == 4
    fill(schedule, make(5, ranks=4), *(make(i) for i in range(6, 20)))
    for number in range(3):
        schedule.finish(number, 1.0)
        assert list(schedule.assign()) == []
    schedule.finish(3, 1.0)
    assert [one.number for one, _ in schedule.assign()] == [5]


def test_a_group_has_its_next_task_ahead_if_enough_are_left() -> None:
    schedule = Schedule([0] * 4)
    fill(schedule, *(make(i, ranks=3) for i in range(4)))
    assert [(one.number, members) for one, members in schedule.assign()] == [(0, (1, 2, 3)), (1, (1, 2, 3))]
    schedule.finish(0, 1.0)
    assert [one.number for one, _ in schedule.assign()] == [2]
    schedule.finish(1, 1.0)
    assert list(schedule.assign()) == []


def test_small_ones_fill_what_a_large_one_leaves() -> None:
    schedule = Schedule([0] * 4)
    fill(schedule, make(1, ranks=3), make(2, ranks=3), make(3))
    given = {one.number: members for one, members in schedule.assign()}
    assert given == {1: (1, 2, 3), 3: (0,)}


def test_large_ones_go_first_among_equals_but_do_not_starve_the_others() -> None:
    schedule = Schedule([0, 0])
    fill(schedule, make(0), make(1), *(make(i, ranks=2) for i in range(2, 2 * ROW)))
    order = []
    for _ in range(2 * ROW - 1):
        begun = [one.number for one, _ in schedule.assign()]
        order += begun
        for number in begun:
            schedule.finish(number, 1.0)
    assert order.index(0) == ROW - 2


def test_priorities_before_sizes_and_order() -> None:
    schedule = Schedule([0])
    fill(schedule, make(0), make(1, priority=1), make(2, priority=1), make(3, priority=-1))
    order = []
    for _ in range(4):
        ((one, _),) = schedule.assign()
        order.append(one.number)
        schedule.finish(one.number, 1.0)
    assert order == [1, 2, 0, 3]


def test_what_is_cancelled_is_not_given() -> None:
    schedule = Schedule([0])
    tasks = [make(i) for i in range(3)]
    fill(schedule, *tasks)
    tasks[0].future.cancel()
    assert [one.number for one, _ in schedule.assign()] == [1]
    assert [one.number for one in schedule.clear()] == [2]


@pytest.mark.parametrize(("seconds", "away", "most"), [(1.0, 0.0, 2), (1e-6, 0.0, 2000), (1.0, 5.0, 12)])
def test_work_ahead_bridges_the_absence_of_rank_0(seconds: float, away: float, most: int) -> None:
    schedule = Schedule([0] * 4)
    fill(schedule, make(0))
    list(schedule.assign())
    schedule.finish(0, seconds)
    schedule.away = away
    fill(schedule, *(make(i) for i in range(1, 10_000)))
    loads = [0] * 4
    for _, members in schedule.assign():
        loads[members[0]] += 1
    assert loads[0] == (48 if seconds < 1e-3 else 1)
    assert all(1 < load <= most for load in loads[1:])


def test_at_the_end_nothing_is_ahead() -> None:
    schedule = Schedule([0] * 4)
    schedule.away = 100.0
    fill(schedule, *(make(i) for i in range(10)))
    assert len(list(schedule.assign())) == 4
