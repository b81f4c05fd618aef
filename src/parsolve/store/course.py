"""Values of a file that change in time: frames of cells, or a series of numbers, looked up at any time of theirs.

Between two times the values are ``linear``, or stay those of the ``previous`` one. Beyond the first and the last there
are none.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np

from parsolve.case.tables import brief, nearest
from parsolve.errors import CaseError, ParsolveError, SetupError
from parsolve.store.files import is_file, open_read
from parsolve.store.look import refuse_borrowed
from parsolve.store.source import HDF5, find_dataset, read_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from parsolve.domain.grid import Grid

ROUNDING = 1e-9  # of the span, by which times may be beyond its ends
COUNTERS = ("step", "time")  # columns of a series that are no values
LARGEST = 1 << 30  # bytes of a series


@dataclass(frozen=True, eq=False)
class Course:
    """What a file holds at increasing times.

    Attributes:
        path: the file.
        dataset: the data set of frames.
        grid: whose cells a frame has.
        times: two or more.
        numbers: of a series one for each time; None: there are frames.
        word: how values between two times are found.
    """

    path: Path
    dataset: str | None
    grid: Grid
    times: NDArray[np.float64]
    numbers: NDArray[np.float64] | None
    word: Literal["linear", "previous"]

    def place(self, time: float) -> tuple[int, float] | None:
        """Return the last frame that has begun at a time, and how far the next one is; None: beyond the ends."""
        first, last = float(self.times[0]), float(self.times[-1])
        slack = ROUNDING * (last - first)
        if not first - slack <= time <= last + slack:
            return None
        time = min(max(time, first), last)
        n = min(int(np.searchsorted(self.times, time, side="right")) - 1, len(self.times) - 2)
        part = (time - float(self.times[n])) / (float(self.times[n + 1]) - float(self.times[n]))
        return n, float(part >= 1) if self.word == "previous" else part

    def frame(self, n: int, start: Sequence[int], shape: Sequence[int]) -> NDArray[np.float64]:
        """Return the values of a box of cells at a time by its number.

        Raises:
            CaseError: they cannot be read, or are not finite.
        """
        if self.numbers is not None:
            return np.full(tuple(shape), self.numbers[n])
        values: NDArray[np.float64] = read_block(self.path, self.dataset, self.grid, start, shape, np.float64, frame=n)
        return values

    def block(self, time: float, start: Sequence[int], shape: Sequence[int]) -> NDArray[np.float64]:
        """Return the values of a box of cells at a time.

        Raises:
            CaseError: they cannot be read, are not finite, or there are none at this time.
        """
        place = self.place(time)
        if place is None:
            raise CaseError(self.beyond(time, time))
        n, part = place
        return (
            between(self.frame(n, start, shape), self.frame(n + 1, start, shape), part)
            if part
            else self.frame(n, start, shape)
        )

    def beyond(self, begin: float, end: float) -> str:
        """Return what is wrong with a span of times that the file does not cover."""
        asked = f"t = {begin:.10g}" if begin == end else f"t = {begin:.10g} to {end:.10g}"
        return f"{self.path}: has values from t = {self.times[0]:.10g} to {self.times[-1]:.10g}, not for {asked}"

    def covers(self, begin: float, end: float) -> bool:
        """Return whether there are values at all times of a span."""
        return self.place(begin) is not None and self.place(end) is not None

    def scale(self, duration: float) -> float:
        """Return how long the values of a series take to change; of frames the shortest time between two.

        Infinity where they do not change but by jumps.
        """
        steps = np.diff(self.times)
        met = (self.times[:-1] < duration) & (self.times[1:] > 0)
        if self.word == "previous" or not met.any():
            return np.inf
        if self.numbers is None:
            return float(steps[met].min())
        slope = float((np.abs(np.diff(self.numbers)) / steps)[met].max())
        return float(np.ptp(self.numbers)) / slope if slope > 0 else np.inf


def between(first: NDArray[Any], second: NDArray[Any], part: float) -> NDArray[Any]:
    """Return what is a part of the way between two arrays: exactly their values where the part is 0 or 1."""
    if part in (0.0, 1.0):
        return second if part else first
    values: NDArray[Any] = first + first.dtype.type(part) * (second - first)
    return values


def read_course(path: Path | str, dataset: str | None, grid: Grid, word: Literal["linear", "previous"]) -> Course:
    """Return what a file holds at increasing times: frames on a grid, or a series, which is the same at all cells.

    Frames are an HDF5 data set with times along its first axis and a data set ``time`` beside it. A series is an HDF5
    data set of one axis with its times beside it, a .csv file with columns ``time`` and another (or ``dataset``), or a
    .npy array of shape (n, 2).

    Raises:
        CaseError: the file is missing, unreadable, or holds neither; its times do not increase; a number is not finite.
    """
    path = Path(path)
    if not is_file(path):
        raise CaseError(f"{path}: no such file (relative names start at the current directory, '{Path.cwd()}')")
    kind = path.suffix.lower()
    try:
        if kind in HDF5:
            times, numbers = _read_hdf5(path, dataset, grid)
        elif kind == ".csv":
            times, numbers = _read_csv(path, dataset)
        elif kind == ".npy" and dataset is None:
            times, numbers = _read_npy(path)
        elif kind == ".npy":
            raise CaseError(f"{path}: dataset = '{dataset}' is for HDF5 and .csv; leave it out")
        else:
            raise CaseError(f"{path}: values at several times come from HDF5, .csv or .npy, not '{kind or path.name}'")
    except ParsolveError as caught:
        raise caught if isinstance(caught, CaseError | SetupError) else CaseError(str(caught)) from caught
    except MemoryError:
        raise
    except Exception as caught:  # of broken files
        raise CaseError(f"{path}: cannot be read: {' '.join(str(caught).split())}") from caught
    _check(path, times, numbers)
    return Course(path, dataset, grid, times, numbers, word)


def _check(path: Path, times: NDArray[np.float64], numbers: NDArray[np.float64] | None) -> None:
    """Refuse times that do not increase, too few of them, and what is not finite."""
    if len(times) < 2:
        raise CaseError(f"{path}: has {len(times)} times, and between two there is something: leave 'time' out for one")
    for what, values in (("time", times), ("value", numbers)):
        if values is not None and not np.isfinite(values).all():
            n = int(np.argmin(np.isfinite(values)))
            raise CaseError(f"{path}: the {what} of entry {n} is {values[n]}, not finite")
    late = np.flatnonzero(np.diff(times) <= 0)
    if late.size:
        n = int(late[0])
        raise CaseError(f"{path}: times do not increase: entry {n + 1} is {times[n + 1]:.10g}, after {times[n]:.10g}")


def _read_hdf5(path: Path, dataset: str | None, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the times of a data set, and its numbers if it is a series."""
    with open_read(path) as file:
        array = find_dataset(path, file, dataset, grid)
        name = str(array.name)
        if array.dtype.kind not in "biuf":
            raise CaseError(f"{path}: data set '{name}' has type {array.dtype}, expected real numbers")
        last = name.rpartition("/")[2]
        beside = [array.parent.get(known) for known in (f"{last}_time", "time")]
        times = next((one for one in beside if isinstance(one, h5py.Dataset) and one.shape == array.shape[:1]), None)
        if times is None or times.dtype.kind not in "iuf" or not array.shape:
            raise CaseError(f"{path}: data set '{name}', of shape {array.shape}, has no data set 'time' beside it with "
                            "a time for each entry of its first axis")  # fmt: skip
        refuse_borrowed(times)
        known = np.asarray(times[...], np.float64)
        if array.ndim > 1:
            if array.shape[1:] not in (grid.shape, grid.cells):
                raise CaseError(
                    f"{path}: data set '{name}' has shape {array.shape}, expected (time, ...) with {grid.shape} cells"
                )
            return known, None
        refuse_borrowed(array)
        return known, np.asarray(array[...], np.float64)


def _read_csv(path: Path, column: str | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and numbers of two columns of a text with a header."""
    if path.stat().st_size > LARGEST:
        raise CaseError(f"{path}: more than {LARGEST >> 30} GiB of text are no series; use HDF5")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    head = [name.strip() for name in rows[0]] if rows else []
    values = [name for name in head if name not in COUNTERS]
    if "time" not in head or not values:
        raise CaseError(f"{path}: the first line names columns, such as 'time,value'; got '{brief(','.join(head))}'")
    if column is not None and column not in values:
        raise CaseError(f"{path}: no column '{column}'{nearest(column, values, 'columns')}")
    if column is None and len(values) > 1:
        raise CaseError(f"{path}: has {len(values)} columns; say dataset = one of {brief(', '.join(values))}")
    places = head.index("time"), head.index(column or values[0])
    found = np.empty((2, len(rows) - 1))
    for n, row in enumerate(rows[1:]):
        try:
            found[:, n] = [float(row[place]) for place in places]
        except (ValueError, IndexError):
            raise CaseError(f"{path}: entry {n} has no two numbers: '{brief(','.join(row))}'") from None
    return found[0], found[1]


def _read_npy(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and numbers of an array of shape (n, 2)."""
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[1] != 2:
        raise CaseError(f"{path}: expected real numbers of shape (n, 2), times and values, got {array.dtype} of shape "
                        f"{array.shape}")  # fmt: skip
    return np.array(array[:, 0], np.float64), np.array(array[:, 1], np.float64)
