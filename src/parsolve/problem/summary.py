"""What a run did, in numbers that do not depend on the ranks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from parsolve.domain.grid import AXES
from parsolve.domain.reduce import extrema, mean

if TYPE_CHECKING:
    from pathlib import Path

    from parsolve.march.march import Result
    from parsolve.problem.prepare import March


@dataclass(frozen=True)
class Summary:
    """What a run did; ``seconds`` is the marching alone.

    ``steps_a_pass`` and ``tile`` are those of the pipeline on rank 0; 0: step by step; (): a single tile.
    """

    case_title: str
    grid: dict[str, int]
    processes: dict[str, int]
    threads: int
    steps_a_pass: int
    tile: tuple[int, ...]
    steps: int
    time: float
    cells: int
    seconds: float
    updates_per_s: float
    fields: dict[str, dict[str, float]]
    result: str

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain data."""
        return asdict(self)


def summarize(march: March, result: Result, path: Path) -> Summary:
    """The summary of a march and its last state; collective."""
    case, state = march.problem.case, march.state
    sub = next(iter(state.values())).subdomain
    grid = sub.grid
    fields = {}
    for name, f in state.items():
        low, high = extrema(f)
        fields[name] = {"min": low, "max": high, "mean": mean(f)}
    return Summary(
        case.title,
        dict(zip(grid.names, reversed(grid.shape), strict=True)),
        {axis: sub.processes[AXES.index(axis)] for axis in grid.names},
        sub.threads,
        *march.order,
        result.steps,
        result.time,
        grid.size,
        result.seconds,
        result.steps * grid.size / max(result.seconds, 1e-12),
        fields,
        str(path),
    )
