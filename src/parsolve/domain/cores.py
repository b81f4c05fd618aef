"""The cores that a process and a node may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi4py import MPI


def usable_cores() -> set[int]:
    """The cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def node_cores(comm: MPI.Intracomm) -> tuple[int, set[int]]:
    """Ranks of this node, and the cores that they may use; collective."""
    from mpi4py import MPI

    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    ranks, cores = node.size, set().union(*node.allgather(usable_cores()))
    node.Free()
    return ranks, cores


def on_one_node(comm: MPI.Intracomm) -> bool:
    """Whether all ranks run on one node; collective."""
    from mpi4py import MPI

    ranks, _ = node_cores(comm)
    return bool(comm.allreduce(ranks == comm.size, op=MPI.LAND))
