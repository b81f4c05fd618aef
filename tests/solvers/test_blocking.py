"""The model of a pass: what it chooses fits the cache and the grid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parsolve.solvers import blocking
from parsolve.solvers.blocking import LEAST_STRIP, MOST_FUSED, SHARE, TILE_CELLS, Load, cache_bytes, tiled_axes

CUBE = Load(
    (256, 256, 256), (True,) * 3, (True,) * 3, split=True, kernels=1, radius=1, lag=(1, 1, 1), operations=17, unknowns=1,
    carried=1, fields=2, itemsize=8, alternates=True,
)  # fmt: skip
SQUARE = replace(
    CUBE, shape=(1, 2048, 2048), present=(False, True, True), deep=(False, True, True), fields=4, unknowns=2
)
LINE = replace(CUBE, shape=(1, 1, 1 << 20), present=(False, False, True), deep=(False, False, True))


@pytest.mark.parametrize("load", [CUBE, SQUARE, LINE])
def test_large_grids_run_in_passes_of_even_steps(load: Load) -> None:
    steps = load.steps()
    assert 1 < steps <= MOST_FUSED
    assert steps % 2 == 0
    assert load.cost(steps) < load.cost(0)


@pytest.mark.parametrize("size", [64, 256, 512])
@pytest.mark.parametrize("fields", [2, 4])
@pytest.mark.parametrize("steps", [2, 4, 8])
def test_planes_of_a_strip_fit_their_share_of_the_cache(size: int, fields: int, steps: int) -> None:
    load = replace(CUBE, shape=(size,) * 3, fields=fields)
    march, strip = load.tile(steps)
    lag = steps - 1
    live = (lag + 3) * (strip + lag) * fields * 8 * size
    assert march == max(1, TILE_CELLS // (min(strip, size) * size))
    assert live <= SHARE * cache_bytes() or strip == LEAST_STRIP


def test_passes_are_not_deeper_than_the_grid() -> None:
    thin = replace(CUBE, shape=(3, 256, 256))
    assert thin.steps() * thin.kernels * thin.radius <= 3


def test_many_stages_leave_no_room_for_several_steps() -> None:
    assert replace(CUBE, kernels=MOST_FUSED + 1).steps() == 0


def test_every_thread_has_a_strip() -> None:
    load = replace(SQUARE, threads=4)
    _, strip = load.tile(4)
    assert strip * 4 <= SQUARE.shape[2] + 4 * 64


def test_axes() -> None:
    assert tiled_axes((True, True, True)) == (0, 1)
    assert tiled_axes((False, True, True)) == (1, 2)
    assert tiled_axes((False, False, True)) == (2, 2)


def test_an_unknown_cache_has_a_usual_size(monkeypatch: pytest.MonkeyPatch) -> None:
    blocking.cache_bytes.cache_clear()
    monkeypatch.setattr(blocking, "Path", lambda _: (_ for _ in ()).throw(OSError("no such file")))
    assert cache_bytes() == blocking.CACHE
    blocking.cache_bytes.cache_clear()
