"""Sweeps: the members of a family of cases, each a run of its own, on groups of the ranks.

Each member has a folder with its result, and `member.json`, which says how it ended; it is named when the result is.
So whatever happens to the sweep, what is done is known, and the rest goes on from its checkpoints.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from parsolve.case import Case
from parsolve.case.origin import Origin
from parsolve.ensemble.table import write_stack, write_table
from parsolve.ensemble.tasks import Executor
from parsolve.errors import ParsolveError, SetupError, StorageError, agree, agreed, is_agreed, on_root
from parsolve.march.watch import Signals
from parsolve.problem.keeping import Stopped, deadline
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.claims import take
from parsolve.store.files import is_result, naming
from parsolve.store.status import NAME, SWEEP
from parsolve.store.writing import write_whole
from parsolve.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.ensemble.members import Sweep
    from parsolve.problem.summary import Summary
    from parsolve.store.claims import Claim

    Tell = Callable[[int, "Record", int], None]

RESULT, RECORD = "result.h5", "member.json"
TABLE, STACK = "members.h5", "stack.h5"
STOPPING = ".stopping"  # in its folder: a member was told to stop, so no other begins
LEAST = 30.0  # seconds that are to be left before a member begins
OFTEN, PART = 1.0, 20  # seconds between two writings of the status, or so many times as long as one takes
STATES = ("waiting", "running", "done", "failed", "stopped")


class Done(msgspec.Struct, frozen=True):
    """What is told of a member that is done."""

    steps: int
    time: float
    fields: dict[str, dict[str, float]]
    marching: float
    warnings: list[str]
    start: float


class Starting:
    """Notes when a march begins.

    Attributes:
        seconds: from then on when this was made; 0 before.
    """

    def __init__(self) -> None:
        self._made, self.seconds = time.monotonic(), 0.0

    def start(self, *_: object) -> None:
        """It begins."""
        self.seconds = time.monotonic() - self._made

    def update(self, *_: object) -> None:
        """A step is done."""

    def finish(self) -> None:
        """It is over."""


@dataclass
class Record:
    """How a member stands.

    Attributes:
        state: waiting, running, done, failed, or stopped with a checkpoint.
        code: exit code that its run would have had.
        error: why it failed.
        seconds: from its begin to its end.
        summary: what its run tells.
    """

    state: str = "waiting"
    code: int = 0
    error: str = ""
    seconds: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)


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
        done = Done(summary.steps, summary.time, summary.fields, summary.seconds, summary.warnings, starting.seconds)
        record.summary = msgspec.structs.asdict(done)
    except ParsolveError as error:
        if not is_agreed(comm, error):
            raise
        record = Record("stopped" if isinstance(error, Stopped) else "failed", error.exit_code, str(error))
    record.seconds = time.monotonic() - begun

    def note() -> None:
        _write(folder / RECORD, {"values": values, **vars(record)})
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
    found: Sweep, comm: MPI.Intracomm, out: Path, resume: bool = False, fail_fast: bool = False,
    tell: Tell | None = None,
) -> list[Record]:  # fmt: skip
    """Run the members of a sweep, as many at once as there are groups of ranks; return how they ended; collective.

    Args:
        found: the sweep.
        comm: all ranks.
        out: the folder of the members, of `members.h5`, a table of all, and of `status.json`.
        resume: go on with a sweep that is there: what is done stays.
        fail_fast: begin no other member once one has failed.
        tell: is told on rank 0 which member has ended, how, and how many have.

    Raises:
        StorageError: the folder is there, is of another sweep, or another process is at it.
        SetupError: there are fewer ranks than a member is to have.
    """
    if found.ranks > comm.size:
        text = f"{found.name}: a member is to have {found.ranks} ranks, and there are {comm.size}"
        raise SetupError(f"{text}; start with mpirun -n {found.ranks} or more")
    claim, records = on_root(comm, lambda: _begin(found, out, resume))
    end = comm.bcast(time.time() + deadline(found.case(0)) - time.monotonic())
    try:
        left = max(0.0, comm.bcast(end - time.time()))
        text = f"{found.name}: {left:.0f} s are left, and no member begins in the last {LEAST:.0f}"
        error = SetupError(f"{text}; give more time (run.walltime, or that of the job)")
        agree(comm, error if left < LEAST else None)
        with Signals(), Executor(comm) as tasks:  # whoever is between two members is not ended by them
            if tasks is not None:
                _march_all(found, tasks, out, records, end, fail_fast, tell)
                write_table(out / TABLE, found, records, RESULT)
                if found.stack:
                    write_stack(out / STACK, [out / found.folder(n) / RESULT for n in range(len(records))], records)
    finally:
        if comm.rank == 0:
            claim.release()
    shared: list[Record] = comm.bcast(records)
    return shared


def _march_all(
    found: Sweep, tasks: Executor, out: Path, records: list[Record], end: float, fail_fast: bool, tell: Tell | None
) -> None:
    """Run all that are not done, and note how they end."""
    numbers: dict[Future[Record], int] = {}
    for number, record in enumerate(records):
        if record.state != "done":
            words = (found.tables_of(number), found.label(number), out / found.folder(number), found.members[number])
            numbers[tasks.submit(march_member, *words, end, ranks=found.ranks)] = number
    tasks.look()
    _write(out / NAME, _status(found, records, {numbers[f] for f in numbers if f.running()}))
    due, ended = 0.0, sum(record.state == "done" for record in records)
    for future in tasks.as_completed(numbers):
        number = numbers[future]
        records[number] = record = _ended(future)
        if record.state == "stopped" or (fail_fast and record.state == "failed"):
            for other in numbers:
                other.cancel()
        ended += record.state != "waiting"
        if (now := time.monotonic()) > due:
            _write(out / NAME, _status(found, records, {numbers[f] for f in numbers if f.running()}))
            due = now + max(OFTEN, PART * (time.monotonic() - now))
        if tell is not None:
            tell(number, record, ended)
    _write(out / NAME, _status(found, records, set()))


def _ended(future: Future[Record]) -> Record:
    """How a member ended that was begun, or not."""
    if future.cancelled():
        return Record()
    error = future.exception()
    if error is None:
        return future.result()
    return Record("failed", 1, f"{type(error).__name__}: {error}")


def _begin(found: Sweep, out: Path, resume: bool) -> tuple[Claim, list[Record]]:
    """Claim the folder; how the members stand.

    Raises:
        StorageError: the folder is there, is of another sweep, or another process is at it.
    """
    claim = take(out)
    try:
        return claim, _known_in(found, out, resume)
    except BaseException:
        claim.release()
        raise


def _known_in(found: Sweep, out: Path, resume: bool) -> list[Record]:
    """How the members stand, in a folder that is made if it is not there; its inputs are those of before."""
    states = {str(path): path.stat() for path in found.inputs if path.is_file()}
    inputs = {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}  # as they are now
    about = {"tables": found.tables, "members": list(found.members), "ranks": found.ranks, "inputs": inputs}
    if out.exists():
        if not resume:
            raise StorageError(f"{out}: exists already; go on with --resume, or give another -o")
        said = _read(out / SWEEP)
        with naming(out, "look into it"):
            is_empty = not any(out.iterdir())  # killed when it began
        if not is_empty and (said is None or json.dumps({**said, "ranks": found.ranks}) != json.dumps(about)):
            raise StorageError(f"{out}: is of another sweep, or of another version of this one; give another -o")
    with naming(out, "make this folder"):
        out.mkdir(parents=True, exist_ok=True)
        (out / STOPPING).unlink(missing_ok=True)
    _write(out / SWEEP, about)
    records = [_known(out / found.folder(n), found.members[n]) for n in range(len(found.members))]
    _write(out / NAME, _status(found, records, set()))
    return records


def _known(folder: Path, values: dict[str, Any]) -> Record:
    """How a member stands by its record; waiting if it is not done."""
    said = _read(folder / RECORD)
    if said is None or said.pop("values", None) != values or not is_result(folder / RESULT):
        return Record()
    try:
        record = msgspec.convert(said, Record)
        msgspec.convert(record.summary, Done)
    except msgspec.ValidationError:
        return Record()
    return record if record.state == "done" else Record()


def _status(found: Sweep, records: Sequence[Record], running: set[int]) -> dict[str, Any]:
    """What `status.json` says: how many members stand how, and each of them."""
    states = ["running" if n in running else record.state for n, record in enumerate(records)]
    counts = {state: states.count(state) for state in STATES}
    return {"updated": time.time(), **counts, "members": {found.folder(n): s for n, s in enumerate(states)}}


def _write(path: Path, said: dict[str, Any]) -> None:
    write_whole(path, json.dumps(said, indent=1).encode(), force=True)


def _read(path: Path) -> dict[str, Any] | None:
    """What a file says; None if it does not, or is damaged."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def exit_code(records: Sequence[Record], fail_fast: bool = False) -> int:
    """Return 0 if all members are done, 75 if some can go on, else the code of the first that failed.

    That first, if the others were to wait for it.
    """
    failed = next((record.code for record in records if record.state == "failed"), 0)
    if any(record.state in ("stopped", "waiting") for record in records) and not (failed and fail_fast):
        return Stopped.exit_code
    return failed
