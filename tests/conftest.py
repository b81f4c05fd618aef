"""What all tests share: a communicator, a directory that all ranks see, and cases marched in memory."""

from __future__ import annotations

from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.case import Case
from parsolve.domain.grid import decompose
from parsolve.equations.catalogue import CATALOGUE
from parsolve.prepare import prepare
from parsolve.problem import Problem, pose
from parsolve.solvers.march import Result, march, march_adaptive

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from parsolve.domain.field import Field
    from parsolve.solvers.evaluation import State

Arrays = dict[str, np.ndarray]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several ranks only collective tests run: those that use `comm` or are marked mpi."""
    if MPI.COMM_WORLD.size > 1:
        chosen = [i for i in items if "comm" in getattr(i, "fixturenames", ()) or i.get_closest_marker("mpi")]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(exitstatus: int) -> Generator[None]:
    """After a failure the other ranks end too, as they may wait for this one."""
    yield
    if exitstatus and MPI.COMM_WORLD.size > 1:
        sleep(2)  # for what the others have to say
        MPI.COMM_WORLD.Abort(1)


@pytest.fixture
def comm() -> Iterator[MPI.Intracomm]:
    """All ranks of this test run: one without mpirun."""
    duplicate = MPI.COMM_WORLD.Dup()
    yield duplicate
    duplicate.Free()


@pytest.fixture
def shared_tmp(comm: MPI.Intracomm, tmp_path: Path) -> Path:
    """The temporary directory of rank 0, on all ranks."""
    return comm.bcast(tmp_path, root=0)


@pytest.fixture
def solo() -> Iterator[MPI.Intracomm]:
    """A communicator of this rank alone."""
    duplicate = MPI.COMM_SELF.Dup()
    yield duplicate
    duplicate.Free()


@dataclass(frozen=True)
class Solution:
    """Global arrays, shape as in a file, of the frames of a march; ``fields`` are those of the last one."""

    problem: Problem
    processes: tuple[int, int, int]
    dt: float
    result: Result
    times: list[float]
    frames: list[Arrays]

    @property
    def fields(self) -> Arrays:
        return self.frames[-1]


def assemble(fields: Mapping[str, Field]) -> Arrays:
    """The global arrays of distributed fields, on every rank."""
    arrays = {}
    for name, f in fields.items():
        sub = f.subdomain
        whole = np.empty(sub.grid.cells, f.dtype)
        for start, part in sub.comm.allgather((sub.start, f.owned.copy())):
            whole[tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))] = part
        arrays[name] = whole.reshape(sub.grid.shape)
    return arrays


class Lab:
    """Builds small cases and marches them without files."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm

    @staticmethod
    def case(equation: str, *cells: int, length: float = 1.0, periodic: bool | str = True, **tables: Any) -> dict[str, Any]:
        """Tables of a case; cells of x, y, z; ``periodic`` is for all axes or names those that are."""
        axes = "xyz"[: len(cells)]
        closed = {True: axes, False: ""}.get(periodic, periodic)  # type: ignore[call-overload]
        grid = {a: {"cells": n, "range": [0.0, length], "periodic": a in closed} for a, n in zip(axes, cells, strict=True)}
        initial = {name: f"0.4 + 0.3*noise(seed={i})" for i, name in enumerate(CATALOGUE[equation].fields)}
        initial |= tables.pop("initial", {})
        return {"equation": equation, "grid": grid, "initial": initial, "time": {"steps": 1}, **tables}

    @staticmethod
    def pose(case: dict[str, Any]) -> Problem:
        return pose(Case.from_dict(case))

    def solve(
        self, case: dict[str, Any] | Problem, comm: MPI.Intracomm | None = None, processes: dict[str, int] | None = None
    ) -> Solution:
        """March a case on the ranks of a communicator (by default one) and gather what it did."""
        problem = case if isinstance(case, Problem) else self.pose(case)
        sub = decompose(
            problem.grid,
            comm or self.comm,
            ghost=problem.program.ghost,
            closure=problem.points,
            processes=processes or problem.case.run.processes,
        )
        stepper, schedule, dt = prepare(problem, sub)
        times, frames = [0.0], [assemble(stepper.state)]

        def record(time: float, step: int, state: State) -> None:
            times.append(time)
            frames.append(assemble(state))

        every = problem.case.run.check_every
        if schedule is not None:
            result = march(stepper, schedule, record, check_every=every)
        else:
            tolerance = problem.case.time.tolerance
            result = march_adaptive(stepper, problem.record_times(), dt, tolerance, record, check_every=every)  # type: ignore[arg-type]
        return Solution(problem, sub.processes, dt, result, times, frames)


@pytest.fixture
def lab(solo: MPI.Intracomm) -> Lab:
    """Small cases, marched in memory."""
    return Lab(solo)
