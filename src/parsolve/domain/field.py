"""One array with ghosts, and the binding of kernels to such arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from parsolve.errors import SetupError
from parsolve.kernels.device import PAGE
from parsolve.kernels.library import MAX_FIELDS, MAX_TERMS, Args, Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.grid import Subdomain, Triple
    from parsolve.kernels.device import Device

LINE = 64  # bytes of a cache line
CLOSE = 8  # lines behind which a store does not hold up a load any more; benchmarks/NOTES.md


@dataclass(frozen=True)
class Box:
    """An index range [lo, hi) in owned cells; ghosts have indices below 0 or from the owned shape on."""

    lo: Triple
    hi: Triple

    @property
    def is_empty(self) -> bool:
        """Whether there is no cell in it."""
        return any(a >= b for a, b in zip(self.lo, self.hi, strict=True))


def owned(subdomain: Subdomain) -> Box:
    """The box of the cells that the rank owns."""
    return Box((0, 0, 0), subdomain.shape)


class Field:
    """Values at the cells of a subdomain and its ghosts.

    All fields of a subdomain and type share one layout: rows begin on a cache line at owned cell 0 and are padded to
    whole cache lines, not to a multiple of 4 KiB, where neighbouring rows would compete for the same cache sets.
    A load is held up by a store before it whose address has the same last 12 bits, so the fields of a kernel are given
    different ``colour``s: they begin at different places of a page.

    Attributes:
        memory: the rows with ghosts and padding, contiguous; zero at first.
        array: the part with ghosts, shape owned + 2 ghosts (z, y, x).
        owned: the part without ghosts.
        origin: index of owned cell (0, 0, 0) in ``array``.
    """

    def __init__(self, name: str, subdomain: Subdomain, dtype: str | np.dtype, colour: int = 0) -> None:
        self.name = name
        self.subdomain = subdomain
        self.dtype = np.dtype(dtype)
        self.origin = subdomain.ghosts
        (nz, ny, nx), (gz, gy, gx) = subdomain.shape, subdomain.ghosts
        rows, before = layout(subdomain.shape, subdomain.ghosts, self.dtype.itemsize)
        size = rows[0] * rows[1] * rows[2] * self.dtype.itemsize
        apart = lines_apart(rows[2] * self.dtype.itemsize // LINE)
        self.memory = self.device.allocate(size, colour * apart * LINE % PAGE).view(self.dtype).reshape(rows)
        self.array = self.memory[:, :, before - gx : before + nx + gx]
        self.owned = self.array[gz : gz + nz, gy : gy + ny, gx : gx + nx]

    @property
    def device(self) -> Device:
        """Where its values are."""
        return self.subdomain.device

    @property
    def stride(self) -> Triple:
        """Elements from a cell to the next along z, y, x."""
        z, y, x = (s // self.dtype.itemsize for s in self.array.strides)
        return z, y, x

    @property
    def address(self) -> int:
        """Address of owned cell (0, 0, 0)."""
        return self.owned.ctypes.data if self.owned.size else 0


def layout(shape: Triple, ghosts: Triple, itemsize: int) -> tuple[Triple, int]:
    """Shape of the memory of a field, rows padded, and cells of a row before owned cell 0.

    There is a line to spare at both ends, as the boxes of passes fill whole lines.
    """
    (nz, ny, nx), (gz, gy, gx) = shape, ghosts
    lane = LINE // itemsize
    before = -(-gx // lane) * lane + lane
    pitch = before + -(-(nx + gx) // lane) * lane + lane
    if pitch * itemsize % PAGE == 0:
        pitch += lane
    return (nz + 2 * gz, ny + 2 * gy, pitch), before


@cache
def lines_apart(pitch: int) -> int:
    """How many lines apart, within a page, fields of one kernel begin whose rows are so many lines apart.

    Of fields that are 1, 2, 3 apart, neighbouring ones first, rows of one and the same and next rows of another are to
    be more than CLOSE lines ahead of each other.
    """
    lines = PAGE // LINE

    def meetings(apart: int) -> tuple[int, ...]:
        return tuple(
            sum((m * apart + row * pitch) % lines <= CLOSE for m in (-n, n) for row in (-1, 0, 1)) for n in (1, 2, 3)
        )

    return min(range(CLOSE + 1, lines - CLOSE), key=meetings)


class Bound:
    """A kernel bound to a box and to fields; calling it launches it."""

    __slots__ = ("args", "launch")

    def __init__(self, args: Args, launch: Callable[[], int]) -> None:
        self.args = args
        self.launch = launch

    def __call__(self) -> None:
        """Launch the kernel."""
        status = self.launch()
        if status:
            raise SetupError(f"a kernel returned status {status}")


def bind(
    kernel: Kernel,
    box: Box,
    inputs: Sequence[Field],
    outputs: Sequence[Field],
    terms: Sequence[Sequence[Field]] = (),
    *,
    coefficients: Sequence[float] = (),
    weights: Sequence[float] = (),
    scale: float = 1.0,
) -> Bound:
    """The kernel over a box: out_f = sum_j weights[j] terms[j][f] + scale rate_f(inputs).

    Raises:
        SetupError: more fields or terms than the ABI holds, or fields of different layouts.
    """
    fields = [*inputs, *outputs, *(field for term in terms for field in term)]
    if len(fields) > MAX_FIELDS or len(terms) > MAX_TERMS:
        raise SetupError(f"a kernel takes at most {MAX_FIELDS} fields and {MAX_TERMS} terms")
    first = fields[0]
    if any((f.stride, f.origin, f.dtype) != (first.stride, first.origin, first.dtype) for f in fields):
        raise SetupError("fields of one kernel must have the same layout")
    args = arguments(first.subdomain, first.stride, box)
    args.terms = len(terms)
    args.scale = scale
    args.weight[: len(weights)] = weights
    args.coefficient[: len(coefficients)] = coefficients
    args.field[: len(fields)] = [field.address for field in fields]
    arrays = [field.array for field in fields]
    return Bound(args, kernel.bind(args, arrays, first.origin, first.subdomain.threads, first.device))


def arguments(subdomain: Subdomain, stride: Triple, box: Box) -> Args:
    """``ps_args`` with the box and the place of the subdomain in the grid."""
    grid = subdomain.grid
    args = Args()
    args.lo[:], args.hi[:], args.stride[:] = box.lo, box.hi, stride
    args.offset[:] = subdomain.start
    args.period[:] = [n if periodic else 0 for n, periodic in zip(grid.cells, grid.periodic, strict=True)]
    args.lower[:], args.spacing[:] = grid.lower, grid.spacing
    return args
