"""A field of one result minus that of another, at the same times."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from parsolve.errors import CaseError
from parsolve.store.result import open_result
from parsolve.view.cut import choose_field, range_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.store.result import Result
    from parsolve.view.cut import Cut

_SAME = 1e-6  # of the largest: so far apart are times and positions that are the same


class Minus:
    """What is taken away from the values of a result: nothing, or those of another."""

    def __init__(self, result: Result, other: Result | None, name: str) -> None:
        self._result, self.other, self._name = result, other, name
        if other is not None:
            choose_field(other, name)
            _refuse_other_grid(result, other)

    def read(self, n: int, cut: Cut) -> NDArray[np.floating]:
        """Return the values at a time.

        Raises:
            CaseError: the other result has no frame at this time.
            StorageError: they cannot be read.
        """
        values: NDArray[np.floating] = self._result.read(self._name, n, cut.index)
        if self.other is None:
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            taken = self.other.read(self._name, self.frame(n), cut.index).astype(np.float64)
            return values.astype(np.float64) - taken

    def frame(self, n: int) -> int:
        """Return the index of the time in the other result.

        Raises:
            CaseError: it has no frame at this time.
        """
        assert self.other is not None
        time, times = float(self._result.times[n]), self.other.times
        near = int(np.argmin(np.abs(times - time)))
        if not np.isclose(times[near], time, rtol=_SAME, atol=_SAME * float(np.abs(times).max())):
            raise CaseError(f"{self.other.path}: no frame at t = {time:g}; the nearest is at t = {times[near]:g}")
        return near

    def doubt(self, times: Sequence[int]) -> list[str]:
        """Return what is not as it was written, of either result."""
        found = self._result.doubt(*((self._name, n) for n in times))
        if self.other is None:
            return [found] if found else []
        return [text for text in (found, self.other.doubt(*((self._name, self.frame(n)) for n in times))) if text]


@contextmanager
def opened(path: Path | None) -> Iterator[Result | None]:
    """Give a result that is open, or none where there is no path.

    Raises:
        StorageError: it is no result.
    """
    if path is None:
        yield None
        return
    with open_result(path) as result:
        yield result


def _refuse_other_grid(result: Result, other: Result) -> None:
    """Refuse a result whose cells are not those of the first.

    Raises:
        CaseError: they are others.
    """
    if result.axes != other.axes or result.grid.cells != other.grid.cells:
        one, two = (" x ".join(map(str, r.grid.shape[::-1])) for r in (result, other))
        raise CaseError(f"{other.path}: has {two} cells, and {result.path} {one}; only the same cells have differences")
    for axis in result.axes:
        (low, high), ends = range_of(result, axis), range_of(other, axis)
        if not np.allclose(ends, (low, high), rtol=0.0, atol=_SAME * (high - low)):
            raise CaseError(f"{other.path}: {axis} is from {ends[0]:g} to {ends[1]:g}, not from {low:g} to {high:g}")
