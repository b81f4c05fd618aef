"""How the members of a sweep stand: what each left in its folder, and `status.json`, which says it of all."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from parsolve.errors import CaseError, NumericalError, ParsolveError
from parsolve.store.files import is_result
from parsolve.store.status import NAME
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from parsolve.ensemble.members import Sweep

RESULT, RECORD = "result.h5", "member.json"
OFTEN, PART = 1.0, 20  # seconds between two writings of the status, or so many times as long as one takes
STATES = ("waiting", "running", "done", "failed", "stopped")
OWN = (CaseError.exit_code, NumericalError.exit_code)  # of failures that come again with the same values


class Done(msgspec.Struct, frozen=True):
    """What is told of a member that is done."""

    steps: int
    time: float
    fields: dict[str, dict[str, float]]
    marching: float
    warnings: list[str]
    start: float = 0.0
    start_processor: float = 0.0
    measures: dict[str, float | None] = {}


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


def known(folder: Path, values: dict[str, Any], retry: bool = False) -> Record:
    """How a member stands by its record; waiting if it is to be run.

    Args:
        folder: of the member.
        values: what it sets; a record of others does not count.
        retry: run it again if it failed by itself, and not only if disk, memory or time were short.
    """
    said = read(folder / RECORD)
    if said is None or said.pop("values", None) != values:
        return Record()
    try:
        record = msgspec.convert(said, Record)
        if record.state == "done":
            msgspec.convert(record.summary, Done)
    except msgspec.ValidationError:
        return Record()
    stays = is_result(folder / RESULT) if record.state == "done" else record.state == "failed" and not retry
    return record if stays and (record.state == "done" or record.code in OWN) else Record()


def write(path: Path, said: dict[str, Any]) -> None:
    """Write a small file of JSON, whole or not at all.

    Raises:
        StorageError, ResourceError: it cannot be written.
    """
    write_whole(path, json.dumps(said, indent=1).encode(), force=True)


def read(path: Path) -> dict[str, Any] | None:
    """What a file of JSON says; None if it does not, or is damaged."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


class Standing:
    """Says in `status.json` how the members stand, once a second, from a thread: rank 0 may be within a member.

    `with Standing(...) as standing:` says it at the begin and at the end too.

    Args:
        found: the sweep.
        out: its folder.
        records: of its members, which may change meanwhile.

    Attributes:
        begun: the members that were begun, and will end.
    """

    def __init__(self, found: Sweep, out: Path, records: list[Record]) -> None:
        self._found, self._path, self._records = found, out / NAME, records
        self.begun: dict[Future[Record], int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="status", daemon=True)

    def __enter__(self) -> Standing:
        self.say()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.begun.clear()
        with suppress(*([ParsolveError] if kind else [])):  # the error is told
            self.say()

    def say(self) -> None:
        """Say it now.

        Raises:
            StorageError, ResourceError: it cannot be written.
        """
        running = {number for future, number in list(self.begun.items()) if future.running()}
        states = ["running" if n in running else record.state for n, record in enumerate(list(self._records))]
        counts = {state: states.count(state) for state in STATES}
        members = {self._found.folder(n): state for n, state in enumerate(states)}
        write(self._path, {"updated": time.time(), **counts, "members": members})

    def _go_on(self) -> None:
        pause = OFTEN
        while not self._over.wait(pause):
            begun = time.monotonic()
            with suppress(ParsolveError):  # the next time, or at the end
                self.say()
            pause = max(OFTEN, PART * (time.monotonic() - begun))
