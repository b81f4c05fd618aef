"""Strong and weak scaling of a benchmark over ranks and threads."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from parsolve.bench.measure import find_benchmark, measure_speed, wait_asleep
from parsolve.domain.cores import node_cores
from parsolve.errors import ParsolveError, agree
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mpi4py import MPI


@dataclass(frozen=True)
class Row:
    """One measurement.  ``strong``: the same grid for all; ``weak``: as many cells for each worker (rank x thread).

    ``efficiency``: speed a worker over that of the first row of its kind.
    """

    kind: str
    ranks: int
    threads: int
    cells: str
    updates_per_s: float
    speedup: float
    efficiency: float


def measure_scaling(
    name: str, comm: MPI.Intracomm, *, size: int | None, precision: str, seconds: float, threads: int
) -> list[Row]:
    """Measure on 1, 2, 4, ... ranks up to all, with 1, 2, 4, ... threads up to so many, a core for each; collective."""
    from mpi4py import MPI

    b = find_benchmark(name)
    base = dict.fromkeys(b.axes, size or b.size)
    ranks, own = node_cores(comm)
    cores = float(comm.allreduce(len(own) / ranks, op=MPI.MIN))  # a rank has, on the node where it has least
    rows: list[Row] = []
    for kind in ("strong", "weak"):
        first = 0.0
        for count in _doubling(comm.size):
            for each in _doubling(threads):
                workers = count * each
                if workers > cores * comm.size and workers > 1:
                    continue
                cells = base if kind == "strong" else base | {b.axes[-1]: base[b.axes[-1]] * workers}
                rate = _rate(name, comm, count, each, size or b.size, cells, precision, seconds)
                first = first or rate
                text = " x ".join(map(str, cells.values()))
                rows.append(Row(kind, count, each, text, rate, rate / first, rate / first / workers))
    return rows


def _doubling(most: int) -> list[int]:
    return [*(1 << i for i in range((most - 1).bit_length())), most]


def _rate(
    name: str, comm: MPI.Intracomm, count: int, threads: int, size: int, cells: dict[str, int], precision: str,
    seconds: float,
) -> float:  # fmt: skip
    """Cell updates a second on the first ``count`` ranks, while the others sleep; collective."""
    part = cast("MPI.Intracomm", comm.Split(int(comm.rank >= count)))
    rate, error = 0.0, None
    if comm.rank < count:
        try:
            rate = measure_speed(name, part, size=size, cells=cells, precision=precision, seconds=seconds,
                                 threads=threads, off=False).updates_per_s  # fmt: skip
        except ParsolveError as caught:
            error = caught
    part.Free()
    wait_asleep(comm)
    agree(comm, error)
    return float(comm.bcast(rate))


def write_table(rows: Sequence[object], path: Path) -> None:
    """Write the attributes of rows as CSV.

    Raises:
        StorageError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(vars(rows[0])))
    writer.writeheader()
    writer.writerows(map(vars, rows))
    write_whole(path, text.getvalue().encode(), force=True)
