"""The fastest tiles that earlier runs found, kept in the private cache of the user; they change no bits."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

import msgspec

from parsolve.kernels import cache
from parsolve.kernels.jit import cpu

if TYPE_CHECKING:
    from parsolve.problem.problem import Problem
    from parsolve.stages.blocking import Blocking, Load, Tile

HINT = "tile"


def recall(problem: Problem, load: Load, blocking: Blocking) -> tuple[str, Tile | None]:
    """The key of a problem's tile, and the tile that an earlier run kept under it, if there is one.

    The key is of all that the speed of a tile depends on: the kernels, the subdomain, the values, and the processor.
    """
    stages = [(stage.name, stage.operations) for stage in problem.program.stages]
    text = repr((stages, problem.scheme.name, load, blocking.steps, problem.case.run.precision, cpu()))
    key = hashlib.sha256(text.encode()).hexdigest()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without a cache it is found again
            planes, width = msgspec.json.decode(cache.find(key, HINT) or b"", type=tuple[int, int])
    except msgspec.DecodeError:
        return key, None
    return key, (planes, width) if planes > 0 and width > 0 else None


def remember(key: str, tile: Tile) -> None:
    """Keep the fastest tile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache.keep(key, msgspec.json.encode(tile), HINT)
