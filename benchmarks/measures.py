"""What measures cost beside the steps: five of them every so many steps, and none, in turn in one run.

    mpirun -n 2 python benchmarks/measures.py [--case NAME] [--cells 1024] [--steps 200] [--every 10] [--repeats 5]

One measuring reads the fields once: its seconds are shown beside those of a copy of the fields at the bandwidth of this
machine, and beside NumPy's for the same numbers on one rank. The least of the repeats counts.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np
from mpi4py import MPI

from parsolve.bench.measure import copy_bandwidth
from parsolve.case import Case
from parsolve.domain.redistribute import gather
from parsolve.march.march import Event, march
from parsolve.march.schedule import START, Clock, EverySteps, Stop
from parsolve.problem.layout import decide
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare

FIVE = {
    "mass": "integral(u)", "energy": "integral(dot(grad(u), grad(u)))/2", "front": "max(where(u > 0.5, x, -1))",
    "spread": "std(u)", "top": "max(u)",
}  # fmt: skip


def seconds(case: Case, steps: int, every: int) -> float:
    """Of so many steps after as many that are not counted."""
    comm = MPI.COMM_WORLD
    problem = pose(case, comm)
    prepared = prepare(problem, decide(problem, comm), comm)
    look = Event(EverySteps(every or 1), lambda clock, state: prepared.looking.measure(state, clock.time))
    looks = [look] if every else []
    first = march(prepared.steps, prepared.control, looks, clock=START, end=Stop(step=steps))
    comm.Barrier()
    begin = perf_counter()
    march(prepared.steps, prepared.control, looks, clock=Clock(first.steps, first.time), end=Stop(step=2 * steps))
    comm.Barrier()
    taken = perf_counter() - begin
    prepared.free()
    return taken


def one_measuring(case: Case, repeats: int) -> tuple[float, float, int]:
    """Seconds of all measures of a state, NumPy's on rank 0, and the bytes of the field."""
    comm = MPI.COMM_WORLD
    problem = pose(case, comm)
    prepared = prepare(problem, decide(problem, comm), comm)
    own: list[float] = []
    plain: list[float] = []
    u = gather(prepared.state["u"].owned, prepared.state["u"].subdomain)
    for _ in range(repeats):
        comm.Barrier()
        begin = perf_counter()
        prepared.looking.measure(prepared.state, 0.0)
        own.append(perf_counter() - begin)
        if u is not None:
            begin = perf_counter()
            h, x = problem.grid.spacing, problem.grid.coordinates("x")
            slopes = [(np.roll(u, -1, d) - np.roll(u, 1, d)) / (2 * h[3 - u.ndim + d]) for d in range(u.ndim)]
            _ = u.sum(), sum((s**2).sum() for s in slopes), np.where(u > 0.5, x, -1.0).max(), u.std(), u.max()
            plain.append(perf_counter() - begin)
    prepared.free()
    return min(own), min(plain, default=0.0), problem.grid.size * problem.dtype.itemsize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="gray-scott")
    parser.add_argument("--cells", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    axes = list(Case.load(args.case).grid)
    keys = [f"grid.{axis}.cells={args.cells}" for axis in axes]
    plain = Case.load(args.case, [*keys, "time.dt=auto"])
    tables = plain.to_tables() | {"measure": FIVE}
    measured = Case.from_dict(tables)
    found: dict[int, list[float]] = {0: [], args.every: []}
    for _ in range(args.repeats):
        for every, case in ((0, plain), (args.every, measured)):
            found[every].append(seconds(case, args.steps, every))
    own, numpy, size = one_measuring(measured, args.repeats)
    bandwidth = copy_bandwidth(comm)
    if comm.rank == 0:
        none, five, copies = min(found[0]), min(found[args.every]), own / (2 * size / bandwidth)
        print(f"{args.case}, {args.cells}^{len(axes)}, {comm.size} ranks, copy bandwidth {bandwidth / 1e9:.1f} GB/s")
        print(f"step: {none / args.steps * 1e3:.3f} ms; five measures each {args.every} steps: {five / none:.3f} times")
        print(f"five measures: {own * 1e3:.2f} ms, {copies:.1f} copies of u; NumPy {numpy / own:.1f} times as long")


if __name__ == "__main__":
    main()
