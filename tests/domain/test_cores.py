"""The cores that a process and a node may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsolve.domain.cores import node_cores, usable_cores

if TYPE_CHECKING:
    from mpi4py import MPI


def test_usable_cores() -> None:
    assert len(usable_cores()) >= 1


@pytest.mark.mpi
def test_ranks_of_a_node_know_the_same_cores(comm: MPI.Intracomm) -> None:
    ranks, cores = node_cores(comm)
    assert 1 <= ranks <= comm.size
    assert usable_cores() <= cores
