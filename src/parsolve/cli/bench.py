"""`bench`: how fast this machine marches, beside its copy bandwidth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from parsolve.cli.words import by_axis, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.bench import Measurement


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `bench`."""
    parser = add("bench", "measure the speed of marching", "mpirun -n 2 python -m parsolve bench heat3d --size 256")
    parser.add_argument(
        "name", nargs="?", default="heat3d", metavar="NAME", help="heat3d (default), wave3d, gray-scott, gray-scott3d"
    )
    parser.add_argument("--size", type=int, metavar="N", help="cells along each axis")
    parser.add_argument("--precision", choices=("float64", "float32"), default="float64")
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long to march (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=bench, parallel=True, writes=False)


def bench(args: argparse.Namespace, world: Callable[[], MPI.Intracomm]) -> int:
    """Measure and print."""
    from parsolve.bench import measure

    comm = world()
    found = measure(args.name, comm, size=args.size, precision=args.precision, seconds=args.seconds)
    if comm.rank == 0:
        print(json.dumps(found.to_dict()) if args.json else text(found), flush=True)
    return 0


def text(m: Measurement) -> str:
    """The measurement in plain words."""
    rows = [
        ("grid", f"{by_axis(m.cells)}, {m.precision}, {m.ranks} ranks, {m.steps} steps in {m.seconds:.3f} s"),
        ("speed", f"{m.updates_per_s:.3g} cell updates/s, {m.step_us:.3g} us a step"),
        ("copy bandwidth", f"{m.copy_bandwidth / 1e9:.1f} GB/s, measured in this run"),
        ("effective bandwidth", f"{m.effective_bandwidth / 1e9:.1f} GB/s: each value once in and once out"),
        ("streaming roofline", f"{m.roofline:.3g} cell updates/s"),
        ("ratio to roofline", f"{m.ratio_to_roofline:.3f}"),
    ]
    return "\n".join([m.name, *table(rows, "  ")])
