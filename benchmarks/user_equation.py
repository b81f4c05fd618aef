"""Gray-Scott written as text, against the catalogue and a loop written by hand for numba, in one run.

    mpirun -n 2 python benchmarks/user_equation.py [--size 2048] [--seconds 5]

numba runs on rank 0 with as many threads as there are ranks, while the others wait; its result is compared with
parsolve's.  Without numba (pip install numba) its row is left out.
"""

from __future__ import annotations

import argparse

from mpi4py import MPI
from peers import run_peers

from parsolve.bench.measure import best_time, case_of, copy_bandwidth, ready
from parsolve.case import Case
from parsolve.problem.pose import pose

EVOLVE = {"u": "Du*laplace(u) - u*v**2 + F*(1 - u)", "v": "Dv*laplace(v) + u*v**2 - (F + k)*v"}
PARAMETERS = {"Du": 2e-5, "Dv": 1e-5, "F": 0.037, "k": 0.06}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    bandwidth = copy_bandwidth(comm)
    named = case_of("gray-scott", args.size).to_dict()
    text = {key: value for key, value in named.items() if key != "equation"} | {
        "evolve": EVOLVE,
        "parameters": PARAMETERS,
    }
    text["time"] = named["time"] | {"dt": 1e-3}
    rates = {}
    for name, data in (("catalogue", named), ("text", text)):
        with ready(pose(Case.from_dict(data)), comm) as prepared:
            steps, seconds = best_time(prepared, comm, args.seconds)
        rates[name] = steps * args.size**2 / seconds
    options = {"size": args.size, "precision": "float64", "seconds": args.seconds, "threads": 1}
    found = run_peers("gray-scott", comm, names=("numba",), **options)
    rates |= {peer.name: peer.updates_per_s for peer in found if not peer.problem}
    if comm.rank == 0:
        print(f"Gray-Scott {args.size}^2, float64, {comm.size} ranks; copy bandwidth {bandwidth / 1e9:.1f} GB/s, "
              f"streaming roofline {bandwidth / 32:.3g} cell updates/s")  # fmt: skip
        for name, rate in rates.items():
            print(f"  {name:<10} {rate:.3g} cell updates/s, {rates['text'] / rate:.2f} x is the text's")


if __name__ == "__main__":
    main()
