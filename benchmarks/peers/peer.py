"""March one problem with one of the codes that parsolve is compared with, check field first, then speed.

    python benchmarks/peers/peer.py {devito,numba,numpy} PROBLEM.npz RESULT.npy [--seconds 3] [--threads 2]

PROBLEM.npz holds name (heat, wave or gray-scott), order, dt, spacing, parameters (as JSON), steps, and the initial
arrays u, v (gray-scott) and u_before (wave).  RESULT.npy gets u after that many steps; the one line on stdout is JSON.
Ghost cells keep the initial value at the edge, so u must stay constant near all edges until then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

REPEATS = 3
SECOND_DERIVATIVE = {  # weights at distance 0, 1, ... by order
    2: (-2, 1),
    4: (-5 / 2, 4 / 3, -1 / 12),
    6: (-49 / 18, 3 / 2, -3 / 20, 1 / 90),
    8: (-205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560),
}

Array = np.ndarray[Any, np.dtype[Any]]


class Stepper(Protocol):
    """What each peer's module defines as ``Stepper``."""

    def __init__(self, problem: Problem) -> None: ...

    def march(self, steps: int) -> None:
        """March some steps onwards."""

    def u(self) -> Array:
        """The field u now, without ghosts."""


@dataclass(frozen=True)
class Problem:
    """The problem as in the file; ``spacing`` in order of the array axes, ``fields`` the initial arrays by name."""

    name: str
    order: int
    dt: float
    spacing: tuple[float, ...]
    parameters: dict[str, float]
    steps: int
    fields: dict[str, Array]

    @staticmethod
    def load(path: Path) -> Problem:
        """Read a problem's file."""
        with np.load(path) as data:
            return Problem(
                str(data["name"]),
                int(data["order"]),
                float(data["dt"]),
                tuple(map(float, data["spacing"])),
                json.loads(str(data["parameters"])),
                int(data["steps"]),
                {name: data[name] for name in ("u", "v", "u_before") if name in data},
            )

    def weights(self, factor: float) -> Array:
        """Weights of factor times the Laplacian: row by axis, column by distance."""
        return factor * np.array([np.array(SECOND_DERIVATIVE[self.order]) / h**2 for h in self.spacing])

    def padded(self, field: str) -> Array:
        """A copy of an initial array with ghost cells, which hold the value at its edge."""
        initial = self.fields[field]
        return np.pad(initial, self.order // 2, constant_values=initial.flat[0])


def best_time(stepper: Stepper, seconds: float) -> tuple[int, float]:
    """Steps, and seconds of the fastest of REPEATS marches of that many steps, together about some seconds."""

    def march(steps: int) -> float:
        begin = perf_counter()
        stepper.march(steps)
        return perf_counter() - begin

    steps = 1
    while (taken := min(march(steps), march(steps))) < seconds / 30:  # two, as one may be disturbed
        steps *= 2
    steps = max(1, round(steps * seconds / REPEATS / taken))
    return steps, min(march(steps) for _ in range(REPEATS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("devito", "numba", "numpy"))
    parser.add_argument("problem", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    threads = 1 if args.peer == "numpy" else args.threads  # NumPy's arithmetic has no threads
    os.environ |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}  # read on import
    problem = Problem.load(args.problem)
    version = metadata.version(args.peer)
    with redirect_stdout(sys.stderr):
        stepper: Stepper = import_module(f"{args.peer}_peer").Stepper(problem)
        stepper.march(problem.steps)
        np.save(args.result, stepper.u())
        steps, seconds = best_time(stepper, args.seconds)
    rate = problem.fields["u"].size * steps / seconds
    line = {"peer": args.peer, "version": version, "threads": threads, "steps": steps, "seconds": seconds}
    print(json.dumps(line | {"updates_per_s": rate}))


if __name__ == "__main__":
    main()
