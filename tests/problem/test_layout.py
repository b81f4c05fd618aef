"""The layout is decided once: ranks that would decide differently agree, and no decision changes a bit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.domain.grid import split_grid
from parsolve.errors import CaseError, SetupError
from parsolve.kernels.library import best_level, core, instruction_set, possible_threads
from parsolve.problem import layout as rooms
from parsolve.problem.layout import decide, plan_layout
from parsolve.problem.prepare import prepare
from parsolve.stages import blocking

if TYPE_CHECKING:
    from mpi4py import MPI

CASES = {
    "passes": ("heat", {"steps": 12, "scheme": "euler"}, {}),
    "adaptive": ("gray-scott", {"end": 2.0, "scheme": "dp45", "tolerance": 1e-5}, {}),
    "user": ({"u": "laplace(u) - u**3"}, {"steps": 12, "scheme": "rk4"}, {}),
    "sums": ({"u": "laplace(u) - mean(u)"}, {"steps": 4, "scheme": "rk4"}, {}),
    "float32": ("cahn-hilliard", {"steps": 6, "scheme": "ssprk22", "dt": 1e-7}, {"precision": "float32"}),
}


def case_of(lab: Any, name: str) -> dict[str, Any]:
    equation, time, run = CASES[name]
    return lab.case(equation, 66, 65, time=time, run=run)


@pytest.mark.mpi
@pytest.mark.parametrize("name", CASES)
def test_ranks_of_unlike_environments_agree(
    lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Threads that the launcher asks for, the size of caches, the best instruction set, and what a library says of dt."""
    case = case_of(lab, name)
    alone = lab.solve(case)
    monkeypatch.setenv("OMP_NUM_THREADS", str(1 + comm.rank % 2))
    monkeypatch.setattr(blocking, "cache_bytes", lambda: 1 << (16 + 2 * (comm.rank % 3)))
    monkeypatch.setattr(rooms, "best_level", lambda: best_level() if comm.rank else 1)
    monkeypatch.setattr("parsolve.problem.limits.closure_factor", lambda *_: 1.0 + 1e-13 * comm.rank)
    together = lab.solve(case, comm)
    assert (together.dt, together.result.steps) == (alone.dt, alone.result.steps)
    for field, values in alone.fields.items():
        np.testing.assert_array_equal(together.fields[field], values)


@pytest.mark.mpi
@pytest.mark.parametrize("name", CASES)
def test_instruction_sets_give_the_same_bits(
    lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also if every rank loads another one."""
    case, levels = case_of(lab, name), [level for level in (1, 3, 4) if level <= max(1, best_level())]
    alone = lab.solve(case)
    find = rooms.find_device
    for shift in range(len(levels)):
        level = levels[(comm.rank + shift) % len(levels)]
        monkeypatch.setattr(rooms, "find_device", lambda name, _, level=level: find(name, level))
        together = lab.solve(case, comm)
        for field, values in alone.fields.items():
            np.testing.assert_array_equal(together.fields[field], values)


@pytest.mark.mpi
def test_the_layout_is_that_of_the_lowest_instruction_set(
    lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = lab.pose(case_of(lab, "passes"))
    monkeypatch.setattr(rooms, "best_level", lambda: 1 if comm.rank == comm.size - 1 else 3)
    found = decide(problem, comm)
    assert comm.allgather(found) == [found] * comm.size
    assert found.level == 1
    assert found.subdomain(problem.grid, comm).device.library is core(1)


def test_what_check_plans_is_what_a_run_decides(lab: Any) -> None:
    problem = lab.pose(case_of(lab, "passes"))
    planned, found = plan_layout(problem, 1, best_level()), decide(problem, lab.comm)
    assert replace(planned, placement=found.placement) == found
    prepared = prepare(problem, found, lab.comm)
    assert prepared.layout == replace(found, dt=prepared.layout.dt)
    assert prepared.layout.dt > 0
    prepared.free()


@pytest.mark.mpi
@pytest.mark.parametrize("asked", ["case", "launcher"])
@pytest.mark.parametrize("cores", [1, 3, 64])
def test_threads_are_at_most_the_cores_of_a_node(
    lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, asked: str, cores: int
) -> None:
    """Whoever asks for them, in a run and in its plan."""
    monkeypatch.setattr("parsolve.domain.cores.usable_cores", lambda: set(range(cores)))
    for threads in (1, 2, 3, 4, 64, 65, 100000, 10**15):
        if asked == "launcher":
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        case = lab.case("heat", 66, 65, run={"threads": threads} if asked == "case" else {})
        problem = lab.pose(case)
        for find in (partial(decide, problem, comm), partial(plan_layout, problem, comm.size, 1)):
            if threads <= cores:
                assert find().threads == possible_threads(threads)
                continue
            key = "run.threads" if asked == "case" else "OMP_NUM_THREADS"
            with pytest.raises(CaseError if asked == "case" else SetupError, match=f"{key}.*at most {cores}$"):
                find()


def test_ghosts_are_as_deep_as_a_pass_reaches(lab: Any) -> None:
    """Along axes that are split, or periodic and not closed by the tiles."""
    problem = lab.pose(lab.case("heat", 256, 256, 64, periodic="xz", time={"steps": 64, "scheme": "euler"}))
    found = plan_layout(problem, 2, best_level())
    assert found.processes == (2, 1, 1) or found.processes == (1, 2, 1)
    assert found.blocking.steps > 1
    assert not found.blocking.whole
    assert found.ghosts[2] == 1  # rows are closed in the tile
    for axis in (0, 1):
        deep = found.processes[axis] > 1 or problem.grid.periodic[axis]
        assert found.ghosts[axis] == (found.blocking.steps if deep else 1)
    assert len(split_grid(problem.grid, found.processes)[0]) == found.processes[0] + 1


def test_instruction_sets_have_names() -> None:
    assert "AVX-512" in instruction_set(4)
    assert "AVX2" in instruction_set(3)
    assert instruction_set(0)
