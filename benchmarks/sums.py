"""Exact sums beside a plain sum of the same values in C, NumPy's, and the memory's bandwidth, in turn in one run.

    python benchmarks/sums.py [--megabytes 512] [--threads 1] [--repeats 9]

The plain sums are reassociated by the compiler (-O3 -march=native -ffast-math), so that only memory holds them up, and
have as many threads.  One thread is timed by the processor's clock, so that others who share the core do not count.
Values: normal, ordinary ones; far apart ones, from 1e-200 to 1e200 (1e-30 to 1e30 in float32) in no order, which no
window holds.  The best of the repeats counts.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.domain.reduce import dot, exact_sum, norm
from parsolve.kernels.jit import find_compiler

if TYPE_CHECKING:
    from collections.abc import Callable

# A row in 64 partial sums, so that no addition waits for the one before.
PLAIN = """
#include <stdint.h>
#define ROW(of)                                                                 \\
    for (; i + 64 <= n; i += 64)                                                \\
        for (int l = 0; l < 64; l++) part[l] += of(i + l);                      \\
    for (; i < n; i++) part[i % 64] += of(i)
#define VALUE(i) a[i]
#define PRODUCT(i) a[i] * b[i]
#define PLAIN(name, real, of)                                                   \\
    double name(const real *u, const real *v, int64_t planes, int64_t rows, int64_t n, int64_t plane, int64_t row) \\
    {                                                                           \\
        double total = 0;                                                       \\
        _Pragma("omp parallel for schedule(static) reduction(+ : total)")       \\
        for (int64_t k = 0; k < planes; k++) {                                  \\
            real part[64] = {0};                                                \\
            for (int64_t j = 0; j < rows; j++) {                                \\
                const real *a = u + k * plane + j * row, *b = v + k * plane + j * row; \\
                int64_t i = 0;                                                  \\
                ROW(of);                                                        \\
                (void)b;                                                        \\
            }                                                                   \\
            for (int l = 0; l < 64; l++) total += part[l];                      \\
        }                                                                       \\
        return total;                                                           \\
    }
PLAIN(sum_float64, double, VALUE)
PLAIN(sum_float32, float, VALUE)
PLAIN(dot_float64, double, PRODUCT)
PLAIN(dot_float32, float, PRODUCT)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    plain = compile_plain(args.threads)
    for dtype in ("float64", "float32"):
        measure(dtype, args.megabytes << 20, args.threads, args.repeats, plain)


def compile_plain(threads: int) -> ctypes.CDLL:
    """The plain sums, compiled for this machine."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "plain.c", Path(folder) / "plain.so"
        source.write_text(PLAIN)
        openmp = ["-fopenmp"] if threads > 1 else []
        flags = ["-O3", "-march=native", "-ffast-math", *openmp]
        subprocess.run([*find_compiler(), *flags, "-fPIC", "-shared", "-o", library, source], check=True)
        return ctypes.CDLL(str(library))


def measure(dtype: str, size: int, threads: int, repeats: int, library: ctypes.CDLL) -> None:
    """Print the rates of one type."""
    n = round((size / np.dtype(dtype).itemsize) ** (1 / 3))
    grid = Grid(("x", "y", "z"), (n, n, n), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    sub = replace(regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), threads=threads)
    u, v, far = (Field(name, sub, dtype, i) for i, name in enumerate("uvw"))
    rng, decades = np.random.default_rng(1), 200 if dtype == "float64" else 30
    for k in range(n):
        u.owned[k], v.owned[k] = rng.standard_normal((2, n, n))
        far.owned[k] = u.owned[k] * 10.0 ** rng.integers(-decades, decades, (n, n))

    def plain(name: str, f: Field, g: Field) -> float:
        function = library[f"{name}_{dtype}"]
        function.restype, function.argtypes = ctypes.c_double, [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 5
        return float(function(f.address, g.address, n, n, n, *f.stride[:2]))

    whole = u.memory.ravel()
    target = np.zeros_like(whole)
    target[:] = 1
    bytes_read = grid.size * u.dtype.itemsize
    works: dict[str, tuple[Callable[[], object], int]] = {
        "copy, read and written (one thread)": (lambda: np.copyto(target, whole), 2 * whole.nbytes),
        "plain sum, C": (lambda: plain("sum", u, u), bytes_read),
        "numpy.sum (one thread)": (lambda: whole.sum(), whole.nbytes),
        "exact_sum": (lambda: exact_sum(u), bytes_read),
        "norm, order 1": (lambda: norm(u, 1), bytes_read),
        "plain sum of squares, C": (lambda: plain("dot", u, u), bytes_read),
        "norm, order 2": (lambda: norm(u), bytes_read),
        "plain dot, C": (lambda: plain("dot", u, v), 2 * bytes_read),
        "dot": (lambda: dot(u, v), 2 * bytes_read),
        "exact_sum, values far apart": (lambda: exact_sum(far), bytes_read),
    }
    clock = process_time if threads == 1 else perf_counter
    best = dict.fromkeys(works, np.inf)
    for _ in range(repeats):
        for name, (work, _size) in works.items():
            begin = clock()
            work()
            best[name] = min(best[name], clock() - begin)
    rates = {name: size / best[name] / 1e9 for name, (_, size) in works.items()}
    copy, reference = (rates[name] for name in list(works)[:2])
    print(f"{dtype}, {n}^3, {bytes_read / 2**20:.0f} MiB, {threads} threads, best of {repeats}")
    for name, rate in rates.items():
        print(
            f"  {name:<36} {rate:6.2f} GB/s  {rate / copy:5.2f} of the copy  {rate / reference:5.2f} of the plain sum"
        )


if __name__ == "__main__":
    main()
