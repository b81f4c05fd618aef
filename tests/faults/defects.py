"""Deliberate defects of what writes files: a harness that finds none of their faults would not be worth its while."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from parsolve.store import checkpoint, claims, combine, files, frames, integrity, outline, places, slabs, writing

if TYPE_CHECKING:
    from collections.abc import Callable
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
    write = checkpoint.Checkpoints.write

    def early(self: Any, *arguments: Any) -> Path:
        checkpoint.remove_checkpoints(self._folder)
        return write(self, *arguments)

    checkpoint.Checkpoints.write = early  # type: ignore[method-assign]


def results_named_first() -> None:
    """A result has its name while it is put together."""
    copy = combine.copy_frames

    def named(comm: Any, path: Path, *more: Any) -> None:
        final = path.with_name(path.name.removeprefix(".").removesuffix(".partial"))
        path.symlink_to(final.name)
        copy(comm, path, *more)

    frames.copy_frames = named
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
    """A field that cannot be written is not told."""
    write = slabs.write_at

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


DEFECTS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        frames_named_first, manifests_first, pruned_early, results_named_first,
        short_writes_taken, short_outlines_taken, errors_swallowed, claims_for_ever,
        frames_not_taken_over, hashes_of_nothing,
    )
}  # fmt: skip
