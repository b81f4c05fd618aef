"""What all tests share: a communicator, a directory that all ranks see, and cases marched in memory."""

from __future__ import annotations

import copyreg
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from time import sleep
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from mpi4py import MPI

from parsolve.case import Case
from parsolve.domain import cores
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.domain.redistribute import allgather
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.equation import field_of
from parsolve.march.march import Outcome
from parsolve.march.stepper import Workspace
from parsolve.problem.kernels import kernels
from parsolve.problem.layout import decide
from parsolve.problem.operators import operator_of
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare
from parsolve.problem.problem import Problem
from parsolve.problem.values import coefficient_fields
from parsolve.stages.operator import Update
from parsolve.stages.plain import Plain
from parsolve.store.frames import FieldInfo, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from parsolve.march.schedule import Clock
    from parsolve.stages.operator import State

Arrays = dict[str, np.ndarray]
INFO = {"u": FieldInfo("u", "temperature", "K"), "v": FieldInfo("v", "speed", "m/s")}
PROVENANCE = {
    "title": "a plate",
    "parsolve": "1.2.3",
    "command": "parsolve run",
    "created": "2026-01-01",
    "case": "a = 1\n",
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Each rank has temporary files of its own: pytest on one rank would clear up beneath the others."""
    if MPI.COMM_WORLD.size > 1 and config.option.basetemp is None:
        folder = tempfile.mkdtemp(prefix=f"parsolve-tests-{MPI.COMM_WORLD.rank}-")
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several ranks only collective tests run: those that use `comm` or are marked mpi."""
    if MPI.COMM_WORLD.size > 1:
        chosen = [i for i in items if "comm" in getattr(i, "fixturenames", ()) or i.get_closest_marker("mpi")]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """After a failure the other ranks end too, as they may wait for this one."""
    yield
    if exitstatus and MPI.COMM_WORLD.size > 1:
        session.config.get_terminal_writer().flush()
        sleep(2)  # for what the others have to say
        MPI.COMM_WORLD.Abort(1)


@pytest.fixture(autouse=True)
def turns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where several processes test at a time (`pytest -n`), tests marked ``alone`` wait for the others, and they for them."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    kind = fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH
    with (tmp_path_factory.getbasetemp().parent / "turns").open("w") as file:
        fcntl.flock(file, kind)
        yield


@pytest.fixture(autouse=True)
def pickled_as_before() -> Iterator[None]:
    """What a test imports (tblib, of Dask) does not change how exceptions of the next are pickled."""
    before = dict(copyreg.dispatch_table)
    yield
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(before)


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


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process might use more cores than any test has threads."""
    monkeypatch.setattr(cores, "usable_cores", lambda: set(range(64)))


@dataclass(frozen=True)
class Solution:
    """Global arrays, shape as in a file, of the frames of a march; ``fields`` are those of the last one."""

    problem: Problem
    processes: tuple[int, int, int]
    dt: float
    result: Outcome
    times: list[float]
    frames: list[Arrays]

    @property
    def fields(self) -> Arrays:
        return self.frames[-1]


def assemble(fields: Mapping[str, Field]) -> Arrays:
    """The global arrays of distributed fields, on every rank."""
    return {name: allgather(f.owned, f.subdomain) for name, f in fields.items()}


class Lab:
    """Builds small cases and marches them without files."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm

    @staticmethod
    def case(
        equation: str | Mapping[str, str],
        *cells: int,
        length: float | Sequence[float] = 1.0,
        periodic: bool | str = True,
        **tables: Any,
    ) -> dict[str, Any]:
        """Tables of a case.

        Args:
            equation: a name of the catalogue, or the texts of ``[evolve]``.
            cells: of x, y, z.
            length: of all axes, or of each; the lower end is 0.
            periodic: for all axes, or the names of those that are.
            tables: more of the case; fields without an initial value get noise, and a given dt may be unstable.
        """
        axes = "xyz"[: len(cells)]
        lengths = [length] * len(axes) if isinstance(length, float) else length
        closed = periodic if isinstance(periodic, str) else axes * periodic
        grid = {
            axis: {"cells": n, "range": [0.0, end], "periodic": axis in closed}
            for axis, n, end in zip(axes, cells, lengths, strict=True)
        }
        named = isinstance(equation, str)
        fields = CATALOGUE[equation].fields if named else [field_of(key) for key in equation]
        noise = {name: f"0.4 + 0.3*noise(seed={i})" for i, name in enumerate(fields)}
        law = {"equation" if named else "evolve": equation}
        initial = {"initial": noise | tables.pop("initial", {})}
        time = {"unstable": "allow"} | tables.pop("time", {"steps": 1})
        return {**law, "grid": grid, "time": time, **tables, **initial}

    @staticmethod
    def pose(case: dict[str, Any]) -> Problem:
        return pose(Case.from_dict(case))

    def subdomain(self, problem: Problem, comm: MPI.Intracomm | None = None) -> Subdomain:
        comm = comm or self.comm
        return decide(problem, comm).subdomain(problem.grid, comm)

    def solve(
        self, case: dict[str, Any] | Problem, comm: MPI.Intracomm | None = None, processes: dict[str, int] | None = None
    ) -> Solution:
        """March a case on the ranks of a communicator (by default one) and gather what it did."""
        problem = case if isinstance(case, Problem) else self.pose(case)
        if processes is not None:
            split = msgspec.structs.replace(problem.case.run, processes=processes)
            problem = replace(problem, case=msgspec.structs.replace(problem.case, run=split))
        comm = comm or self.comm
        layout = decide(problem, comm)
        prepared = prepare(problem, layout, comm)
        times, frames = [0.0], [assemble(prepared.state)]

        def record(clock: Clock, state: State) -> None:
            times.append(clock.time)
            frames.append(assemble(state))

        try:
            result = prepared.run(record)
        finally:
            prepared.free()
        return Solution(problem, layout.processes, prepared.layout.dt, result, times, frames)

    def rate(self, case: dict[str, Any] | Problem) -> Callable[..., Arrays]:
        """The rates of a case as a function of the arrays of its unknowns, on one rank."""
        problem = case if isinstance(case, Problem) else self.pose(case)
        sub = self.subdomain(problem)
        arrays = coefficient_fields(problem, sub)
        operator = operator_of(
            problem.program, problem.grid, problem.parameters, problem.conditions, kernels(problem, self.comm)
        )
        work = Workspace(operator, sub, problem.dtype, arrays=arrays)
        state, out, zero = (work.fields(work.unknowns) for _ in range(3))
        evaluation = Plain([Update(work.operator, state, out, work.others(), (zero,), (0.0,))], [], work.exchanges)

        def rate(time: float = 0.0, **values: np.ndarray | float) -> Arrays:
            for name, f in state.items():
                f.owned[...] = np.reshape(values[name], f.owned.shape) if np.ndim(values[name]) else values[name]
            evaluation([time], [1.0])
            return assemble(out)

        return rate


@pytest.fixture
def lab(solo: MPI.Intracomm) -> Lab:
    """Small cases, marched in memory."""
    return Lab(solo)


class Maker:
    """Grids, fields and whole results whose value at a cell is a function of field, time and cell."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.comm = comm

    def grid(self, *shape: int) -> Grid:
        """Grid of the given cells, slowest axis first, with a spacing that is not exact in binary."""
        absent = 3 - len(shape)
        z, y, x = (1,) * absent + shape
        lower = tuple(0.0 if place < absent else -0.1 * (place + 1) for place in range(3))
        spacing = tuple(1.0 if place < absent else 0.1 * (place + 1) for place in range(3))
        periodic = tuple(place < absent or place == 2 for place in range(3))
        return Grid(tuple("xyz"[: len(shape)]), (z, y, x), lower, spacing, periodic)

    def values(self, grid: Grid, name: str, frame: int, dtype: str = "f8") -> Any:
        """The global array of a field at a frame, in the shape that the file has."""
        cell = np.arange(grid.size, dtype="f8").reshape(grid.shape)
        return (cell / 7 + 1000 * frame + (0.25 if name == "v" else 0.0)).astype(dtype)

    def fields(
        self, domain: Subdomain, frame: int, names: tuple[str, ...] = ("u", "v"), dtype: str = "f8"
    ) -> list[Field]:
        """The fields of a rank; ghosts hold a number that must never reach a file."""
        made = []
        for name in names:
            field = Field(name, domain, dtype)
            field.array[...] = -9999.0
            whole = self.values(domain.grid, name, frame, dtype).reshape(domain.grid.cells)
            box = tuple(slice(a, b) for a, b in zip(domain.start, domain.stop, strict=True))
            field.owned[...] = whole[box]
            made.append(field)
        return made

    def domain(self, grid: Grid, processes: tuple[int, int, int] | None = None) -> Subdomain:
        """The box of this rank; by default the slowest axis with enough cells is split."""
        if processes is None:
            axis = next(place for place in range(3) if grid.cells[place] >= self.comm.size)
            processes = tuple(self.comm.size if place == axis else 1 for place in range(3))
        return regular(grid, self.comm, processes, 1)

    def recorder(
        self, path: Path, grid: Grid, names: tuple[str, ...] = ("u", "v"), dtype: str = "f8", **options: Any
    ) -> Recorder:
        """A recorder of these fields."""
        return Recorder(self.comm, path, grid, [INFO[name] for name in names], dtype, PROVENANCE, **options)

    def result(
        self,
        path: Path,
        *shape: int,
        frames: int = 3,
        names: tuple[str, ...] = ("u", "v"),
        dtype: str = "f8",
        processes: tuple[int, int, int] | None = None,
        **options: Any,
    ) -> Grid:
        """Write a whole result: frame i has time i / 2 and step 10 i."""
        grid = self.grid(*shape)
        domain = self.domain(grid, processes)
        recorder = self.recorder(path, grid, names, dtype, **options)
        for frame in range(frames):
            recorder.write(frame / 2, 10 * frame, self.fields(domain, frame, names, dtype))
        recorder.finish()
        return grid


@pytest.fixture
def maker(comm: MPI.Intracomm) -> Maker:
    """Makes results on all ranks, collectively."""
    return Maker(comm)


@pytest.fixture
def alone() -> Maker:
    """Makes results on each rank by itself."""
    return Maker(MPI.COMM_SELF)
