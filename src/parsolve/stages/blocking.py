"""How many steps run in one pass through memory, and in which tiles: a model of what a pass costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.domain.field import LINE

if TYPE_CHECKING:
    from parsolve.domain.grid import Grid, Triple

# Steps in a pass, all parts of 96, the usual number of steps between two checks; kernels in a pass of tiles, as more
# gain little and their ghosts cost more, and in one of a single tile.
STEPS, MOST_FUSED, MOST_WHOLE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), 8, 32
LEAST_STRIP = 8  # rows
TILE_CELLS = 2048  # a tile that is smaller costs more in its calls than in its cells
# Seconds on a core, of float64: an exchange without and with messages; a row of a kernel; an arithmetic operation in
# cache; a value to come from memory and go back; a ghost value to be exchanged; the ends of a row in cache and in
# memory.  How measured: benchmarks/NOTES.md
LOCAL, MESSAGES, ROW, OPERATION, MEMORY, EXCHANGED = 4e-6, 6e-6, 1e-8, 3.5e-11, 6e-10, 2.5e-9
ENDS, FAR_ENDS = 1e-8, 1e-7
SHARE = 0.5  # of the second-level cache for the planes between the first and the last stage of a strip
CACHE = 1 << 20  # bytes of that cache where the system does not tell

Tile = tuple[int, int]


@dataclass(frozen=True)
class Blocking:
    """Steps in a pass, 0: step by step; and its tiles.

    ``tile``: cells along the axes that tiles march along and that is cut into strips; None: the subdomain is one tile.
    ``tried``: whether it is known to be good, so that no other widths need to be tried.
    """

    steps: int = 0
    tile: Tile | None = None
    tried: bool = False

    @property
    def whole(self) -> bool:
        """Whether the subdomain is a single tile."""
        return self.steps > 0 and self.tile is None


PLAIN = Blocking()


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
        grid, processes: the grid and the ranks along z, y, x.
        kernels: launched one after the other in a step.
        radius: most neighbours that a kernel reads.
        reach: those that all kernels of a step read together.
        lag: cells (z, y, x) that a kernel stays behind the one before it.
        operations: of all kernels at one cell.
        unknowns, carried, fields: how many fields are computed, hold the state between steps, and are touched.
        itemsize: bytes of a value.
        threads: of the rank.
        adaptive: whether a pass can only be of one step.
    """

    grid: Grid
    processes: Triple
    kernels: int
    radius: int
    reach: int
    lag: Triple
    operations: int
    unknowns: int
    carried: int
    fields: int
    itemsize: int
    threads: int = 1
    adaptive: bool = False

    @property
    def shape(self) -> Triple:
        """Owned cells (z, y, x)."""
        z, y, x = (n // p for n, p in zip(self.grid.cells, self.processes, strict=True))
        return z, y, x

    @property
    def axes(self) -> tuple[int, int]:
        """Axes that tiles march along and that is cut into strips."""
        return tiled_axes(self.grid.present)

    def deep(self, whole: bool) -> list[bool]:
        """Axes along which a pass needs deep ghosts."""
        return [is_deep(self.grid, self.processes, d, whole) for d in range(3)]

    def blocking(self, asked: int | None = None) -> Blocking:
        """The one with the least modelled time; of those with as many steps as asked for."""
        costs = {} if asked else {PLAIN: self.cost(0)}
        for whole in (False, True):
            most = asked or (1 if self.adaptive else (MOST_WHOLE if whole else MOST_FUSED) // self.kernels)
            for steps in (asked,) if asked else STEPS:
                if steps <= most and self.fits(steps, whole):
                    costs[Blocking(steps, None if whole else self.tile(steps))] = self.cost(steps, whole)
        return min(costs, key=lambda blocking: costs[blocking])

    def fits(self, steps: int, whole: bool) -> bool:
        """Whether passes of so many steps are possible, and a single tile good.

        Ghosts must come from the next subdomain alone; those of an anti-periodic axis, which change their sign, cannot
        be computed but only copied.  A single tile is for one thread, and fits a cache.
        """
        reach, deep = steps * self.reach, self.deep(whole)
        least = [
            reach if deep[d] else self.radius if is_closed(self.grid, self.processes, d, whole) else 0 for d in range(3)
        ]
        if any(anti and d for anti, d in zip(self.grid.anti, deep, strict=True)):
            return False
        cached = self.threads == 1 and not self._is_large
        return (cached or not whole) and all(n >= m for n, m in zip(self.shape, least, strict=True))

    @property
    def _is_large(self) -> bool:
        return prod(self.shape) * self.fields * self.itemsize > SHARE * cache_bytes()

    def cost(self, steps: int, whole: bool = False) -> float:
        """Modelled seconds of a step in a pass of so many, 0: of one by itself.

        Exchanges are done once a pass, which takes as long again to start, and once a kernel without passes.  Cells in
        the deep ghosts are computed twice; along x they fill cache lines.  Fields that do not stay in cache come from
        memory and go back once a pass, rows between two strips twice; what a single kernel only reads does not go back.
        """
        nz, ny, nx = self.shape
        cells, size = nz * ny * nx, self.itemsize / 8
        latency = MESSAGES if prod(self.processes) > 1 else LOCAL
        value = MEMORY if self._is_large else 0.0
        if not steps:
            every = [p > 1 or periodic for p, periodic in zip(self.processes, self.grid.periodic, strict=True)]
            exchange = latency + self.unknowns * self._exchange(self.radius, every)
            update = size * (OPERATION * self.operations + 1.5 * value * self.kernels * self.unknowns)
            return self.kernels * (exchange + ROW * nz * ny) + cells * update
        deep = self.deep(whole)
        beyond = max(0, steps * self.reach - self.radius)
        lane = LINE // self.itemsize
        wide = (beyond, beyond, -(-beyond // lane) * lane * 2)
        z, y, x = (n + w if d else n for n, w, d in zip(self.shape, wide, deep, strict=True))
        strip, tile = self.axes[1], self.tile(steps)[1]
        again = 1 + (steps * self.kernels * self.lag[strip] / tile if not whole and tile < self.shape[strip] else 0)
        alone = steps * self.kernels == 1
        carried = self.unknowns if alone else self.carried
        moved = (self.unknowns + self.fields) / 2 if alone else self.fields
        exchange = 2 * latency + carried * self._exchange(beyond + self.radius, deep)
        memory = value * size * cells * moved * again
        rows = self.kernels * z * y * (ROW + (ENDS if is_closed(self.grid, self.processes, 2, whole) else 0))
        return (exchange + memory) / steps + rows + OPERATION * size * self.operations * z * y * x

    def _exchange(self, depth: int, deep: list[bool]) -> float:
        """Modelled seconds of the exchange of a field; the ends of a row cost a cache line whatever their depth."""
        nz, ny, nx = self.shape
        ends = nz * ny * (FAR_ENDS if self._is_large else ENDS)
        values = sum(2 * depth * nz * ny * nx / self.shape[d] for d in (0, 1) if deep[d] and self.grid.present[d])
        return EXCHANGED * self.itemsize / 8 * values + (ends if deep[2] else 0.0)

    def tile(self, steps: int) -> Tile:
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


def is_closed(grid: Grid, processes: Triple, axis: int, whole: bool) -> bool:
    """Whether the tiles of a pass reach from end to end of a periodic axis: rows in 3-D, all axes of a single tile."""
    rows = grid.ndim == 3 and axis == 2
    return grid.present[axis] and grid.periodic[axis] and processes[axis] == 1 and (rows or whole)


def is_deep(grid: Grid, processes: Triple, axis: int, whole: bool) -> bool:
    """Whether a pass needs deep ghosts along an axis: values come from beyond, and tiles do not close it."""
    periodic = grid.present[axis] and grid.periodic[axis]
    return processes[axis] > 1 or (periodic and not is_closed(grid, processes, axis, whole))


def tiled_axes(present: tuple[bool, bool, bool]) -> tuple[int, int]:
    """Axes that the tiles of a pass march along and that is cut into strips: the first two; the only one is both."""
    first, second = ([d for d, there in enumerate(present) if there] * 2)[:2]
    return first, second


def lags(grid: Grid, radius: int, depth: int, closure: int, corners: bool) -> Triple:
    """Cells (z, y, x) that a stage stays behind the one before it: what it reads, and what makes physical ghosts.

    Where corners are read, the ghosts at edges, as deep as any stage reads, are made ``edge_lag`` cells later than the
    others; tiles are not cut along the third axis, so nothing lags there.
    """
    z, y, x = (
        0 if d not in tiled_axes(grid.present) else radius if periodic
        else radius + edge_lag(depth, closure) if corners else max(radius, closure - 1)
        for d, periodic in enumerate(grid.periodic)
    )  # fmt: skip
    return z, y, x


def edge_lag(depth: int, closure: int) -> int:
    """How many cells along an axis ghosts of other axes must wait until there are ghosts along it, at its lower end."""
    return closure - 1 + depth
