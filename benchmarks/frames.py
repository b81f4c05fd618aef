"""Writing frames and checkpoints: bytes a second beside one ndarray.tofile + fsync of the same bytes in the same run.

For a checkpoint also how long the march waits until it may go on, beside a copy of the state in memory.

mpirun -n 2 python benchmarks/frames.py [--size 256] [--directory .] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from parsolve.bench.measure import case_of
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.domain.processes import best_processes
from parsolve.store.checkpoint import Checkpoints
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.store.layout import Content

if TYPE_CHECKING:
    from parsolve.store.stages import Job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--directory", default=".")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    scratch = Path(comm.bcast(tempfile.mkdtemp(dir=args.directory) if comm.rank == 0 else None))
    grid = Grid.of(case_of("heat3d", args.size).grid)
    field = Field("u", regular(grid, comm, best_processes(grid, comm.size, 1), 1), np.float64)
    field.owned[...] = 1.0 + np.arange(field.owned.shape[2])
    recorder = Recorder(
        comm, scratch / "out.h5", grid, [FieldInfo("u", "u", "1")], np.float64, {"run": "timed"}, keep_frames=True
    )
    content = Content(grid, (FieldInfo("u", "u", "1"),), np.dtype(float), {"run": "timed"})
    checkpoints = Checkpoints(comm, recorder.folder, content, {"text": "", "has_arrays": False})
    other = np.ones_like(field.owned)

    def checkpoint(n: int, wait: bool) -> Job:
        return checkpoints.begin(float(n), n, field.subdomain, {"u": field.owned}, {}, [], wait)

    plain, frames, kept, waited, copied = [], [], [], [], []
    for n in range(args.repeats):
        plain.append(timed(comm, lambda: write_plain(comm, scratch / "plain.bin", grid)))
        frames.append(timed(comm, lambda n=n: recorder.write(float(n), n, [field])))
        kept.append(timed(comm, lambda n=n: checkpoint(2 * n, True)))
        copied.append(timed(comm, lambda: np.copyto(other, field.owned)))
        jobs: list[Job] = []
        waited.append(timed(comm, lambda n=n, jobs=jobs: jobs.append(checkpoint(2 * n + 1, False))))
        jobs[0].finish()
    recorder.abandon()
    if comm.rank == 0:
        size = grid.size * 8
        print(f"frame of {size / 2**20:.0f} MiB from {comm.size} ranks, median of {args.repeats}")
        print(f"  tofile + fsync  {size / median(plain) / 1e9:.2f} GB/s")
        print(f"  frame           {size / median(frames) / 1e9:.2f} GB/s")
        print(f"  ratio           {median(plain) / median(frames):.2f}")
        print(f"  checkpoint      {size / median(kept) / 1e9:.2f} GB/s")
        print(f"  ratio           {median(plain) / median(kept):.2f}")
        print(f"  copy in memory  {2 * size / median(copied) / 1e9:.2f} GB/s, read and written")
        print(f"  march waits     {median(waited) * 1e3:.0f} ms, {median(waited) / median(copied):.2f} times that")
        shutil.rmtree(scratch)


def timed(comm: MPI.Intracomm, work) -> float:
    comm.Barrier()
    begin = perf_counter()
    work()
    return float(comm.allreduce(perf_counter() - begin, op=MPI.MAX))


def write_plain(comm: MPI.Intracomm, path: Path, grid: Grid) -> None:
    if comm.rank == 0:
        values = np.ones(grid.shape)
        with path.open("wb") as file:
            values.tofile(file)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


if __name__ == "__main__":
    main()
