"""All that is decided once before a run: by rank 0, so that no two ranks can differ, and read by everyone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from parsolve.case import PassSettings
from parsolve.domain import launch
from parsolve.domain.cores import Placement, alone, placement
from parsolve.domain.grid import Grid, Subdomain, Triple, split_grid
from parsolve.domain.processes import choose_processes
from parsolve.errors import SetupError, on_root
from parsolve.kernels.device import find_device
from parsolve.kernels.library import best_level, possible_threads
from parsolve.problem.memory import require_memory
from parsolve.problem.tiles import recall
from parsolve.stages.blocking import PLAIN, Blocking, Load, is_deep, lags

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.problem.problem import Problem


@dataclass(frozen=True)
class Layout:
    """How a problem runs on some ranks; no number of it changes a bit of the result, but ``dt``.

    Attributes:
        processes: ranks along z, y, x.
        ghosts: depth of the ghost cells (z, y, x).
        blocking: steps in a pass through memory, and its tiles.
        threads: of each rank.
        device: where fields live and kernels run.
        level: instruction set, the best that all ranks have; see ``kernels.library.best_level``.
        placement: how the ranks sit on nodes.
        tile_key: under which the fastest tile is kept, or empty.
        dt: the (first) time step; 0 until the initial values are known.
    """

    processes: Triple
    ghosts: Triple
    blocking: Blocking
    threads: int
    device: Literal["cpu", "numpy"]
    level: int
    placement: Placement
    tile_key: str = ""
    dt: float = 0.0

    def subdomain(self, grid: Grid, comm: MPI.Intracomm) -> Subdomain:
        """What this rank owns."""
        device = find_device(self.device, self.level)
        starts = split_grid(grid, self.processes)
        return Subdomain(grid, comm, starts, self.ghosts, device, self.threads, self.placement)


def decide(problem: Problem, comm: MPI.Intracomm) -> Layout:
    """The layout of a problem on the ranks of a communicator, the same on all of them; collective.

    Raises:
        ParsolveError: it cannot run so, or there is too little memory; the same one on all ranks.
    """
    from mpi4py import MPI

    level, place = comm.allreduce(best_level(), op=MPI.MIN), placement(comm)
    layout = on_root(comm, lambda: plan_layout(problem, comm.size, level, place))
    require_memory(problem, layout.subdomain(problem.grid, comm))
    return layout


def plan_layout(problem: Problem, size: int, level: int, place: Placement | None = None) -> Layout:
    """The layout of a problem on so many ranks, as this process would decide it.

    Raises:
        SetupError, CaseError: a process grid, threads or passes that cannot be.
    """
    place = place or alone()
    run, grid = problem.case.run, problem.grid
    processes = choose_processes(grid, size, problem.ghost, problem.least_cells, run.processes)
    load = load_of(problem, processes, _threads(problem, place.cores))
    blocking = _blocking(problem, load)
    key = ""
    if blocking.tile is not None and not blocking.tried:
        key, known = recall(problem, load, blocking)
        if known is not None:
            key, blocking = "", replace(blocking, tile=known, tried=True)
    deep = max(problem.ghost, blocking.steps * load.reach)
    z, y, x = (
        0 if not there else deep if is_deep(grid, processes, d, blocking.whole) else problem.ghost
        for d, there in enumerate(grid.present)
    )
    return Layout(processes, (z, y, x), blocking, load.threads, run.device, level, place, key)


def _threads(problem: Problem, cores: int) -> int:
    """Threads of a rank, as the case or the launcher asks for them.

    Raises:
        CaseError, SetupError: a node has fewer cores.
    """
    asked = problem.case.run.threads
    wanted = asked or launch.threads()
    if wanted > cores:
        text = f"{wanted} threads of a rank are more than the cores of its node; ask for at most {cores}"
        raise problem.case.error("run.threads", text) if asked else SetupError(f"OMP_NUM_THREADS: {text}")
    return possible_threads(wanted)


def load_of(problem: Problem, processes: Triple, threads: int) -> Load:
    """What a step asks of each rank."""
    program, unknowns = problem.program, len(problem.program.unknowns)
    evaluations = problem.scheme.stages
    # Adaptive steps begin with f(y_0) of the step before: a product and a sum, field by field.
    return Load(
        grid=problem.grid,
        processes=processes,
        kernels=evaluations * len(program.kernels) + problem.is_adaptive * unknowns,
        radius=program.radius,
        reach=evaluations * sum(stage.radius for stage in program.stages),
        lag=lags(problem.grid, program.radius, program.radius, problem.closure, program.has_corners),
        operations=evaluations * (sum(stage.flops for stage in program.stages) + 2 * unknowns),
        unknowns=unknowns,
        carried=problem.carried,
        fields=problem.field_count,
        itemsize=problem.dtype.itemsize,
        threads=threads,
        adaptive=problem.is_adaptive,
    )


def _blocking(problem: Problem, load: Load) -> Blocking:
    """How many steps run in one pass through memory, and in which tiles.

    Raises:
        CaseError: what ``run.pipeline`` asks for cannot be done.
    """
    asked, case = problem.case.run.pipeline, problem.case
    if asked == "off" or not problem.can_fuse:
        return PLAIN
    if asked == "auto":
        return _modelled(load)
    assert isinstance(asked, PassSettings)
    if problem.is_adaptive and asked.steps > 1:
        raise case.error("run.pipeline.steps", "with time.tolerance every pass is one step")
    if not load.fits(asked.steps, whole=False):
        raise case.error("run.pipeline.steps", _why_not(load, asked.steps))
    return Blocking(asked.steps, asked.tile, tried=True) if asked.tile else _modelled(load, asked.steps)


@lru_cache(maxsize=16)
def _modelled(load: Load, steps: int | None = None) -> Blocking:
    return load.blocking(steps)


def _why_not(load: Load, steps: int) -> str:
    """Why passes of so many steps are not possible in tiles."""
    if any(load.grid.anti):
        return "tiles cannot close an anti-periodic axis, but for x in 3-D; use 'auto'"
    problem = f"the stages of {steps} steps reach {steps * load.reach} cells, and a rank owns fewer along an axis"
    return f"{problem}; ask for fewer steps or start fewer ranks"
