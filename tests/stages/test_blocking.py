"""The model of a pass: what it chooses fits the cache and the grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parsolve.domain.grid import Grid, Triple
from parsolve.stages import blocking
from parsolve.stages.blocking import (
    LEAST_STRIP,
    MOST_FUSED,
    STEPS,
    Blocking,
    Load,
    cache_bytes,
    lags,
    tiled_axes,
)


def grid(*cells: int, periodic: bool = True) -> Grid:
    """Cells of x, y, z."""
    z, y, x = (*[1] * (3 - len(cells)), *reversed(cells))
    return Grid(tuple("xyz"[: len(cells)]), (z, y, x), (0.0,) * 3, (0.1,) * 3, (periodic,) * 3)


def load(*cells: int, processes: Triple = (1, 1, 1), **more: Any) -> Load:
    whole = grid(*cells)
    values: dict[str, Any] = {
        "kernels": 1,
        "radius": 1,
        "reach": 1,
        "operations": 17,
        "unknowns": 1,
        "carried": 1,
        "fields": 2,
    }
    values |= {"lag": lags(whole, 1, 1, 1, corners=False), "itemsize": 8} | more
    return Load(whole, processes, **values)


CUBE = load(256, 256, 512, processes=(2, 1, 1))
SQUARE = load(2048, 2048, fields=4, unknowns=2)
LINE = load(1 << 20)


@pytest.mark.parametrize("big", [CUBE, SQUARE, LINE])
def test_large_grids_run_in_passes_of_several_steps(big: Load) -> None:
    best = big.blocking()
    assert 1 < best.steps <= MOST_FUSED
    assert not best.whole
    assert all(big.cost(best.steps) <= big.cost(n) for n in (0, *STEPS) if n <= MOST_FUSED)


def test_small_grids_of_one_thread_are_a_single_tile() -> None:
    assert load(64, 64).blocking().whole
    assert not load(64, 64, threads=2).blocking().whole
    assert not load(256, 256, 256).fits(1, whole=True)


@pytest.mark.parametrize(("size", "fields"), [(64, 2), (64, 4), (128, 2)])
@pytest.mark.parametrize("steps", [2, 4, 8])
def test_what_a_strip_works_on_stays_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, size: int, fields: int, steps: int
) -> None:
    """Counted cell row by cell row: all that the stages read until the last one has passed."""
    monkeypatch.setattr(blocking, "cache_bytes", lambda: 4 << 20)
    _, strip = load(size, size, size, fields=fields).tile(steps)
    assert strip > LEAST_STRIP
    rows = {
        (plane - stage + reach, row - stage)
        for stage in range(steps)  # each a cell behind the one before, along both axes
        for plane in range(steps)  # until the last stage comes to where the first one began
        for reach in (-1, 0, 1)
        for row in range(strip)
    }
    assert len(rows) * fields * 8 * size <= 4 << 20


def test_strips_are_never_narrower_than_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "cache_bytes", lambda: 1 << 12)
    assert load(512, 512, 512).tile(8)[1] == LEAST_STRIP


def test_more_fields_and_more_steps_make_narrower_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "cache_bytes", lambda: 4 << 20)
    widths = [load(64, 64, 64, fields=f).tile(s)[1] for f, s in ((2, 2), (2, 4), (4, 4))]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3


def test_passes_are_not_deeper_than_the_grid() -> None:
    thin = load(256, 256, 6, processes=(2, 1, 1))
    assert thin.fits(3, whole=False)
    assert not thin.fits(4, whole=False)
    assert thin.blocking().steps <= 3


def test_many_stages_leave_no_room_for_several_steps() -> None:
    assert replace(CUBE, kernels=MOST_FUSED + 1).blocking() == Blocking()


def test_adaptive_steps_are_one_a_pass() -> None:
    assert replace(CUBE, kernels=4, adaptive=True).blocking().steps <= 1


def test_steps_that_are_asked_for_are_taken() -> None:
    assert CUBE.blocking(5).steps == 5


def test_every_thread_has_a_strip() -> None:
    _, strip = replace(SQUARE, threads=4).tile(4)
    assert strip * 4 <= 2048 + 4 * 64


def test_nothing_lags_along_an_axis_that_is_not_cut() -> None:
    assert lags(grid(8, 8, 8, periodic=False), 2, 2, 3, corners=False) == (2, 2, 0)
    assert lags(grid(8, 8, periodic=False), 1, 1, 4, corners=False) == (0, 3, 3)


def test_stages_that_read_corners_wait_for_the_ghosts_at_edges() -> None:
    assert lags(grid(8, 8, periodic=False), 1, 1, 2, corners=True) == (0, 3, 3)
    assert lags(grid(8, 8, periodic=False), 1, 3, 2, corners=True) == (0, 5, 5)
    assert lags(grid(8, 8), 1, 1, 2, corners=True) == (0, 1, 1)


def test_axes() -> None:
    assert tiled_axes((True, True, True)) == (0, 1)
    assert tiled_axes((False, True, True)) == (1, 2)
    assert tiled_axes((False, False, True)) == (2, 2)


def test_an_unknown_cache_has_a_usual_size(monkeypatch: pytest.MonkeyPatch) -> None:
    blocking.cache_bytes.cache_clear()
    monkeypatch.setattr(blocking, "Path", lambda _: (_ for _ in ()).throw(OSError("no such file")))
    assert cache_bytes() == blocking.CACHE
    blocking.cache_bytes.cache_clear()
