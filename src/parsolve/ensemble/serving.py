"""What a rank does with the tasks that it is given, and a clock that sees those that take too long."""

from __future__ import annotations

import signal
import threading
import time
from array import array
from typing import TYPE_CHECKING, NamedTuple

from parsolve.ensemble import calls
from parsolve.ensemble.staying import Staying, tell
from parsolve.errors import is_agreed
from parsolve.watchdog import LOOK, end_job, place

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mpi4py import MPI

    from parsolve.ensemble.groups import Group, Groups, Members

TICK = 0.005  # seconds between two looks of a busy rank 0 at its messages
SIGNAL = signal.SIGURG  # by default it does nothing, so one that comes late does no harm
REPORT = 0.005  # seconds for which answers may wait for others, to go in one message
SHORTEST, LONGEST = 2e-5, 1e-3  # seconds of sleep between two looks of an idle rank
TELL = 5.0  # seconds after which a rank tells that it waits for the others of a task that failed


class Order(NamedTuple):
    """A task for this rank; without a call the group of the members is freed."""

    number: int
    members: Members  # of a communicator that the function is given; else empty
    call: bytes


class Answer(NamedTuple):
    """What came of a task: its value or error as bytes, and the seconds that it took."""

    number: int
    is_value: bool
    content: bytes
    seconds: float


class Outcome(NamedTuple):
    """What came of a call on this rank.

    Attributes:
        is_value: or an error.
        content: the value or error as bytes.
        is_clean: whether all ranks of the group came here the same way.
        told: for people what was raised.
    """

    is_value: bool
    content: bytes
    is_clean: bool
    told: str


class Pause:
    """Sleeps between two looks, longer each time: a rank that waits leaves its core to those that work."""

    def __init__(self) -> None:
        self._seconds = SHORTEST

    def __call__(self) -> None:
        """Sleep."""
        time.sleep(self._seconds)
        self._seconds = min(1.5 * self._seconds, LONGEST)


class Clock:
    """A thread beside the one that works; it makes no call of MPI but the last.

    Args:
        comm: all ranks.
        timeout: seconds after which a task ends the job; None: none does.
        is_needed: whether the thread that works shall be sent a signal each TICK; None: never.
    """

    def __init__(self, comm: MPI.Intracomm, timeout: float | None, is_needed: Callable[[], bool] | None = None) -> None:
        self._comm, self._timeout, self._is_needed = comm, timeout, is_needed
        self._over = threading.Event()
        self._watched = threading.get_ident()
        self._thread: threading.Thread | None = None
        self.current: tuple[str, calls.Call] | None = None  # ranks and call of the task

    def start(self) -> None:
        """Look until it is stopped, if there is anything to look for."""
        if self._timeout is not None or self._is_needed is not None:
            self._thread = threading.Thread(target=self._watch, name="tasks", daemon=True)
            self._thread.start()

    def describe(self) -> str:
        """What is done, for people; nothing if nothing is."""
        current = self.current
        return f", within task {calls.label(*current[1])}{current[0]}" if current else ""

    def stop(self) -> None:
        """Stop, and wait until it has."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        """Send signals, and add up for how long there is the same task: a job that is suspended gets no older."""
        interval = TICK if self._is_needed else min(LOOK, (self._timeout or LOOK) / 10)
        seen, spent, last = self.current, 0.0, time.monotonic()
        while not self._over.wait(interval):
            if self._is_needed is not None and self._is_needed():
                signal.pthread_kill(self._watched, SIGNAL)
            current, now = self.current, time.monotonic()
            spent = spent + min(now - last, LOOK) if current is seen and current is not None else 0.0
            seen, last = current, now
            if self._timeout is not None and current is not None and spent > self._timeout:
                where, call = current
                what = f"task {calls.label(*call)}{where} has run for more than {self._timeout:g} s (timeout)"
                end_job(self._comm, f"{what}, {place(self._watched)}")


class Bench:
    """Where a rank does tasks, one after the other.

    Args:
        comm: all ranks, for messages of their own.
        groups: that this rank is in.
        clock: knows what is done.
        grace: seconds that the other ranks of a task may go on after one of them raised.
    """

    def __init__(self, comm: MPI.Intracomm, groups: Groups, clock: Clock, grace: float) -> None:
        self._comm, self._groups, self._clock, self._grace = comm, groups, clock, grace

    def do(self, order: Order) -> Answer | None:
        """Do a task; return its answer on the rank that gives it: the first of the group, or the first that raised."""
        begin = time.perf_counter()
        where = place_of(order.members or (self._comm.rank,), self._comm.size)
        group = self._groups.get(order.members) if order.members else None
        outcome = self._call(order.call, group, where)
        seconds = time.perf_counter() - begin
        if group is not None:
            first, is_clean = self._agree(group, outcome)
            if not is_clean:
                group.renew()
            if order.members[first] != self._comm.rank:
                return None
        return Answer(order.number, outcome.is_value, outcome.content, seconds)

    def _call(self, packed: bytes, group: Group | None, where: str) -> Outcome:
        """Call a function, and pack its value or error."""
        call: calls.Call | None = None
        try:
            fn, args, kwargs = call = calls.unpack(packed)
            if group is not None:
                kwargs["comm"] = group.comm
            self._clock.current = where, call
            with Staying():
                packed = calls.pack_value(fn(*args, **kwargs))
            return Outcome(True, packed, True, "")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a task ends no rank
            label = calls.label(*call) if call else "(not unpacked)"
            kind, text = type(error).__name__, calls.text_of(error)
            told = f"task {label}{where} raised {kind} on rank {self._comm.rank}: {text}"
            is_clean = group is None or is_agreed(group.private, error)
            return Outcome(False, calls.pack_failure(error, label), is_clean, told)
        finally:
            self._clock.current = None

    def _agree(self, group: Group, outcome: Outcome) -> tuple[int, bool]:
        """The rank of a group that answers, the first that failed or 0, and whether the communicator can be used again.

        A rank that failed does not wait for ever, as the others may wait for it within the task.
        """
        from mpi4py import MPI

        size = group.private.size
        own = array("i", [size if outcome.is_value else group.private.rank, outcome.is_clean and group.is_whole])
        least = array("i", [0, 0])
        request = group.private.Iallreduce(own, least, op=MPI.MIN)
        pause, begin, is_told = Pause(), time.monotonic(), outcome.is_value
        while not request.Test():
            pause()
            waited = 0.0 if outcome.is_value else time.monotonic() - begin
            if waited > self._grace:
                what = f"{outcome.told}; the others have not ended {self._grace:g} s later, and may wait for it"
                end_job(self._comm, what)
            elif waited > TELL and not is_told:
                is_told = True
                tell(f"parsolve: {outcome.told}; its other ranks have up to {self._grace:g} s to end\n")
        return least[0] % size, bool(least[1])


def serve(comm: MPI.Intracomm, bench: Bench, groups: Groups) -> BaseException | None:
    """Do what rank 0 orders until it ends; return the error with which it ended."""
    sent: list[MPI.Request] = []
    answers: list[Answer] = []

    def report() -> None:
        if answers:
            sent[:] = [request for request in sent if not request.Test()]
            sent.append(comm.isend(answers, dest=0))
            answers.clear()

    while True:
        message = wait_for_message(comm, 0)
        if not isinstance(message, list):
            for request in sent:
                request.wait()
            return calls.unpack_end(message)
        last = time.monotonic()
        for order in message:
            if not order.call:
                groups.drop(order.members)
                continue
            answer = bench.do(order)
            if answer is not None:
                answers.append(answer)
            if time.monotonic() - last > REPORT:
                report()
                last = time.monotonic()
        report()


def wait_for_message(comm: MPI.Intracomm, source: int) -> Any:
    """The next message of a rank."""
    pause = Pause()
    while (message := comm.improbe(source)) is None:
        pause()
    return message.recv()


def place_of(members: Members, size: int) -> str:
    """Where a task runs, for people; nothing where there is one rank."""
    if size == 1:
        return ""
    return f" on rank{'s' * (len(members) > 1)} {', '.join(map(str, members))} of {size}"
