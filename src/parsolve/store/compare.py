"""Two results against each other, bit by bit or within a tolerance, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.store.filters import slabs
from parsolve.store.integrity import content_hashes
from parsolve.store.result import Result, open_result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Values = NDArray[np.floating]


@dataclass(frozen=True)
class Difference:
    """How one field differs, and its worst cell: the largest |a - b|, a NaN on one side before all."""

    field: str
    count: int
    cells: int
    time_index: int
    time: float
    axes: tuple[str, ...]
    index: tuple[int, ...]
    a: float
    b: float

    def __str__(self) -> str:
        """Return one line for people."""
        cell = ", ".join(f"{axis}={place}" for axis, place in zip(self.axes[::-1], self.index[::-1], strict=True))
        return (
            f"field '{self.field}': {self.count} of {self.cells} values differ; worst at time {self.time!r} "
            f"(index {self.time_index}), cell {cell}: {self.a!r} and {self.b!r}, "
            f"apart by {abs(self.a - self.b):.3g}"
        )


@dataclass(frozen=True)
class Comparison:
    """The outcome: `lines` for people, the first says "same" or "differs"."""

    equal: bool
    lines: tuple[str, ...]
    differences: tuple[Difference, ...] = ()


def compare(a: Path | str, b: Path | str, rtol: float | None = None, atol: float = 0.0) -> Comparison:
    """Return whether two results hold the same fields, times, grid and values.

    Without `rtol` and `atol` values must agree in every bit (a NaN equals the same NaN, 0.0 is not -0.0);
    otherwise |a - b| <= atol + rtol |b|, and NaN equals NaN. Fields of unlike precision are compared in the coarser
    one, to which the other is rounded. Provenance and storage do not count.

    Raises:
        StorageError: a file is missing or not a result.
    """
    exact = rtol is None and atol == 0.0
    tolerance = None if exact else (rtol or 0.0, atol)
    with open_result(a) as first, open_result(b) as second:
        notes = list(_compare_outlines(first, second, tolerance))
        differences = []
        if first.grid.cells == second.grid.cells and first.axes == second.axes:
            shared = [field for field in first.fields if field in second.fields]
            found = (_compare_field(first, second, field, tolerance) for field in shared)
            differences = [difference for difference in found if difference]
        damaged = _damaged(first, second, [difference.field for difference in differences])
        cells = first.grid.size * len(first.times) * len(first.fields)
        types = {np.dtype(result.file[field].dtype) for result in (first, second) for field in result.fields}
    equal = not notes and not differences
    how = "in every bit" if exact else f"within rtol {rtol or 0.0:g}, atol {atol:g}"
    how += f" of {_coarser(*types)}" if len(types) > 1 else ""
    head = f"same: {a} and {b}, {cells} values {how}" if equal else f"differs: {a} and {b}, compared {how}"
    return Comparison(equal, (head, *notes, *map(str, differences), *damaged), tuple(differences))


def _damaged(a: Result, b: Result, fields: list[str]) -> list[str]:
    """Return a line for each field that differs though its hash is the same: not as it was written."""
    one, other = (content_hashes(result.file, result.fields) for result in (a, b))
    return [
        f"field '{field}': has the same hash in both, so it was damaged in one of them: see `parsolve verify`"
        for field in fields
        if field in one and one[field] == other.get(field)
    ]


def _compare_outlines(a: Result, b: Result, tolerance: tuple[float, float] | None) -> Iterator[str]:
    """Yield a line for everything but values that differs."""
    for one, other, place in ((a, b, "first"), (b, a, "second")):
        only = [field for field in one.fields if field not in other.fields]
        if only:
            yield f"fields only in the {place}: {', '.join(only)}"
    if a.axes != b.axes or a.grid.cells != b.grid.cells:
        yield f"grids: {_grid_text(a)} and {_grid_text(b)}"
    else:
        yield from _compare_axes(a, b, tolerance)
    if len(a.times) != len(b.times):
        yield f"times: {len(a.times)} and {len(b.times)}"
    count = min(len(a.times), len(b.times))
    wrong = _unequal(a.times[:count], b.times[:count], tolerance)
    if wrong.any():
        index = int(np.argmax(wrong))
        yield f"times: index {index} is {float(a.times[index])!r} and {float(b.times[index])!r}"
    # Within a tolerance, another number of steps to the same time is no difference.
    if tolerance is None and (a.steps[:count] != b.steps[:count]).any():
        index = int(np.argmax(a.steps[:count] != b.steps[:count]))
        yield f"steps: index {index} is {a.steps[index]} and {b.steps[index]}"
    yield from _compare_series(a, b, tolerance)


def _compare_series(a: Result, b: Result, tolerance: tuple[float, float] | None) -> Iterator[str]:
    """Yield a line for each time series that differs, in its times or its values."""
    first, second = ({s.name: s for s in result.series} for result in (a, b))
    if first.keys() != second.keys():
        yield f"series: {', '.join(first) or 'none'} and {', '.join(second) or 'none'}"
    for name in [name for name in first if name in second]:
        one, other = first[name], second[name]
        if one.values.shape != other.values.shape:
            shapes = [" x ".join(map(str, s.values.shape)) for s in (one, other)]
            yield f"series '{name}': {shapes[0]} and {shapes[1]} values"
            continue
        pairs = [("time", one.times, other.times), ("value", one.values, other.values)]
        if one.coordinate and other.coordinate:
            pairs.append((one.coordinate.word, one.coordinate.values, other.coordinate.values))
        for what, left, right in pairs:
            wrong = _unequal(left, right, tolerance)
            if wrong.any():
                place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                n = ", ".join(map(str, place))
                yield f"series '{name}': {what} {n} is {float(left[place])!r} and {float(right[place])!r}"


def _compare_axes(a: Result, b: Result, tolerance: tuple[float, float] | None) -> Iterator[str]:
    """Yield a line for each axis, of as many cells, that differs: its cell centres, or what gives the grid exactly."""
    for axis, place in ((axis, AXES.index(axis)) for axis in a.axes[::-1]):
        left, right = (np.asarray(result.file[axis], np.float64) for result in (a, b))
        wrong = _unequal(left, right, tolerance)
        if wrong.any():
            cell = int(np.argmax(wrong))
            yield f"axis {axis}: cell {cell} is at {float(left[cell])!r} and {float(right[cell])!r}"
        first, second = (np.array([result.grid.lower[place], result.grid.spacing[place]]) for result in (a, b))
        if not wrong.any() and _unequal(first, second, tolerance).any():
            yield f"axis {axis}: the same cells, but another range or spacing"
        if a.grid.periodic[place] != b.grid.periodic[place]:
            yield f"axis {axis}: another periodicity"


def _compare_field(a: Result, b: Result, field: str, tolerance: tuple[float, float] | None) -> Difference | None:
    """Return how a field differs over the times that both have; slab by slab."""
    count, furthest = 0, -1.0
    worst: tuple[int, float, tuple[str, ...], tuple[int, ...], float, float]
    times = min(len(a.times), len(b.times))
    for time_index in range(times):
        for slab in slabs(a.grid.shape):
            left, right = a.read(field, time_index, slab), b.read(field, time_index, slab)
            wrong = _unequal(left, right, tolerance)
            if not wrong.any():
                continue
            count += int(np.count_nonzero(wrong))
            place, distance = _worst(left, right, wrong)
            if distance > furthest:
                furthest, cell = distance, (slab.start + place[0], *place[1:])
                time = float(a.times[time_index])
                worst = time_index, time, a.axes, cell, float(left[place]), float(right[place])
    return Difference(field, count, a.grid.size * times, *worst) if count else None


def _worst(left: Values, right: Values, wrong: NDArray[np.bool_]) -> tuple[tuple[int, ...], float]:
    """Return the index of the wrong value that is furthest off, and its distance (infinite beside a NaN)."""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(left.astype(np.float64) - right.astype(np.float64))
    distance[np.isnan(distance)] = np.inf
    distance[~wrong] = -1.0
    place = np.unravel_index(int(np.argmax(distance)), distance.shape)
    return tuple(int(i) for i in place), float(distance[place])


def _unequal(left: Values, right: Values, tolerance: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Return where two arrays differ, by bits or by more than (rtol, atol), in the coarser of their precisions."""
    if left.dtype != right.dtype:
        with np.errstate(over="ignore"):
            left, right = (part.astype(_coarser(left.dtype, right.dtype)) for part in (left, right))
    if tolerance is not None:
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.isclose(left, right, rtol=tolerance[0], atol=tolerance[1], equal_nan=True)
        return np.asarray(~close)
    bits = np.dtype(f"u{left.dtype.itemsize}")
    return np.asarray(np.ascontiguousarray(left).view(bits) != np.ascontiguousarray(right).view(bits))


def _coarser(*types: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type with the fewest bytes."""
    return min(types, key=lambda kind: kind.itemsize)


def _grid_text(result: Result) -> str:
    """Return the cells of a grid, e.g. x=64 y=32."""
    return " ".join(f"{axis}={n}" for axis, n in zip(result.axes[::-1], result.grid.shape[::-1], strict=True))
