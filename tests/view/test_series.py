"""Time series: of results and of runs under way, those that are there, with their names and units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from parsolve.errors import CaseError, StorageError
from parsolve.store.series import Coordinate, Series, SeriesFile, write_series
from parsolve.view.figures import blank
from parsolve.view.series import choose, draw_panels, draw_series, name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("matplotlib")
TIMES = np.linspace(0.0, 1.0, 5)


def series(name: str, values: object) -> Series:
    return Series(name, np.arange(5), TIMES, np.asarray(values, float), "J", f"all of $ {name}")


def test_each_series_has_a_panel_with_its_name_whatever_its_values() -> None:
    wild = [series(f"m{n}", v) for n, v in enumerate((TIMES, [np.nan] * 5, [np.inf, -1, 0, 1, 1e308], [7.0] * 5))]
    for log in (False, True):
        figure = blank()
        draw_panels(figure, wild, "title", "time (s)", log)
        figure.draw_without_rendering()
        assert [axes.get_ylabel().split(",")[0] for axes in figure.axes] == ["m0", "m1", "m2", "m3"]
    several = [series("h", v) for v in (np.outer(TIMES, [1, 0, np.nan]), np.zeros((5, 3)), np.full((5, 3), np.inf))]
    cells = Coordinate("bin", np.arange(3.0))
    for log in (False, True):
        figure = blank()
        draw_panels(figure, [replace(one, coordinate=cells) for one in several], "title", "time (s)", log)
        figure.draw_without_rendering()
        assert figure.axes[0].get_ylabel().startswith("centre of a bin")
    assert name_of(wild[0]) == "m0, all of $ m0 (J)"


def test_a_picture_shows_the_values_and_every_number_has_room() -> None:
    """Of one bin, one wave or one time, too; what is too large for a scale is left out."""
    large = [0.0, 1e160, -1e300, 1e307, 1.7e308]
    figure = blank()
    draw_panels(figure, [series("m", large)], "", "time")
    assert np.array_equal(figure.axes[0].lines[0].get_ydata(), [*large[:4], np.nan], equal_nan=True)
    for times, cells in ((1, 3), (5, 1), (1, 1)):
        one = Series("h", np.arange(times), TIMES[:times], np.full((times, cells), 1e160), "1", "h")
        figure = blank()
        draw_panels(figure, [replace(one, coordinate=Coordinate("bin", np.arange(float(cells))))], "", "time")
        figure.draw_without_rendering()
        (mesh,) = figure.axes[0].collections
        box = mesh.get_window_extent()
        assert min(box.width, box.height) > 100
        assert (mesh.get_array() == 1e160).all()
    edges = figure.axes[0].collections[0].get_coordinates()
    assert (edges[0, 0, 1], edges[-1, 0, 1]) == (-0.5, 0.5)


def test_results_and_runs_under_way_are_drawn(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make("r.h5", 4, frames=1)
    with pytest.raises(CaseError, match="nothing was measured"):
        draw_series(path)
    with h5py.File(path, "a") as file:
        write_series(file, [series("energy", TIMES)])
    with pytest.warns(UserWarning, match="changed since it was written"):
        assert draw_series(path).name == "r.series.png"
    folder = tmp_path / "s.h5.frames"
    folder.mkdir()
    lines = SeriesFile(folder, ["mass"])
    lines.begin()
    assert draw_series(tmp_path / "s.h5", out=tmp_path / "none.png").stat().st_size > 1000
    lines.add(0, 0.0, [1.0])
    assert draw_series(folder, ["mass"], tmp_path / "one.png", log=True).stat().st_size > 1000


def test_what_is_not_there_or_too_much_is_told(tmp_path: Path) -> None:
    many = [series(f"m{n}", TIMES) for n in range(13)]
    with pytest.raises(CaseError, match="13 measures, and a picture has room for 12"):
        choose(tmp_path, many, [])
    with pytest.raises(CaseError, match="did you mean 'm12'"):
        choose(tmp_path, many, ["M12"])
    with pytest.raises(StorageError, match="no such file"):
        draw_series(tmp_path / "none.h5")
