"""Where a result, its frames and its unfinished files lie, and who may write there."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.errors import StorageError
from parsolve.store import claims, writing
from parsolve.store.checkpoint import remove_checkpoints
from parsolve.store.files import is_result, naming, rename, sync
from parsolve.store.series import FILE as SERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

FOLDERS = (".frames.new", ".frames")  # behind the name of a result: frames of a run that replaces others, and others
FAILED = ("failed.h5", "failed.json")  # what a march left whose numbers went wrong
FRAME = re.compile(r"\d{9,}\.h5")
ROWS = re.compile(r"slice\.(\w+)\.rows")  # of slices, until they are results
_UNFINISHED = re.compile(r"\.(\d{9,}\.h5|slice\.\w+\.rows)\.partial")


@dataclass(frozen=True)
class Places:
    """Names of one run's files: nothing has its final name before it is complete."""

    result: Path
    partial: Path  # the result while it is put together
    frames: Path  # directory of frames, final name
    working: Path  # directory of frames of this run; differs from `frames` while an older one is kept
    claim: claims.Claim
    force: bool  # whether an older result may be replaced
    renews: bool = False  # likewise older slices

    def frame(self, step: int) -> Path:
        """Return the name of a complete frame."""
        return self.working / f"{step:09d}.h5"

    def slice(self, name: str) -> Path:
        """Return the name of the result of a slice."""
        return slice_of(self.result, name)

    def partial_frame(self, step: int) -> Path:
        """Return the name of a frame that is being written."""
        return self.working / f".{step:09d}.h5.partial"


def command(ranks: int, verb: str, path: Path) -> str:
    """Return the command of parsolve, on so many ranks, as a shell takes it."""
    launcher = f"mpirun -n {ranks} " if ranks > 1 else ""
    return f"{launcher}python -m parsolve {verb} {shlex.quote(argument(path))}"


def argument(path: Path) -> str:
    """Return the name of a file as no command takes it for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def find_folder(path: Path, holds: Callable[[Path], object]) -> tuple[Path | None, Path]:
    """Return the folder of a run that holds something, if one does, and the name of the run's result.

    Args:
        path: the name of the result, or the folder.
        holds: what is in a folder, if anything.
    """
    if path.is_symlink() or not path.name:
        path = path.resolve()
    name = path.name
    if not name:  # the root
        return None, path
    for suffix in FOLDERS:
        if name.endswith(suffix):
            return (path if holds(path) else None), path.with_name(name.removesuffix(suffix))
    for suffix in FOLDERS:
        folder = path.with_name(name + suffix)
        if holds(folder):
            return folder, path
    return None, path


def frames_in(folder: Path) -> list[Path]:
    """Return the complete frames of a folder in order.

    Raises:
        StorageError: the folder is there, and cannot be read.
    """
    with naming(folder, "look into it"):
        try:
            found = [path for path in folder.iterdir() if FRAME.fullmatch(path.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(found, key=lambda path: int(path.stem))


def slice_of(path: Path, name: str) -> Path:
    """Return the name of a slice of the run whose result has this name."""
    return path.with_name(f"{path.stem}.{name}{path.suffix}")


def partial_of(path: Path) -> Path:
    """Return the name of a result while it is put together."""
    return path.with_name(f".{path.name}.partial")


def claim(
    path: Path, *, force: bool = False, number: bool = False, anew: bool = False, inputs: Collection[Path] = (),
    slices: Collection[str] = (),
) -> Places:  # fmt: skip
    """Claim a name for a new run and make its frames directory, which shows that results can be written there.

    Args:
        path: the name of the result.
        force: replace what is there, if parsolve wrote it.
        number: take stem-2, stem-3, ... where a name is taken.
        anew: remove frames and checkpoints of a run that did not finish.
        inputs: files that the run reads, which are never replaced.
        slices: names of those that it writes too.

    Raises:
        StorageError: the directory is missing or not writable, another run writes there, results or frames are there
            already, or something that is not replaced.
    """
    writing.refuse_name(path)
    if not number or force:
        return _claim(path, force, anew, inputs, slices)
    for name in writing.numbered(path):
        if not os.path.lexists(name):
            with suppress(_Taken, claims.Claimed):
                return _claim(name, force, anew, inputs, slices)
    raise AssertionError


def refuse_slices(path: Path, names: Iterable[str], renews: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse the names of slices of a run as `refuse_taken` does.

    Raises:
        StorageError: one is taken, too long, or that of the folder of frames.
    """
    for name in names:
        writing.refuse_name(slice_of(path, name))
        if slice_of(path, name).name == path.name + FOLDERS[-1]:
            raise StorageError(f"{slice_of(path, name)}: is the folder of frames and of a slice; use another -o")
        refuse_taken(slice_of(path, name), renews, inputs)


def reopen(path: Path, working: Path) -> Places:
    """The places of a run that goes on with the frames of a directory; its result is replaced at the end.

    Raises:
        StorageError: another run writes there, or its directory cannot be written.
    """
    refuse_taken(path, force=True)
    frames, claim = path.with_name(path.name + ".frames"), claims.take(path)
    with suppress(OSError):
        for name in FAILED:
            (working / name).unlink(missing_ok=True)
    return Places(path, partial_of(path), frames, working, claim, True, True)


def refuse_taken(path: Path, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse the name of something that is there, but, to be replaced by force, a result that the run does not read.

    Raises:
        StorageError: it is there.
    """
    if not os.path.lexists(path):
        return
    writing.refuse_special(path)
    if not force:
        raise _Taken(f"{path}: exists already; use --force to replace it or another -o")
    writing.refuse_inputs(path, inputs)
    if not is_result(path):
        raise StorageError(f"{path}: is no result of parsolve, so it is not replaced; remove it or use another -o")


class _Taken(StorageError):
    """There is something of this name already."""


def _claim(path: Path, force: bool, anew: bool, inputs: Collection[Path], slices: Collection[str]) -> Places:
    frames = path.with_name(path.name + ".frames")
    if not force:
        refuse_taken(path, force)  # first of all, and without a trace
    refuse_slices(path, slices, force or anew, inputs)
    with ExitStack() as undo:
        claim = claims.take(path)
        undo.callback(claim.release)
        _refuse_existing(path, frames, force, anew, inputs)
        if anew and not force:
            remove_checkpoints(frames)
            remove_frames(frames)
        working = frames.with_name(frames.name + ".new") if frames.exists() else frames
        remove_checkpoints(working)
        remove_frames(working)
        try:
            working.mkdir()
            sync(working.parent)  # what is kept in it must not go with its name
        except FileExistsError as caught:
            raise StorageError(f"{working}: holds files that are no frames; remove it or use another -o") from caught
        except OSError as caught:
            raise writing.failure(path, f"write in directory '{path.parent}'", caught, "; use another -o") from caught
        undo.pop_all()
    return Places(path, partial_of(path), frames, working, claim, force, force or anew)


def _refuse_existing(path: Path, frames: Path, force: bool, anew: bool, inputs: Iterable[Path]) -> None:
    """Refuse a place where something lies that is not to be replaced.

    Raises:
        StorageError: a result or frames without `force`; with it, what parsolve did not write, and what the run reads.
    """
    refuse_taken(path, force, inputs)
    if os.path.lexists(frames):
        if frames.is_symlink() or not frames.is_dir():
            raise StorageError(f"{frames}: is no directory of frames; remove it or use another -o")
        if not (force or anew):
            count = len(frames_in(frames))
            raise _Taken(
                f"{frames}: {count} complete frames of a run that did not finish; "
                f"go on with `parsolve restart {frames}`, replace them with --force, or use another -o"
            )
    for folder in (frames, frames.with_name(frames.name + ".new")):
        for file in folder.glob("*"):
            writing.refuse_inputs(file, inputs)


def publish(places: Places, keep_frames: bool, keep_checkpoints: bool) -> None:
    """Give a complete result its name, replacing an older one; then remove frames and checkpoints that are not needed.

    Raises:
        StorageError: a rename failed, or a file has got the name meanwhile.
    """
    if os.path.lexists(places.result) and not (places.force and is_result(places.result)):
        raise StorageError(
            f"{places.result}: something of this name was made meanwhile; frames are in '{places.working}'"
        )
    aside = places.frames.with_name(places.frames.name + ".old")
    with naming(places.result, "replace it by the new result"):
        if keep_frames and places.working != places.frames and places.frames.exists():
            places.result.unlink(missing_ok=True)  # an index would show the frames of the new run as its own
            sync(places.result.parent)
            remove_checkpoints(aside)
            remove_frames(aside)
            places.frames.rename(aside)
        if keep_frames and places.working != places.frames:
            places.working.rename(places.frames)
    rename(places.partial, places.result)
    for directory in (aside,) if keep_frames else (aside, places.working, places.frames):
        if directory == aside or not keep_checkpoints or (directory == places.frames != places.working):
            remove_checkpoints(directory)
        remove_frames(directory)
    if not keep_frames and places.working != places.frames:
        with suppress(OSError):
            places.working.rename(places.frames)  # with its checkpoints
    places.claim.release()


def discard_unfinished(places: Places) -> None:
    """Remove what has no final name, the frames directory if it holds no frame, and the claim; never raises."""
    with suppress(OSError):
        places.partial.unlink(missing_ok=True)
    with suppress(OSError):
        for file in places.working.glob(".*.partial"):
            file.unlink(missing_ok=True)
        places.working.rmdir()
    places.claim.release()


def remove_frames(directory: Path) -> None:
    """Remove a directory of frames, but no file that is not a frame; what cannot be removed stays."""
    if directory.is_symlink():
        return
    with suppress(OSError):
        for file in list(directory.iterdir()):
            if any(kind.fullmatch(file.name) for kind in (FRAME, _UNFINISHED, SERIES, ROWS)):
                file.unlink(missing_ok=True)
        directory.rmdir()
