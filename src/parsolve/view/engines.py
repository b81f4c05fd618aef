"""The figure of a comparison of engines: speed over one worker, and the seconds that each takes to start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsolve.view.figures import blank, fitted, save

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from parsolve.bench.contest import Contest, Row

TITLES = {"many": "many small cases, {small} cells an axis", "large": "one large case, {large} cells an axis"}
COLOURS = {"one worker": "0.6"}  # of what the others are measured by


def draw_engines(contest: Contest, out: Path) -> Path:
    """Draw the speedups of all engines, a panel for each kind of work; return the picture's path.

    Raises:
        SetupError: matplotlib is not installed.
        StorageError: the picture cannot be written.
    """
    figure = blank(figsize=(9, 3.4))
    figure.suptitle(f"{contest.name}, {contest.precision}")
    for axes, work in zip(figure.subplots(1, 2, sharex=True), ("many", "large"), strict=True):
        rows = [row for row in contest.rows if row.work == work]
        _bars(axes, rows)
        title = TITLES[work].format(small=contest.small, large=contest.large)
        axes.set_title(**{"label" if key == "text" else key: value for key, value in fitted(figure, title, 4).items()})
    return save(figure, out, force=True)


def _bars(axes: Axes, rows: list[Row]) -> None:
    """Bars from the top down, each with its speed and its start."""
    bars = axes.barh(
        [f"{row.engine} ({row.workers})" if row.workers > 1 else row.engine for row in rows],
        [row.speedup for row in rows],
        color=[COLOURS.get(row.engine, "C0") for row in rows],
    )
    unit = {"many": "cases/s", "large": "updates/s"}[rows[0].work]
    texts = [f"{row.rate:.3g} {unit}\nstart {row.startup:.2g} s" for row in rows]
    axes.bar_label(bars, texts, padding=4, fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    for workers in sorted({row.workers for row in rows if row.workers > 1}):
        axes.axvline(workers, linestyle="--", color="grey", zorder=0)
    most = max(max(row.workers, row.speedup) for row in rows)
    axes.set(xlabel="speed over one worker; dashed: the ideal", xlim=(0, 1.45 * most))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
