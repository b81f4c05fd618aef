"""Reductions over distributed fields that do not depend on the order or the decomposition: same bits on any ranks."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.field import Field, arguments, owned
from parsolve.kernels.library import SUM_DIGITS, Extrema

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsolve.kernels.library import Args

LAST_BIT = 1074  # a double is a whole multiple of 2**-1074


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
    return -float(both[0]), float(both[1])


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
    """Sum over the grid, rounded once from the exact value; NaN if a value is not finite; collective."""
    from mpi4py import MPI

    digits = np.zeros(SUM_DIGITS, np.int64)
    pointer = digits.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
    _function(f, "sum")(ctypes.byref(_over_owned(f)), pointer)
    f.subdomain.comm.Allreduce(MPI.IN_PLACE, digits, op=MPI.SUM)
    *parts, bad = (int(d) for d in digits)
    if bad:
        return float("nan")
    total = sum(d << (32 * i) for i, d in enumerate(parts))
    try:
        return float(Fraction(total, 1 << LAST_BIT))
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")


def mean(f: Field) -> float:
    """Mean over the grid of the exact sum; collective."""
    return exact_sum(f) / f.subdomain.grid.size
