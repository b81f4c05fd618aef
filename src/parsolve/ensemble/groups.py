"""Groups of ranks: which ranks a task gets, and the communicators that groups keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mpi4py import MPI

Members = tuple[int, ...]


def nodes(comm: MPI.Intracomm) -> list[int]:
    """The node of each rank, by the lowest of its ranks; collective."""
    from mpi4py import MPI

    here = comm.Split_type(MPI.COMM_TYPE_SHARED)
    first: int = here.allreduce(comm.rank, op=MPI.MIN)
    here.Free()
    return comm.allgather(first)


def choose(size: int, idle: Collection[int], nodes: Sequence[int]) -> Members | None:
    """So many idle ranks, ascending: of one node if that can be, as close as can be; None: there are not so many.

    Of several nodes with room the fullest is taken, so that large holes stay; of several places the last, so that
    rank 0, which hands out work, is the last to be bound for long.
    """
    if len(idle) < size:
        return None
    if size == 1:
        return (max(idle),)
    by_node: dict[int, list[int]] = {}
    for rank in sorted(idle):
        by_node.setdefault(nodes[rank], []).append(rank)
    fitting = [ranks for ranks in by_node.values() if len(ranks) >= size]
    if not fitting:
        most = sorted(by_node.values(), key=len, reverse=True)
        return tuple(sorted([rank for ranks in most for rank in ranks][:size]))
    ranks = min(fitting, key=len)
    first = min(range(len(ranks) - size + 1), key=lambda i: (ranks[i + size - 1] - ranks[i], -i))
    return tuple(ranks[first : first + size])


def reserve(size: int, busy: Mapping[int, object], nodes: Sequence[int]) -> set[int]:
    """Ranks that a task waits for while too few are idle: those of the fewest nodes, tasks and idle ranks.

    Args:
        size: how many.
        busy: what a rank works on, where it does; ranks of one task have the same.
        nodes: of each rank.
    """
    order = sorted(range(len(nodes)), key=lambda rank: (nodes[rank], rank))

    def cost(first: int) -> tuple[int, int, int, int]:
        ranks = order[first : first + size]
        idle = [rank for rank in ranks if rank not in busy]
        tasks = {busy[rank] for rank in ranks if rank in busy}
        return len({nodes[rank] for rank in ranks}), len(tasks), len(idle), -first

    best = min(range(len(order) - size + 1), key=cost)
    return set(order[best : best + size])


class Group:
    """A communicator for the tasks of some ranks, and one for what is agreed on after them: a task may free its own."""

    def __init__(self, comm: MPI.Intracomm, members: Members) -> None:
        everyone = comm.Get_group()
        some = everyone.Incl(members)
        self.private = comm.Create_group(some)
        some.Free()
        everyone.Free()
        self.comm = self.private.Dup()

    @property
    def is_whole(self) -> bool:
        """Whether the task left its communicator."""
        from mpi4py import MPI

        return self.comm != MPI.COMM_NULL

    def renew(self) -> None:
        """Another communicator for tasks, after one that freed it or failed on some ranks; by all members.

        The old one is left for ever: messages may be under way in it, and MPI would give its context to another.
        """
        self.comm = self.private.Dup()

    def free(self) -> None:
        """Free both; by all members."""
        if self.is_whole:
            self.comm.Free()
        self.private.Free()


class Groups:
    """The groups that this rank is in, made when they are first used; all members make and free them in one order.

    Args:
        comm: all ranks. Only the members of a group come to make it (MPI_Comm_create_group).
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self._made: dict[Members, Group] = {}

    def __len__(self) -> int:
        return len(self._made)

    def get(self, members: Members) -> Group:
        """The group of some ranks of ``comm``, in this order."""
        group = self._made.get(members)
        if group is None:
            group = self._made[members] = Group(self._comm, members)
        return group

    def drop(self, members: Members) -> None:
        """Free a group, if there is one."""
        if members in self._made:
            self._made.pop(members).free()

    def free(self) -> None:
        """Free all."""
        for members in list(self._made):
            self.drop(members)
