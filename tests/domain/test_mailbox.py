"""Messages through shared memory: what a neighbour wrote is what is read, exchange after exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.domain import halo
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.domain.halo import HaloExchange

if TYPE_CHECKING:
    from mpi4py import MPI

ROUNDS = 50


@pytest.mark.mpi
@pytest.mark.parametrize("yielding", [False, True])
@pytest.mark.parametrize("periodic", [False, True])
def test_every_exchange_brings_what_the_neighbours_have_now(
    comm: MPI.Intracomm, periodic: bool, yielding: bool
) -> None:
    """Ranks run at different speeds, and nobody waits for those that are not its neighbours."""
    sub = regular(grid(comm.size, periodic=periodic), comm, (comm.size, 1, 1), 1)
    fields = [Field(name, sub, np.float64) for name in "uv"]
    exchange = HaloExchange(fields, {}, depth=1, boundary_depth=1, base=1, yielding=yielding)
    assert len(exchange._mailboxes) == (comm.size > 1)
    wrong = []
    for n in range(ROUNDS):
        if (n + comm.rank) % 3 == 0:
            sum(range(20_000 * comm.rank))
        for i, f in enumerate(fields):
            f.owned[...] = value(n, comm.rank, i)
        exchange.fill(0.0)
        for i, f in enumerate(fields):
            for side, plane in ((0, f.array[0]), (1, f.array[-1])):
                peer = sub.neighbour(0, side)
                expected = value(n, comm.rank if peer is None else peer, i)  # no flux: a ghost has its cell's value
                if not (plane[1:-1, 1:-1] == expected).all():
                    wrong.append((n, comm.rank, f.name, side))
    exchange.free()
    assert comm.allreduce(wrong) == []


@pytest.mark.mpi(min_size=2)
def test_large_slabs_go_by_messages(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    sub = regular(grid(comm.size, periodic=True), comm, (comm.size, 1, 1), 1)
    fields = [Field("u", sub, np.float64)]
    monkeypatch.setattr(halo, "SMALL", 100)
    assert not HaloExchange(fields, {}, depth=1, boundary_depth=1, base=1)._mailboxes


def grid(ranks: int, *, periodic: bool) -> Grid:
    return Grid(("x", "y", "z"), (4 * ranks, 5, 6), (0.0,) * 3, (1.0,) * 3, (periodic,) * 3)


def value(n: int, rank: int, field: int) -> float:
    return 1000.0 * n + 10.0 * rank + field
