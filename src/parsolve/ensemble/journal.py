"""What is to be done with files, how it ended, and a file that keeps it, so that a job that was killed goes on."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from parsolve.ensemble import operations
from parsolve.errors import StorageError
from parsolve.store import writing
from parsolve.store.files import naming

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Work:
    """An operation on a file.

    Attributes:
        operation: its name: convert, repack, copy, verify, stats or find.
        source: the file, or a folder of frames.
        target: what is written, if anything.
        options: of the operation.
    """

    operation: str
    source: Path
    target: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """How an operation on a file ended: empty ``error``, or what went wrong; ``found`` is what it is asked for."""

    file: str
    target: str | None
    bytes: int
    seconds: float
    error: str = ""
    found: dict[str, Any] = field(default_factory=dict)
    skipped: bool = False  # a record says that it is done


class Journal:
    """A file of JSON lines, one for each file that is done.

    Args:
        path: its name.
        resume: go on with one that is there.

    Raises:
        StorageError: it is there and not gone on with, is something else, or cannot be written.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self._known = path, dict[str, dict[str, Any]]()
        writing.refuse_name(path)
        if os.path.lexists(path):
            writing.refuse_special(path)
            if not resume:
                raise StorageError(f"{path}: exists already; --resume goes on with it, or give another --record")
            self._read()
        with naming(path, "open it"):
            self._file = path.open("ab")

    def _read(self) -> None:
        """Read what is known; a last line without its end is cut off, as its writer was killed.

        Raises:
            StorageError: it is no record.
        """
        with naming(self.path, "read it"):
            data = self.path.read_bytes()
        for line in data.split(b"\n")[:-1]:
            try:
                said = json.loads(line)
                self._known[said["key"]] = said
            except (ValueError, KeyError, TypeError):
                raise StorageError(f"{self.path}: is no record of file operations; give another --record") from None
        if not data.endswith(b"\n") and data:
            with naming(self.path, "cut off its last line"):
                os.truncate(self.path, data.rfind(b"\n") + 1)

    def find(self, work: Work) -> Done | None:
        """Return how it ended, if it is done and neither the file nor what was written has changed since."""
        said = self._known.get(_key(work))
        if said is None or said["source"] != _state(work.source):
            return None
        if work.target is not None and said["written"] != _state(work.target):
            return None
        return Done(**{**said["done"], "skipped": True})

    def note(self, work: Work, done: Done) -> None:
        """Note that it is done, for good.

        Raises:
            StorageError, ResourceError: it cannot be written.
        """
        written = _state(work.target) if work.target is not None else None
        said = {"key": _key(work), "source": _state(work.source), "written": written, "done": asdict(done)}
        with naming(self.path, "write to it"):
            self._file.write(json.dumps(said).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close it."""
        self._file.close()


def _key(work: Work) -> str:
    options = {name: value for name, value in work.options.items() if name != "force"}
    return json.dumps([work.operation, str(work.source.resolve()), str(work.target), options], sort_keys=True)


def _state(path: Path) -> list[int] | None:
    """What changes when a file or a folder does: its bytes and when it was changed."""
    with suppress(OSError):
        return [operations.size_or_zero(path), path.stat().st_mtime_ns]
    return None
