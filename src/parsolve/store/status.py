"""How a run is getting on, as a small file in its folder that anybody may read while it is replaced."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import xxhash

from parsolve.errors import StorageError
from parsolve.store.files import is_file
from parsolve.store.places import FOLDERS

if TYPE_CHECKING:
    from pathlib import Path

NAME, SWEEP = "status.json", "sweep.json"  # the second one is in the folder of a sweep
_MOST, _MOST_OF_SWEEP = 1 << 16, 1 << 28  # bytes
_HEAD = b'{"hash":"%s",'
Place = tuple[int, float]
Stands = Literal["running", "stopped", "gathering", "done", "failed"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says of itself: where it is (step and time), and when it said so (seconds since 1970).

    ``spent``: seconds of marching, and the steps that took them. ``slices``: how many rows each has.
    """

    state: Stands
    updated: float
    host: str
    process: int
    at: Place
    dt: float
    steps_per_s: float
    seconds_left: float | None
    frames: int
    last_frame: Place | None
    last_checkpoint: Place | None
    spent: tuple[float, int] = (0.0, 0)
    slices: dict[str, int] = {}

    @property
    def age(self) -> float:
        """Seconds since then."""
        return max(0.0, time.time() - self.updated)


def write_status(folder: Path, status: Status) -> None:
    """Replace the status of a run; where that fails the run goes on without it."""
    aside = folder / f".{NAME}.partial"
    with suppress(OSError):
        text = msgspec.json.encode(status)
        aside.write_bytes(_HEAD % _hash(text) + text[1:])
        aside.replace(folder / NAME)


def _decoded(data: bytes) -> Status:
    """The status that a file says, if its hash, which comes first, is that of the rest.

    Raises:
        ValueError, msgspec.MsgspecError: it is not.
    """
    size = len(_HEAD % _hash(b""))
    text = b"{" + data[size:]
    if data[:size] != _HEAD % _hash(text):
        raise ValueError("its hash is another")
    return msgspec.json.decode(text, type=Status)


def _hash(text: bytes) -> bytes:
    return xxhash.xxh3_128_hexdigest(text).encode()


def read_status(run: Path) -> Status:
    """Return the status of a run, by its result or its folder of frames.

    Raises:
        StorageError: there is none, or it is damaged.
    """
    run = run.resolve() if run.is_symlink() else run
    for folder in (run, *(run.with_name(run.name + suffix) for suffix in FOLDERS if run.name)):
        path = folder / NAME
        try:
            with path.open("rb") as file:
                return _decoded(file.read(_MOST))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as caught:
            raise StorageError(f"{path}: cannot be read: {caught.strerror}") from None
        except (msgspec.MsgspecError, ValueError):
            raise StorageError(f"{path}: damaged, or not the status of a run") from None
    ended = "; it is a file, so its run is over" if run.is_file() else "; give its result, or its folder of frames"
    raise StorageError(f"{run}: no status of a run{ended}")


def read_sweep_status(folder: Path) -> dict[str, Any] | None:
    """Return the status of a sweep by its folder: when it was written, and how each member stands; None if it is none.

    Raises:
        StorageError: it is damaged.
    """
    path = folder / NAME
    if not is_file(folder / SWEEP):
        return None
    try:
        said = json.loads(path.read_bytes()[:_MOST_OF_SWEEP])
        members = {str(name): str(state) for name, state in said["members"].items()}
        return {"updated": float(said["updated"]), "members": members}
    except OSError as caught:
        raise StorageError(f"{path}: cannot be read: {caught.strerror}; `sweep --resume` writes it anew") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(f"{path}: damaged, or not the status of a sweep; `sweep --resume` writes it anew") from None
