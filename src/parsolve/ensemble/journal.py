"""What is to be done with files, how it ended, and a file that keeps it, so that a job that was killed goes on."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from parsolve.errors import StorageError
from parsolve.store import writing
from parsolve.store.files import naming
from parsolve.store.hashes import text_hash
from parsolve.store.places import FOLDERS

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b'{"parsolve": "files", "version": 1}\n'  # first line of a journal


@dataclass(frozen=True)
class Work:
    """An operation on a file.

    Attributes:
        operation: its name: convert, repack, copy, verify, stats or find.
        source: the whole name of the file, or of a folder of frames.
        target: that of what is written, if anything.
        options: of the operation.
        name: of the file, as it was given.
    """

    operation: str
    source: Path
    target: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Done:
    """How an operation on a file ended: empty ``error``, or what went wrong; ``found`` is what it is asked for."""

    file: str
    target: str | None
    bytes: int
    seconds: float
    error: str = ""
    code: int = 0  # exit code of the error
    found: dict[str, Any] = field(default_factory=dict)
    skipped: bool = False  # a journal says that it is done


class _Noted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a line of a journal says."""

    key: str
    source: str
    written: str
    done: Done


class Journal:
    """A file of JSON lines: what it is, and one for each file that is done, with its hash.

    Args:
        path: its name.
        resume: go on with one that is there.

    Raises:
        StorageError: it is there and not gone on with, is something else, or cannot be written.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self._known = path, dict[str, _Noted]()
        writing.refuse_name(path)
        if os.path.lexists(path):
            writing.refuse_special(path)
            if not resume:
                raise StorageError(f"{path}: exists already; --resume goes on with it, or give another --record")
            self._read()
        with naming(path, "write to it"):
            self._file = path.open("ab")
            if not self._file.tell():
                self._file.write(HEAD)
                self._file.flush()

    def _read(self) -> None:
        """Read what is known; a last line without its end is cut off, as its writer was killed.

        Raises:
            StorageError: it is no journal.
        """
        with naming(self.path, "read it"):
            data = self.path.read_bytes()
        is_begun = len(data) < len(HEAD) and HEAD.startswith(data)
        if not is_begun and not data.startswith(HEAD):
            raise StorageError(f"{self.path}: is no record of file operations; give another --record")
        for n, line in enumerate(data[len(HEAD) :].split(b"\n")[:-1]):
            digest, _, text = line.partition(b" ")
            try:
                if digest.decode() != text_hash(text.decode()):
                    raise ValueError
                said = msgspec.json.decode(text, type=_Noted)
            except (ValueError, msgspec.MsgspecError, RecursionError):
                raise StorageError(f"{self.path}: line {n + 2} is damaged; give another --record") from None
            self._known[said.key] = said
        if data and not data.endswith(b"\n"):
            with naming(self.path, "cut off its last line"):
                os.truncate(self.path, data.rfind(b"\n") + 1)

    def find(self, work: Work) -> Done | None:
        """Return how it ended, if it is done and neither the file nor what was written has changed since."""
        said = self._known.get(_key(work))
        if said is None or said.source != _state(work.source) or said.written != _state(work.target):
            return None
        return replace(said.done, file=work.name or str(work.source), skipped=True)

    def note(self, work: Work, done: Done) -> None:
        """Note that it is done, for good.

        Raises:
            StorageError, ResourceError: it cannot be written.
        """
        text = msgspec.json.encode(_Noted(_key(work), _state(work.source), _state(work.target), done))
        with naming(self.path, "write to it"):
            self._file.write(text_hash(text.decode()).encode() + b" " + text + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close it."""
        self._file.close()


def _key(work: Work) -> str:
    options = {name: value for name, value in work.options.items() if name != "force"}
    return json.dumps([work.operation, str(work.source), str(work.target), options], sort_keys=True)


def _state(path: Path | None) -> str:
    """What changes when a file, one of a folder, or a frame that an index shows does; empty if there is none."""
    if path is None:
        return ""
    with suppress(OSError):
        known = [path, path.with_name(path.name + FOLDERS[-1])]
        files = [file for place in known for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
        found = [(str(file), file.stat()) for file in files if file.is_file()]
        return text_hash(json.dumps([(name, said.st_size, said.st_mtime_ns) for name, said in found])) if found else ""
    return ""
