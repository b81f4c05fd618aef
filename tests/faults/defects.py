"""Deliberate defects of what writes files: a harness that finds none of their faults would not be worth its while."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from parsolve.errors import ParsolveError
from parsolve.store import (
    checkpoint,
    claims,
    combine,
    files,
    frames,
    integrity,
    outline,
    places,
    result,
    slabs,
    stages,
    status,
    verify,
    writing,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def frames_named_first() -> None:
    """A frame gets its name before its values."""
    write = slabs.FrameWriter.write

    def named(self: Any, path: Path, *more: Any) -> None:
        final = path.with_name(path.name.removeprefix(".").removesuffix(".partial"))
        write(self, final, *more)
        path.touch()

    slabs.FrameWriter.write = named  # type: ignore[method-assign]
    frames.rename = lambda old, new: old.unlink()
    checkpoint.rename = lambda old, new: old.unlink()


def manifests_first() -> None:
    """A checkpoint has a manifest before its values have their name."""
    waiting: list[tuple[Path, Path]] = []
    write_whole = writing.write_whole
    checkpoint.rename = lambda old, new: waiting.append((old, new))

    def first(path: Path, content: bytes, **more: Any) -> Path:
        write_whole(path, content, **more)
        os.fsync(os.open(path, os.O_RDWR))
        while waiting:
            files.rename(*waiting.pop())
        return path

    checkpoint.write_whole = first


def pruned_early() -> None:
    """Older checkpoints are removed before the new one is there."""
    begin = checkpoint.Checkpoints.begin

    def early(self: Any, *arguments: Any) -> Any:
        checkpoint.remove_checkpoints(self._folder)
        return begin(self, *arguments)

    checkpoint.Checkpoints.begin = early  # type: ignore[method-assign]


def results_named_first() -> None:
    """A result has its name while it is put together."""
    copy = combine.copy_frames

    def named(comm: Any, path: Path, *more: Any) -> None:
        final = path.with_name(path.name.removeprefix(".").removesuffix(".partial"))
        path.symlink_to(final.name)
        copy(comm, path, *more)

    combine.copy_frames = named
    files.is_result = places.is_result = lambda path: True


def short_writes_taken() -> None:
    """What a write leaves out is not written."""
    once: Callable[..., Any] = lambda descriptor, data, offset: os.pwrite(descriptor, data, offset)  # noqa: E731
    files.write_at = integrity.write_at = slabs.write_at = once


def short_outlines_taken() -> None:
    """The same, of the outline of a frame."""

    def write(self: outline.Outline, path: Path, time: float, step: int) -> None:
        places_of = [(place, outline.np.float64(time).tobytes()) for place in self.times]
        path.unlink(missing_ok=True)
        with path.open("xb", buffering=0) as file:
            file.truncate(self.size)
            for start, content in (*self.pieces, *places_of, (self.step, outline.np.int64(step).tobytes())):
                file.seek(start)
                file.write(content)

    outline.Outline.write = write  # type: ignore[method-assign]


def errors_swallowed() -> None:
    """A field that cannot be written is not told, and what was written is not read back."""
    write = slabs.write_at
    slabs._read_back = lambda path, written, blocks: blocks.read()

    def silent(*arguments: Any) -> None:
        with suppress(Exception):
            write(*arguments)

    slabs.write_at = silent


def claims_for_ever() -> None:
    """A claim of a process that died stays."""
    claims._lives = lambda pid, started: True


def frames_not_taken_over() -> None:
    """A run that goes on has the frames since its checkpoint alone."""
    frames.Recorder.go_on = lambda self, frames, sub: None  # type: ignore[method-assign]


def hashes_of_nothing() -> None:
    """The hashes of a frame are not written into it."""
    slabs.seal = lambda path, table, hashes: None


class Same(str):
    """A text that is any other."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def manifests_believed() -> None:
    """The hash of a manifest is not looked at."""
    checkpoint.text_hash = Same


def values_believed() -> None:
    """The hashes of a checkpoint's values are not looked at."""
    checkpoint.Checkpoint.damage = lambda self, comm: ""  # type: ignore[method-assign]


def rest_not_hashed() -> None:
    """What a file holds beside values has no hash."""
    integrity._rest = lambda path, table: bytes(integrity.BYTES)


def steps_not_compared() -> None:
    """A frame is taken for that of its name."""
    verify.FRAME = re.compile("(?!)")


def files_not_synced() -> None:
    """Files get their names before their bytes are on the disk."""
    real = os.fsync

    def folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            real(descriptor)

    os.fsync = folders


def folders_not_synced() -> None:
    """Names are not brought to the disk."""
    files.sync = checkpoint.sync = places.sync = lambda path: None


def syncs_retried() -> None:
    """A file that could not be synced is synced again, and that is believed."""
    real = os.fsync

    def again(descriptor: int) -> None:
        try:
            real(descriptor)
        except OSError:
            real(descriptor)

    os.fsync = again


def half_lines_waited_for() -> None:
    """A claim that was never written whole is one of a run that goes on."""
    take_over = claims._take_over
    claims._take_over = lambda path, lock, last: take_over(path, lock, False)


def frames_removed_first() -> None:
    """Frames are removed before the result has its name."""
    publish = frames.publish

    def early(of: places.Places, *more: bool) -> None:
        places.remove_checkpoints(of.working)
        places.remove_frames(of.working)
        publish(of, *more)

    frames.publish = early


def links_followed() -> None:
    """Links to other files are followed."""
    result.refuse_links = lambda *_: None


def shapes_believed() -> None:
    """A data set is as large as it says."""
    result.refuse_empty = lambda dataset: None


def doubts_unsaid() -> None:
    """What is read is not compared with its hashes."""
    result.doubts = lambda *_: False


def status_believed() -> None:
    """A status has no hash."""
    status._hash = lambda text: bytes(32)


def no_vote() -> None:
    """A rank that cannot write is not heard by the others."""

    @contextmanager
    def alone(comm: Any) -> Iterator[None]:
        try:
            yield
        except ParsolveError:
            if comm.rank == 0:
                raise

    stages.agreed = alone


DEFECTS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        frames_named_first, manifests_first, pruned_early, results_named_first,
        short_writes_taken, short_outlines_taken, errors_swallowed, claims_for_ever,
        frames_not_taken_over, hashes_of_nothing, frames_removed_first, syncs_retried,
        manifests_believed, values_believed, rest_not_hashed, steps_not_compared,
        files_not_synced, folders_not_synced, half_lines_waited_for,
        links_followed, shapes_believed, doubts_unsaid, status_believed, no_vote,
    )
}  # fmt: skip
# Which family finds a defect, with how many faults left out; the calls of a run find the others.
FINDERS = {
    "manifests_believed": ("corruption", 7), "values_believed": ("corruption", 7), "rest_not_hashed": ("corruption", 7),
    "steps_not_compared": ("corruption", 5), "files_not_synced": ("power", 29), "folders_not_synced": ("power", 29),
    "half_lines_waited_for": ("power", 29), "links_followed": ("hostile", 200), "shapes_believed": ("hostile", 200),
    "doubts_unsaid": ("hostile", 200), "status_believed": ("hostile", 50), "no_vote": ("pair", 5),
}  # fmt: skip
