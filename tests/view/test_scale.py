"""Scales: what has both signs is shown about zero, limits that are given hold, and there is no scale for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve.errors import CaseError
from parsolve.view.scale import DIVERGING, SEQUENTIAL, Look, scale_of

pytest.importorskip("matplotlib")
RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("seed", range(20))
def test_values_of_both_signs_are_shown_about_zero_and_others_between_their_own_limits(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = [random.normal(random.normal(0, 3), 1, 50) * 10.0 ** random.integers(-9, 9) for _ in range(3)]
    low, high = min(map(np.min, values)), max(map(np.max, values))
    scale = scale_of(values, Look())
    if low < 0 < high and min(-low, high) > 0.05 * max(-low, high):
        assert scale.colormap == DIVERGING
        assert (scale.low, scale.high) == (-max(-low, high), max(-low, high))
    else:
        assert scale.colormap == SEQUENTIAL
        assert (scale.low, scale.high) == (low, high)


@pytest.mark.parametrize("overshoot", [1e-15, 1e-3, 0.04])
def test_a_little_overshoot_is_no_sign(overshoot: float) -> None:
    assert scale_of([np.array([-overshoot, 1.0])], Look()).colormap == SEQUENTIAL
    assert scale_of([np.array([-1.0, overshoot])], Look()).colormap == SEQUENTIAL


def test_limits_that_are_given_hold_and_the_other_is_the_mirror_image() -> None:
    signed = [np.array([-1.0, 2.0])]
    for look, limits, colormap in (
        (Look(vmin=-0.5), (-0.5, 0.5), DIVERGING),
        (Look(vmax=3.0), (-3.0, 3.0), DIVERGING),
        (Look(vmin=-1.0, vmax=2.0), (-1.0, 2.0), SEQUENTIAL),
        (Look(vmin=-1.0, vmax=1.0, colormap="magma"), (-1.0, 1.0), "magma"),
        (Look(vmin=0.25), (0.25, 2.0), SEQUENTIAL),
    ):
        scale = scale_of(signed, look)
        assert ((scale.low, scale.high), scale.colormap) == (limits, colormap)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-300, 3.0, 1e308, np.nan, np.inf])
@pytest.mark.parametrize("look", [{}, {"vmin": 7.0}, {"vmax": 0.5}])
def test_every_scale_has_a_range(value: float, look: dict[str, float], log: bool) -> None:
    values = [np.array([value, value])]
    if log and not 1e-307 < value < np.inf:
        with pytest.raises(CaseError, match="no value above zero"):
            scale_of(values, Look(log=log, **look))
        return
    scale = scale_of(values, Look(log=log, **look))
    assert scale.low < scale.high
    assert np.isfinite(scale.high - scale.low)
    assert np.isfinite(scale.norm()(0.5 * scale.low + 0.5 * scale.high))


def test_a_logarithmic_scale_is_that_of_the_values_above_zero() -> None:
    values = np.array([-3.0, 0.0, 1e-5, 10.0, np.nan], np.float32)
    scale = scale_of([values], Look(log=True))
    assert (scale.low, scale.high) == (np.float32(1e-5), 10.0)
    np.testing.assert_array_equal(np.isfinite(scale.shown(values)), [False, False, True, True, False])


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (Look(vmin=2.0, vmax=1.0), "--vmin 2 is not below --vmax 1"),
        (Look(vmin=1.0, vmax=1.0), "is not below"),
        (Look(vmin=0.0, log=True), "limits above zero"),
        (Look(vmax=-1.0, log=True), "limits above zero"),
        (Look(colormap="viridsi"), "did you mean 'viridis'"),
        (Look(colormap="12345678"), "known are viridis"),
    ],
)
def test_what_is_no_scale_is_refused(look: Look, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        scale_of([np.array([1.0, 2.0])], look)
