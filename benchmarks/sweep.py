"""How well a sweep fills the ranks, and what a member costs beside its steps.

    mpirun -n 4 python benchmarks/sweep.py [--members 64] [--cells 128] [--steps 500] [--folder .]

Gray-Scott, F and k vary.  The members run in groups of 1 and of 2 ranks, and are compared bit by bit.  Filled: the
seconds of all members from begin to end, by the number of groups and by the wall clock of the sweep.  Start: the
seconds of a member until its first step, the median and the least of those that are not the first of their group.  Of
a machine that others use too the processor's time tells more than the clock.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mpi4py import MPI

from parsolve.ensemble.members import read_sweep
from parsolve.ensemble.standing import RESULT
from parsolve.ensemble.sweep import sweep
from parsolve.errors import on_root
from parsolve.store.compare import compare

if TYPE_CHECKING:
    from parsolve.ensemble.members import Sweep

STUDY = """
case = "gray-scott"
combine = "zip"
ranks = {ranks}
[set]
grid.x.cells = {cells}
grid.y.cells = {cells}
time.steps = {steps}
output.every_steps = {steps}
[vary]
parameters.F = {{ from = 0.02, to = 0.06, count = {members} }}
parameters.k = {{ from = 0.055, to = 0.065, count = {members} }}
"""


def study(folder: Path, ranks: int, args: argparse.Namespace) -> Sweep:
    """The sweep with members of so many ranks."""
    text = STUDY.format(ranks=ranks, cells=args.cells, steps=args.steps, members=args.members)
    path = folder / f"study{ranks}.toml"
    path.write_text(text)
    return read_sweep(path)


def measure(folder: Path, ranks: int, args: argparse.Namespace, comm: MPI.Intracomm) -> None:
    """Run the sweep with members of so many ranks, and print what it took."""
    found = on_root(comm, lambda: study(folder, ranks, args))
    comm.Barrier()
    begun, spent = time.perf_counter(), time.process_time()
    records = sweep(found, comm, folder / f"of {ranks}")
    wall, processor = time.perf_counter() - begun, comm.reduce(time.process_time() - spent)
    if comm.rank == 0:
        groups = comm.size // ranks
        seconds, marching = (sum(of) for of in zip(*((r.seconds, r.summary["marching"]) for r in records), strict=True))
        later = [record.summary for record in records[groups:]]
        start, computing = ([1e3 * each[key] for each in later] for key in ("start", "start_processor"))
        print(
            f"{len(records)} members of {ranks}: {wall:.2f} s, filled {seconds / groups / wall:.3f}; "
            f"start {median(start):.1f} ms (least {min(start):.1f}), of the processor {median(computing):.1f} ms "
            f"(least {min(computing):.1f}); marching {marching / seconds:.2f} of a member, "
            f"processor {1e3 * processor / len(records):.0f} ms a member",
            flush=True,
        )


def main() -> None:
    """Measure."""
    comm = MPI.COMM_WORLD
    parser = argparse.ArgumentParser()
    for name, usual in (("members", 64), ("cells", 128), ("steps", 500)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--folder", type=Path, default=Path())
    args = parser.parse_args()
    place = TemporaryDirectory(dir=args.folder) if comm.rank == 0 else None
    folder = Path(comm.bcast(place.name if place else ""))
    sizes = [ranks for ranks in (1, 2) if ranks <= comm.size]
    for ranks in sizes:
        measure(folder, ranks, args, comm)
    if place is not None:
        if len(sizes) == 2:
            pairs = zip(*(sorted((folder / f"of {ranks}").glob(f"*/{RESULT}")) for ranks in sizes), strict=True)
            print("bit by bit the same:", all(compare(a, b).equal for a, b in pairs))
        place.cleanup()


if __name__ == "__main__":
    main()
