"""The fastest tiles that earlier runs found, kept in the private cache of the user; they change no bits."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from parsolve.kernels import cache
from parsolve.kernels.jit import cpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.problem.problem import Problem
    from parsolve.stages.blocking import Blocking, Tile

HINT = "tile"


def recall(problem: Problem, comm: MPI.Intracomm) -> tuple[Blocking, Callable[[Tile], None]]:
    """How a problem runs on some ranks, with the tile of an earlier run if there was one, and what keeps a better one.

    A tile is the same on all ranks; the one that rank 0 finds is kept.  Collective.
    """
    blocking = problem.blocking(comm.size)
    if blocking.tile is None or blocking.tried:
        return blocking, lambda tile: None
    key = _key(problem, comm.size)
    known = comm.bcast(_find(key) if comm.rank == 0 else None, root=0)
    if known is not None:
        return replace(blocking, tile=known, tried=True), lambda tile: None
    return blocking, lambda tile: _keep(key, tile) if comm.rank == 0 else None


def _key(problem: Problem, size: int) -> str:
    """Of all that the speed of a tile depends on: the kernels, the subdomain, the values, and the processor."""
    run, load = problem.case.run, problem.load(size)
    stages = [(stage.name, stage.operations) for stage in problem.program.stages]
    text = repr((stages, problem.scheme.name, load, problem.blocking(size).steps, run.precision, cpu()))
    return hashlib.sha256(text.encode()).hexdigest()


def _find(key: str) -> Tile | None:
    """The tile of a key; None if there is none, or no cache."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without a cache it is found again
            planes, width = msgspec.json.decode(cache.find(key, HINT) or b"", type=tuple[int, int])
    except msgspec.DecodeError:
        return None
    return (planes, width) if planes > 0 and width > 0 else None


def _keep(key: str, tile: Tile) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache.keep(key, msgspec.json.encode(tile), HINT)
