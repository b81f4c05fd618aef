"""The cores that a process and a node may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsolve.domain.cores import Placement, alone, node_cores, placement, usable_cores

if TYPE_CHECKING:
    from mpi4py import MPI


def test_usable_cores() -> None:
    assert len(usable_cores()) >= 1
    assert alone() == Placement(True, 1, len(usable_cores()))


@pytest.mark.parametrize("ranks", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_node_is_crowded_with_more_threads_than_cores(ranks: int, threads: int) -> None:
    for cores in range(1, 20):
        assert Placement(True, ranks, cores).is_crowded(threads) == (ranks * threads > cores)


@pytest.mark.mpi
def test_all_ranks_know_the_same_placement(comm: MPI.Intracomm) -> None:
    found = placement(comm)
    assert comm.allgather(found) == [found] * comm.size
    assert found.on_one_node == (found.ranks == comm.size)


@pytest.mark.mpi
def test_ranks_of_a_node_know_the_same_cores(comm: MPI.Intracomm) -> None:
    ranks, cores = node_cores(comm)
    assert 1 <= ranks <= comm.size
    assert usable_cores() <= cores
