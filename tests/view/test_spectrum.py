"""Spectra: a wave is at its wave number, all parts are the mean square, and there are none beside walls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.domain.grid import Grid
from parsolve.errors import CaseError
from parsolve.view.spectrum import draw_spectrum, radial_spectrum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("shape", [(32,), (8, 32), (16, 8, 32)])
def test_the_parts_are_the_mean_square_and_a_wave_is_at_its_number(shape: tuple[int, ...]) -> None:
    cells = (1,) * (3 - len(shape)) + shape
    length = 2.5
    grid = Grid(tuple("xyz"[: len(shape)]), cells, (0, 0, 0), tuple(length / n for n in cells), (True,) * 3)
    noise = np.random.default_rng(1).normal(size=shape)
    assert radial_spectrum(noise, grid)[1].sum() == pytest.approx((noise**2).mean(), rel=1e-12)
    k, parts = radial_spectrum(np.broadcast_to(np.sin(2 * np.pi * 3 * np.arange(32) / 32), shape), grid)
    assert k[np.argmax(parts)] == pytest.approx(3 * 2 * math.pi / length)
    assert parts.max() == pytest.approx(0.5)


def test_a_spectrum_is_drawn_of_what_has_one(make: Callable[..., Path]) -> None:
    path = make("r.h5", 8, 8, bad=2)
    assert draw_spectrum(path, "u", times=[0.0, 0.25]).name == "r.u.spectrum.png"
    assert draw_spectrum(make("one.h5", 1), "u").stat().st_size > 1000
    with pytest.raises(CaseError, match=r"1 values of 'u' are not finite at t = 0\.5"):
        draw_spectrum(path, "u")
    with pytest.raises(CaseError, match="x is not periodic"):
        draw_spectrum(make("walls.h5", 8, periodic=False), "u")
