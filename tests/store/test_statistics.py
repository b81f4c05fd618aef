"""Statistics of parts are those of the whole, and values that are not finite are counted apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from parsolve.store import filters
from parsolve.store.result import open_result
from parsolve.store.statistics import NONE, statistics, statistics_at

if TYPE_CHECKING:
    from pathlib import Path


@given(arrays("f8", st.integers(1, 60), elements=st.floats(-1e6, 1e6)), st.integers(0, 60))
def test_parts_give_the_whole(values: Any, cut: int) -> None:
    both = statistics(values[:cut]) + statistics(values[cut:])
    assert (both.count, both.minimum, both.maximum) == (values.size, values.min(), values.max())
    assert both.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-9)
    assert both.deviation == pytest.approx(values.std(), rel=1e-9, abs=1e-7)
    assert both.minimum <= both.mean <= both.maximum or math.isclose(both.mean, both.minimum, abs_tol=1e-9)


def test_a_small_deviation_on_a_large_mean_is_found() -> None:
    values = 1e9 + np.tile([-0.5, 0.5], 5000)
    both = statistics(values[:3333]) + statistics(values[3333:])
    assert both.deviation == pytest.approx(0.5, rel=1e-6)


def test_a_tiny_deviation_on_a_huge_mean_is_right_to_the_rounding_of_the_values() -> None:
    values = 1e12 + np.tile([-(2.0**-10), 2.0**-10], 5000)
    assert statistics(values).deviation == pytest.approx(2.0**-10, rel=1e-9)


def test_the_mean_of_huge_values_is_finite() -> None:
    values = np.array([1.7e308, 1.7e308, -1.7e308, 1.5e308])
    assert statistics(values).mean == pytest.approx(0.8e308, rel=1e-14)
    assert statistics(values).table()["std"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_counted(bad: float) -> None:
    found = statistics(np.array([1.0, bad, 3.0])) + NONE
    assert found.table() == {"min": 1.0, "max": 3.0, "mean": 2.0, "std": 1.0, "not_finite": 1}
    assert math.isnan(statistics(np.array([bad])).deviation)


def test_slabs_change_nothing_but_the_last_digits(alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.result(tmp_path / "a.h5", 5, 6, 7)
    with open_result(tmp_path / "a.h5") as result:
        whole = statistics_at(result, "u", 1)
        monkeypatch.setattr(filters, "SLAB", 1)
        parts = statistics_at(result, "u", 1)
    assert (whole.count, whole.minimum, whole.maximum) == (parts.count, parts.minimum, parts.maximum)
    assert whole.mean == pytest.approx(parts.mean, rel=1e-14)
