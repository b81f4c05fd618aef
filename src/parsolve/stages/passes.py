"""Takes the steps of a stepper in passes of several, and finds the fastest tiles while it does so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import LINE
from parsolve.stages.blocking import tiled_axes
from parsolve.stages.pipeline import Pipeline, exchange_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.halo import HaloExchange
    from parsolve.march.schedule import Schedule
    from parsolve.march.stepper import Stepper, Workspace
    from parsolve.stages.blocking import Blocking, Tile
    from parsolve.stages.evaluation import State

# Each width of strips, over the modelled one, is tried so often, if a pass takes so many seconds.
FACTORS, TRIALS, LEAST_TRIAL = (0.5, 0.75, 1, 1.5, 2), 2, 1e-4


class Passes:
    """Takes the steps of a stepper in passes; does for the march what the stepper itself does step by step.

    The first passes try strips around the given width, each of which gives the same bits; the fastest is kept.

    Args:
        blocking: steps in a pass, and the tile; fewer steps are taken where fewer are due.
        found: told the tile that was the fastest.
    """

    def __init__(self, stepper: Stepper, blocking: Blocking, found: Callable[[Tile], None] = lambda tile: None) -> None:
        self.stepper = stepper
        self.steps = blocking.steps
        self.tile = blocking.tile
        self._found = found
        self._exchanges: dict[int, HaloExchange] = {}
        self._pipelines: dict[tuple[int, int], Pipeline] = {}
        self._seconds: dict[Tile, float] = {}
        self._trials: list[Tile] = []
        if self.tile is not None and not blocking.tried:
            march, widths = self.tile[0], _widths(self.tile, stepper.work)
            self._trials = [(march, width) for _ in range(TRIALS) for width in widths]

    @property
    def state(self) -> State:
        """The current fields."""
        return self.stepper.state

    def advance(self, first: int, stop: int, schedule: Schedule) -> int:
        """Take steps ``first``, ``first + 1``, ..., at most a pass and before ``stop``; how many were taken.

        Where fewer than a pass are due, a power of two, so that few kinds of passes are ever made.
        """
        due = stop - first
        steps = self.steps if due >= self.steps else 1 << (due.bit_length() - 1)
        self._take([schedule.time(first + n) for n in range(steps)], schedule.dt)
        if len(self.stepper.plans) > 1:
            self.stepper.parity ^= steps & 1
        return steps

    def attempt(self, time: float, dt: float, tolerance: float) -> float:
        """As that of an adaptive stepper."""
        return self._take([time], dt, tolerance)

    def accept(self) -> None:
        """Make the state after the last attempt the current one."""
        self.stepper.parity ^= 1

    def _take(self, times: Sequence[float], dt: float, tolerance: float = 0.0) -> float:
        pipeline = self._pipeline(len(times))
        trial = self._trials.pop() if self._trials and len(times) == self.steps else None
        if trial:
            pipeline.set_tile(trial)
        worst = pipeline(times, dt, tolerance)
        if trial:
            self._compare(trial, pipeline.seconds)
        return worst

    def _pipeline(self, steps: int) -> Pipeline:
        parity = self.stepper.parity
        if parity not in self._exchanges:
            self._exchanges[parity] = exchange_of(self.stepper, self.steps, parity)
        if (steps, parity) not in self._pipelines:
            exchange = self._exchanges[parity]
            self._pipelines[steps, parity] = Pipeline(self.stepper, steps, parity, exchange, self.tile)
        return self._pipelines[steps, parity]

    def _compare(self, tile: Tile, seconds: float) -> None:
        """After the last trial keep the fastest tile."""
        self._seconds[tile] = min(seconds, self._seconds.get(tile, math.inf))
        if seconds < LEAST_TRIAL:
            self._trials = []
        if not self._trials:
            self.tile = min(self._seconds, key=lambda t: self._seconds[t])
            for each in self._pipelines.values():
                each.set_tile(self.tile)
            self._found(self.tile)

    def free(self) -> None:
        """Free the messages; no step can follow."""
        for exchange in self._exchanges.values():
            exchange.free()
        self.stepper.free()


def _widths(tile: Tile, work: Workspace) -> list[int]:
    """Widths of strips to try: from half to twice the modelled one."""
    sub = work.subdomain
    march, strip = tiled_axes(sub.grid.present)
    unit = LINE // np.dtype(work.dtype).itemsize if strip == 2 else 1
    widths = {max(unit, round(tile[1] * factor / unit) * unit) for factor in FACTORS}
    return sorted(w for w in widths if w <= max(sub.shape[strip], tile[1])) if march != strip else []
