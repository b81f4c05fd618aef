"""Equal time steps and the numbers of those after which a frame is taken."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Equal steps with frames at some of them; ``records`` are step numbers in increasing order."""

    dt: float
    steps: int
    records: tuple[int, ...]
    end: float

    def time(self, n: int) -> float:
        """Time after n steps: no running sum, and the end exactly."""
        return n / self.steps * self.end


def even_schedule(end: float, dt: float, every: float | None) -> Schedule:
    """Equal steps of at most dt that end at ``end`` and, where ``every`` divides it, hit every multiple exactly.

    Where it does not, a frame is taken at the step nearest to each multiple.
    """
    if every is None or every >= end:
        steps = max(1, math.ceil(end / dt * (1 - 1e-12)))
        return Schedule(end / steps, steps, (steps,), end)
    frames = end / every
    if abs(frames - round(frames)) < 1e-9 * frames:
        each = max(1, math.ceil(every / dt * (1 - 1e-12)))
        steps = each * round(frames)
        return Schedule(end / steps, steps, tuple(range(each, steps + 1, each)), end)
    steps = max(1, math.ceil(end / dt * (1 - 1e-12)))
    dt = end / steps
    records = sorted({max(1, round(i * every / dt)) for i in range(1, int(frames) + 1)} | {steps})
    return Schedule(dt, steps, tuple(records), end)


def counted_schedule(steps: int, dt: float, every: int | None) -> Schedule:
    """A given number of steps, with a frame every so many and at the end."""
    records = sorted({*range(every or steps, steps + 1, every or steps), steps})
    return Schedule(dt, steps, tuple(records), steps * dt)
