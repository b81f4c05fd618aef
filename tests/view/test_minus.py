"""Differences: exact, of the same cells and times, and about zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.errors import CaseError
from parsolve.store.result import open_result
from parsolve.view.cut import choose_cut
from parsolve.view.minus import Minus
from parsolve.view.plot import draw
from parsolve.view.scale import DIVERGING, Look, scale_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("matplotlib")


def test_a_difference_is_that_of_the_same_time(make: Callable[..., Path]) -> None:
    one, other = make("a.h5", 4, 6), make("b.h5", 4, 6, add=-0.5, frames=4)
    with open_result(one) as a, open_result(other) as b:
        values = Minus(a, b, "u").read(2, choose_cut(a, None))
    np.testing.assert_allclose(values, 0.5, rtol=1e-14)
    scale = scale_of([values], Look(), signed=True)
    assert (scale.low, scale.high, scale.colormap) == (-0.5, 0.5, DIVERGING)
    assert draw(one, minus=other).stat().st_size > 1000
    assert draw(one, minus=one, lines=["y=0.5"]).stat().st_size > 1000


def test_what_has_no_difference_is_told(make: Callable[..., Path]) -> None:
    one = make("a.h5", 4, 6)
    for other, message in (
        (make("b.h5", 4, 7), "has 7 x 4 cells, and .* 6 x 4"),
        (make("c.h5", 4, 6, length=2.0), "y is from 0 to 2, not from 0 to 1"),
        (make("d.h5", 4, 6, frames=1), "no frame at t = 0.5; the nearest is at t = 0"),
        (make("e.h5", 6), "only the same cells"),
    ):
        with pytest.raises(CaseError, match=message):
            draw(one, minus=other)
