"""`bench --compare-engines`: the same work by every engine, in a table, a figure and words."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.cli.streams import answer, tell
from parsolve.cli.words import table
from parsolve.domain import launch
from parsolve.errors import CaseError, agreed

if TYPE_CHECKING:
    import argparse

    from mpi4py import MPI

    from parsolve.bench.contest import Contest, Row

HEAD = ("work", "engine", "workers", "cases", "startup s", "seconds", "speed", "speedup", "efficiency")
UNITS = {"many": "cases/s", "large": "updates/s"}


def show_engines(args: argparse.Namespace, comm: MPI.Intracomm) -> int:
    """Compare the engines; print, write and draw the table; collective."""
    from parsolve.bench.contest import compare_engines
    from parsolve.bench.scaling import write_table
    from parsolve.bench.verdict import verdict
    from parsolve.view.engines import draw_engines
    from parsolve.view.figures import blank

    if args.threads:
        raise CaseError("bench --compare-engines: there is no --threads; workers are the ranks, or without mpirun the "
                        "cores that this process may use (fewer: taskset)")  # fmt: skip
    with agreed(comm):
        if comm.rank == 0:
            blank()  # a missing matplotlib is told before anything is measured
    warning = launch.oversubscription(comm, 1)
    if warning:
        tell(f"parsolve: warning: {warning}")
    contest = compare_engines(args.name, comm, size=args.size, precision=args.precision, seconds=args.seconds)
    name = args.output or f"{args.name}-engines"
    with agreed(comm):
        if comm.rank == 0:
            said = verdict(contest)
            write_table(contest.rows, Path(f"{name}.csv"))
            picture = draw_engines(contest, Path(f"{name}.png"))
            if args.json:
                answer(json.dumps(asdict(contest) | {"verdict": said}))
            else:
                answer("\n".join([*text_of(contest), *said, f"written: {name}.csv, {picture}"]))
    return 0


def text_of(contest: Contest) -> list[str]:
    """The comparison in plain words."""
    lines = [f"{contest.name}, {contest.precision}; all engines gave the same bits"]
    lines += [f"  many: cases of {contest.small} cells an axis, {contest.small_steps} steps; "
              f"large: {contest.large} cells an axis, {contest.large_steps} steps"]  # fmt: skip
    lines += table([HEAD, *map(_cells, contest.rows)], "  ")
    lines += [f"  {one.work}: no {one.engine}: {one.why}" for one in contest.absent]
    return lines + [f"  {note}" for note in contest.notes]


def _cells(row: Row) -> tuple[str, ...]:
    return (row.work, row.engine, str(row.workers), str(row.cases), f"{row.startup:.2f}", f"{row.seconds:.3f}",
            f"{row.rate:.3g} {UNITS[row.work]}", f"{row.speedup:.2f}", f"{row.efficiency:.2f}")  # fmt: skip
