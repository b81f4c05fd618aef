"""Minimum, maximum, mean and deviation of the values of a result, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.store.filters import slabs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from parsolve.store.result import Result


@dataclass(frozen=True)
class Statistics:
    """Of values that are finite; how many there are, and how many are not.

    Attributes:
        squares: sum of the squares of the distances from the mean.
    """

    count: int
    minimum: float
    maximum: float
    mean: float
    squares: float
    not_finite: int

    @property
    def deviation(self) -> float:
        """Standard deviation, root of squares / count."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    def __add__(self, other: Statistics) -> Statistics:
        """Those of both together (T. Chan, G. Golub, R. LeVeque, American Statistician 37, 1983, 242-247)."""
        bad = self.not_finite + other.not_finite
        if not self.count or not other.count:
            one = self if self.count else other
            return Statistics(one.count, one.minimum, one.maximum, one.mean, one.squares, bad)
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        squares = self.squares + other.squares + apart * apart * (self.count * (other.count / count))
        low, high = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        return Statistics(count, low, high, mean, squares, bad)

    def table(self) -> dict[str, float | None]:
        """Return them by the names that users see; None: there is none, or it is beyond all doubles."""
        found = {"min": self.minimum, "max": self.maximum, "mean": self.mean, "std": self.deviation}
        known = {name: value if math.isfinite(value) else None for name, value in found.items()}
        return {**known, "not_finite": self.not_finite}


LARGE = 1e290  # from which on a sum of many may be beyond all doubles
NONE = Statistics(0, math.nan, math.nan, math.nan, 0.0, 0)


def statistics(values: NDArray[Any]) -> Statistics:
    """Return the statistics of an array."""
    given = np.asarray(values, np.float64)
    finite = given[np.isfinite(given)]
    bad = given.size - finite.size
    if not finite.size:
        return Statistics(0, math.nan, math.nan, math.nan, 0.0, bad)
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(over="ignore", invalid="ignore"):
        scale = max(abs(low), abs(high)) if max(abs(low), abs(high)) > LARGE else 1.0
        mean = min(max(float((finite / scale).mean()) * scale, low), high)
        apart = finite - mean
        squares = float(np.square(apart).sum() - np.square(apart.sum()) / finite.size)
    squares = max(squares, 0.0) if math.isfinite(squares) else math.inf
    return Statistics(finite.size, low, high, mean, squares, bad)


def pieces(result: Result, name: str, n: int) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the values of a field at one time, in ranges of its slowest axis.

    Raises:
        StorageError: they cannot be read.
    """
    for part in slabs(result.grid.shape, result.file[name].dtype.itemsize):
        yield part, result.read(name, n, part)


def statistics_at(result: Result, name: str, n: int) -> Statistics:
    """Return the statistics of a field at one time; the same bits whoever asks.

    Raises:
        StorageError: it cannot be read.
    """
    return sum((statistics(values) for _, values in pieces(result, name, n)), NONE)
