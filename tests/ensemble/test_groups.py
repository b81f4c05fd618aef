"""Groups: ranks of one node where that can be, communicators that are kept, and freed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from parsolve.ensemble.groups import Group, Groups, choose, nodes, reserve

if TYPE_CHECKING:
    from mpi4py import MPI

TWO_NODES = [0, 0, 0, 0, 4, 4, 4, 4]


def test_a_choice_is_of_idle_ranks_and_of_one_node_if_that_can_be() -> None:
    for count in range(9):
        for idle in itertools.combinations(range(8), count):
            for size in range(1, 9):
                found = choose(size, idle, TWO_NODES)
                if size > count:
                    assert found is None
                    continue
                assert found is not None
                assert len(set(found)) == size
                assert list(found) == sorted(found)
                assert set(found) <= set(idle)
                most = max(sum(rank // 4 == node for rank in idle) for node in (0, 1))
                assert len({rank // 4 for rank in found}) == (1 if size <= most else 2)


def test_a_choice_leaves_the_larger_hole() -> None:
    assert choose(2, [0, 1, 2, 3, 5, 6], TWO_NODES) == (5, 6)
    assert choose(2, [0, 2, 3], TWO_NODES) == (2, 3)
    assert choose(1, [0, 3], TWO_NODES) == (3,)


def test_what_is_reserved_has_few_tasks_and_few_idle_ranks() -> None:
    busy = {0: 7, 1: 7, 2: 7}
    assert reserve(3, busy, [0] * 4) == {0, 1, 2}
    assert reserve(2, {0: 1, 1: 2, 2: 3}, [0] * 4) == {2, 3}
    assert reserve(4, dict.fromkeys(range(8), 1), TWO_NODES) in ({0, 1, 2, 3}, {4, 5, 6, 7})


def test_nodes_are_those_of_the_ranks(comm: MPI.Intracomm) -> None:
    found = nodes(comm)
    assert len(found) == comm.size
    assert all(first <= rank and found[first] == first for rank, first in enumerate(found))


def test_a_group_is_made_once_and_of_its_members(comm: MPI.Intracomm) -> None:
    groups = Groups(comm)
    for size in range(1, comm.size + 1):
        members = tuple(range(comm.size - size, comm.size))
        if comm.rank in members:
            group = groups.get(members)
            assert groups.get(members) is group
            assert group.comm.allgather(comm.rank) == list(members)
            assert group.private.size == size
    groups.free()
    assert len(groups) == 0


def test_a_group_can_be_renewed(comm: MPI.Intracomm) -> None:
    group = Group(comm, tuple(range(comm.size)))
    group.comm.Free()
    assert not group.is_whole
    group.renew()
    assert group.is_whole
    assert group.comm.allreduce(1) == comm.size
    group.free()


@pytest.mark.timeout(100, method="thread")
def test_thousands_of_groups_leave_nothing(comm: MPI.Intracomm) -> None:
    groups = Groups(comm)
    everyone = tuple(range(comm.size))
    for i in range(2500):  # MPICH has some 2000 contexts
        members = everyone[i % comm.size :]
        if comm.rank in members:
            groups.get(members)
            groups.drop(members)
