"""Speed of marching, without output, beside this machine's copy bandwidth measured in the same run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.case import Case
from parsolve.domain.grid import decompose
from parsolve.errors import CaseError
from parsolve.prepare import prepare
from parsolve.problem import pose
from parsolve.solvers.march import march
from parsolve.solvers.schedule import Schedule
from parsolve.tables import nearest

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.problem import Problem

COPY_BYTES = 128 << 20
REPEATS = 5
LEAST_STEPS = 48  # as many as between two checks of a run, or so; whole passes


@dataclass(frozen=True)
class Benchmark:
    """A problem of the catalogue with periodic axes.

    ``traffic``: values that must move between memory and cache a cell and step, each counted once in each direction.
    """

    equation: str
    axes: str
    size: int
    scheme: str
    order: int
    traffic: int
    initial: dict[str, str]


BENCHMARKS: dict[str, Benchmark] = {
    "heat3d": Benchmark("heat", "xyz", 256, "euler", 2, 2, {"u": "sin(2*pi*x)*sin(2*pi*y)*sin(2*pi*z)"}),
    "wave3d": Benchmark("wave", "xyz", 256, "leapfrog", 8, 3, {"u": "exp(-100*((x-0.5)**2+(y-0.5)**2+(z-0.5)**2))"}),
    "gray-scott": Benchmark("gray-scott", "xy", 2048, "euler", 2, 4, {"u": "1 - 0.5*v0", "v": "0.25*v0"}),
    "gray-scott3d": Benchmark("gray-scott", "xyz", 256, "euler", 2, 4, {"u": "1 - 0.5*v0", "v": "0.25*v0"}),
}


@dataclass(frozen=True)
class Measurement:
    """What a benchmark measured; bandwidths in bytes a second over all ranks.

    ``roofline``: cell updates a second if ``traffic`` values a cell moved at the copy bandwidth.
    """

    name: str
    cells: dict[str, int]
    precision: str
    ranks: int
    steps: int
    seconds: float
    updates_per_s: float
    step_us: float
    copy_bandwidth: float
    effective_bandwidth: float
    roofline: float
    ratio_to_roofline: float

    def to_dict(self) -> dict[str, Any]:
        """The measurement as plain data."""
        return asdict(self)


def case_of(name: str, size: int | None = None, precision: str = "float64") -> Case:
    """The case of a benchmark on a cube or square of ``size`` cells an axis.

    Raises:
        CaseError: an unknown name.
    """
    if name not in BENCHMARKS:
        raise CaseError(f"bench: unknown benchmark '{name}'{nearest(name, BENCHMARKS)}")
    b = BENCHMARKS[name]
    blob = "*".join(f"box({axis}, 0.4, 0.6)" for axis in b.axes)
    return Case.from_dict(
        {
            "equation": b.equation,
            "grid": {a: {"cells": size or b.size, "range": [0.0, 1.0], "periodic": True} for a in b.axes},
            "initial": {field: text.replace("v0", blob) for field, text in b.initial.items()},
            "time": {"steps": 1, "scheme": b.scheme},
            "run": {"order": b.order, "precision": precision},
        }
    )


def measure(
    name: str, comm: MPI.Intracomm, *, size: int | None = None, precision: str = "float64", seconds: float = 3.0
) -> Measurement:
    """March a benchmark for about some seconds after measuring the copy bandwidth; best of REPEATS; collective."""
    bandwidth = copy_bandwidth(comm)
    problem = pose(case_of(name, size, precision))
    steps, best = best_time(problem, comm, seconds)
    b, cells = BENCHMARKS[name], problem.grid.size
    traffic = b.traffic * problem.dtype.itemsize
    rate = steps * cells / best
    return Measurement(
        name,
        dict(zip(problem.grid.names, reversed(problem.grid.shape), strict=True)),
        precision,
        comm.size,
        steps,
        best,
        rate,
        1e6 * best / steps,
        bandwidth,
        rate * traffic,
        bandwidth / traffic,
        rate * traffic / bandwidth,
    )


def best_time(problem: Problem, comm: MPI.Intracomm, seconds: float) -> tuple[int, float]:
    """Steps, and seconds of the fastest of REPEATS marches of that many steps; collective."""
    from mpi4py import MPI

    prepared = prepare(problem, decompose(problem.grid, comm, problem.halo(comm.size), threads=problem.threads))
    stepper, dt = prepared.passes, prepared.dt

    def march_for(steps: int) -> float:
        comm.Barrier()
        begin = perf_counter()
        march(stepper, Schedule(dt, steps, (), steps * dt), lambda *_: None, check_every=10**9)
        return float(comm.allreduce(perf_counter() - begin, op=MPI.MAX))

    march_for(LEAST_STEPS)
    steps = max(
        LEAST_STEPS, int(seconds / REPEATS / (march_for(LEAST_STEPS) / LEAST_STEPS)) // LEAST_STEPS * LEAST_STEPS
    )
    steps = comm.bcast(steps)
    best = min(march_for(steps) for _ in range(REPEATS))
    stepper.free()
    return steps, best


def copy_bandwidth(comm: MPI.Intracomm) -> float:
    """Bytes read and written a second by all ranks that copy large arrays at once, the best of several; collective."""
    from mpi4py import MPI

    source = np.ones(COPY_BYTES // 8)
    target = np.zeros_like(source)
    best = np.inf
    for _ in range(2 * REPEATS):
        comm.Barrier()
        begin = perf_counter()
        np.copyto(target, source)
        best = min(best, float(comm.allreduce(perf_counter() - begin, op=MPI.MAX)))
    return 2 * source.nbytes * comm.size / best
