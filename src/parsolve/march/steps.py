"""Takes the steps of a stepper: in the plain order or in passes, and finds the fastest tiles while it does so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import LINE
from parsolve.stages.blocking import PLAIN, tiled_axes
from parsolve.stages.passes import Pass, build
from parsolve.stages.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.march.stepper import Stepper, Workspace
    from parsolve.stages.blocking import Blocking, Tile
    from parsolve.stages.operator import Norm, State

FACTORS, TRIALS = (0.5, 0.75, 1, 1.5, 2), 2  # widths of strips, over the modelled one, and how often each is tried
LEAST_TRIAL, MOST_PASSES = 1e-4, 32  # seconds of a trial, unless that is too many passes


class Search:
    """Tries tiles in turn, each in several trials of one or more passes; the one with the fastest trial is the best."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        self._left = [*tiles] * TRIALS
        self._seconds: dict[Tile, float] = {}  # a pass
        self._sum, self._passes = 0.0, 0

    @property
    def tile(self) -> Tile | None:
        """What the next pass is to try; None at the end."""
        return self._left[-1] if self._left else None

    @property
    def best(self) -> Tile:
        """The fastest of those tried."""
        return min(self._seconds, key=lambda tile: self._seconds[tile])

    def note(self, seconds: float) -> None:
        """A pass with the tile took so long."""
        self._sum, self._passes = self._sum + seconds, self._passes + 1
        if self._sum >= LEAST_TRIAL or self._passes >= MOST_PASSES:
            tile = self._left.pop()
            self._seconds[tile] = min(self._sum / self._passes, self._seconds.get(tile, math.inf))
            self._sum, self._passes = 0.0, 0


class Steps:
    """What the march calls: some steps, or one that is tried and accepted.

    What runs them is made at its first use.  The first passes try strips around the given width, each of which gives
    the same bits; the fastest is kept.

    Args:
        stepper: whose steps they are.
        blocking: steps in a pass, and the tile; fewer steps are taken where fewer are due.
        found: told the tile that was the fastest.
    """

    def __init__(
        self, stepper: Stepper, blocking: Blocking = PLAIN, found: Callable[[Tile], None] | None = None
    ) -> None:
        self.stepper, self.blocking, self.tile = stepper, blocking, blocking.tile
        self._found = found
        self._made: dict[tuple[int, int], tuple[Plain | Pass, list[Norm]]] = {}
        tiles = _around(self.tile, stepper.work) if self.tile is not None and not blocking.tried else []
        self._search = Search(tiles)

    @property
    def state(self) -> State:
        """The current fields."""
        return self.stepper.state

    def fitting(self, due: int) -> int:
        """How many of the steps that are due are taken at once; below a pass a power of two, so that kinds are few."""
        most = max(1, self.blocking.steps)
        return most if due >= most else 1 << (due.bit_length() - 1)

    def take(self, times: Sequence[float], dt: float, step: int = 0) -> None:
        """Take the steps that begin at these times, as many as fit, the first of this number; collective."""
        if dt != self.stepper.dt:
            self.stepper.change(times[0], dt)
        run, _ = self._find(len(times))
        if self.stepper.is_noisy:
            run.set_noise(self.stepper.draws(step, len(times), dt))
        self._run(run, times, dt)
        self.stepper.turn(len(times))

    def attempt(self, time: float, dt: float, tolerance: float) -> float:
        """Compute the state at time + dt; its estimated error over the tolerance on this rank; collective."""
        run, norms = self._find(1)
        for norm in norms:
            norm.set(self.stepper.error_scale(dt), tolerance)
        self._run(run, [time], dt)
        return max(norm.result.value for norm in norms)

    def accept(self) -> None:
        """Make the state after the last attempt the current one."""
        self.stepper.turn()

    def free(self) -> None:
        """Free the messages; collective."""
        self._made.clear()
        self.stepper.work.exchanges.free()

    def _find(self, steps: int) -> tuple[Plain | Pass, list[Norm]]:
        key = (steps, self.stepper.parity)
        if key not in self._made:
            updates, norms, exchanges = self.stepper.updates(steps), self.stepper.norms(), self.stepper.work.exchanges
            run: Plain | Pass
            if self.blocking.steps:
                run = build(updates, norms, exchanges, whole=self.blocking.whole)
            else:
                run = Plain(updates, norms, exchanges)
            self._made[key] = run, norms
        return self._made[key]

    def _run(self, run: Plain | Pass, times: Sequence[float], dt: float) -> None:
        moments, scales = self.stepper.moments(times, dt), self.stepper.scales(len(times), dt)
        trial = self._search.tile if len(times) == self.blocking.steps else None
        seconds = run(moments, scales, trial or self.tile)
        if trial:
            self._search.note(seconds)
            if self._search.tile is None:
                self.tile = self._search.best
                if self._found:
                    self._found(self.tile)


def _around(tile: Tile, work: Workspace) -> list[Tile]:
    """Tiles to try: strips from half to twice as wide as the modelled one."""
    sub = work.subdomain
    march, strip = tiled_axes(sub.grid.present)
    unit = LINE // np.dtype(work.dtype).itemsize if strip == 2 else 1
    widths = {max(unit, round(tile[1] * factor / unit) * unit) for factor in FACTORS}
    most = max(sub.shape[strip], tile[1])
    return [(tile[0], width) for width in sorted(widths) if width <= most] if march != strip else []
