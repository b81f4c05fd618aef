"""Where a result, its frames and its unfinished files lie, and who may write there."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.errors import StorageError
from parsolve.store.files import naming, rename

if TYPE_CHECKING:
    from pathlib import Path

_FRAME = re.compile(r"\d{9,}\.h5|\.\d{9,}\.h5\.partial")


@dataclass(frozen=True)
class Places:
    """Names of one run's files: nothing has its final name before it is complete."""

    result: Path
    partial: Path  # the result while it is put together
    frames: Path  # directory of frames, final name
    working: Path  # directory of frames of this run; differs from `frames` while an older one is kept

    def frame(self, step: int) -> Path:
        """Return the name of a complete frame."""
        return self.working / f"{step:09d}.h5"

    def partial_frame(self, step: int) -> Path:
        """Return the name of a frame that is being written."""
        return self.working / f".{step:09d}.h5.partial"


def claim(path: Path, force: bool) -> Places:
    """Make the frames directory of a new run, which shows that results can be written there.

    Raises:
        StorageError: the directory is missing or not writable, or results or frames are there already.
    """
    if not path.parent.is_dir():
        raise StorageError(f"{path}: directory '{path.parent}' does not exist; create it or use another -o")
    if path.is_dir():
        raise StorageError(f"{path}: is a directory; name a file with -o, e.g. -o {path / 'result.h5'}")
    frames = path.with_name(path.name + ".frames")
    if not force:
        _refuse_existing(path, frames)
    working = frames.with_name(frames.name + ".new") if frames.exists() else frames
    remove_frames(working)
    try:
        working.mkdir()
    except FileExistsError as caught:
        raise StorageError(f"{working}: holds files that are no frames; remove it or use another -o") from caught
    except OSError as caught:
        why = f"cannot write in directory '{path.parent}' ({caught.strerror})"
        raise StorageError(f"{path}: {why}; use another -o") from caught
    return Places(path, path.with_name(f".{path.name}.partial"), frames, working)


def _refuse_existing(path: Path, frames: Path) -> None:
    """Raise StorageError where a result or a frames directory has the name of the new one."""
    if os.path.lexists(path):
        raise StorageError(f"{path}: exists already; use --force to replace it or another -o")
    if os.path.lexists(frames):
        count = sum(1 for file in frames.glob("*.h5")) if frames.is_dir() else 0
        raise StorageError(
            f"{frames}: {count} complete frames of a run that did not finish, or of one still running; "
            "use --force to replace them or another -o"
        )


def publish(places: Places, keep_frames: bool) -> None:
    """Give a complete result its name, replacing an older one; then remove the frames that are not needed.

    Raises:
        StorageError: a rename failed.
    """
    aside = places.frames.with_name(places.frames.name + ".old")
    with naming(places.result, "replace it by the new result"):
        if keep_frames and places.working != places.frames:
            remove_frames(aside)
            places.frames.rename(aside)
            places.working.rename(places.frames)
    rename(places.partial, places.result)
    for directory in (aside,) if keep_frames else (aside, places.working, places.frames):
        remove_frames(directory)


def discard_unfinished(places: Places) -> None:
    """Remove what has no final name, and the frames directory if it holds no frame; never raises."""
    with suppress(OSError):
        places.partial.unlink(missing_ok=True)
    with suppress(OSError):
        for file in places.working.glob(".*.partial"):
            file.unlink(missing_ok=True)
        places.working.rmdir()


def remove_frames(directory: Path) -> None:
    """Remove a directory of frames, but no file that is not a frame; what cannot be removed stays."""
    with suppress(OSError):
        for file in list(directory.iterdir()):
            if _FRAME.fullmatch(file.name):
                file.unlink(missing_ok=True)
        directory.rmdir()
