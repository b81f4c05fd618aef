"""The end of a run: frames become one self-contained file, or an index that shows them as one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.errors import StorageError, agreed
from parsolve.store.files import copy_bytes, naming, require_space, sync_file
from parsolve.store.layout import Content, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpi4py import MPI

    from parsolve.store.places import Places


def copy_frames(
    comm: MPI.Intracomm,
    path: Path,
    content: Content,
    frames: Sequence[Path],
    offsets: Sequence[dict[str, int]],
) -> None:
    """Write a self-contained result: rank 0 lays it out, all ranks copy the frames' bytes; collective.

    `offsets` are those of the fields in each frame. Bytes move in small pieces or in the kernel alone.

    Raises:
        StorageError, ResourceError: the disk failed or is full.
    """
    _require_frames(path, frames)
    size = content.grid.size * content.dtype.itemsize
    slots: dict[str, int] = {}
    with agreed(comm):
        if comm.rank == 0:
            require_space(path.parent, size * len(content.fields) * len(frames), "the gathered result")
            with naming(path, "lay it out"):
                slots = lay_out(path, content)
    slots = comm.bcast(slots, root=0)
    pieces = [(index, field.name) for index in range(len(frames)) for field in content.fields]
    with agreed(comm), naming(path, "copy the frames into it"):
        target = os.open(path, os.O_RDWR)
        try:
            for index, name in pieces[comm.rank :: comm.size]:
                source = os.open(frames[index], os.O_RDONLY)
                try:
                    copy_bytes(source, target, offsets[index][name], slots[name] + index * size, size)
                finally:
                    os.close(source)
            os.fsync(target)
        finally:
            os.close(target)


def write_index(comm: MPI.Intracomm, places: Places, content: Content, frames: Sequence[Path]) -> None:
    """Write a result of virtual data sets over the frames, named relative to it; collective.

    Raises:
        StorageError: the disk failed.
    """
    _require_frames(places.result, frames)
    with agreed(comm):
        if comm.rank == 0:
            with naming(places.partial, "write the index"):
                lay_out(places.partial, content, [Path(places.frames.name) / frame.name for frame in frames])
                sync_file(places.partial)


def _require_frames(path: Path, frames: Sequence[Path]) -> None:
    """Refuse a result without a single time; the same on all ranks.

    Raises:
        StorageError: there is no frame.
    """
    if not frames:
        raise StorageError(f"{path}: no frame was written, so there is no result")
