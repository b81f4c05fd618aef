"""Pictures of spectra, of what has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from parsolve.errors import CaseError
from parsolve.view.spectrum import draw_spectrum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("matplotlib")


def test_a_spectrum_is_drawn_of_what_has_one(make: Callable[..., Path]) -> None:
    path = make("r.h5", 8, 8, bad=2)
    assert draw_spectrum(path, "u", times=[0.0, 0.25]).name == "r.u.spectrum.png"
    assert draw_spectrum(make("one.h5", 1), "u").stat().st_size > 1000
    with pytest.raises(CaseError, match=r"1 values of 'u' are not finite at t = 0\.5"):
        draw_spectrum(path, "u")
    large = make("large.h5", 8)
    with h5py.File(large, "a") as file:
        file["u"][-1] = 1e300 * np.cos(np.arange(8.0))
    with pytest.raises(CaseError, match=r"the squares of 'u' are not finite at t = 0\.5"):
        draw_spectrum(large, "u")
    with pytest.raises(CaseError, match="x is not periodic"):
        draw_spectrum(make("walls.h5", 8, periodic=False), "u")
