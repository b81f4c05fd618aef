"""The end of a run: frames become one self-contained file, or an index that shows them as one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.errors import agreed, on_root
from parsolve.store.files import copy_bytes, naming, require_space, sync
from parsolve.store.layout import Content, lay_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpi4py import MPI

    from parsolve.store.places import Places


def copy_frames(
    comm: MPI.Intracomm, path: Path, content: Content, frames: Sequence[Path], offsets: Mapping[str, int]
) -> None:
    """Write a self-contained result: rank 0 lays it out, all ranks copy the frames' bytes; collective.

    `offsets` are those of the fields in every frame. Bytes move in small pieces or in the kernel alone.

    Raises:
        StorageError, ResourceError: the disk failed or is full.
    """
    size = content.grid.size * content.dtype.itemsize

    def laid_out() -> dict[str, int]:
        require_space(path.parent, size * len(content.fields) * len(frames), "the gathered result")
        with naming(path, "lay it out"):
            return lay_out(path, content)

    slots = on_root(comm, laid_out)
    pieces = [(index, field.name) for index in range(len(frames)) for field in content.fields]
    with agreed(comm), naming(path, "copy the frames into it"), path.open("r+b", buffering=0) as target:
        for index, name in pieces[comm.rank :: comm.size]:
            with frames[index].open("rb", buffering=0) as source:
                start = slots[name] + index * size
                copy_bytes(source.fileno(), target.fileno(), offsets[name], start, size)
        os.fsync(target.fileno())


def write_index(places: Places, content: Content, frames: Sequence[Path]) -> None:
    """Write a result of virtual data sets over the frames, named relative to it; for one rank.

    Raises:
        StorageError: the disk failed.
    """
    with naming(places.partial, "write the index"):
        lay_out(places.partial, content, [Path(places.frames.name) / frame.name for frame in frames])
        sync(places.partial)
