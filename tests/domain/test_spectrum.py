"""Spectra: a wave is at its wave number, all parts are the mean square, and there are none beside walls."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from parsolve.domain import spectrum
from parsolve.domain.grid import Grid
from parsolve.domain.spectrum import radial_spectrum, require_periodic, wave_numbers
from parsolve.errors import CaseError


def periodic(shape: tuple[int, ...], length: float = 2.5) -> Grid:
    """A grid of sides of one length."""
    cells = (1,) * (3 - len(shape)) + shape
    return Grid(tuple("xyz"[: len(shape)]), cells, (0, 0, 0), tuple(length / n for n in cells), (True,) * 3)


@pytest.mark.parametrize("shape", [(32,), (8, 32), (16, 8, 32)])
def test_the_parts_are_the_mean_square_and_a_wave_is_at_its_number(shape: tuple[int, ...]) -> None:
    length = 2.5
    grid = periodic(shape, length)
    noise = np.random.default_rng(1).normal(size=shape)
    assert radial_spectrum(noise, grid)[1].sum() == pytest.approx((noise**2).mean(), rel=1e-12)
    k, parts = radial_spectrum(np.broadcast_to(np.sin(2 * np.pi * 3 * np.arange(32) / 32), shape), grid)
    assert k[np.argmax(parts)] == pytest.approx(3 * 2 * math.pi / length)
    assert parts.max() == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(1,), (31,), (8, 15), (5, 8, 16)])
def test_half_of_the_waves_give_what_all_of_them_do(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any number of cells, by pieces too."""
    monkeypatch.setattr(spectrum, "PIECE", 20)
    grid, noise = periodic(shape), np.random.default_rng(2).normal(size=shape)
    lengths = [n * h for n, h in zip(grid.shape, grid.spacing[3 - len(shape) :], strict=True)]
    waves = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) / h for n, h in zip(shape, lengths, strict=True)), indexing="ij")
    shells = np.rint(np.sqrt(sum(k**2 for k in waves)) * max(lengths)).astype(int)
    expected = np.bincount(shells.ravel(), (np.abs(np.fft.fftn(noise) / noise.size) ** 2).ravel())
    k, parts = radial_spectrum(noise, grid)
    np.testing.assert_allclose(parts, expected, rtol=1e-12, atol=1e-15)
    assert list(k) == list(wave_numbers(grid))


def test_there_are_none_along_walls_and_where_the_sign_changes() -> None:
    grid = periodic((4, 8))
    require_periodic(grid)
    for other, text in (
        (replace(grid, periodic=(True, True, False)), "x is not"),
        (replace(grid, anti=(False, True, False)), "y is anti-"),
    ):
        with pytest.raises(CaseError, match=f"^{text}"):
            require_periodic(other)
