"""The cores that a process and a node may use, and how the ranks sit on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True)
class Placement:
    """How ranks sit on nodes.

    Attributes:
        on_one_node: whether all share one.
        ranks, cores: of the node that has the fewest cores a rank.
    """

    on_one_node: bool
    ranks: int
    cores: int

    def is_crowded(self, threads: int) -> bool:
        """Whether ranks of so many threads are more than the cores of a node."""
        return self.ranks * threads > self.cores


def alone() -> Placement:
    """How a single rank sits."""
    return Placement(True, 1, len(usable_cores()))


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


def placement(comm: MPI.Intracomm) -> Placement:
    """How the ranks of a communicator sit, the same on all of them; collective."""
    ranks, cores = node_cores(comm)
    ranks, count = max(comm.allgather((ranks, len(cores))), key=lambda node: node[0] / node[1])
    return Placement(ranks == comm.size, ranks, count)
