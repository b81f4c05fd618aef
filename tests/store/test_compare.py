"""compare: bits by default, tolerances when asked, and where it differs most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.errors import StorageError
from parsolve.store import filters
from parsolve.store.compare import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def pair(alone: Any, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Two results of the same values, then changed: {(field, index): value} for each."""

    def make(first: dict[Any, float], second: dict[Any, float], dtype: str = "f8") -> tuple[Path, Path]:
        paths = (tmp_path / "a.h5", tmp_path / "b.h5")
        for path, changes in zip(paths, (first, second), strict=True):
            alone.result(path, 9, 8, 7, dtype=dtype)
            with h5py.File(path, "r+") as file:
                for (field, index), value in changes.items():
                    file[field][index] = value
        return paths

    return make


def test_what_differs_with_the_same_hash_was_damaged(pair: Any) -> None:
    """The values are compared, never the hashes alone: those stay when values are damaged."""
    outcome = compare(*pair({}, {("u", (1, 0, 0, 0)): 0.5}))
    assert not outcome.equal
    assert "'u': has the same hash in both" in outcome.lines[2]
    assert "'v'" not in "".join(outcome.lines)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_the_same_run_is_the_same(pair: Any, dtype: str) -> None:
    outcome = compare(*pair({}, {}, dtype))
    assert outcome.equal
    assert outcome.lines[0].startswith("same:")
    assert len(outcome.lines) == 1


def test_a_gathered_result_and_an_index_are_the_same(alone: Any, tmp_path: Path) -> None:
    alone.result(tmp_path / "a.h5", 9, 8)
    alone.result(tmp_path / "b.h5", 9, 8, keep_frames=True)
    assert compare(tmp_path / "a.h5", tmp_path / "b.h5").equal


@pytest.mark.parametrize("slab", [1, 16 << 20])
def test_the_worst_cell_is_named(pair: Any, monkeypatch: pytest.MonkeyPatch, slab: int) -> None:
    monkeypatch.setattr(filters, "SLAB", slab)
    paths = pair(
        {("v", (2, 7, 3, 1)): 5.0, ("v", (0, 0, 0, 0)): 1.0},
        {("v", (2, 7, 3, 1)): 7.5, ("v", (0, 0, 0, 0)): 1.5},
    )
    outcome = compare(*paths)
    assert not outcome.equal
    assert outcome.lines[0].startswith("differs:")
    (worst,) = outcome.differences
    assert (worst.field, worst.count, worst.cells) == ("v", 2, 3 * 9 * 8 * 7)
    assert (worst.time_index, worst.time, worst.index, worst.a, worst.b) == (2, 1.0, (7, 3, 1), 5.0, 7.5)
    assert "cell x=1, y=3, z=7" in outcome.lines[1]


def test_one_unit_in_the_last_place_counts_unless_tolerated(pair: Any) -> None:
    paths = pair({("u", (1, 0, 0, 0)): 1.0}, {("u", (1, 0, 0, 0)): np.nextafter(1.0, 2.0)})
    assert not compare(*paths).equal
    assert compare(*paths, rtol=1e-15).equal
    assert compare(*paths, atol=1e-15).equal
    assert not compare(*paths, rtol=1e-17).equal


@pytest.mark.parametrize(
    ("a", "b", "bitwise", "tolerant"),
    [
        (np.nan, np.nan, True, True),
        (0.0, -0.0, False, True),
        (np.inf, np.inf, True, True),
        (np.inf, -np.inf, False, False),
        (np.nan, 1.0, False, False),
        (np.inf, 1.0, False, False),
    ],
)
def test_special_values(pair: Any, a: float, b: float, bitwise: bool, tolerant: bool) -> None:
    paths = pair({("u", (0, 0, 0, 0)): a}, {("u", (0, 0, 0, 0)): b})
    assert compare(*paths).equal is bitwise
    assert compare(*paths, rtol=1e-3, atol=1e-3).equal is tolerant


def test_another_nan_is_another_value(pair: Any) -> None:
    other = np.array([0x7FF8000000000001], np.uint64).view(np.float64)[0]
    assert not compare(*pair({("u", (0, 0, 0, 0)): np.nan}, {("u", (0, 0, 0, 0)): other})).equal


@pytest.mark.parametrize(
    ("options", "shape", "line"),
    [
        ({"names": ("u",)}, (9, 8), "fields only in the first: v"),
        ({"frames": 2}, (9, 8), "times: 3 and 2"),
        ({}, (9, 7), "grids: x=8 y=9 and x=7 y=9"),
        ({}, (9,), "grids: x=8 y=9 and x=9"),
    ],
)
def test_what_is_not_comparable_is_reported(alone: Any, tmp_path: Path, options: Any, shape: Any, line: str) -> None:
    alone.result(tmp_path / "a.h5", 9, 8)
    alone.result(tmp_path / "b.h5", *shape, **options)
    outcome = compare(tmp_path / "a.h5", tmp_path / "b.h5")
    assert not outcome.equal
    assert line in outcome.lines


@pytest.mark.parametrize("tolerance", [{}, {"rtol": 0.0}, {"rtol": 1e-13, "atol": 1e-300}])
def test_unlike_precisions_are_compared_in_the_coarser(alone: Any, tmp_path: Path, tolerance: Any) -> None:
    double, single = tmp_path / "a.h5", tmp_path / "b.h5"
    alone.result(double, 9, 8, 7)
    alone.result(single, 9, 8, 7, dtype="f4")
    for pair in ((double, single), (single, double)):
        assert compare(*pair, **tolerance).equal
    assert compare(double, single).lines[0].endswith("in every bit of float32")
    random = np.random.default_rng(1)
    cell = tuple(random.integers(0, (3, 9, 8, 7)))
    with h5py.File(single, "r+") as file:
        file["v"][cell] = np.nextafter(file["v"][cell], np.float32(1e9))
    (difference,) = compare(double, single).differences
    assert (difference.field, difference.count) == ("v", 1)
    assert (difference.time_index, *difference.index) == cell
    assert compare(double, single, rtol=1e-6).equal


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_another_place_of_a_cell_is_reported(alone: Any, tmp_path: Path, axis: str) -> None:
    paths = (tmp_path / "a.h5", tmp_path / "b.h5")
    for path in paths:
        alone.result(path, 9, 8, 7)
    with h5py.File(paths[1], "r+") as file:
        file[axis][3] *= 1 + 1e-9
    outcome = compare(*paths)
    assert not outcome.equal
    assert outcome.lines[1].startswith(f"axis {axis}: cell 3 is at ")
    assert len(outcome.lines) == 2
    assert not compare(*paths, rtol=1e-12).equal
    assert compare(*paths, rtol=1e-6).equal


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("lower", "another range or spacing"),
        ("spacing", "another range or spacing"),
        ("periodic", "another periodicity"),
    ],
)
def test_another_grid_of_as_many_cells_is_reported(alone: Any, tmp_path: Path, key: str, line: str) -> None:
    paths = (tmp_path / "a.h5", tmp_path / "b.h5")
    for path in paths:
        alone.result(path, 9, 8)
    with h5py.File(paths[1], "r+") as file:
        file["y"].attrs[key] = np.int8(1 - file["y"].attrs[key]) if key == "periodic" else file["y"].attrs[key] * 1.5
    outcome = compare(*paths)
    assert not outcome.equal
    assert line in outcome.lines[1]
    assert outcome.lines[1].startswith("axis y: ")


def test_another_time_is_reported(pair: Any) -> None:
    paths = pair({}, {("time", 1): 0.75})
    outcome = compare(*paths)
    assert "times: index 1 is 0.5 and 0.75" in outcome.lines


def test_a_missing_file_is_named(pair: Any, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"c\.h5: no such file"):
        compare(pair({}, {})[0], tmp_path / "c.h5")
