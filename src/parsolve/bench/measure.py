"""Speed of marching, without output, beside this machine's copy bandwidth measured in the same run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from parsolve.case import Case
from parsolve.case.tables import nearest
from parsolve.errors import CaseError, owning
from parsolve.march.control import Limited, steady
from parsolve.march.march import march
from parsolve.march.schedule import Stop
from parsolve.problem.layout import decide
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mpi4py import MPI

    from parsolve.problem.prepare import Prepared
    from parsolve.problem.problem import Problem

COPY_BYTES = 128 << 20
REPEATS = 5
LEAST_STEPS = 96  # as many as between two checks of a run; whole passes


@dataclass(frozen=True)
class Benchmark:
    """A problem of the catalogue with periodic axes and initial values that are nearly constant at the ends.

    No value is so small that the processor would take its slow path for subnormal numbers.

    ``traffic``: values that must move between memory and cache a cell and step, each counted once in each direction.
    """

    equation: str
    axes: str
    size: int
    scheme: str
    order: int
    traffic: int
    initial: dict[str, str]


BENCHMARKS = {
    "heat3d": Benchmark("heat", "xyz", 256, "euler", 2, 2, {"u": "1 + exp(-4*r2)"}),
    "wave3d": Benchmark("wave", "xyz", 256, "leapfrog", 8, 3, {"u": "1 + exp(-4*r2)"}),
    "gray-scott": Benchmark("gray-scott", "xy", 2048, "euler", 2, 4, {"u": "1 - 0.5*exp(-r2)", "v": "0.25*exp(-r2)"}),
    "gray-scott3d": Benchmark("gray-scott", "xyz", 256, "euler", 2, 4, {"u": "1 - 0.5*exp(-r2)", "v": "0.25*exp(-r2)"}),
}


@dataclass(frozen=True)
class Measurement:
    """What a benchmark measured; bandwidths in bytes a second over all ranks.

    Attributes:
        steps_a_pass, tile: of the pipeline, as chosen; 0: step by step; (): a single tile.
        roofline: cell updates a second if ``traffic`` values a cell moved at the copy bandwidth.
        ratio_to_off: to marching step by step; None if that was not measured.
    """

    name: str
    cells: dict[str, int]
    precision: str
    ranks: int
    threads: int
    steps_a_pass: int
    tile: tuple[int, ...]
    steps: int
    seconds: float
    updates_per_s: float
    step_us: float
    copy_bandwidth: float
    effective_bandwidth: float
    roofline: float
    ratio_to_roofline: float
    ratio_to_off: float | None = None


def find_benchmark(name: str) -> Benchmark:
    """Return a benchmark by its name.

    Raises:
        CaseError: there is none.
    """
    if name not in BENCHMARKS:
        raise CaseError(f"bench: unknown benchmark '{name}'{nearest(name, BENCHMARKS)}")
    return BENCHMARKS[name]


def case_of(
    name: str, size: int | None = None, precision: str = "float64", threads: int | None = None,
    cells: Mapping[str, int] | None = None, sharpness: float = 100,
) -> Case:  # fmt: skip
    """The case of a benchmark on a cube or square of ``size`` cells an axis, or on a box of ``cells`` of that spacing.

    ``sharpness``: the bump of the initial values is exp(-c sharpness r^2), r from the middle.

    Raises:
        CaseError: an unknown name.
    """
    b = find_benchmark(name)
    size = size or b.size
    cells = dict.fromkeys(b.axes, size) if cells is None else cells
    squares = f"{sharpness}*(" + "+".join(f"({axis}-0.5)**2" for axis in b.axes) + ")"
    return Case.from_dict(
        {
            "equation": b.equation,
            "grid": {a: {"cells": n, "range": [0.0, n / size], "periodic": True} for a, n in cells.items()},
            "initial": {field: text.replace("r2", squares) for field, text in b.initial.items()},
            "time": {"steps": 1, "scheme": b.scheme},
            "run": {"order": b.order, "precision": precision} | ({"threads": threads} if threads else {}),
        }
    )


def measure_speed(
    name: str, comm: MPI.Intracomm, *, size: int | None = None, precision: str = "float64", seconds: float = 3.0,
    threads: int | None = None, cells: Mapping[str, int] | None = None, off: bool = True,
) -> Measurement:  # fmt: skip
    """March a benchmark for about some seconds after measuring the copy bandwidth; best of REPEATS; collective.

    With ``off`` it is marched step by step too, for comparison.
    """
    problem = pose(case_of(name, size, precision, threads, cells))
    with ready(problem, comm) as prepared:
        bandwidth = copy_bandwidth(comm, prepared.layout.threads)
        steps, best = best_time(prepared, comm, seconds)
    traffic = BENCHMARKS[name].traffic * problem.dtype.itemsize
    rate = steps * problem.grid.size / best
    found = Measurement(
        name=name,
        cells=dict(zip(problem.grid.names, reversed(problem.grid.shape), strict=True)),
        precision=precision,
        ranks=comm.size,
        threads=prepared.layout.threads,
        steps_a_pass=prepared.layout.blocking.steps,
        tile=prepared.steps.tile or (),
        steps=steps,
        seconds=best,
        updates_per_s=rate,
        step_us=1e6 * best / steps,
        copy_bandwidth=bandwidth,
        effective_bandwidth=rate * traffic,
        roofline=bandwidth / traffic,
        ratio_to_roofline=rate * traffic / bandwidth,
    )
    if not off:
        return found
    with ready(step_by_step(problem), comm) as prepared:
        steps, best = best_time(prepared, comm, seconds / 3)
    return replace(found, ratio_to_off=rate * best / (steps * problem.grid.size))


def step_by_step(problem: Problem) -> Problem:
    """The problem with the pipeline off."""
    case = problem.case
    return replace(problem, case=msgspec.structs.replace(case, run=msgspec.structs.replace(case.run, pipeline="off")))


@contextmanager
def ready(problem: Problem, comm: MPI.Intracomm) -> Iterator[Prepared]:
    """A march of the problem on the ranks of a communicator, freed at the end; collective."""
    with owning(comm) as owner:
        prepared = prepare(problem, decide(problem, comm), comm)
        owner.callback(prepared.free)
        yield prepared


def best_time(prepared: Prepared, comm: MPI.Intracomm, seconds: float, repeats: int = REPEATS) -> tuple[int, float]:
    """Steps, and seconds of the fastest of several marches of that many steps, all in so many seconds; collective."""
    time_march(prepared, comm, LEAST_STEPS)
    once = time_march(prepared, comm, LEAST_STEPS) / LEAST_STEPS
    steps = comm.bcast(max(LEAST_STEPS, int(seconds / repeats / once) // LEAST_STEPS * LEAST_STEPS))
    return steps, min(time_march(prepared, comm, steps) for _ in range(repeats))


def time_march(prepared: Prepared, comm: MPI.Intracomm, steps: int) -> float:
    """Seconds that so many more steps take, those of the slowest rank; collective."""
    from mpi4py import MPI

    comm.Barrier()
    begin = perf_counter()
    march(prepared.steps, Limited(steady(prepared.layout.dt), Stop(step=steps)))
    return float(comm.allreduce(perf_counter() - begin, op=MPI.MAX))


def copy_bandwidth(comm: MPI.Intracomm, threads: int = 1) -> float:
    """Bytes read and written a second by all threads of all ranks that copy large arrays, the best of several."""
    from mpi4py import MPI

    sources = [np.ones(COPY_BYTES // 8) for _ in range(threads)]
    targets = [np.zeros_like(source) for source in sources]
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(2 * REPEATS):
            comm.Barrier()
            begin = perf_counter()
            list(pool.map(np.copyto, targets, sources))
            best = min(best, float(comm.allreduce(perf_counter() - begin, op=MPI.MAX)))
    return 2 * COPY_BYTES * threads * comm.size / best


def wait_asleep(comm: MPI.Intracomm) -> None:
    """A barrier that leaves the core to others; collective."""
    request = comm.Ibarrier()
    while not request.Test():
        sleep(0.01)
