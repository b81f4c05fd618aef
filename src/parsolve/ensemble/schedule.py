"""Which task goes to which ranks, and when: a queue and the load of each rank; knows no MPI.

Higher priorities go first, and equal ones in their order, but of some hundred tasks in a row those of many ranks first:
small ones fill what large ones leave. A task that waits for ranks keeps some, so that smaller ones never starve it.

Work is handed out ahead, as rank 0 may be away in a task of its own: no more than it takes to bridge that, and never
more than a share of what is left, so that all end together (guided self-scheduling: Polychronopoulos & Kuck, IEEE
Trans. Comput. C-36 (1987) 1425).
"""

from __future__ import annotations

import heapq
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.ensemble import calls
from parsolve.ensemble.groups import choose, reserve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from concurrent.futures import Future
    from typing import Any

    from parsolve.ensemble.groups import Members

ROW = 256  # tasks among which large ones go first
BRIDGE = 0.01  # seconds of work that each rank has ahead at least
NEAR = 0.001  # seconds of work that rank 0 takes at once
OVERHEAD = 2e-5  # seconds that a task takes beside the function
MOST = 2000  # tasks ahead
NAMED = 3  # tasks of a rank that died
SMOOTHING = 0.2  # of the time that a task takes


@dataclass(slots=True)
class Task:
    """A call that waits or runs.

    Attributes:
        number: in the order of submission.
        call: as bytes.
        ranks: how many it needs.
        priority: higher ones go first.
        has_comm: whether the function is given a communicator.
        future: of the result.
    """

    number: int
    call: bytes
    ranks: int
    priority: float
    has_comm: bool
    future: Future[Any]


class Schedule:
    """What waits, what runs where, and who gets what next.

    Args:
        nodes: of each rank.

    Attributes:
        away: seconds for which rank 0 was last away in a task.
    """

    def __init__(self, nodes: Sequence[int]) -> None:
        self._nodes = nodes
        self._heaps: dict[int, list[tuple[float, int, Task]]] = {}
        self._running: dict[int, tuple[Task, Members]] = {}
        self._load = [0] * len(nodes)
        self._busy: dict[int, object] = {}  # the last task of each rank that has one
        self._usual: float | None = None
        self.away = 0.0

    @property
    def is_running(self) -> bool:
        """Whether some rank has a task."""
        return bool(self._running)

    @property
    def has_idle(self) -> bool:
        """Whether some rank but the first has no task."""
        return not all(self._load[1:])

    def loads(self, members: Members) -> int:
        """How many tasks some ranks have together."""
        return sum(self._load[rank] for rank in members)

    def push(self, task: Task) -> None:
        """A task that waits."""
        heapq.heappush(self._heaps.setdefault(task.ranks, []), (-task.priority, task.number, task))

    def clear(self) -> list[Task]:
        """Take out all that waits."""
        waiting = [entry[2] for heap in self._heaps.values() for entry in heap]
        self._heaps.clear()
        return waiting

    def finish(self, number: int, seconds: float) -> tuple[Task, Members]:
        """A task has ended after so many seconds; return it and the ranks that it had."""
        task, members = self._running.pop(number)
        for rank in members:
            self._load[rank] -= 1
            if not self._load[rank]:
                del self._busy[rank]
        if task.ranks == 1:
            usual = seconds if self._usual is None else self._usual
            self._usual = max(seconds, usual + SMOOTHING * (seconds - usual))  # a long one may be the first of many
        return task, members

    def describe(self, rank: int) -> str:
        """What a rank has to do, for people; from any thread."""
        with suppress(Exception):  # the main thread may be at it, and what is told is better than nothing
            have = [task.call for task, members in list(self._running.values()) if rank in members]
            some = [calls.label_of(call) for call in have[:NAMED]]
            more = f" and {len(have) - NAMED} more" if len(have) > NAMED else ""
            return f" within task {', '.join(some)}{more}" if some else ""
        return ""

    def assign(self, absent: Collection[int] = ()) -> Iterator[tuple[Task, Members]]:
        """Tasks that begin now, or soon, and their ranks.

        Args:
            absent: ranks that take no task for now, though they have none.
        """
        idle = {rank for rank, load in enumerate(self._load) if not load}.difference(absent)
        held: set[int] = set()
        blocked: set[int] = set()
        while size := self._next_size(blocked):
            members = choose(size, idle - held, self._nodes)
            if members is not None:
                task = self._take(size)
                if task is not None:
                    idle.difference_update(members)
                    yield self._begin(task, members)
                continue
            if size > 1 and not held and not blocked:
                following = self._following(size)
                if following is not None:
                    task = self._take(size)
                    if task is not None:
                        yield self._begin(task, following)
                    continue
                busy = {**dict.fromkeys(absent), **self._busy}
                held = reserve(size, busy, self._nodes)
                if not held.isdisjoint(absent):
                    held = set()  # nobody knows when they come
            blocked.add(size)
        yield from self._ahead(held.union(absent))

    def _next_size(self, blocked: Collection[int]) -> int | None:
        """How many ranks the next task has."""
        heads = ((heap[0], size) for size, heap in self._heaps.items() if heap and size not in blocked)
        best = min(heads, key=lambda h: (h[0][0], h[0][1] // ROW, -h[1], h[0][1]), default=None)
        return best[1] if best else None

    def _take(self, size: int) -> Task | None:
        """The next task of so many ranks that is not cancelled."""
        heap = self._heaps[size]
        while heap:
            task = heapq.heappop(heap)[2]
            if not task.future.cancelled() and task.future.set_running_or_notify_cancel():
                return task
        return None

    def _begin(self, task: Task, members: Members) -> tuple[Task, Members]:
        for rank in members:
            self._load[rank] += 1
            self._busy[rank] = task.number if task.ranks > 1 else -1 - rank
        self._running[task.number] = task, members
        return task, members

    def _following(self, size: int) -> Members | None:
        """A group without rank 0 that runs one task and may have the next one ahead, as enough are left for others."""
        if len(self._heaps[size]) <= len(self._load) // size:
            return None
        for _, members in self._running.values():
            if len(members) == size and members[0] and all(self._load[rank] == 1 for rank in members):
                return members
        return None

    def _ahead(self, excluded: Collection[int]) -> Iterator[tuple[Task, Members]]:
        """More tasks of one rank for ranks that have such."""
        heap = self._heaps.get(1)
        share = len(heap) // (2 * len(self._load)) if heap else 0
        if not share:
            return
        for rank, load in enumerate(self._load):
            if rank in excluded or self._busy.get(rank) != -1 - rank:
                continue
            bridge = BRIDGE + 2 * self.away if rank else NEAR
            tasks = float(rank > 0) if self._usual is None else bridge / (self._usual + OVERHEAD)
            most = 1 + min(math.ceil(tasks) if rank else int(tasks), MOST)
            for _ in range(min(most - load, share)):
                task = self._take(1)
                if task is None:
                    return
                yield self._begin(task, (rank,))
