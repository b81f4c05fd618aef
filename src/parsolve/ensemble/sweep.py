"""Sweeps: the members of a family of cases, each a run of its own, on groups of the ranks.

Each member has a folder with its result, and `member.json`, which says how it ended; it is named when the result is.
So whatever happens to the sweep, what is done is known, and the rest goes on from its checkpoints.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parsolve.case import Case
from parsolve.case.origin import Origin
from parsolve.ensemble.table import write_stack, write_table
from parsolve.ensemble.tasks import Executor
from parsolve.errors import ParsolveError, SetupError, StorageError, is_agreed, on_root
from parsolve.problem.keeping import Stopped, deadline
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.files import is_result, naming
from parsolve.store.status import NAME, SWEEP
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.ensemble.members import Sweep

RESULT, RECORD = "result.h5", "member.json"
TABLE, STACK = "members.h5", "stack.h5"
SPARE = 30.0  # seconds that are to be left before a member begins
OFTEN = 1.0  # seconds between two writings of the status
STATES = ("waiting", "running", "done", "failed", "stopped")


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


def march(tables: dict[str, Any], label: str, folder: Path, values: dict[str, Any], comm: MPI.Intracomm) -> Record:
    """Run a member on the ranks of a communicator, from its checkpoint if it has one; collective.

    It does not begin where its time is nearly over.
    """
    begun = time.monotonic()
    record = Record("done")
    try:
        case = Case.from_dict(tables, Origin(label, "", ()))
        if comm.bcast(deadline(case) - begun) < SPARE:
            return Record()
        out = folder / RESULT
        found = look_for(comm, out)
        since, reopen = (None, None) if found is None else (found.since, found.reopen)
        if found is not None:
            found.check(case)
        # A result without a record is one of a sweep that was killed just then: it is made again.
        summary = run(case, comm, out, force=found is None and is_result(out), since=since, reopen=reopen, anew=True)
        record.summary = {"steps": summary.steps, "time": summary.time, "fields": summary.fields}
        record.summary |= {"marching": summary.seconds, "warnings": summary.warnings}
    except ParsolveError as error:
        if not is_agreed(comm, error):
            raise
        record = Record("stopped" if isinstance(error, Stopped) else "failed", error.exit_code, str(error))
    record.seconds = time.monotonic() - begun
    on_root(comm, lambda: _write(folder / RECORD, {"values": values, **vars(record)}))
    return record


def sweep(
    found: Sweep, comm: MPI.Intracomm, out: Path, resume: bool = False, fail_fast: bool = False,
    tell: Callable[[int, Record, Sequence[Record]], None] | None = None,
) -> list[Record]:  # fmt: skip
    """Run the members of a sweep, as many at once as there are groups of ranks; return how they ended; collective.

    Args:
        found: the sweep.
        comm: all ranks.
        out: the folder of the members, of `members.h5`, a table of all, and of `status.json`.
        resume: go on with a sweep that is there: what is done stays.
        fail_fast: begin no other member once one has failed.
        tell: is told on rank 0 which member has ended, how, and of all.

    Raises:
        StorageError: the folder is there, or is of another sweep.
        SetupError: there are fewer ranks than a member is to have.
    """
    if found.ranks > comm.size:
        text = f"{found.name}: a member is to have {found.ranks} ranks, and there are {comm.size}"
        raise SetupError(f"{text}; start with mpirun -n {found.ranks} or more")
    records: list[Record] = on_root(comm, lambda: _begin(found, out, resume))
    with Executor(comm) as tasks:
        if tasks is not None:
            _march_all(found, tasks, out, records, fail_fast, tell)
            write_table(out / TABLE, found, records, RESULT)
            if found.stack:
                write_stack(out / STACK, [out / found.folder(n) / RESULT for n in range(len(records))], records)
    shared: list[Record] = comm.bcast(records)
    return shared


def _march_all(
    found: Sweep, tasks: Executor, out: Path, records: list[Record], fail_fast: bool,
    tell: Callable[[int, Record, Sequence[Record]], None] | None,
) -> None:  # fmt: skip
    """Run all that are not done, and note how they end."""
    numbers: dict[Future[Record], int] = {}
    for number, record in enumerate(records):
        if record.state != "done":
            words = (found.tables_of(number), found.label(number), out / found.folder(number), found.members[number])
            numbers[tasks.submit(march, *words, ranks=found.ranks)] = number
    told = -OFTEN
    for future in tasks.as_completed(numbers):
        number = numbers[future]
        records[number] = record = _ended(future)
        if record.state == "stopped" or (fail_fast and record.state == "failed"):
            for other in numbers:
                other.cancel()
        if time.monotonic() > told + OFTEN:
            told = time.monotonic()
            _write(out / NAME, _status(found, records, {numbers[f] for f in numbers if f.running()}))
        if tell is not None:
            tell(number, record, records)
    _write(out / NAME, _status(found, records, set()))


def _ended(future: Future[Record]) -> Record:
    """How a member ended that was begun, or not."""
    if future.cancelled():
        return Record()
    error = future.exception()
    if error is None:
        return future.result()
    return Record("failed", 1, f"{type(error).__name__}: {error}")


def _begin(found: Sweep, out: Path, resume: bool) -> list[Record]:
    """Make the folders; how the members stand.

    Raises:
        StorageError: the folder is there, or is of another sweep.
    """
    about = {"tables": found.tables, "members": list(found.members), "ranks": found.ranks}
    if out.exists():
        if not resume:
            raise StorageError(f"{out}: exists already; go on with --resume, or give another -o")
        said = _read(out / SWEEP)
        if said is None or json.dumps({**said, "ranks": found.ranks}) != json.dumps(about):
            raise StorageError(f"{out}: is of another sweep, or of another version of this one; give another -o")
    with naming(out, "make the folders of its members"):
        for number in range(len(found.members)):
            (out / found.folder(number)).mkdir(parents=True, exist_ok=True)
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
        record = Record(**said)
    except TypeError:
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


def exit_code(records: Sequence[Record]) -> int:
    """Return 0 if all members are done, 75 if some can go on, else the code of the first that failed."""
    if any(record.state in ("stopped", "waiting") for record in records):
        return Stopped.exit_code
    return next((record.code for record in records if record.state == "failed"), 0)
