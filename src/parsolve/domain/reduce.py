"""Reductions over distributed fields that do not depend on the order or the decomposition: same bits on any ranks."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import Field, arguments, owned, require_one_layout
from parsolve.errors import NumericalError, agree
from parsolve.kernels.library import SUM_DIGITS, SUM_FRACTION, Extrema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.kernels.library import Args


@dataclass(frozen=True)
class Bad:
    """A value that is not finite: field and global index (z, y, x)."""

    field: str
    index: tuple[int, int, int]


def _over_owned(f: Field) -> Args:
    args = arguments(f.subdomain, f.stride, owned(f.subdomain))
    args.field[0] = f.address
    return args


def _function(f: Field, name: str) -> Callable[..., int]:
    return f.device.function(name, f.dtype.name)


def local_extrema(f: Field) -> Extrema:
    """Smallest and largest value that this rank owns, and its first cell that is not finite."""
    result = Extrema()
    _function(f, "extrema")(ctypes.byref(_over_owned(f)), ctypes.byref(result))
    return result


def extrema(f: Field) -> tuple[float, float]:
    """Minimum and maximum over the grid; collective."""
    from mpi4py import MPI

    local = local_extrema(f)
    both = np.array([-local.minimum, local.maximum])
    f.subdomain.comm.Allreduce(MPI.IN_PLACE, both, op=MPI.MAX)
    return 0.0 - float(both[0]), 0.0 + float(both[1])  # no -0.0: which zero is found depends on the split


def magnitude(f: Field) -> float:
    """Largest |value| over the grid; collective."""
    return max(map(abs, extrema(f)))


def first_bad(f: Field) -> Bad | None:
    """The first cell of this rank that is not finite, or None; not collective."""
    index = list(local_extrema(f).bad)
    if index[0] >= f.subdomain.shape[0]:
        return None
    z, y, x = (a + b for a, b in zip(f.subdomain.start, index, strict=True))
    return Bad(f.name, (z, y, x))


def exact_sum(f: Field) -> float:
    """Sum over the grid, rounded once from the exact value; collective.

    NaN if a value is not finite, infinite if the sum is beyond all doubles, as all sums here; ``checked`` says why.
    """
    return rounded(_total("sum", f))


def mean(f: Field) -> float:
    """Mean over the grid, rounded once from the exact value; collective."""
    return rounded(_total("sum", f), f.subdomain.grid.size)


def dot(f: Field, g: Field) -> float:
    """Sum of the products f g over the grid, rounded once from the exact value; collective.

    Raises:
        SetupError: the fields are of different layouts or types.
    """
    require_one_layout((f, g))
    return rounded(_total("dot", f, g))


def norm(f: Field, order: float = 2) -> float:
    """Sum of |f| (order 1), root of the sum of f^2 (2) or largest |f| (infinity), rounded once; collective.

    Raises:
        ValueError: another order.
    """
    if order == 1:
        return rounded(_total("sum_abs", f))
    if order == 2:
        return root_of(_total("dot", f, f))
    if order == math.inf:
        return _largest(f)
    raise ValueError(f"norm of order {order}: it is 1, 2 or infinity")


def checked(value: float, *fields: Field) -> float:
    """The value, a sum of these fields; collective where it is not finite.

    Raises:
        NumericalError: on all ranks, if it is not finite: the first cell that is not, or that the sum is too large.
    """
    if math.isfinite(value):
        return value
    found = [(n, bad.index, bad.field) for n, f in enumerate(fields) if (bad := first_bad(f))]
    comm, first = fields[0].subdomain.comm, min(found, default=None)
    told = [one for one in comm.allgather(first) if one]
    text = f"a sum over {' and '.join(f.name for f in fields)} is too large for a double"
    if told:
        _, (z, y, x), name = min(told)
        text = f"{name} is not finite at cell z = {z}, y = {y}, x = {x}"
    agree(comm, NumericalError(text))
    raise AssertionError


class Sums:
    """Exact sums over a grid of what comes part by part."""

    def __init__(self, count: int) -> None:
        self._digits = np.zeros((count, SUM_DIGITS), np.int64)

    def add(self, n: int, name: str, *fields: Field) -> None:
        """Add to sum n the values that are owned ("sum"), or the products of two fields ("dot")."""
        f = fields[0]
        args = _over_owned(f)
        args.field[: len(fields)] = [g.address for g in fields]
        pointer = self._digits[n].ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        f.device.library.handle.ps_reduce(_function(f, name), args, pointer, f.subdomain.threads)

    def totals(self, f: Field) -> list[int | None]:
        """The sums over all ranks of a field, times 2**SUM_FRACTION; None where a value is not finite; collective."""
        from mpi4py import MPI

        f.subdomain.comm.Allreduce(MPI.IN_PLACE, self._digits, op=MPI.SUM)
        return [_carried(f, row) for row in self._digits]


class Counts:
    """How many cells of a grid have values in each of some bins, of what comes part by part.

    Args:
        edges: of the bins, increasing; a value at an edge belongs to the bin above, the last one to the last bin.
    """

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = (ctypes.c_double * len(edges))(*edges)
        self._counts = np.zeros(len(edges) + 1, np.int64)

    def add(self, f: Field) -> None:
        """Count the values that are owned."""
        counts = self._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        _function(f, "histogram")(ctypes.byref(_over_owned(f)), self._edges, len(self._edges) - 1, counts)

    def total(self, comm: MPI.Intracomm) -> NDArray[np.int64] | None:
        """The cells in each bin, over all ranks; None where a value is not finite; collective."""
        from mpi4py import MPI

        comm.Allreduce(MPI.IN_PLACE, self._counts, op=MPI.SUM)
        return None if self._counts[-1] else self._counts[:-2]


def _carried(f: Field, digits: np.ndarray) -> int | None:
    """The sum that digits stand for; None if a value was not finite."""
    f.device.library.handle.ps_carry(digits.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)))
    sign, bad = digits[-2:].tolist()
    low = int.from_bytes(digits[:-2].astype("<u4").tobytes(), "little")
    return None if bad else (sign << 32 * (SUM_DIGITS - 2)) + low


def _largest(f: Field) -> float:
    """Largest |value|, NaN if a value is not finite; collective."""
    from mpi4py import MPI

    local = local_extrema(f)
    both = np.array([max(abs(local.minimum), abs(local.maximum)), float(local.bad[0] < f.subdomain.shape[0])])
    f.subdomain.comm.Allreduce(MPI.IN_PLACE, both, op=MPI.MAX)
    return math.nan if both[1] else float(both[0])


def _total(name: str, *fields: Field) -> int | None:
    """The exact sum by a function of the core, times 2**SUM_FRACTION; None if a value is not finite; collective."""
    sums = Sums(1)
    sums.add(0, name, *fields)
    return sums.totals(fields[0])[0]


def rounded(total: int | None, count: int = 1) -> float:
    """The double next to total / 2**SUM_FRACTION / count, an even one in the middle."""
    if total is None:
        return math.nan
    try:
        return total / (count << SUM_FRACTION)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def root_of(total: int | None) -> float:
    """The root of total / 2**SUM_FRACTION, rounded once: from 55 bits or more, and one that says if others follow."""
    if total is None:
        return math.nan
    places = max(0, 56 - total.bit_length() // 2)
    square = total << 2 * places
    root = math.isqrt(square)
    try:
        return (2 * root + (root * root < square)) / (1 << places + 1 + SUM_FRACTION // 2)
    except OverflowError:
        return math.inf
