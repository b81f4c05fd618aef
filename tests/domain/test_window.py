"""Parts of a subdomain: together they are all of it, and fields show the cells of one."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve.domain.field import Field
from parsolve.domain.grid import regular
from parsolve.domain.reduce import Sums, exact_sum, rounded
from parsolve.domain.window import moved, parts, scratch, window


@pytest.mark.parametrize("shape", [(37,), (12, 9), (7, 5, 6)])
@pytest.mark.parametrize("most", [1, 20, 1000])
def test_parts_make_up_the_cells_and_their_sums_the_sum(maker, comm, shape, most):
    sub = regular(maker.grid(*shape), comm, (1, comm.size, 1) if len(shape) > 1 else (1, 1, comm.size), 2)
    f = Field("u", sub, "float64")
    f.owned[...] = np.random.default_rng(comm.rank).normal(size=f.owned.shape) * 1e9
    seen, sums = np.zeros(sub.shape, int), Sums(1)
    for part in parts(sub, most):
        shown = window(f, part)
        assert part.stop == tuple(a + n for a, n in zip(part.start, part.shape, strict=True))
        assert shown.address == f.owned[tuple(slice(a, None) for a in part.first)].ctypes.data
        place = tuple(slice(a, a + n) for a, n in zip(part.first, part.extent, strict=True))
        seen[place] += 1
        sums.add(0, "sum", shown)
    assert (seen == 1).all()
    assert rounded(sums.totals(f)[0]) == exact_sum(f)


@pytest.mark.parametrize("shape", [(37,), (12, 9), (7, 5, 6)])
def test_new_fields_of_a_part_go_with_windows_and_their_memory_moves_on(alone, solo, shape):
    sub = regular(alone.grid(*shape), solo, (1, 1, 1), 2)
    f = Field("u", sub, "float32")
    first, *others = parts(sub, 20)
    made = scratch(f, first, "w", 1)
    assert (made.stride, made.origin, made.dtype) == (f.stride, f.origin, f.dtype)
    made.owned[...] = 3
    assert made.memory.size <= f.memory.size
    for part in others[:-1]:
        assert (moved(made, part).subdomain.start, float(moved(made, part).owned.sum())) == (
            part.start, 3.0 * made.owned.size,
        )  # fmt: skip
