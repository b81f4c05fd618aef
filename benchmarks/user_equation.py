"""Gray-Scott written as text, against the catalogue and a loop written by hand for numba, in one run.

    mpirun -n 2 python benchmarks/user_equation.py [--size 2048] [--seconds 5]

numba runs on rank 0 with as many threads as there are ranks, while the others wait; its result is compared with
parsolve's.  Without numba (pip install numba) its row is left out.
"""

from __future__ import annotations

import argparse
from time import perf_counter, sleep

import numpy as np
from mpi4py import MPI

from parsolve.bench import REPEATS, best_time, case_of, copy_bandwidth, ready
from parsolve.case import Case
from parsolve.problem import pose

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
        prepared = ready(pose(Case.from_dict(data)), comm)
        steps, seconds = best_time(prepared, comm, args.seconds)
        prepared.passes.free()
        rates[name] = steps * args.size**2 / seconds
    waiting = comm.Ibarrier() if comm.rank else None
    if comm.rank == 0:
        rates |= numba_rate(args.size, comm.size, args.seconds)
        waiting = comm.Ibarrier()
    while not waiting.Test():
        sleep(0.01)
    if comm.rank == 0:
        print(f"Gray-Scott {args.size}^2, float64, {comm.size} ranks; copy bandwidth {bandwidth / 1e9:.1f} GB/s, "
              f"streaming roofline {bandwidth / 32:.3g} cell updates/s")  # fmt: skip
        for name, rate in rates.items():
            print(f"  {name:<10} {rate:.3g} cell updates/s, {rates['text'] / rate:.2f} x is the text's")


def numba_rate(size: int, threads: int, seconds: float) -> dict[str, float]:
    try:
        import numba
    except ImportError:
        return {}
    numba.set_num_threads(threads)

    @numba.njit(parallel=True, fastmath=True)
    def step(u, v, un, vn, cu, cv, f, k, dt):
        n, m = u.shape
        for j in numba.prange(n):
            a, b = (j - 1) % n, (j + 1) % n
            for i in range(m):
                w, e = i - 1 if i else m - 1, i + 1 if i < m - 1 else 0
                p, q = u[j, i], v[j, i]
                r = p * q * q
                un[j, i] = p + dt * (cu * (u[a, i] + u[b, i] + u[j, w] + u[j, e] - 4 * p) - r + f * (1 - p))
                vn[j, i] = q + dt * (cv * (v[a, i] + v[b, i] + v[j, w] + v[j, e] - 4 * q) + r - (f + k) * q)

    u, v = np.ones((size, size)), np.zeros((size, size))
    middle = slice(2 * size // 5, 3 * size // 5)
    u[middle, middle], v[middle, middle] = 0.5, 0.25
    un, vn, h = np.empty_like(u), np.empty_like(v), 1.0 / size
    constants = (2e-5 / h**2, 1e-5 / h**2, 0.037, 0.06, 1e-3)

    def march(steps: int) -> float:
        nonlocal u, v, un, vn
        begin = perf_counter()
        for _ in range(steps):
            step(u, v, un, vn, *constants)
            u, v, un, vn = un, vn, u, v
        return perf_counter() - begin

    march(2)
    steps = max(2, int(seconds / REPEATS / (march(4) / 4)))
    return {"numba": steps * size**2 / min(march(steps) for _ in range(REPEATS))}


if __name__ == "__main__":
    main()
