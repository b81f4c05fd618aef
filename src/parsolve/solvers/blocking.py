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
# Seconds: of an exchange; of a cell in cache; of a value to come from memory and go back.  benchmarks/NOTES.md
LATENCY, CELL, MEMORY = 2e-5, 6e-10, 6e-10
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
        kernels: launched one after the other in a step.
        radius: neighbours that a kernel reads.
        lag: cells (z, y, x) that a kernel stays behind the one before it.
        unknowns, fields: how many are computed in a step, and touched.
        itemsize: bytes of a value.
        threads: of the rank.
        alternates: whether a pass must be of an even number of steps.
    """

    shape: tuple[int, int, int]
    present: tuple[bool, bool, bool]
    deep: tuple[bool, bool, bool]
    kernels: int
    radius: int
    lag: tuple[int, int, int]
    unknowns: int
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

        A pass costs LATENCY once, a step by itself once a kernel.  Cells in the deep ghosts are computed twice; along
        x they fill cache lines.  Values come from memory and go back once a pass, those between two strips twice.
        """
        cells = prod(self.shape)
        if not steps:
            return LATENCY * self.kernels + cells * self.kernels * self.unknowns * (CELL + 2 * MEMORY)
        beyond = (steps * self.kernels - 1) * self.radius
        lane = LINE // self.itemsize
        wide = (beyond, beyond, -(-beyond // lane) * lane)
        twice = prod(
            1 + (w if d < 2 else 2 * w) / n
            for d, (n, w, deep) in enumerate(zip(self.shape, wide, self.deep, strict=True)) if deep
        )  # fmt: skip
        _, strip = self.tile(steps)
        again = 1 + (steps * self.kernels * self.lag[self.axes[1]] / strip if strip < self.shape[self.axes[1]] else 0)
        update = self.kernels * self.unknowns * twice * CELL
        return LATENCY / steps + cells * (update + self.fields * again * MEMORY / steps)

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
        return 1, max(least, min(fitting, each) // unit * unit)


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
