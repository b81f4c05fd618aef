"""The radial spectrum of a periodic field: how its mean square is shared out over wave numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from parsolve.domain.grid import Grid

PIECE = 1 << 18  # waves whose numbers are there at once


def require_periodic(grid: Grid) -> None:
    """Refuse a grid whose fields have no waves of a Fourier transform.

    Raises:
        CaseError: an axis is not periodic, or anti-periodic.
    """
    for axis in grid.names:
        place = AXES.index(axis)
        if not grid.periodic[place] or grid.anti[place]:
            what = "anti-periodic" if grid.periodic[place] else "not periodic"
            raise CaseError(f"{axis} is {what}, so its waves are not those of a Fourier transform")


def wave_numbers(grid: Grid) -> NDArray[np.float64]:
    """Return the wave numbers of the shells of a spectrum: from 0 to that of the shortest waves, in steps of dk."""
    step, squares = _squares(grid)
    shortest = _outer([square.max(keepdims=True) for square in squares])
    return np.asarray(step * np.arange(int(_shells(shortest, step).max()) + 1), np.float64)


def radial_spectrum(values: NDArray[Any], grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return wave numbers and the part that each has in the mean square of a periodic field.

    With û = FFT(u)/N the part of shell n is the sum of abs(û)^2 over all k with abs(k) nearest to n dk, where dk is
    2 pi over the longest side. All parts, that of k = 0 among them, add up to the mean of u^2.
    """
    numbers = wave_numbers(grid)
    step, squares = _squares(grid)
    power = np.abs(np.fft.rfftn(values.astype(np.float64, copy=False)))
    power /= values.size
    with np.errstate(over="ignore"):  # which is told as a value that is not finite
        power *= power
    # Of the last axis half of the waves are there, as the others are conjugates.
    half, last = np.arange(power.shape[-1]), values.shape[-1]
    power *= np.where((half == 0) | (2 * half == last), 1.0, 2.0)
    squares[-1] = squares[-1][: len(half)]
    parts = np.zeros(len(numbers))
    rows = max(1, PIECE * len(power) // power.size)
    for first in range(0, len(power), rows):
        some = slice(first, first + rows)
        shells = _shells(_outer([squares[0][some], *squares[1:]]), step)
        parts += np.bincount(shells.ravel(), power[some].ravel(), len(parts))
    return numbers, parts


def _squares(grid: Grid) -> tuple[float, list[NDArray[np.float64]]]:
    """dk, and the squares of the wave numbers along each axis, in the order of the arrays."""
    places = [AXES.index(axis) for axis in grid.names[::-1]]
    lengths = [grid.cells[place] * grid.spacing[place] for place in places]
    counts = [grid.cells[place] for place in places]
    numbers = [2.0 * math.pi / length * np.fft.fftfreq(n, 1.0 / n) for n, length in zip(counts, lengths, strict=True)]
    return 2.0 * math.pi / max(lengths), [np.asarray(k**2, np.float64) for k in numbers]


def _outer(squares: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The sums of one number of each axis."""
    total = squares[0]
    for square in squares[1:]:
        total = total[..., None] + square
    return total


def _shells(square: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    """The shell of each wave, of the squares of wave numbers."""
    return np.rint(np.sqrt(square) / step).astype(np.int64)
