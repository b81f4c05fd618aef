"""Some cells of a grid as a grid of their own: which they are, and where each rank has its own of them."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve.domain.grid import Grid, regular
from parsolve.domain.picked import Picked
from parsolve.domain.redistribute import boxes
from parsolve.errors import CaseError

GRID = Grid(("x", "y", "z"), (6, 10, 16), (0.0, -1.0, 0.1), (0.5, 0.2, 0.1), (False, True, True))
WAYS = [
    ({"z": 1.2}, {}, (slice(2, 3), slice(None), slice(None))),
    ({"x": 0.1, "z": 3.0}, {}, (slice(5, 6), slice(None), slice(0, 1))),
    ({"y": (-0.5, 0.5)}, {"x": 4}, (slice(None), slice(2, 8), slice(None, None, 4))),
    ({"x": (0.3, 1.7)}, {"x": 3, "y": 7, "z": 2}, (slice(None, None, 2), slice(None, None, 7), slice(2, 16, 3))),
]


@pytest.mark.parametrize(("places", "strides", "index"), WAYS)
def test_they_are_the_cells_that_an_index_picks_with_their_coordinates(places, strides, index):
    picked = Picked.at(GRID, places, strides)
    whole = np.arange(GRID.size).reshape(GRID.cells)
    assert np.array_equal(picked.of_values(whole, (0, 0, 0)), whole[index])
    assert picked.cells == whole[index].shape
    for name in picked.names:
        d = "zyx".index(name)
        there = GRID.coordinates(name)[index[d]]
        assert picked.coordinates(name).tobytes() == there.tobytes()
        assert np.allclose(Grid.coordinates(picked, name), there, rtol=1e-14)
    for axis in set("xyz") - {*picked.names}:
        assert picked.lower["zyx".index(axis)] == pytest.approx(picked.coordinates(axis)[0])
    assert set(picked.names) == set("xyz") - {axis for axis, place in places.items() if not isinstance(place, tuple)}


@pytest.mark.parametrize(("places", "strides", "index"), WAYS)
@pytest.mark.parametrize("processes", [(1, 1, 1), (3, 2, 5), (6, 10, 16)])
def test_parts_of_the_grid_have_each_of_them_once(places, strides, index, processes, solo):
    picked = Picked.at(GRID, places, strides)
    whole = np.arange(GRID.size).reshape(GRID.cells)
    found = np.full(picked.cells, -1)
    for box in boxes(regular(GRID, solo, processes, 0)):
        part = picked.box(box.lo, box.hi)
        own = whole[tuple(slice(a, b) for a, b in zip(box.lo, box.hi, strict=True))]
        values = picked.of_values(own, box.lo)
        there = tuple(slice(a, max(a, b)) for a, b in zip(part.lo, part.hi, strict=True))
        assert (found[there] == -1).all()
        assert part.is_empty == (values.size == 0)
        assert values.size <= picked.most(own.shape)
        found[there] = values
    assert np.array_equal(found, whole[index])
    assert picked.most(GRID.cells) == picked.size


def test_a_point_on_a_face_is_in_the_cell_above_and_the_upper_end_in_the_last():
    assert Picked.at(GRID, {"z": 0.5}, {}).first[0] == 1
    assert Picked.at(GRID, {"z": 3.0}, {}).first[0] == 5
    assert Picked.at(GRID, {"z": 0.0}, {}).first[0] == 0


def test_only_a_whole_period_closes_on_itself():
    periodic = [
        Picked.at(GRID, places, strides).periodic[2]
        for places, strides in (({}, {}), ({}, {"x": 4}), ({}, {"x": 3}), ({"x": (0.1, 1.7)}, {}))
    ]
    assert periodic == [True, True, False, True]


@pytest.mark.parametrize(
    ("place", "told"),
    [(3.2, "is outside"), (-0.1, "is outside"), (float("nan"), "is outside"), (float("inf"), "is outside"),
     ((0.0, 4.0), "4 is outside"), ((0.3, 0.4), "no centre of a cell")],
)  # fmt: skip
def test_a_place_without_cells_is_told_with_its_axis(place, told):
    with pytest.raises(CaseError, match=f"z: .*{told}"):
        Picked.at(GRID, {"z": place}, {})


def test_it_says_where_it_is():
    text = Picked.at(GRID, {"y": 0.0, "x": (0.3, 1.7)}, {"x": 3}).text
    assert text == "y = 0.1; x from 0.35 to 1.55, every 3 cells; z from 0.25 to 2.75"
