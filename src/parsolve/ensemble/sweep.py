"""Sweeps: the members of a family of cases, each a run of its own, on groups of the ranks.

Each member has a folder with its result, and `member.json`, which says how it ended; it is named when the result is.
So whatever happens to the sweep, what is done is known, and the rest goes on from its checkpoints.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED
from typing import TYPE_CHECKING, Any

import msgspec

from parsolve.case import Case
from parsolve.case.origin import Origin
from parsolve.ensemble.standing import PART, RECORD, RESULT, Done, Record, Standing, known, read, write
from parsolve.ensemble.table import write_stack, write_table
from parsolve.ensemble.tasks import Executor
from parsolve.errors import ParsolveError, SetupError, StorageError, agreed, is_agreed, on_root, owning
from parsolve.march.watch import Signals
from parsolve.problem.keeping import Stopped, deadline
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.claims import take
from parsolve.store.files import naming
from parsolve.store.status import SWEEP
from parsolve.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.ensemble.members import Sweep
    from parsolve.problem.summary import Summary
    from parsolve.store.claims import Claim

    Tell = Callable[[int, Record, int], None]

TABLE, STACK = "members.h5", "stack.h5"
STOPPING = ".stopping"  # in its folder: a member was told to stop, so no other begins
LEAST = 30.0  # seconds that are to be left before a member begins
SELDOM = 60.0  # seconds between two writings of the table
AHEAD, LEAST_AHEAD = 8, 64  # members that are handed out at once for each rank, and at least


class Starting:
    """Notes when a march begins.

    Attributes:
        seconds: from then on when this was made; 0 before.
        processor: those of the processor, which are fewer where others use it too.
    """

    def __init__(self) -> None:
        self._made, self.seconds, self.processor = (time.monotonic(), time.thread_time()), 0.0, 0.0

    def start(self, *_: object) -> None:
        """It begins."""
        self.seconds, self.processor = time.monotonic() - self._made[0], time.thread_time() - self._made[1]

    def update(self, *_: object) -> None:
        """A step is done."""

    def note(self, *_: object) -> None:
        """There is more to tell."""

    def finish(self) -> None:
        """It is over."""


def march_member(
    tables: dict[str, Any], label: str, folder: Path, values: dict[str, Any], end: float, comm: MPI.Intracomm
) -> Record:
    """Run a member on the ranks of a communicator, from its checkpoint if it has one; collective.

    It does not begin where another was told to stop, or time is nearly over at the ``end``, in seconds since 1970.
    """
    begun, starting = time.monotonic(), Starting()
    left = end - time.time()
    if on_root(comm, lambda: left < LEAST or (folder.parent / STOPPING).exists()):
        return Record()
    record = Record("done")
    try:
        with agreed(comm):
            case = Case.from_dict(tables, Origin(label, "", ()))
        if math.isfinite(end):  # of the sweep, not of each member
            seconds = comm.bcast(left)
            case = msgspec.structs.replace(case, run=msgspec.structs.replace(case.run, walltime=f"{seconds:.3f}s"))
        with Watchdog(case.patience, comm):
            summary = _run(case, comm, folder, starting)
        done = Done(
            summary.steps, summary.time, summary.fields, summary.seconds, summary.warnings, starting.seconds,
            starting.processor, summary.measures,
        )  # fmt: skip
        record.summary = msgspec.structs.asdict(done)
    except ParsolveError as error:
        if not is_agreed(comm, error):
            raise
        record = Record("stopped" if isinstance(error, Stopped) else "failed", error.exit_code, str(error))
    record.seconds = time.monotonic() - begun

    def note() -> None:
        write(folder / RECORD, {"values": values, **vars(record)})
        if record.state == "stopped":
            (folder.parent / STOPPING).touch()

    on_root(comm, note)
    return record


def _run(case: Case, comm: MPI.Intracomm, folder: Path, starting: Starting) -> Summary:
    """Run a member, or go on with it; collective."""
    out = folder / RESULT
    on_root(comm, lambda: folder.mkdir(exist_ok=True))
    found = look_for(comm, out)
    since, reopen = (None, None) if found is None else (found.since, found.reopen)
    with agreed(comm):
        if found is not None:
            found.check(case)
    if found is None:  # a result without a record is of a sweep that was killed just then, or damaged: made again
        on_root(comm, lambda: out.unlink(missing_ok=True))
    return run(case, comm, out, progress=starting, since=since, reopen=reopen, anew=True)


def sweep(
    found: Sweep | None, comm: MPI.Intracomm, out: Path, resume: bool = False, fail_fast: bool = False,
    tell: Tell | None = None, retry: bool = False,
) -> list[Record]:  # fmt: skip
    """Run the members of a sweep, as many at once as there are groups of ranks; collective.

    Args:
        found: the sweep; None on other ranks than 0, which get what their members need with each of them.
        comm: all ranks.
        out: the folder of the members, of `members.h5`, a table of all, and of `status.json`.
        resume: go on with a sweep that is there: what is done stays, and what failed by itself.
        fail_fast: begin no other member once one has failed.
        tell: is told on rank 0 which member has ended, how, and how many have.
        retry: go on likewise, and run those again too whose numbers went wrong or whose values are wrong.

    Returns:
        On rank 0 how they ended; nothing on the others.

    Raises:
        StorageError: the folder is there, is of another sweep, or another process is at it.
        SetupError: there are fewer ranks than a member is to have, or too little time.
    """
    with owning(comm) as owner:
        records: list[Record] = []
        end = math.inf

        def begin() -> None:
            nonlocal end
            assert found is not None
            if found.ranks > comm.size:
                text = f"{found.name}: a member is to have {found.ranks} ranks, and there are {comm.size}"
                raise SetupError(f"{text}; start with mpirun -n {found.ranks} or more")
            claim, before = _begin(found, out, resume, retry)
            owner.callback(claim.release)
            records.extend(before)
            left = deadline(found.case(0)) - time.monotonic()
            if left < LEAST:
                text = f"{found.name}: {max(0.0, left):.0f} s are left, and no member begins in the last {LEAST:.0f}"
                raise SetupError(f"{text}; give more time (run.walltime, or that of the job)")
            end = time.time() + left

        on_root(comm, begin)
        with Signals(), Executor(comm) as tasks:  # whoever is between two members is not ended by them
            if tasks is not None and found is not None:
                _march_all(found, tasks, out, records, end, fail_fast, tell)
                write_table(out / TABLE, found, records, RESULT)
                if found.stack:
                    write_stack(out / STACK, [out / found.folder(n) / RESULT for n in range(len(records))], records)
        return records


def _march_all(
    found: Sweep, tasks: Executor, out: Path, records: list[Record], end: float, fail_fast: bool, tell: Tell | None
) -> None:
    """Run all that are to be run, and note how they end; the table says it from time to time."""
    waiting = deque(number for number, record in enumerate(records) if record.state == "waiting")
    ended, due, is_over = len(records) - len(waiting), 0.0, False
    with Standing(found, out, records) as standing:
        begun = standing.begun
        while waiting or begun:
            while waiting and len(begun) < max(LEAST_AHEAD, AHEAD * tasks.size):
                number = waiting.popleft()
                words = found.tables_of(number), found.label(number), out / found.folder(number), found.members[number]
                begun[tasks.submit(march_member, *words, end, ranks=found.ranks)] = number
            if (now := time.monotonic()) > due:
                write_table(out / TABLE, found, records, RESULT)
                due = time.monotonic() + max(SELDOM, PART * (time.monotonic() - now))
            for future in tasks.wait(begun, return_when=FIRST_COMPLETED)[0]:
                number = begun.pop(future)
                records[number] = record = _ended(future)
                ended += record.state != "waiting"
                is_over |= record.state == "stopped" or (fail_fast and record.state == "failed")
                if tell is not None:
                    tell(number, record, ended)
            if is_over:
                waiting.clear()
                for other in begun:
                    other.cancel()


def _ended(future: Future[Record]) -> Record:
    """How a member ended that was begun, or not."""
    if future.cancelled():
        return Record()
    error = future.exception()
    if error is None:
        return future.result()
    return Record("failed", 1, f"{type(error).__name__}: {error}")


def _begin(found: Sweep, out: Path, resume: bool, retry: bool) -> tuple[Claim, list[Record]]:
    """Claim the folder; how the members stand.

    Raises:
        StorageError: the folder is there, is of another sweep, or another process is at it.
    """
    claim = take(out)
    try:
        return claim, _known_in(found, out, resume or retry, retry)
    except BaseException:
        claim.release()
        raise


def _known_in(found: Sweep, out: Path, resume: bool, retry: bool) -> list[Record]:
    """How the members stand, in a folder that is made if it is not there; its inputs are those of before."""
    states = {str(path): path.stat() for path in found.inputs if path.is_file()}
    inputs = {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}  # as they are now
    about = {"tables": found.tables, "members": list(found.members), "ranks": found.ranks, "inputs": inputs}
    if out.exists():
        if not resume:
            raise StorageError(f"{out}: exists already; go on with --resume, or give another -o")
        said = read(out / SWEEP)
        with naming(out, "look into it"):
            is_empty = not any(out.iterdir())  # killed when it began
        if not is_empty and (said is None or json.dumps({**said, "ranks": found.ranks}) != json.dumps(about)):
            what = "is of another sweep or another version of this one" if said else f"{SWEEP} is missing or damaged"
            raise StorageError(f"{out}: {what}; give another -o")
    with naming(out, "make this folder"):
        out.mkdir(parents=True, exist_ok=True)
        (out / STOPPING).unlink(missing_ok=True)
    write(out / SWEEP, about)
    return [known(out / found.folder(n), values, retry) for n, values in enumerate(found.members)]


def exit_code(records: Sequence[Record], fail_fast: bool = False) -> int:
    """Return 0 if all members are done, 75 if some can go on, else the code of the first that failed.

    That first, if the others were to wait for it.
    """
    failed = next((record.code for record in records if record.state == "failed"), 0)
    if any(record.state in ("stopped", "waiting") for record in records) and not (failed and fail_fast):
        return Stopped.exit_code
    return failed
