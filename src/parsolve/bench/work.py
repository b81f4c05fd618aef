"""Two kinds of work that engines are compared by: many small cases, and a large one; both end with a digest."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from parsolve.bench.measure import LEAST_STEPS, REPEATS, best_time, case_of, find_benchmark, ready, time_march
from parsolve.domain import launch
from parsolve.problem.pose import pose
from parsolve.store.layers import Layers

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.stages.operator import State

SMALL_STEPS = 10 * LEAST_STEPS
MARCHES = REPEATS  # of the large case, of which the fastest counts
LEAST, PART = 8, 8  # cells of an axis of a small case: at least, and which part of the large one's
PAUSE = 0.01  # seconds for which a worker that has come lets others have their turn


@dataclass(frozen=True)
class Family:
    """Cases that differ by how sharp the bump is that they begin with; they cost the same, and are sent to workers."""

    name: str
    size: int
    precision: str


class Solved(NamedTuple):
    """What a worker tells of a small case: the digest of its last fields, seconds, and how many of them it marched."""

    digest: str
    seconds: float
    marching: float


class Marched(NamedTuple):
    """What is told of the large case: digest, seconds until it was ready, steps of a march, seconds of the fastest."""

    digest: str
    startup: float
    steps: int
    seconds: float


def family_of(name: str, size: int | None, precision: str) -> Family:
    """The small cases that belong to a large one.

    Raises:
        CaseError: there is no benchmark of that name.
    """
    large = size or find_benchmark(name).size
    return Family(name, min(large, max(LEAST, large // PART)), precision)


def solve_small(family: Family, number: int, comm: MPI.Intracomm) -> Solved:
    """Solve a case of a family as any case is solved, but for files: a task of one rank and one thread."""
    begin = perf_counter()
    sharpness = 100 - 50 * (0.618034 * number % 1)  # between 50 and 100, and another one for each number
    problem = pose(case_of(family.name, family.size, family.precision, threads=1, sharpness=sharpness))
    with ready(problem, comm) as prepared:
        marching = time_march(prepared, comm, SMALL_STEPS)
        digest = digest_of(prepared.state)
    return Solved(digest, perf_counter() - begin, marching)


def come(family: Family, comm: MPI.Intracomm) -> tuple[int, int]:
    """Solve the first case of a family, so that all is loaded that later ones need; return who this worker is."""
    solve_small(family, 0, comm)
    launch.forget_names()  # MPI has started here
    sleep(PAUSE)
    return os.getpid(), threading.get_ident()


def march_large(
    name: str, size: int | None, precision: str, comm: MPI.Intracomm, threads: int, seconds: float,
    steps: int | None = None,
) -> Marched:  # fmt: skip
    """March the large case on all ranks, each with so many threads; collective.

    For about so many seconds, or so many ``steps`` of each of several marches: where all engines take the same, they
    end with the same bits.

    Raises:
        ParsolveError: it cannot run so; the same on all ranks.
    """
    from mpi4py import MPI

    begin = perf_counter()
    with ready(pose(case_of(name, size, precision, threads)), comm) as prepared:
        startup = float(comm.allreduce(perf_counter() - begin, op=MPI.MAX))
        if steps is None:
            steps, best = best_time(prepared, comm, seconds, MARCHES)
        else:
            for _ in range(2):  # as `best_time` does, to find out how fast it goes
                time_march(prepared, comm, LEAST_STEPS)
            best = min(time_march(prepared, comm, steps) for _ in range(MARCHES))
        return Marched(digest_of(prepared.state), startup, steps, best)


def digest_of(state: State) -> str:
    """A hash (XXH3, 128 bits) of all bits of fields, the same for any decomposition; on all ranks, collective."""
    whole = xxhash.xxh3_128()
    for name, field in state.items():
        grid, comm = field.subdomain.grid, field.subdomain.comm
        layer = grid.size // next((n for n in grid.cells if n > 1), 1)  # cells
        own: list[tuple[int, bytes]] = []
        for start, slab in Layers(field.subdomain, field.dtype).slabs(field.owned):
            rows = slab.reshape(-1, layer)
            own += [(start + n * row.nbytes, xxhash.xxh3_128(row.data).digest()) for n, row in enumerate(rows)]
        whole.update(name.encode())
        for place, hashed in sorted(one for part in comm.allgather(own) for one in part):
            whole.update(place.to_bytes(8, "little") + hashed)
    return whole.hexdigest()
