"""Fields on another grid: sums and bounds stay, straight lines stay, and errors fall with the square of the cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsolve.case import Axis
from parsolve.domain.grid import Grid
from parsolve.domain.resample import resampled


def grid(*cells: int, periodic: Any = True) -> Grid:
    """Of the unit cube, x last."""
    axes = {
        name: Axis(cells=n, range=(0.0, 1.0), periodic=periodic) for name, n in zip("xyz", cells[::-1], strict=False)
    }
    return Grid.of(axes)


def on(old: np.ndarray, new: Grid, periodic: Any = True) -> np.ndarray:
    whole = old.reshape((1,) * (3 - old.ndim) + old.shape)
    found = resampled(
        lambda places: whole[np.ix_(*places)], grid(*old.shape, periodic=periodic), new, (0, 0, 0), new.cells
    )
    return found.reshape(new.shape)


@pytest.mark.parametrize("periodic", [True, False, "anti"])
@pytest.mark.parametrize("cells", [(4, 6), (2, 2), (24, 36), (8, 3), (16, 24)])
def test_whole_factors_keep_sums_and_bounds(cells: tuple[int, int], periodic: Any) -> None:
    old = np.random.default_rng(1).random((8, 12))
    new = on(old, grid(*cells, periodic=periodic), periodic)
    assert new.mean() == pytest.approx(old.mean(), abs=1e-15)
    sign = -1 if periodic == "anti" else 1
    assert min(sign * old.max(), old.min()) <= new.min() <= new.max() <= old.max()


@pytest.mark.parametrize("cells", [4, 12, 48, 7, 11, 13, 31])
def test_straight_lines_stay_between_centres(cells: int) -> None:
    """Beyond the outermost ones only a mean of parts is as good."""
    old, new = grid(12, periodic=False), grid(cells, periodic=False)
    values = 3 * new.coordinates("x") - 1
    found = on(3 * old.coordinates("x") - 1, new, periodic=False)
    inner = (new.coordinates("x") >= 1.5 / 12) & (new.coordinates("x") <= 1 - 1.5 / 12)
    assert np.allclose(found[inner], values[inner], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("factor", "periodic"), [(0.5, True), (2, True), (1.5, True), (1.5, "anti"), (0.75, "anti")])
def test_errors_fall_with_the_square_of_the_cells(factor: float, periodic: Any) -> None:
    turns = 2 if periodic is True else 1
    errors = []
    for n in (64, 128, 256):
        new = grid(int(n * factor), periodic=periodic)
        wave = np.sin(turns * np.pi * grid(n).coordinates("x") + 0.3)
        found = on(wave, new, periodic)
        errors.append(np.abs(found - np.sin(turns * np.pi * new.coordinates("x") + 0.3)).mean())
    assert np.log2(errors[0] / errors[1]) > 1.7
    assert np.log2(errors[1] / errors[2]) > 1.7


def test_the_same_cells_are_the_same_values() -> None:
    old = np.random.default_rng(2).random((5, 6, 7))
    assert np.array_equal(on(old, grid(5, 6, 7)), old)


@pytest.mark.parametrize("cells", [(10, 14), (5, 21), (15, 7), (8, 11)])
@pytest.mark.parametrize("periodic", [True, False, "anti"])
def test_a_box_has_the_bits_of_the_whole(cells: tuple[int, int], periodic: Any) -> None:
    """So any rank may make its own part."""
    old, new = np.random.default_rng(3).random((10, 14)), grid(*cells, periodic=periodic)
    whole = on(old, new, periodic)
    for start, shape in (((0, 0, 0), (1, 2, 3)), ((0, 3, 1), (1, 2, 4)), ((0, cells[0] - 2, cells[1] - 3), (1, 2, 3))):
        part = resampled(lambda p: old[None][np.ix_(*p)], grid(10, 14, periodic=periodic), new, start, shape)  # type: ignore[arg-type]
        box = tuple(slice(a, a + n) for a, n in zip(start[1:], shape[1:], strict=True))
        assert np.array_equal(part[0], whole[box])


@pytest.mark.parametrize("scale", [1e308, 1e-300, 1e-170])
@pytest.mark.parametrize("cells", [2, 4, 8, 24, 7])
def test_the_size_of_numbers_does_not_matter(cells: int, scale: float) -> None:
    """Neither sums of parts nor products of differences leave the doubles."""
    old = np.array([-1.5, 0.0, 1.5, 1.6, 1.0, 1.5, 1.2, 1.7])
    found, plain = on(old * scale, grid(cells)), on(old, grid(cells))
    assert np.isfinite(found).all()
    assert np.allclose(found / scale, plain, rtol=1e-14, atol=0)


@pytest.mark.parametrize("cells", [2, 3, 4, 8])
def test_there_is_one_zero(cells: int) -> None:
    """Which of two is the smaller one depends on how many there are."""
    assert not np.signbit(on(np.array([-0.0, 0.0, -0.0, -0.0]), grid(cells))).any()
