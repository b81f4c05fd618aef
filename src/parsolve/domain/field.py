"""One array with ghosts, and the binding of kernels to such arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
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

    moves = False  # whether its values change in time by themselves

    def renew(self, time: float) -> None:
        """Take the values of a time, those of a field that moves; collective."""

    @property
    def device(self) -> Device:
        """Where its values are."""
        return self.subdomain.device

    @cached_property
    def stride(self) -> Triple:
        """Elements from a cell to the next along z, y, x."""
        z, y, x = (s // self.dtype.itemsize for s in self.array.strides)
        return z, y, x

    @cached_property
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
    colour: int = 0,
) -> Bound:
    """The kernel over a box: out_f = w_0 t_0f + sum_j>0 w_j (t_jf - t_0f) + scale rate_f(inputs), t terms, w weights.

    A colour kernel does so at cells whose global indices add up to an even (colour 0) or odd (1) number.

    Raises:
        SetupError: more fields or terms than the ABI holds, or fields of different layouts.
    """
    require_one_layout([*inputs, *outputs, *chain(*terms)])
    return _bind(kernel, box, inputs, outputs, terms, coefficients, weights, scale, colour)


def bind_transfer(
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
    """As ``bind``, for a transfer kernel: its inputs are on another grid than outputs, terms and box.

    Raises:
        SetupError: as ``bind``; or along an axis neither grid has 2^m times the cells of the other.
    """
    source, target = inputs[0].subdomain, outputs[0].subdomain
    require_one_layout(inputs)
    require_one_layout([*outputs, *chain(*terms)])
    bound = _bind(kernel, box, inputs, outputs, terms, coefficients, weights, scale)
    args = bound.args
    args.other_stride[:], args.other_offset[:] = inputs[0].stride, source.start
    for d, (theirs, ours) in enumerate(zip(source.grid.cells, target.grid.cells, strict=True)):
        args.finer[d], args.coarser[d] = _doublings(ours, theirs), _doublings(theirs, ours)
        if theirs << args.coarser[d] != ours << args.finer[d]:
            raise SetupError(f"no transfer between {theirs} and {ours} cells: neither is 2^m times the other")
    return bound


def require_one_layout(fields: Sequence[Field]) -> None:
    """Raises SetupError: the fields are of different layouts or types, so that no kernel can take them together."""
    first = fields[0]
    if any((f.stride, f.origin, f.dtype) != (first.stride, first.origin, first.dtype) for f in fields):
        raise SetupError("fields of one kernel must have the same layout")


def _bind(
    kernel: Kernel, box: Box, inputs: Sequence[Field], outputs: Sequence[Field], terms: Sequence[Sequence[Field]],
    coefficients: Sequence[float], weights: Sequence[float], scale: float, colour: int = 0,
) -> Bound:  # fmt: skip
    fields, target = [*inputs, *outputs, *chain(*terms)], outputs[0]
    if len(fields) > MAX_FIELDS or len(terms) > MAX_TERMS:
        raise SetupError(f"a kernel takes at most {MAX_FIELDS} fields and {MAX_TERMS} terms")
    if any(f.dtype != target.dtype for f in inputs):
        raise SetupError("the fields of a kernel must be of one type")
    args = arguments(target.subdomain, target.stride, box)
    args.terms, args.scale, args.colour = len(terms), scale, colour
    args.weight[: len(weights)] = weights
    args.coefficient[: len(coefficients)] = coefficients
    args.field[: len(fields)] = [f.address for f in fields]
    arrays, sub = [f.array for f in fields], target.subdomain
    return Bound(args, kernel.bind(args, arrays, target.origin, sub.threads, sub.device.library))


def _doublings(few: int, many: int) -> int:
    """How often ``few`` can be doubled without getting larger than ``many``."""
    return max(0, (many // few).bit_length() - 1)


def arguments(subdomain: Subdomain, stride: Triple, box: Box) -> Args:
    """``ps_args`` with the box and the place of the subdomain in the grid."""
    grid = subdomain.grid
    args = Args()
    args.lo[:], args.hi[:], args.stride[:] = box.lo, box.hi, stride
    args.offset[:] = subdomain.start
    args.period[:] = [n if periodic else 0 for n, periodic in zip(grid.cells, grid.periodic, strict=True)]
    args.lower[:], args.spacing[:] = grid.lower, grid.spacing
    return args
