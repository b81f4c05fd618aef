"""Heat equation in 3-D, 7 points, Euler: cell updates a second beside the copy bandwidth measured in the same run.

    mpirun -n 2 python benchmarks/heat3d.py [--size 256] [--precision float64] [--seconds 5]

Prints the streaming roofline (copy bandwidth / 16 B in float64) and the ratio to it, and the overhead of a step of a
16^3 grid a rank, where the work itself is negligible.
"""

from __future__ import annotations

import argparse

from mpi4py import MPI

from parsolve.bench import measure
from parsolve.cli.bench import text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--precision", choices=("float64", "float32"), default="float64")
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    large = measure("heat3d", comm, size=args.size, precision=args.precision, seconds=args.seconds)
    small = measure("heat3d", comm, size=16, precision=args.precision, seconds=1.0)
    if comm.rank == 0:
        print(text(large))
        print(f"heat3d 16^3: {small.step_us:.1f} us a step")


if __name__ == "__main__":
    main()
