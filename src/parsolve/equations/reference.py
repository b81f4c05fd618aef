"""Stages -> NumPy: the same operations in the same order as the C bodies, hence the same bits.

(Functions of the C library, such as sin, may differ from NumPy's in the last bit.)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.equations.operations import NUMPY
from parsolve.equations.white import noise_of, normal
from parsolve.kernels.library import MAX_COEFFICIENTS, fma

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.equations.program import Stage
    from parsolve.kernels.library import Args, Library


class NumpyKernel:
    """A stage as a kernel over a box, without a compiler: for tests and for ``[run] device = "numpy"``."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def bind(
        self, args: Args, arrays: Sequence[np.ndarray], origin: tuple[int, int, int], threads: int, core: Library
    ) -> Callable[[], int]:
        """A launch without arguments; ``arrays`` are those of ``args.field`` with ghosts, ``origin`` owned cell 0."""
        return partial(self.launch, args, tuple(arrays), origin)

    def launch(self, args: Args, arrays: Sequence[np.ndarray], origin: tuple[int, int, int]) -> int:
        """Compute the box of ``args``; 0, as all is well."""

        def view(array: np.ndarray, offset: Sequence[int] = (0, 0, 0)) -> np.ndarray:
            first = [o + by for o, by in zip(origin, offset, strict=True)]
            return array[tuple(slice(args.lo[d] + first[d], args.hi[d] + first[d]) for d in range(3))]

        if any(args.lo[d] >= args.hi[d] for d in range(3)):
            return 0
        with np.errstate(all="ignore"):
            values = self._values(args, [partial(view, array) for array in arrays], arrays[0].dtype)
            n, m = len(self.stage.inputs), len(values)
            for f, value in enumerate(values):
                out = view(arrays[n + f])
                out[...] = self._update(args, value, [view(arrays[n + m + t * m + f]) for t in range(args.terms)])
        return 0

    def _update(self, args: Args, value: np.ndarray, terms: Sequence[np.ndarray]) -> np.ndarray:
        if not self.stage.updates:
            return value
        real = terms[0].dtype.type
        base, total = terms[0], real(0)
        for t, term in enumerate(terms[1:], start=1):
            total = fma(real(args.weight[t]), term - base, total)
        return fma(real(args.weight[0]), base, fma(real(args.scale), value, total))

    def _values(self, args: Args, views: Sequence[Callable[..., np.ndarray]], dtype: np.dtype) -> list[np.ndarray]:
        real = dtype.type
        leaves: dict[str, Callable[[Any], np.ndarray]] = {
            "load": lambda data: views[data[0]](data[1]),
            "constant": real,
            "coefficient": lambda n: real(args.coefficient[n]),
            "coordinate": lambda data: _coordinate(args, *data).astype(dtype),
            "time": lambda _: real(args.time),
            "integral": lambda n: real(args.coefficient[MAX_COEFFICIENTS - 1 - n]),
            "white": lambda data: _white(args, *data).astype(dtype),
        }
        return self.stage.evaluate(leaves, lambda name, arguments: NUMPY[name](*arguments))


def _coordinate(args: Args, axis: int, by: int) -> np.ndarray:
    """Cell centres of the box along an axis, shifted by some cells, shaped to broadcast; periodic ends closed."""
    centres: np.ndarray = args.lower[axis] + (_index(args, axis, by) + 0.5) * args.spacing[axis]
    return centres


def _white(args: Args, seed: int, by: Sequence[int]) -> np.ndarray:
    """White noise at the cells of the box, shifted by some cells."""
    step, strength = noise_of(args)
    return strength * normal(seed, step, [_index(args, axis, by[axis]) for axis in range(3)])


def _index(args: Args, axis: int, by: int) -> np.ndarray:
    """Global indices of the box along an axis, shifted by some cells, shaped to broadcast; periodic ends closed."""
    index = np.arange(args.lo[axis], args.hi[axis]) + args.offset[axis] + by
    period = args.period[axis]
    index = index % period if period else index
    line: np.ndarray = index.reshape([-1 if d == axis else 1 for d in range(3)])
    return line
