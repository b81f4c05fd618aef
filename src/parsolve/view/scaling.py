"""The figure of a scaling table: speedup over workers, strong and weak, beside the ideal line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsolve.view.figures import blank, save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from parsolve.bench.scaling import Row


def draw_scaling(rows: Sequence[Row], title: str, out: Path) -> Path:
    """Draw speedup (strong) and scaled speedup (weak) over ranks x threads; return the picture's path.

    Raises:
        SetupError: matplotlib is not installed.
        StorageError: the picture cannot be written.
    """
    figure = blank(figsize=(8, 3.6))
    figure.suptitle(title)
    panels = figure.subplots(1, 2, sharey=True)
    most = max(row.ranks * row.threads for row in rows)
    for axes, kind in zip(panels, ("strong", "weak"), strict=True):
        chosen = [row for row in rows if row.kind == kind]
        for threads in sorted({row.threads for row in chosen}):
            line = [row for row in chosen if row.threads == threads]
            workers = [row.ranks * row.threads for row in line]
            label = f"{threads} thread{'s'[: threads > 1]} a rank"
            axes.plot(workers, [row.speedup for row in line], "o-", label=label)
        axes.plot([1, most], [1, most], "--", color="grey", label="ideal")
        axes.set(title=f"{kind} scaling: {chosen[0].cells} cells{' a worker' if kind == 'weak' else ''}")
        axes.set(xlabel="ranks x threads", xscale="log", yscale="log")
        ticks = sorted({row.ranks * row.threads for row in chosen})
        axes.set_xticks(ticks, [str(n) for n in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("speed over one worker")
    panels[0].set_yticks(ticks, [str(n) for n in ticks])
    panels[0].legend(frameon=False)
    return save(figure, out, force=True)
