"""The same work by every engine: many small cases, and a large one; the same bits by all of them, or an error."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from parsolve.bench.measure import REPEATS, find_benchmark, wait_asleep
from parsolve.bench.work import SMALL_STEPS, Family, Solved, come, family_of, march_large, solve_small
from parsolve.domain import cores
from parsolve.ensemble import pools
from parsolve.errors import NumericalError, ParsolveError, SetupError, agree, agreed
from parsolve.kernels.library import possible_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mpi4py import MPI

    from parsolve.bench.work import Marched
    from parsolve.ensemble.engines import Pool
    from parsolve.ensemble.tasks import Executor

T = TypeVar("T")
Work = Literal["many", "large"]

ONE = "one worker"
FEWEST = 4  # small cases for each worker
ROUNDS = REPEATS  # of the small cases, of which the fastest counts
BUSY = 0.25  # of the cores by others, from which on they are told
COMING = 120.0  # seconds within which all workers must have come
NO_RANKS = "start it with mpirun -n N"
NO_OPENMP = "the kernels were built without OpenMP"
WHOLE = "its workers take whole cases"


@dataclass(frozen=True)
class Row:
    """What an engine did.

    Attributes:
        work: ``many`` small cases, or a ``large`` one.
        cases: that it solved.
        startup: seconds until every worker had solved a first case; of the large case until it was set up.
        seconds: that the work took then, at the fastest of several times.
        rate: cases a second; of the large one cell updates a second.
        speedup, efficiency: rate over that of one worker, and that by the number of workers.
    """

    work: Work
    engine: str
    workers: int
    cases: int
    startup: float
    seconds: float
    rate: float
    speedup: float
    efficiency: float


@dataclass(frozen=True)
class Absent:
    """An engine that did not take part, and why."""

    work: Work
    engine: str
    why: str


@dataclass(frozen=True)
class Contest:
    """What was compared.

    Attributes:
        small, large: cells of an axis of each kind of case.
        small_steps, large_steps: that a small case takes, and a march of the large one.
        marching: part of the time of a small case, on one worker, that is marching; the rest is setting up, in Python.
        notes: what else there is to know of the rows.
    """

    name: str
    precision: str
    small: int
    large: int
    small_steps: int
    large_steps: int
    marching: float
    rows: list[Row]
    absent: list[Absent]
    notes: list[str]


@dataclass
class Ledger:
    """The rows of a kind of work: each over the first, and with the same bits where others had the same case."""

    work: Work
    rows: list[Row] = field(default_factory=list)
    digests: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(
        self, engine: str, workers: int, startup: float, seconds: float, rate: float, found: Iterable[tuple[int, str]]
    ) -> None:
        """Add a row with these figures; ``found``: numbers and digests of its cases, which may come several times.

        Raises:
            NumericalError: a case did not end with the bits that it had by another engine.
        """
        cases = set()
        for number, digest in found:
            cases.add(number)
            first, expected = self.digests.setdefault(number, (engine, digest))
            if digest != expected:
                which = "the large case" if self.work == "large" else f"small case {number}"
                raise NumericalError(
                    f"{which} ends with other bits by {engine} ({digest}) than by {first} ({expected}); "
                    "please report it with the output of `doctor`"
                )
        speedup = rate / self.rows[0].rate if self.rows else 1.0
        row = Row(self.work, engine, workers, len(cases), startup, seconds, rate, speedup, speedup / workers)
        self.rows.append(row)


@dataclass(frozen=True)
class Timed:
    """Small cases by an engine, in several rounds.

    Attributes:
        startup: seconds until all workers had come.
        seconds: of the fastest round.
        numbers: of the cases of a round.
        solved: what came of them, round by round.
    """

    startup: float
    seconds: float
    numbers: Sequence[int]
    solved: list[Solved]


def compare_engines(name: str, comm: MPI.Intracomm, *, size: int | None, precision: str, seconds: float) -> Contest:
    """Do the same work by every engine that there is, each for about so many seconds; collective.

    Workers are the ranks, or without a launcher the cores that this process may use; other ranks sleep meanwhile.

    Raises:
        CaseError: there is no benchmark of that name.
        NumericalError: engines differ in a bit.
        ParsolveError: an engine fails; the same on all ranks.
    """
    family = family_of(name, size, precision)
    workers, notes = on_first(comm, lambda: find_workers(comm.size))
    many, absent, marching = _many(family, comm, workers, seconds)
    large, more, steps = _large(name, size, precision, comm, workers, seconds)
    return Contest(
        name=name, precision=precision, small=family.size, large=size or find_benchmark(name).size,
        small_steps=SMALL_STEPS, large_steps=steps, marching=marching, rows=many + large, absent=absent + more,
        notes=notes,
    )  # fmt: skip


def on_first(comm: MPI.Intracomm, do: Callable[[], T]) -> T:
    """What rank 0 finds, on every rank; the others leave the cores to it meanwhile; collective.

    Raises:
        ParsolveError: what rank 0 raised.
    """
    from mpi4py import MPI

    found: T | None = None
    error: ParsolveError | None = None
    if comm.rank == 0:
        try:
            with agreed(MPI.COMM_SELF):
                found = do()
        except ParsolveError as caught:
            error = caught
    with _uninterrupted(comm.rank > 0):
        wait_asleep(comm)
    agree(comm, error)
    return cast("T", comm.bcast(found))


@contextmanager
def _uninterrupted(sleeps: bool) -> Iterator[None]:
    """Where a rank sleeps, leave Ctrl-C to the one that works: it ends its pools before it ends the job."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if sleeps else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def find_workers(ranks: int) -> tuple[int, list[str]]:
    """Workers of threads and pools, as many as ranks, or cores where there is one, never more than cores; and notes."""
    own, notes = len(cores.usable_cores()), []
    if ranks > 1:
        notes.append("the startup of ranks is without that of mpirun")
    if own < ranks:
        notes.append(f"threads and pools have {own} workers, as rank 0 may use no more (Open MPI: --bind-to none)")
    load = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 0.0
    if load > BUSY:
        notes.append(f"the machine was busy before: {100 * load:.0f} % of its cores in the last minute")
    return min(ranks, own) if ranks > 1 else own, notes


def _many(family: Family, comm: MPI.Intracomm, workers: int, seconds: float) -> tuple[list[Row], list[Absent], float]:
    """Small cases by one worker, by pools and by ranks; and the part of a case that is marching."""
    ledger, most = Ledger("many"), max(workers, comm.size)
    count, timed = on_first(comm, lambda: _alone(family, most, seconds))
    _enter(ledger, ONE, 1, timed)
    marching = sum(one.marching for one in timed.solved) / sum(one.seconds for one in timed.solved)
    names, missing = on_first(comm, _pools)
    for name in names:
        timed = on_first(comm, lambda name=name: _in_pool(name, workers, family, count))  # type: ignore[misc]
        _enter(ledger, name, workers, timed)
    if comm.size == 1:
        return ledger.rows, [*missing, Absent("many", "ranks", NO_RANKS)], marching
    _enter(ledger, "ranks", comm.size, _on_ranks(comm, family, count))
    return ledger.rows, missing, marching


def _enter(ledger: Ledger, engine: str, workers: int, timed: Timed) -> None:
    found = zip(cycle(timed.numbers), (one.digest for one in timed.solved), strict=False)
    ledger.add(engine, workers, timed.startup, timed.seconds, len(timed.numbers) / timed.seconds, found)


def _pools() -> tuple[list[str], list[Absent]]:
    here, missing = pools.pools()
    return list(here), [Absent("many", name, why) for name, why in missing.items()]


def _alone(family: Family, most: int, seconds: float) -> tuple[int, Timed]:
    """How many cases keep so many workers busy for so many seconds, and the share of one worker, done by one."""
    from mpi4py import MPI

    begin = perf_counter()
    with pools.ranks(MPI.COMM_SELF) as tasks:
        assert tasks is not None
        startup = _all_come(tasks, family, 1, begin)
        once = min(solved.seconds for solved in tasks.map(solve_small, [family] * 3, range(3)))
        count = most * max(FEWEST, round(seconds / ROUNDS / once))
        return count, _solve(tasks, family, range(0, count, most), startup)


def _in_pool(name: str, workers: int, family: Family, count: int) -> Timed:
    here, _ = pools.pools()
    begin = perf_counter()
    with here[name](workers) as tasks:
        return _solve(tasks, family, range(count), _all_come(tasks, family, workers, begin))


def _on_ranks(comm: MPI.Intracomm, family: Family, count: int) -> Timed:
    begin, timed = perf_counter(), None
    with pools.ranks(comm) as tasks:
        if tasks is not None:
            timed = _solve(tasks, family, range(count), _all_come(tasks, family, comm.size, begin))
    return cast("Timed", comm.bcast(timed))


def _all_come(tasks: Pool | Executor, family: Family, workers: int, begin: float) -> float:
    """Let each worker solve a case; return the seconds since the begin.

    Raises:
        SetupError: some do not come.
    """
    seen: set[tuple[int, int]] = set()
    while len(seen) < workers:
        seen |= set(tasks.map(come, [family] * workers))
        if len(seen) < workers and perf_counter() - begin > COMING:
            raise SetupError(f"{len(seen)} of {workers} workers did anything within {COMING:.0f} s")
    return perf_counter() - begin


def _solve(tasks: Pool | Executor, family: Family, numbers: Sequence[int], startup: float) -> Timed:
    times, solved = [], []
    for _ in range(ROUNDS):
        begin = perf_counter()
        solved += list(tasks.map(solve_small, [family] * len(numbers), numbers))
        times.append(perf_counter() - begin)
    return Timed(startup, min(times), numbers, solved)


def _large(
    name: str, size: int | None, precision: str, comm: MPI.Intracomm, workers: int, seconds: float
) -> tuple[list[Row], list[Absent], int]:
    """The large case by one worker, by threads and by ranks; and the steps of a march."""
    from mpi4py import MPI

    b, ledger = find_benchmark(name), Ledger("large")
    cells, alone = (size or b.size) ** len(b.axes), MPI.COMM_SELF

    def enter(engine: str, count: int, found: Marched) -> None:
        ledger.add(engine, count, found.startup, found.seconds, cells * found.steps / found.seconds,
                   [(0, found.digest)])  # fmt: skip

    one = on_first(comm, lambda: march_large(name, size, precision, alone, 1, seconds))
    enter(ONE, 1, one)
    absent = [Absent("large", engine, WHOLE) for engine in ("processes", "dask")]
    if on_first(comm, lambda: possible_threads(2)) > 1:
        found = on_first(comm, lambda: march_large(name, size, precision, alone, workers, seconds, one.steps))
        enter("threads", workers, found)
    else:
        absent.append(Absent("large", "threads", NO_OPENMP))
    if comm.size > 1:
        enter("ranks", comm.size, march_large(name, size, precision, comm, 1, seconds, one.steps))
    else:
        absent.append(Absent("large", "ranks", NO_RANKS))
    return ledger.rows, absent, one.steps
