"""A case without a file: SymPy in, a result file out.

The wave u = 1/(1 + exp((x - c t)/sqrt(6)))^2, c = 5/sqrt(6), solves u_t = u_xx + u (1 - u) exactly:
Ablowitz & Zeppetella, Bull. Math. Biol. 41 (1979) 835.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import sympy

import parsolve

END = 4.0


def main(path: Path) -> float:
    """March the wave from t = 0 to END, write the result, and return the largest error."""
    x, t, u, r = sympy.symbols("x t u r")
    wave = 1 / (1 + sympy.exp((x - 5 * t / sympy.sqrt(6)) / sympy.sqrt(6))) ** 2
    laplace = sympy.Function("laplace")
    case = parsolve.make_case(
        evolve={"u": laplace(u) + r * u * (1 - u)},
        parameters={"r": 1},
        title="An exact wave of Fisher's equation",
        grid={"x": {"cells": 160, "range": (-30, 50)}},
        initial={"u": wave.subs(t, 0)},
        boundary={"u": {"xmin": {"dirichlet": wave}, "xmax": {"dirichlet": wave}}},
        time={"end": END},
        run={"order": 4},
    )
    parsolve.solve(case, path, force=True)  # under mpirun: comm=MPI.COMM_WORLD
    with parsolve.open_result(path) as result:
        exact = sympy.lambdify(x, wave.subs(t, END))(result.grid.coordinates("x"))
        return float(np.abs(result.read("u", -1) - exact).max())


if __name__ == "__main__":
    print(f"largest error {main(Path(sys.argv[1] if len(sys.argv) > 1 else 'wave.h5')):.2g}")
