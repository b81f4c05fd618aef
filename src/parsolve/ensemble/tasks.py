"""Tasks on the ranks of a communicator, as `concurrent.futures` has them on processes; a task may have several ranks.

`mpi4py.futures` is not used: it has no tasks of several ranks and no priorities, and its rank 0 only hands out work,
from a thread that calls MPI.

Rank 0 runs the body of the ``with`` block, and does tasks itself whenever the body waits. Between two instructions of
Python, in the body as in a task, a signal lets it look at its messages, so that all MPI calls are of one thread.
"""

from __future__ import annotations

import math
import signal
import threading
import time
import traceback
from collections import deque
from concurrent.futures import ALL_COMPLETED, Future
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from parsolve.domain import launch
from parsolve.ensemble import calls, waiting
from parsolve.ensemble.calls import TaskError
from parsolve.ensemble.deaths import Deaths
from parsolve.ensemble.engines import Pool, pool
from parsolve.ensemble.groups import Groups, nodes
from parsolve.ensemble.schedule import Schedule, Task
from parsolve.ensemble.serving import SIGNAL, Answer, Bench, Clock, Order, Pause, place_of, serve
from parsolve.ensemble.staying import awaited, tell
from parsolve.ensemble.waiting import TaskFuture, mapped
from parsolve.errors import SetupError, agreed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import FrameType, TracebackType

    from mpi4py import MPI

    from parsolve.ensemble.groups import Members

LOOK = 5e-4  # seconds between two looks at messages while the body submits
MOST_GROUPS = 200  # that keep their communicators; MPICH has some 2000
FORGETTING = 0.9  # of the time for which rank 0 was away

TURN = 0.02  # seconds for which tasks are done between two looks of a wait of Python's own
INTERRUPTED = 130  # exit code after Ctrl-C, as of the program
WAITS = {threading.Condition.wait.__code__, threading.Thread.join.__code__}
WAITS |= {f.__code__ for f in [vars(threading.Thread).get("_wait_for_tstate_lock")] if f}  # until Python 3.12

BODY, HERE, TASK = range(3)  # what rank 0 is in: the body, the code below, a task


class Executor:
    """Runs tasks on all ranks of a communicator; collective, and entered from the main thread.

    ::

        with Executor(comm) as tasks:
            if tasks is not None:  # rank 0; the others serve it, and come here when it is done
                future = tasks.submit(function, argument, ranks=2)
                print(future.result())

    The block ends when all tasks have. An error that leaves it on rank 0 is raised by all ranks.

    Args:
        comm: its ranks; it is duplicated.
        timeout: seconds that a task may take. One that takes longer ends the job with exit code 7 and its name.
        grace: seconds that the other ranks of a task may go on after it raised on some; then the job ends likewise.
    """

    def __init__(self, comm: MPI.Intracomm, *, timeout: float | None = None, grace: float = 60.0) -> None:
        self._given, self._timeout, self._grace = comm, timeout, grace
        self._state: int | None = None  # None: not entered, or left

    @staticmethod
    def of(where: Any = None, **options: Any) -> Executor | Pool:
        """The executor for what is there: the same tasks on ranks, in a pool, on Dask's workers, or here.

        Args:
            where: a communicator, an executor of `concurrent.futures` (only tasks of one rank), a client of
                `dask.distributed` (likewise), or None: this process alone.
            options: those of this class, if the tasks are on ranks.

        Raises:
            TaskError: none of these.
            SetupError: nothing is given, but a launcher started several processes.
        """
        from mpi4py import MPI

        if where is None:
            launched = launch.launched()
            if launched is not None and launched[2] > 1:
                raise SetupError(f"{launched[0]} started {launched[2]} processes: Executor.of(MPI.COMM_WORLD)")
            return Executor(MPI.COMM_SELF, **options)
        return Executor(where, **options) if isinstance(where, MPI.Intracomm) else pool(where, **options)

    def __enter__(self) -> Executor | None:
        """Return this on rank 0, and None on the others once it is over there."""
        is_main = threading.current_thread() is threading.main_thread()
        with agreed(self._given):
            if not is_main:
                raise SetupError("Executor: enter it in the main thread, as that makes all calls to MPI")
            if self._state is not None:
                raise SetupError("Executor: it is entered already")
        self.comm = self._given.Dup()
        self.size = self.comm.size
        self._schedule = Schedule(nodes(self.comm))
        self._groups = Groups(self.comm)
        self._clock = Clock(self.comm, self._timeout, self._is_ticking if self.comm.rank == 0 else None)
        self._bench = Bench(self.comm, self._groups, self._clock, self._grace)
        self._deaths = Deaths(self.comm, self._schedule.describe)
        self._awaited = ExitStack()
        if self.size > 1:
            self._awaited.enter_context(awaited(self._clock.describe))
        if self.comm.rank == 0:
            self._open()
            return self
        self._clock.start()
        try:
            error = serve(self.comm, self._bench, self._groups)
        except BaseException as unexpected:  # the others would wait for this rank
            tell(f"parsolve: rank {self.comm.rank} of {self.size} ends:\n{traceback.format_exc()}")
            self.comm.Abort(INTERRUPTED if isinstance(unexpected, KeyboardInterrupt) else 1)
            raise
        self._free()
        if error is not None:
            raise error
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Wait for all tasks and end the other ranks; after an error only those that run are waited for."""
        if self._state is None:
            return
        if error is not None:
            for left in self._schedule.clear():
                left.future.cancel()
            with suppress(AttributeError):
                error.ranks = self.size  # type: ignore[attr-defined] # see errors.is_agreed
        self.work(lambda: not self._unsettled)
        self._state = HERE
        self._deaths.stop()
        requests = [self.comm.isend(calls.pack_end(error), dest=rank) for rank in range(1, self.size)]
        for request in self._sent + requests:
            request.wait()
        self._free()
        signal.signal(SIGNAL, self._before)
        self._state = None

    def _open(self) -> None:
        self._numbers = self._unsettled = 0
        self._answers: deque[tuple[Task, Answer, str]] = deque()
        self._own: deque[Order] = deque()
        self._sent: list[MPI.Request] = []
        self._known: dict[Members, None] = {}  # groups, the one that was used last at the end
        self._looked = self._away = 0.0
        self._state = BODY
        self._before = signal.signal(SIGNAL, self._tick)
        self._clock.start()
        self._deaths.start()

    def _free(self) -> None:
        self._clock.stop()
        self._groups.free()
        self.comm.Free()
        self._awaited.close()

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        ranks: int | None = None,
        priority: float | None = None,
        **kwargs: Any,
    ) -> Future[Any]:
        """A task: call a function somewhere, as it is now; return the future of its result.

        Args:
            fn: the function. On one rank it is called as ``fn(*args, **kwargs)``, with ``comm``, a communicator of
                that rank, if it has such a parameter. On several all call ``fn(*args, comm=comm, **kwargs)``, and the
                result is that of their rank 0.
            args: of the function.
            ranks: how many; None: 1, or what the decorator `task` says.
            priority: higher ones go first; None: 0, or what the decorator `task` says.
            kwargs: of the function.

        Raises:
            TaskError: it cannot be sent.
            SetupError: there are not so many ranks.
        """
        self._require()
        wish, has_comm = calls.wishes(fn, ranks, priority, self.size)
        call = calls.pack(fn, args, kwargs)
        future = TaskFuture(self)
        future.add_done_callback(self._count)
        self._numbers += 1
        self._unsettled += 1
        has_comm = has_comm and "comm" not in kwargs
        before, self._state = self._state, HERE
        self._schedule.push(Task(self._numbers, call, wish.ranks, wish.priority, has_comm, future))
        self._state = before
        if self._schedule.has_idle or time.monotonic() > self._looked + LOOK:
            self._exchange()
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        ranks: int | None = None,
        priority: float | None = None,
    ) -> Iterator[Any]:
        """Submit ``fn`` of the elements of iterables; return the results in their order, as they are asked for.

        Raises:
            TimeoutError: it took more seconds than ``timeout`` until a result.
        """
        return mapped(self.submit, fn, iterables, timeout, ranks=ranks, priority=priority)

    def wait(
        self, fs: Iterable[Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED
    ) -> tuple[set[Future[Any]], set[Future[Any]]]:
        """As `concurrent.futures.wait`: the sets ``done`` and ``not_done``."""
        return waiting.wait(self.work, fs, timeout, return_when)

    def as_completed(self, fs: Iterable[Future[Any]], timeout: float | None = None) -> Iterator[Future[Any]]:
        """As `concurrent.futures.as_completed`: each future when it has ended."""
        return waiting.as_completed(self.work, fs, timeout)

    def work(self, is_enough: Callable[[], bool], timeout: float | None = None) -> bool:
        """Do tasks until it is enough, or so many seconds are over; return whether it is enough.

        In another thread, whose calls rank 0 must not make, nothing is done.

        Raises:
            TaskError: within a task.
        """
        if self.is_elsewhere():
            return is_enough()
        self._require()
        end = math.inf if timeout is None else time.monotonic() + timeout
        pause = Pause()
        before, self._state = self._state, HERE
        try:
            while True:
                self._settle()
                if is_enough():
                    return True
                if time.monotonic() >= end:
                    return False
                if self._step():
                    pause = Pause()
                else:
                    pause()
        finally:
            self._state = before

    def look(self) -> None:
        """Look for what has ended, and do a task if no other rank does any, so that who only looks gets on too."""
        if self._state == BODY and not self.is_elsewhere():
            self._exchange()
            if not self._schedule.is_running:
                self._step()
            self._settle()

    def is_elsewhere(self) -> bool:
        """Whether the caller is another thread than the one that entered."""
        return threading.current_thread() is not threading.main_thread()

    def _require(self) -> None:
        if self.is_elsewhere():
            raise SetupError("Executor: only the main thread submits tasks, as that makes all calls to MPI")
        if self._state is None:
            raise SetupError(waiting.OUTSIDE)
        if self._state == TASK:
            raise TaskError(waiting.INSIDE)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        """Look at the messages, in the body or in a task; do tasks if the body stands in a wait of Python's own."""
        if self._state in (BODY, TASK):
            self._away = max(self._away, time.monotonic() - self._looked)
            self._exchange()
            if self._state == BODY and frame is not None and frame.f_code in WAITS:
                end = time.monotonic() + TURN
                self.work(lambda: not self._step() or time.monotonic() > end)
        if callable(self._before):
            self._before(number, frame)

    def _step(self) -> bool:
        """Take messages and do the tasks of this rank, if there are any; return whether anything was done."""
        has_news = self._exchange(())
        while self._own:
            self._do(self._own.popleft())
            has_news = True
        return has_news

    def _exchange(self, absent: Collection[int] = (0,)) -> bool:
        """Take answers and hand out tasks; return whether there were answers."""
        from mpi4py import MPI

        before, self._state = self._state, HERE
        try:
            status, known = MPI.Status(), len(self._answers)
            while (message := self.comm.improbe(status=status)) is not None:
                for answer in message.recv():
                    self._note(answer, status.Get_source())
            orders: dict[int, list[Order]] = {}
            for task, members in self._schedule.assign(absent):
                if task.has_comm:
                    self._remember(members, orders)
                order = Order(task.number, members if task.has_comm else (), task.call)
                for rank in members:
                    orders.setdefault(rank, []).append(order)
            self._own.extend(orders.pop(0, ()))
            self._sent = [request for request in self._sent if not request.Test()]
            self._sent += [self.comm.isend(some, dest=rank) for rank, some in orders.items()]
            self._looked = time.monotonic()
            return len(self._answers) > known
        finally:
            self._state = before

    def _remember(self, members: Members, orders: dict[int, list[Order]]) -> None:
        """A group is used; of too many those that were not used for longest are freed by their ranks."""
        self._known.pop(members, None)
        self._known[members] = None
        if len(self._known) <= MOST_GROUPS:
            return
        unused = [group for group in self._known if not self._schedule.loads(group)]
        for old in unused[: max(0, len(self._known) - MOST_GROUPS)]:
            del self._known[old]
            for rank in old:
                orders.setdefault(rank, []).append(Order(0, old, b""))

    def _do(self, order: Order) -> None:
        """Do a task, or free a group, on this rank; in a task signals do not interrupt what C waits for."""
        if not order.call:
            self._groups.drop(order.members)
            return
        before, self._state, self._away = self._state, TASK, 0.0
        signal.siginterrupt(SIGNAL, False)
        try:
            answer = self._bench.do(order)
        except KeyboardInterrupt:
            if len(order.members) > 1:
                self.comm.Abort(INTERRUPTED)
            self._schedule.finish(order.number, 0.0)[0].future.set_exception(KeyboardInterrupt())
            raise
        finally:
            signal.siginterrupt(SIGNAL, True)
            self._state = before
        away = max(self._away, time.monotonic() - self._looked)
        self._schedule.away = max(away, FORGETTING * self._schedule.away)
        if answer is not None:
            self._note(answer, 0)

    def _note(self, answer: Answer, source: int) -> None:
        task, members = self._schedule.finish(answer.number, answer.seconds)
        where = place_of(members, self.size) + (f" (of rank {source})" if len(members) > 1 else "")
        self._answers.append((task, answer, where))

    def _settle(self) -> None:
        """Give futures what has come; their callbacks are of the body."""
        while self._answers:
            task, answer, where = self._answers.popleft()
            calls.fulfil(task.future, task.call, answer.is_value, answer.content, where)

    def _count(self, _: Future[Any]) -> None:
        self._unsettled -= 1

    def _is_ticking(self) -> bool:
        return self._unsettled > 0
