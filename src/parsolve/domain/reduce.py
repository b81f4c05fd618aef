"""Reductions over distributed fields that do not depend on the order or the decomposition: same bits on any ranks."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.field import Field, arguments, owned, require_one_layout
from parsolve.errors import NumericalError, agree
from parsolve.kernels.library import SUM_DIGITS, SUM_FRACTION, Extrema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.kernels.library import Args, Launch


@dataclass(frozen=True)
class Bad:
    """A value that is not finite: field and global index (z, y, x)."""

    field: str
    index: tuple[int, int, int]


def over_owned(*fields: Field) -> Args:
    """What a reduction of one or two fields over their owned cells takes; of one, also its product with itself."""
    f = fields[0]
    args = arguments(f.subdomain, f.stride, owned(f.subdomain))
    args.field[0], args.field[1] = f.address, fields[-1].address
    return args


def bound_extrema(f: Field, args: Args) -> tuple[Launch, Extrema]:
    """What finds the extrema of the values of now, of these arguments, and where it puts them."""
    result = Extrema()
    return _bound(f, "extrema", ctypes.byref(args), ctypes.byref(result)), result


def local_extrema(f: Field) -> Extrema:
    """Smallest and largest value that this rank owns, and its first cell that is not finite."""
    find, result = bound_extrema(f, over_owned(f))
    find()
    return result


def _bound(f: Field, name: str, *given: Any) -> Launch:
    """A function of the core on what is given; it costs one foreign call."""
    return _kept(partial(f.device.function(name, f.dtype.name), *given), f)


def _kept(launch: partial[int], f: Field) -> Launch:
    """A launch that keeps the memory of a field alive."""
    launch.keep = f  # type: ignore[attr-defined]
    return launch


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

    def begin(self) -> None:
        """Begin anew."""
        self._digits[...] = 0

    def bound(self, n: int, name: str, f: Field, args: Args) -> Launch:
        """What adds to sum n the values of now of a field ("sum"), or products of two ("dot"), of these arguments."""
        pointer = self._digits[n].ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        if f.subdomain.threads < 2:
            return _bound(f, name, ctypes.byref(args), pointer)
        function, reduce = f.device.function(name, f.dtype.name), f.device.library.handle.ps_reduce
        return _kept(partial(reduce, function, args, pointer, f.subdomain.threads), f)

    def add(self, n: int, name: str, *fields: Field) -> None:
        """Add to sum n the values that are owned ("sum"), or the products of two fields ("dot")."""
        self.bound(n, name, fields[0], over_owned(*fields))()

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

    def begin(self) -> None:
        """Begin anew."""
        self._counts[...] = 0

    def bound(self, f: Field, args: Args) -> Launch:
        """What counts the values of now of a field, of these arguments."""
        counts = self._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        return _bound(f, "histogram", ctypes.byref(args), self._edges, len(self._edges) - 1, counts)

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
