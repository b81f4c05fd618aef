"""How many ranks, how much memory and how long: proposed from a short march here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TYPE_CHECKING

import msgspec

from parsolve.bench.measure import best_time, ready
from parsolve.errors import CaseError, SetupError
from parsolve.problem.plan import Plan, check
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.case import Case

CELLS_A_RANK = 1 << 18  # fewer, and waiting for ghosts takes more than it saves
MOST_RANKS = 4096
MOST_GROUPS = 64  # of ranks, of a sweep
MOST_CELLS = 1 << 21  # of the trial
HOURS = 12.0  # that more ranks are asked for
SAFETY, SPARE = 2.0, 600.0  # cores of a node share its memory; seconds for start and files
MEMORY = 1.15  # of what is planned


@dataclass(frozen=True)
class Proposal:
    """What a job is to ask for.

    Attributes:
        plan: of the case on so many ranks.
        ranks: of MPI.
        memory: MiB of a rank.
        minutes: of the whole run; None: the steps are not known beforehand, and no time was tried.
        cells_per_s: that one rank here marched.
    """

    plan: Plan
    ranks: int
    memory: int
    minutes: int | None
    cells_per_s: float | None


def propose(
    case: Case, comm: MPI.Intracomm, ranks: int | None = None, timed: bool = True, seconds: float = 2.0
) -> Proposal:
    """Return what a job of a case is to ask for.

    Args:
        case: what is to be run.
        comm: one rank, for the trial.
        ranks: of the job; by default so many that each has CELLS_A_RANK cells, or that it takes HOURS at most.
        timed: march for some seconds, on at most MOST_CELLS of the cells.
        seconds: of the trial.

    Raises:
        ParsolveError: as a run of the case would.
    """
    cells = prod(axis.cells for axis in case.grid.values())
    speed = _cells_per_s(case, comm, seconds) if timed else None
    plan = check(case, ranks or 1)
    total = plan.steps * cells / speed if speed and plan.steps else None
    if ranks is None:
        wanted = max(ceil(cells / CELLS_A_RANK), ceil(SAFETY * total / (3600 * HOURS)) if total else 1)
        plan, ranks = _fitting(case, min(wanted, MOST_RANKS))
    minutes = ceil((SAFETY * total / ranks + SPARE) / 60) if total else None
    return Proposal(plan, ranks, ceil(MEMORY * plan.memory_per_rank / (1 << 20)), minutes, speed)


def of_sweep(one: Proposal, members: int, ranks: int | None = None) -> Proposal:
    """Return what a job of a sweep is to ask for, by what one member does; by default on MOST_GROUPS at most."""
    ranks = ranks or one.ranks * min(members, MOST_GROUPS)
    turns = ceil(members / max(1, ranks // one.ranks))
    minutes = None if one.minutes is None else ceil(turns * (one.minutes - SPARE / 60) + SPARE / 60)
    return replace(one, ranks=ranks, minutes=minutes)


def _fitting(case: Case, ranks: int) -> tuple[Plan, int]:
    """The plan on so many ranks, or as many fewer as the grid can be split for."""
    for fewer in range(ranks, 1, -1):
        try:
            return check(case, fewer), fewer
        except SetupError:
            continue
    return check(case, 1), 1


def _cells_per_s(case: Case, comm: MPI.Intracomm, seconds: float) -> float | None:
    """Cell updates a second on one rank here, on fewer cells if there are many; None if it cannot be tried so."""
    cells = prod(axis.cells for axis in case.grid.values())
    smaller = (cells / MOST_CELLS) ** (1 / len(case.grid)) if cells > MOST_CELLS else 1.0
    grid = {name: msgspec.structs.replace(a, cells=max(8, int(a.cells / smaller))) for name, a in case.grid.items()}
    run = msgspec.structs.replace(case.run, processes=None, threads=None)
    try:
        problem = pose(msgspec.structs.replace(case, grid=grid, run=run))
        with ready(problem, comm) as prepared:
            steps, took = best_time(prepared, comm, seconds)
    except (CaseError, ValueError):  # as files of values for the whole grid
        if smaller == 1.0:
            raise
        return None
    return steps * problem.grid.size / took
