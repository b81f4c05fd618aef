"""What a step costs beside its arithmetic, and workers of both kinds."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.march.schedule import START
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
