"""What a step costs beside its arithmetic, and workers of both kinds."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.march.schedule import START
from parsolve.march.steps import LEAST_TRIAL, MOST_PASSES, TRIALS, Search, Steps
from parsolve.problem.layout import decide
from parsolve.problem.prepare import prepare

if TYPE_CHECKING:
    from mpi4py import MPI

TIMES = {
    "euler": {"steps": 1000, "scheme": "euler"},
    "rk4": {"steps": 1000, "scheme": "rk4"},
    "dp45": {"end": 1e9, "scheme": "dp45", "tolerance": 1e-2},
}


@pytest.mark.mpi
@pytest.mark.parametrize("pipeline", ["off", "auto"])
@pytest.mark.parametrize("time", TIMES)
def test_steps_allocate_nothing(lab: Any, comm: MPI.Intracomm, pipeline: str, time: str) -> None:
    """No arrays come and go: what steps take at any moment is the few numbers that they count with."""
    wall = {"u": {key: {"dirichlet": 0.0} for key in ("ymin", "ymax")}}
    case = lab.case("heat", 64, 96, periodic="x", boundary=wall, time=TIMES[time], run={"pipeline": pipeline})
    problem = lab.pose(case)
    prepared = prepare(problem, decide(problem, comm), comm)
    steps, dt, clock = prepared.steps, prepared.layout.dt, START
    assert bool(prepared.layout.blocking.steps) == (pipeline == "auto")

    def take(count: int) -> None:
        done = 0
        while done < count:
            if time == "dp45":
                steps.attempt(clock.time, dt, 1e-2)
                steps.accept()
                done += 1
            else:
                some = steps.fitting(count - done)
                steps.take([clock.time] * some, dt)
                done += some

    take(192)
    tracemalloc.start()
    take(192)
    first, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    take(960)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    prepared.free()
    assert peak - first < 8192  # a row of the grid has 512 bytes, a field 49152
    assert after - first < 2048


@pytest.mark.mpi
@pytest.mark.parametrize("pipeline", ["off", "auto"])
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_threads_on_ranks_give_the_bits_of_one_worker(
    lab: Any, comm: MPI.Intracomm, pipeline: str, scheme: str
) -> None:
    """Two threads on every rank, in strips and in the pieces of plain kernels."""
    case = lab.case("gray-scott", 96, 120, time={"steps": 24, "scheme": scheme})
    one, many = (
        lab.solve({**case, "run": {"pipeline": pipeline, "threads": threads}}, ranks)
        for threads, ranks in ((1, None), (2, comm))
    )
    for name, values in one.fields.items():
        np.testing.assert_array_equal(many.fields[name], values)


@given(st.lists(st.floats(1e-7, 1e-1), min_size=1, max_size=6), st.floats(0, 0.2), st.booleans(), st.randoms())
def test_the_fastest_tile_is_kept(costs: list[float], noise: float, interrupted: bool, random: Any) -> None:
    """However short a pass is, though each takes a part longer by chance, and one trial of each tile much longer."""
    tiles = [(1, width) for width in range(len(costs))]
    search, passes, spent = Search(tiles), 0, dict.fromkeys(tiles, 0.0)
    spoilt = set(tiles) if interrupted else set()
    while (tile := search.tile) is not None:
        seconds = costs[tile[1]] * (1 + noise * random.random())
        if tile in spoilt and random.random() < 0.5:
            spoilt.remove(tile)
            seconds *= 1000
        search.note(seconds)
        passes, spent[tile] = passes + 1, spent[tile] + seconds
    assert costs[search.best[1]] <= min(costs) * (1 + noise) * (1 + 1e-12)
    assert passes <= TRIALS * MOST_PASSES * len(tiles)
    for tile, cost in zip(tiles, costs, strict=True):
        assert spent[tile] >= TRIALS * min(LEAST_TRIAL, MOST_PASSES * cost) * (1 - 1e-12)


def test_passes_are_repeated_only_where_they_are_short() -> None:
    for cost in (LEAST_TRIAL, 1.0):
        search, passes = Search([(1, 8), (1, 16)]), 0
        while search.tile is not None:
            search.note(cost)
            passes += 1
        assert passes == 2 * TRIALS


def test_without_tiles_nothing_is_tried() -> None:
    assert Search([]).tile is None


def test_steps_keep_the_tile_that_was_the_fastest(
    lab: Any, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tell it once; the passes after it take no other."""
    problem = lab.pose(lab.case("heat", 80, 80, 80, time={"steps": 4000, "scheme": "euler"}))
    prepared, told = prepare(problem, decide(problem, solo), solo), []
    steps = Steps(prepared.steps.stepper, replace(prepared.steps.blocking, tried=False), told.append)
    taken: list[int] = []

    def run(moments: Any, scales: Any, tile: Any) -> float:
        taken.append(tile[1])
        return 1e-7 * tile[1]

    monkeypatch.setattr(steps, "_find", lambda count: (run, []))
    for _ in range(400):
        steps.take([0.0] * steps.blocking.steps, 1e-6)
    prepared.free()
    widths = set(taken)
    assert len(widths) > 1
    assert told == [steps.tile]
    assert steps.tile[1] == min(widths)
    assert set(taken[TRIALS * MOST_PASSES * len(widths) :]) == {min(widths)}
