"""The pipeline and the plain order give the same bits, whatever equation, scheme, boundary, tile and ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.domain.grid import Halo, decompose
from parsolve.prepare import prepare
from parsolve.solvers.pipeline import Passes, Pipeline

FIRST_ORDER = ("heat", "gray-scott", "fitzhugh-nagumo", "allen-cahn", "cahn-hilliard", "swift-hohenberg")
CONDITIONS = (
    None,
    {"dirichlet": "x + t"},
    {"neumann": 0.3},
    {"robin": [1.0, 0.1, "sin(t)"]},
    {"robin": ["where(x < 0.5, 1, 0)", "where(x < 0.5, 0, 1)", "t"]},
)
PASSES = 2


def marched(lab: Any, case: dict[str, Any], comm: MPI.Intracomm, steps: int, tile: tuple[int, int] | None) -> Any:
    """The state after some steps, one by one or in PASSES passes."""
    problem = lab.pose(case)
    kernels = problem._kernels * problem.program.radius
    deep = steps * kernels if tile else 0
    halo = Halo(problem.program.ghost, problem.points, deep)
    sub = decompose(problem.grid, comm, halo, problem.case.run.processes, problem.threads if tile else 1)
    march = prepare(problem, sub)
    if tile:
        pipeline = Pipeline(march.stepper, steps, march.dt, 0, tile)
        for n in range(PASSES):
            pipeline(n * steps, march.schedule.time)
        pipeline.exchange.free()
    else:
        for n in range(PASSES * steps):
            march.stepper.step(march.schedule.time(n), march.dt)
    march.stepper.free()
    return march.state


def assert_same(lab: Any, case: dict[str, Any], comm: MPI.Intracomm, steps: int, tile: tuple[int, int]) -> None:
    plain, piped = (marched(lab, case, comm, steps, t) for t in (None, tile))
    for name, f in plain.items():
        np.testing.assert_array_equal(piped[name].owned, f.owned, name)


def tables(lab: Any, draw: Any, cells: list[int], orders: tuple[int, ...] = (2, 4)) -> tuple[dict[str, Any], int]:
    """A random case, and steps of a pass."""
    scheme = draw(st.sampled_from(["euler", "ssprk22", "ssprk33", "rk4", "leapfrog"]))
    name = "wave" if scheme == "leapfrog" else draw(st.sampled_from(FIRST_ORDER))
    axes = "xyz"[: len(cells)]
    periodic = "".join(axis for axis in axes if draw(st.booleans()))
    condition = draw(st.sampled_from(CONDITIONS))
    sides = [axis + end for axis in axes if axis not in periodic for end in ("min", "max")]
    field = "c" if name == "cahn-hilliard" else "u"
    steps = draw(st.sampled_from([2, 4])) if scheme in ("euler", "leapfrog") else draw(st.sampled_from([1, 2]))
    order, precision = draw(st.sampled_from(orders)), draw(st.sampled_from(["float64", "float32"]))
    case = lab.case(
        name,
        *cells,
        periodic=periodic,
        boundary={field: dict.fromkeys(sides, condition)} if condition and sides else {},
        time={"steps": PASSES * steps, "scheme": scheme, "dt": 1e-5},
        run={"order": order, "precision": precision},
    )
    return case, steps


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_tile_gives_the_bits_of_the_plain_order(lab: Any, solo: MPI.Intracomm, data: Any) -> None:
    cells = data.draw(st.lists(st.integers(5, 24), min_size=1, max_size=3))
    case, steps = tables(lab, data.draw, cells)
    case["run"]["threads"] = data.draw(st.integers(1, 3))
    assert_same(lab, case, solo, steps, data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20))))


@pytest.mark.mpi
@pytest.mark.parametrize("seed", range(12))
def test_ranks_and_tiles_give_the_bits_of_the_plain_order(lab: Any, comm: MPI.Intracomm, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = [int(n) for n in rng.integers(64, 72, 2)] if seed % 2 else [12, 64, 66]

    def draw(strategy: Any) -> Any:
        return (
            strategy.elements[rng.integers(len(strategy.elements))]
            if hasattr(strategy, "elements")
            else bool(rng.integers(2))
        )

    case, steps = tables(lab, draw, cells, orders=(2,))
    assert_same(lab, case, comm, min(steps, 2), (int(rng.integers(1, 20)), int(rng.integers(1, 20))))


def test_passes_and_single_steps_mix(lab: Any, solo: MPI.Intracomm) -> None:
    """Seven steps are one pass of four and three single ones; the parity of the registers then differs."""
    case = lab.case("heat", 20, 18, time={"steps": 14, "scheme": "euler"})
    problem = lab.pose(case)
    plain = lab.solve(replace(problem, case=msgspec.structs.replace(problem.case, run=_off(problem)))).fields["u"]
    march = prepare(problem, decompose(problem.grid, solo, Halo(1, 1, 4)))
    passes, done = Passes(march.stepper, 4, march.dt, (3, 5)), 0
    for stop in (7, 14):
        while done < stop:
            done += passes.advance(done, stop, march.schedule)
    np.testing.assert_array_equal(march.state["u"].owned[0], plain)
    passes.free()


def test_large_grids_are_marched_in_passes_and_off_means_off(lab: Any) -> None:
    problem = lab.pose(lab.case("heat", 96, 96, time={"steps": 16, "scheme": "euler"}))
    off = replace(problem, case=msgspec.structs.replace(problem.case, run=_off(problem)))
    assert problem.pass_steps(1) > 1
    assert off.pass_steps(1) == 0
    np.testing.assert_array_equal(lab.solve(problem).fields["u"], lab.solve(off).fields["u"])


@pytest.mark.parametrize(
    ("rate", "run"),
    [
        ("laplace(u) + mean(u)", {}),
        ("dxy(u)", {}),
        ("laplace(u) + y", {}),
        ("laplace(u)", {"device": "numpy"}),
    ],
)
def test_what_cannot_run_in_tiles_runs_step_by_step(lab: Any, rate: str, run: dict[str, Any]) -> None:
    case = lab.case({"u": rate}, 96, 96, time={"steps": 2, "scheme": "rk4"}, run=run)
    assert lab.pose(case).pass_steps(1) == 0


def _off(problem: Any) -> Any:
    return msgspec.structs.replace(problem.case.run, pipeline="off")
