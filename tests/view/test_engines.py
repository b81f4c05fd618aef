"""The figure of engines has a bar for each row, as long as its speedup, and every text is within it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsolve.bench.contest import ONE, Contest, Row
from parsolve.view import engines

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("workers", [1, 2, 128])
def test_a_bar_for_each_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    rows = [
        Row(work, name, count, 10, 1.25, 2.0, 1.2345e9 * gain, gain, gain / count)
        for work, names in {"many": (ONE, "threads", "processes", "ranks"), "large": (ONE, "ranks")}.items()
        for name, count, gain in [(n, *((1, 1.0) if n == ONE else (workers, 0.9 * workers))) for n in names]
    ]
    drawn: list[Figure] = []
    save = engines.save
    monkeypatch.setattr(
        engines, "save", lambda figure, *more, **words: (drawn.append(figure), save(figure, *more, **words))[1]
    )
    path = engines.draw_engines(
        Contest("gray-scott3d", "float64", 32, 256, 960, 96, 0.5, rows, [], []), tmp_path / "a.png"
    )
    assert path.read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    widths = [bar.get_width() for axes in figure.axes for bar in axes.patches]
    assert widths == [row.speedup for row in rows]
    figure.draw_without_rendering()
    for axes in figure.axes:
        for text in [*axes.texts, axes.xaxis.label, axes.title, *axes.get_yticklabels()]:
            extent = text.get_window_extent()
            assert figure.bbox.x0 <= extent.x0 <= extent.x1 <= figure.bbox.x1, text.get_text()
