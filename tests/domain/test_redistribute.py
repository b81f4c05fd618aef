"""Boxes moved between ranks hold the bits of the array that they are cut from."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsolve.domain import redistribute
from parsolve.domain.field import Box
from parsolve.domain.grid import Grid, Subdomain, regular
from parsolve.domain.redistribute import NOTHING, Redistribution, allgather, boxes, gather
from parsolve.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mpi4py import MPI

CELLS = (7, 6, 5)
DTYPES = ["f8", "f4", "c16", "c8", "i2", "?", "f2"]


def whole(cells: tuple[int, int, int], dtype: str = "f8") -> Any:
    """Other bits at each cell, among them NaNs and -0.0."""
    bits = np.random.default_rng(1).integers(0, 256, (*cells, np.dtype(dtype).itemsize), np.uint8)
    return (bits & 1 if dtype == "?" else bits).view(dtype)[..., 0]


def cut(array: Any, box: Box) -> Any:
    return array[tuple(slice(a, b) for a, b in zip(box.lo, box.hi, strict=True))]


def scattered(array: Any) -> Any:
    """The same values at strides that are not those of an array of this shape, one of them negative."""
    nz, ny, nx = array.shape
    view = np.zeros((ny, nx + 3, 2 * nz), array.dtype)[:, 1 : nx + 1, ::-2].transpose(2, 0, 1)
    view[...] = array
    return view


def same(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def grids(size: int) -> Iterator[tuple[int, int, int]]:
    """Process grids of so many ranks, z, y, x."""
    return ((z, y, x) for z, y, x in product(range(1, size + 1), repeat=3) if z * y * x == size)


def boxes_of(processes: tuple[int, int, int]) -> list[Box]:
    """Nearly equal boxes of CELLS, by rank."""
    edges = [[n * i // p for i in range(p + 1)] for n, p in zip(CELLS, processes, strict=True)]
    places = product(*(range(p) for p in processes))
    return [Box(*zip(*((e[i], e[i + 1]) for e, i in zip(edges, place, strict=True)), strict=True)) for place in places]


def check(comm: MPI.Intracomm, have: list[Box], want: list[Box], dtype: str = "f8") -> None:
    """The plan moves the bits, into new arrays and into given ones; all ranks fail together."""
    values = whole(CELLS, dtype)
    plan = Redistribution(comm, have, want)
    is_had = np.zeros(CELLS, bool)
    for box in have:
        cut(is_had, box)[...] = True
    expected, known = cut(values, want[comm.rank]), cut(is_had, want[comm.rank])
    ok = plan.shape == expected.shape
    for source in (cut(values, have[comm.rank]), scattered(cut(values, have[comm.rank]))):
        ok &= same(plan(source), np.where(known, expected, np.zeros((), dtype)))
        before = cut(whole(CELLS, dtype)[::-1, ::-1, ::-1], want[comm.rank])
        target = scattered(before)
        ok &= plan(source, target) is target
        ok &= same(target, np.where(known, expected, before))
    assert all(comm.allgather(ok))


@pytest.mark.parametrize("piece", [1, 100, redistribute.PIECE])
def test_every_process_grid_becomes_every_other(
    comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(redistribute, "PIECE", piece)
    for have, want in product(grids(comm.size), repeat=2):
        check(comm, boxes_of(have), boxes_of(want))


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_of_any_type_are_moved(comm: MPI.Intracomm, dtype: str) -> None:
    check(comm, boxes_of((comm.size, 1, 1)), boxes_of((1, 1, comm.size)), dtype)


@st.composite
def layouts(draw: st.DrawFn, size: int = 4) -> tuple[list[Box], list[Box]]:
    """Boxes for so many ranks: those that they have are apart, those that they want are any; some are empty."""
    box = st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in CELLS))
    want = [Box(*zip(*draw(box), strict=True)) for _ in range(size)]
    have = [Box((0, 0, 0), CELLS)]
    while len(have) < size:
        old = have.pop(0)
        axis = draw(st.integers(0, 2))
        middle = draw(st.integers(old.lo[axis], old.hi[axis]))
        upper, lower = list(old.lo), list(old.hi)
        upper[axis] = lower[axis] = middle
        have += [Box(old.lo, tuple(lower)), Box(tuple(upper), old.hi)]  # type: ignore[arg-type]
    return draw(st.permutations(have)), want


@settings(
    max_examples=60, derandomize=True, database=None, deadline=None,  # the same examples on all ranks
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(layout=layouts(), is_whole=st.booleans())
def test_any_boxes_are_moved(comm: MPI.Intracomm, layout: tuple[list[Box], list[Box]], is_whole: bool) -> None:
    have, want = (boxes[: comm.size] for boxes in layout)  # on fewer ranks there are cells that nobody has
    check(comm, boxes_of((1, comm.size, 1)) if is_whole else have, want, "f4")


def test_parts_of_the_ranks_work_apart(comm: MPI.Intracomm) -> None:
    part = comm.Split(comm.rank % 2, -comm.rank)
    for _ in range(1 + comm.rank % 2):  # not in step with the other part
        check(part, boxes_of((1, part.size, 1)), boxes_of((1, 1, part.size)))
    part.Free()


def subdomain(comm: MPI.Intracomm, processes: tuple[int, int, int]) -> Subdomain:
    grid = Grid(("x", "z"), (7, 1, 5), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
    return regular(grid, comm, processes, 1)


def test_whole_arrays_come_to_one_rank_or_to_all(comm: MPI.Intracomm) -> None:
    values = whole((7, 1, 5), "c16")
    for processes in grids(comm.size):
        if processes[1] == 1:
            part = subdomain(comm, processes)
            own = scattered(cut(values, Box(part.start, part.stop)))
            assert boxes(part)[comm.rank] == Box(part.start, part.stop)
            for root in range(comm.size):
                got = gather(own, part, root)
                assert same(got, values[:, 0]) if comm.rank == root else got is None
            assert same(allgather(own, part), values[:, 0])


def test_no_memory_on_one_rank_is_one_error_for_all(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise MemoryError("no room")

    if comm.rank == comm.size - 1:
        monkeypatch.setattr(np, "zeros", refuse)
    part = subdomain(comm, (comm.size, 1, 1))
    with pytest.raises(ResourceError, match="not enough memory"):
        allgather(np.ones(part.shape), part)


def test_arrays_of_other_boxes_are_refused(solo: MPI.Intracomm) -> None:
    plan = Redistribution(solo, boxes_of((1, 1, 1)), [NOTHING])
    for source, target in (((7, 6, 4), (0, 0, 0)), (CELLS, (1, 1, 1))):
        with pytest.raises(ValueError, match=r"the plan takes \(7, 6, 5\) to \(0, 0, 0\)"):
            plan(np.ones(source), np.ones(target))
    with pytest.raises(ValueError, match="float32"):
        plan(np.ones(CELLS), np.ones((0, 0, 0), "f4"))


def test_only_ranks_whose_boxes_meet_exchange_messages(comm: MPI.Intracomm) -> None:
    if comm.rank == 0:  # a call that the others do not take part in: nobody wants anything of theirs
        mine = boxes_of((comm.size, 1, 1))
        plan = Redistribution(comm, mine, [mine[0]] + [NOTHING] * (comm.size - 1))
        values = cut(whole(CELLS), mine[0])
        target = np.zeros(plan.shape)
        assert same(plan(values, target), values)
