"""Fields in memory, and kernels bound to them."""

from __future__ import annotations

import mmap
import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.domain.field import CLOSE, LINE, PAGE, Box, Field, bind, lines_apart, owned
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.errors import SetupError
from parsolve.kernels.library import MAX_FIELDS, MAX_TERMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.kernels.library import Args, Launch, Library


def subdomain(*cells: int, ghost: int = 1) -> Subdomain:
    z, y, x = (*(1,) * (3 - len(cells)), *reversed(cells))
    grid = Grid(tuple("xyz"[: len(cells)]), (z, y, x), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    return regular(grid, MPI.COMM_SELF, (1, 1, 1), ghost)


class Still:
    """A kernel that does nothing and remembers its arguments."""

    def bind(
        self, args: Args, arrays: Sequence[np.ndarray], origin: tuple[int, int, int], threads: int, core: Library
    ) -> Launch:
        self.args, self.arrays, self.origin = args, arrays, origin
        return lambda: 0


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(1, 8),
    st.sampled_from(["float64", "float32"]),
)
def test_layout(cells: list[int], ghost: int, dtype: str) -> None:
    sub = subdomain(*cells, ghost=ghost)
    f = Field("u", sub, dtype)
    assert not f.array.any()
    assert f.owned.shape == sub.shape
    assert f.array.shape == tuple(n + 2 * g for n, g in zip(sub.shape, sub.ghosts, strict=True))
    assert f.dtype == dtype
    assert f.address % 64 == 0  # vector loads of owned rows are aligned
    assert f.stride[1] * f.dtype.itemsize % 64 == 0
    assert f.stride[1] * f.dtype.itemsize % 4096
    assert f.stride[2] == 1
    other = Field("v", sub, dtype)
    assert other.stride == f.stride
    f.array[...] = 1.0
    assert not other.array.any()
    assert f.owned.sum() == prod(sub.shape)


@pytest.mark.parametrize("pitch", [512, 1024, 2048])
def test_rows_are_not_a_page_apart(pitch: int) -> None:
    """Neighbouring rows would compete for the same cache sets."""
    f = Field("u", subdomain(pitch - 16, 4), "float64")
    assert f.stride[1] * 8 % 4096


def test_address_is_of_the_first_owned_cell() -> None:
    f = Field("u", subdomain(5, 4, 3, ghost=2), "float32")
    f.owned[0, 0, 0] = 3.0
    assert f.array[2, 2, 2] == 3.0
    assert f.address == f.array.ctypes.data + 2 * sum(f.array.strides)


def test_boxes() -> None:
    assert owned(subdomain(5, 4)) == Box((0, 0, 0), (1, 4, 5))
    assert not owned(subdomain(5, 4)).is_empty
    assert Box((0, 0, 2), (1, 4, 2)).is_empty
    assert Box((0, 3, 0), (1, 2, 5)).is_empty


def test_bind_hands_on_what_a_kernel_needs() -> None:
    sub = subdomain(5, 4, 3)
    u, v, w = (Field(n, sub, "float64") for n in "uvw")
    kernel = Still()
    bound = bind(
        kernel,
        Box((0, 1, 2), (1, 2, 4)),
        [u],
        [v],
        [[v], [w]],
        coefficients=[0.5, 7.0],
        weights=[1.0, -2.0],
        scale=0.25,
    )
    bound()
    a = kernel.args
    assert (list(a.lo), list(a.hi)) == ([0, 1, 2], [1, 2, 4])
    assert list(a.stride) == list(u.stride)
    assert (list(a.offset), list(a.period)) == ([0, 0, 0], [3, 4, 5])
    assert (a.terms, a.scale, list(a.weight[:2]), list(a.coefficient[:2])) == (2, 0.25, [1.0, -2.0], [0.5, 7.0])
    assert a.field[:5] == [u.address, v.address, v.address, w.address, None]
    assert kernel.origin == (1, 1, 1)
    assert [array.ctypes.data for array in kernel.arrays] == [f.array.ctypes.data for f in (u, v, v, w)]


def test_bind_refuses_what_the_kernel_could_not_take() -> None:
    sub = subdomain(5, 4)
    u = Field("u", sub, "float64")
    with pytest.raises(SetupError, match="same layout"):
        bind(Still(), owned(sub), [u], [Field("v", sub, "float32")])
    with pytest.raises(SetupError, match="same layout"):
        bind(Still(), owned(sub), [u], [Field("v", subdomain(50, 4), "float64")])
    with pytest.raises(SetupError, match=f"at most {MAX_FIELDS} fields and {MAX_TERMS} terms"):
        bind(Still(), owned(sub), [u] * MAX_FIELDS, [u])
    with pytest.raises(SetupError, match="terms"):
        bind(Still(), owned(sub), [u], [u], [[u]] * (MAX_TERMS + 1))


def test_a_status_that_is_not_zero_is_an_error() -> None:
    class Failing(Still):
        def bind(
            self, args: Args, arrays: Sequence[np.ndarray], origin: tuple[int, int, int], threads: int, core: Library
        ) -> Launch:
            return lambda: 2

    u = Field("u", subdomain(5), "float64")
    with pytest.raises(SetupError, match="status 2"):
        bind(Failing(), owned(u.subdomain), [u], [u])()


@pytest.mark.parametrize("pitch", range(2, 66))
def test_stores_do_not_hold_up_the_loads_of_the_next_field(pitch: int) -> None:
    """Neither of the same row nor of the rows beside it, whatever their pitch."""
    apart, lines = lines_apart(pitch), PAGE // LINE
    near = [(m * apart + row * pitch) % lines for m in (-1, 1) for row in (-1, 0, 1)]
    assert min(near) > CLOSE


def huge_bytes(address: int) -> int:
    """How much of the mapping that holds an address lies in huge pages."""
    maps = Path("/proc/self/smaps").read_text().split("VmFlags:")
    for one in maps:
        ends = re.search(r"([0-9a-f]+)-([0-9a-f]+) rw", one)
        if ends and int(ends[1], 16) <= address < int(ends[2], 16):
            return 1024 * int(one.partition("AnonHugePages:")[2].split()[0])
    return 0


def test_large_fields_lie_in_huge_pages() -> None:
    if not hasattr(mmap, "MADV_HUGEPAGE") or not Path("/proc/self/smaps").is_file():
        pytest.skip("the system does not tell")
    asked = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    asked.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(asked, np.uint8)
    array[:] = 1
    if huge_bytes(array.ctypes.data + (32 << 20)) < 48 << 20:
        pytest.skip("the system gives no huge pages now")
    field = Field("u", subdomain(256, 256, 128), np.float64)
    field.owned[...] = 1.0
    assert huge_bytes(field.address) > 0.8 * field.memory.nbytes
