"""How many steps run in one pass through memory, and how wide its strips are: a model of what a pass costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.domain.field import LINE

if TYPE_CHECKING:
    from parsolve.domain.grid import Grid

MOST_FUSED = 8  # kernels in one pass: more gain little and their ghosts cost more
LEAST_STRIP = 8  # rows
TILE_CELLS = 2048  # a tile that is smaller costs more in its calls than in its cells
# Seconds on a core, of float64: an exchange without and with messages; a row of a kernel; an arithmetic operation in
# cache; a value to come from memory and go back; a ghost value to be exchanged.  How measured: benchmarks/NOTES.md
LOCAL, MESSAGES, ROW, OPERATION, MEMORY, EXCHANGED = 4e-6, 6e-6, 3e-8, 3.5e-11, 6e-10, 2.5e-9
SHARE = 0.5  # of the second-level cache for the planes between the first and the last stage of a strip
CACHE = 1 << 20  # bytes of that cache where the system does not tell


@cache
def cache_bytes() -> int:
    """Size of the second-level cache of a core."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text.removesuffix("K")) * 1024
    except (ValueError, OSError):
        return CACHE


@dataclass(frozen=True)
class Load:
    """What a step asks of a rank.

    Attributes:
        shape: owned cells (z, y, x).
        present: axes of the grid.
        deep: axes along which ghosts come from other cells.
        split: whether some come from other ranks.
        kernels: launched one after the other in a step.
        radius: neighbours that a kernel reads.
        lag: cells (z, y, x) that a kernel stays behind the one before it.
        operations: of all kernels at one cell.
        unknowns, carried, fields: how many fields are computed, hold the state between steps, and are touched.
        itemsize: bytes of a value.
        threads: of the rank.
        alternates: whether a pass must be of an even number of steps.
    """

    shape: tuple[int, int, int]
    present: tuple[bool, bool, bool]
    deep: tuple[bool, bool, bool]
    split: bool
    kernels: int
    radius: int
    lag: tuple[int, int, int]
    operations: int
    unknowns: int
    carried: int
    fields: int
    itemsize: int
    threads: int = 1
    alternates: bool = False

    @property
    def axes(self) -> tuple[int, int]:
        """Axes that tiles march along and that is cut into strips: the first two; the only one is both."""
        return tiled_axes(self.present)

    def steps(self) -> int:
        """The number of steps in a pass with the least modelled time; 0: step by step."""
        costs = {0: self.cost(0)}
        for steps in range(1, MOST_FUSED // self.kernels + 1):
            deepest = steps * self.kernels * self.radius
            fits = all(deepest <= n for n, deep in zip(self.shape, self.deep, strict=True) if deep)
            if fits and not (self.alternates and steps % 2):
                costs[steps] = self.cost(steps)
        return min(costs, key=lambda steps: costs[steps])

    def cost(self, steps: int) -> float:
        """Modelled seconds of a step in a pass of so many, 0: of one by itself.

        Exchanges are done once a pass, which takes as long again to start, and once a kernel without passes.  Cells in
        the deep ghosts are computed twice; along x they fill cache lines.  Fields that do not stay in cache come from
        memory and go back once a pass, rows between two strips twice.
        """
        nz, ny, nx = self.shape
        cells, size = nz * ny * nx, self.itemsize / 8
        latency = MESSAGES if self.split else LOCAL
        value = MEMORY if cells * self.fields * self.itemsize > SHARE * cache_bytes() else 0.0
        if not steps:
            exchange = latency + EXCHANGED * size * self.unknowns * self._ghosts(self.radius)
            update = size * (OPERATION * self.operations + 2 * value * self.kernels * self.unknowns)
            return self.kernels * (exchange + ROW * nz * ny) + cells * update
        beyond = (steps * self.kernels - 1) * self.radius
        lane = LINE // self.itemsize
        wide = (beyond, beyond, -(-beyond // lane) * lane * 2)
        z, y, x = (n + w if deep else n for n, w, deep in zip(self.shape, wide, self.deep, strict=True))
        _, strip = self.tile(steps)
        again = 1 + (steps * self.kernels * self.lag[self.axes[1]] / strip if strip < self.shape[self.axes[1]] else 0)
        exchange = 2 * latency + EXCHANGED * size * self.carried * self._ghosts(beyond + self.radius)
        memory = value * size * cells * self.fields * again
        return (exchange + memory) / steps + self.kernels * z * y * ROW + OPERATION * size * self.operations * z * y * x

    def _ghosts(self, depth: int) -> float:
        """Ghosts of a field that are exchanged; in 3-D rows close in the tile."""
        axes = (0, 1) if all(self.present) else (0, 1, 2)
        return sum(2 * depth * prod(self.shape) / self.shape[d] for d in axes if self.deep[d])

    def tile(self, steps: int) -> tuple[int, int]:
        """Cells of a tile along the axes it marches along and that is cut into strips.

        The planes that lie between the first and the last stage of a strip, of all fields, fill SHARE of the cache:
            (L + 2 r + 1) (strip + L) row <= SHARE cache,   L the lag of the last stage.
        """
        march, strip = self.axes
        lane = LINE // self.itemsize
        if march == strip:
            return (n := max(lane, int(SHARE * cache_bytes()) // (self.fields * self.itemsize) // lane * lane), n)
        behind, lag = ((steps * self.kernels - 1) * self.lag[d] for d in (march, strip))
        row = self.fields * self.itemsize * (self.shape[2] + 4 * lane if strip < 2 else 1)
        fitting = int(SHARE * cache_bytes() / ((behind + 2 * self.radius + 1) * row)) - lag
        least, unit = (LEAST_STRIP, 1) if strip < 2 else (LEAST_STRIP * lane, lane)
        each = -(-(self.shape[strip] + 2 * lag) // self.threads) if self.threads > 1 else fitting
        width = max(least, min(fitting, each) // unit * unit)
        row_cells = min(width, self.shape[strip]) * (self.shape[2] if strip < 2 else 1)
        return max(1, min(self.shape[march], TILE_CELLS // row_cells)), width


def tiled_axes(present: tuple[bool, bool, bool]) -> tuple[int, int]:
    """Axes that the tiles of a pass march along and that is cut into strips: the first two; the only one is both."""
    first, second = ([d for d, there in enumerate(present) if there] * 2)[:2]
    return first, second


def lags(grid: Grid, radius: int, closure: int) -> tuple[int, int, int]:
    """Cells (z, y, x) that a stage stays behind the one before it: what it reads, and what makes physical ghosts."""
    z, y, x = (
        0 if not present else radius if periodic else max(radius, closure - 1)
        for present, periodic in zip(grid.present, grid.periodic, strict=True)
    )
    return z, y, x
