"""What a run did, in numbers that do not depend on the ranks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from parsolve.domain.grid import AXES
from parsolve.domain.reduce import extrema, mean

if TYPE_CHECKING:
    from pathlib import Path

    from parsolve.case import Case
    from parsolve.solvers.evaluation import State
    from parsolve.solvers.march import Result


@dataclass(frozen=True)
class Summary:
    """What a run did; ``seconds`` is the marching alone."""

    case_title: str
    grid: dict[str, int]
    processes: dict[str, int]
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


def summarize(case: Case, result: Result, state: State, path: Path) -> Summary:
    """The summary of a march and its last state; collective."""
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
        result.steps,
        result.time,
        grid.size,
        result.seconds,
        result.steps * grid.size / max(result.seconds, 1e-12),
        fields,
        str(path),
    )
