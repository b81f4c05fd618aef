"""What a run did, in numbers that do not depend on the ranks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from parsolve.domain.grid import AXES
from parsolve.domain.reduce import extrema, mean
from parsolve.kernels.library import instruction_set

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from parsolve.march.march import Outcome
    from parsolve.problem.prepare import Prepared


NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Summary:
    """What a run did; ``seconds`` is the marching alone.

    ``steps_a_pass`` and ``tile`` are those of passes through memory, the tile that of rank 0; 0: step by step; (): a
    single tile.  ``dt`` is the (first) time step; ``changes``: later ones may differ.  ``warnings`` say what the
    numbers may not be trusted for.  ``stopped``: by which rule it ended before its time, empty if it did not.
    ``measures``: the last values of what was measured, None where one has none. ``slices``: of each its ``result`` and
    how many ``frames`` are in it.
    """

    case_title: str
    grid: dict[str, int]
    processes: dict[str, int]
    threads: int
    steps_a_pass: int
    tile: tuple[int, ...]
    instruction_set: str
    dt: float
    changes: bool
    steps: int
    time: float
    cells: int
    seconds: float
    updates_per_s: float
    fields: dict[str, dict[str, float]]
    result: str
    warnings: list[str]
    stopped: str = ""
    measures: dict[str, float | None] = field(default_factory=dict)
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain data."""
        return asdict(self)


def summarize(
    march: Prepared, outcome: Outcome, path: Path, stopped: str = "", measured: Mapping[str, float] = NOTHING,
    slices: Mapping[str, dict[str, Any]] = NOTHING,
) -> Summary:  # fmt: skip
    """The summary of a march and its last state; collective."""
    case, state, layout, grid = march.problem.case, march.state, march.layout, march.problem.grid
    fields = {}
    for name, f in state.items():
        low, high = extrema(f)
        fields[name] = {"min": low, "max": high, "mean": mean(f)}
    return Summary(
        case.title,
        dict(zip(grid.names, reversed(grid.shape), strict=True)),
        {axis: layout.processes[AXES.index(axis)] for axis in grid.names},
        layout.threads,
        layout.blocking.steps,
        march.steps.tile or (),
        instruction_set(layout.level),
        layout.dt,
        march.changes,
        outcome.steps,
        outcome.time,
        grid.size,
        outcome.seconds,
        outcome.taken * grid.size / max(outcome.seconds, 1e-12),
        fields,
        str(path),
        march.warnings,
        stopped,
        {name: value if isfinite(value) else None for name, value in measured.items()},
        dict(slices),
    )
