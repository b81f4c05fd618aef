"""Where fields live and kernels run: memory, copies and functions come from here."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from parsolve.errors import ResourceError
from parsolve.kernels.library import Copy, core

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Sequence

    from parsolve.kernels.library import CompiledKernel, Library

PAGE = 4096
HUGE = 2 << 20  # bytes of a huge page


@dataclass(frozen=True)
class Device:
    """A processor and its memory.

    Attributes:
        name: ``cpu``: compiled kernels; ``numpy``: kernels of NumPy, which need no compiler.
        library: copies, ghosts, reductions and the catalogue's kernels, for one instruction set.
    """

    name: Literal["cpu", "numpy"]
    library: Library

    def function(self, name: str, precision: str) -> Callable[..., int]:
        """A function ``ps_<name>_<f64|f32>`` of the core."""
        return self.library.function(name, precision)

    def kernel(self, name: str, precision: str) -> CompiledKernel:
        """A kernel of the core; KeyError if there is none."""
        return self.library.kernel(name, precision)

    def copies(self, copies: Sequence[Copy], precision: str) -> Callable[[], int]:
        """What does a list of copies."""
        array: ctypes.Array[Copy] = (Copy * len(copies))(*copies)
        return partial(self.function("copy", precision), array, len(copies))

    def allocate(self, size: int, offset: int = 0) -> np.ndarray:
        """Zeroed bytes, ``offset`` behind the begin of a page, of huge pages where they are large enough to profit.

        (Private, as Linux gives huge pages to shared mappings only where it is told to.)

        Raises:
            ResourceError: there is not enough memory.
        """
        try:
            memory = mmap.mmap(-1, size + HUGE + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, ValueError, OverflowError) as error:
            raise ResourceError(f"not enough memory for a field of {size / 2**20:.0f} MiB; use more ranks") from error
        if size >= 2 * HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        array = np.frombuffer(memory, dtype=np.uint8)
        skip = -array.ctypes.data % (HUGE if size >= 2 * HUGE else PAGE) + offset
        return array[skip : skip + size]


def resident(size: int) -> int:
    """Bytes of memory that so many bytes of ``Device.allocate`` take once all are written: whole pages."""
    page = HUGE if size >= 2 * HUGE else PAGE
    return -(-size // page) * page


@cache
def find_device(name: Literal["cpu", "numpy"] = "cpu", level: int | None = None) -> Device:
    """The device of a name, with the core for an instruction set, by default the best of this CPU."""
    return Device(name, core(level))
