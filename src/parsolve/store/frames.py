"""Frames: the state at one time as one file, written by all ranks at once and named when it is complete.

Rank 0 lays a file out with plain HDF5 and closes it; every rank then writes its box at the data set's offset
through MPI-IO. So no HDF5 built for MPI is needed, and no rank ever holds the global array.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parsolve.errors import ParsolveError, agree, agreed
from parsolve.store import gather
from parsolve.store.boxes import BoxWriter
from parsolve.store.files import (
    create_contiguous,
    create_file,
    free_space,
    naming,
    require_space,
    storage_error,
    sync_directory,
)
from parsolve.store.layout import Content, FieldInfo, check_names
from parsolve.store.places import Places, claim, discard_unfinished, publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpi4py import MPI
    from numpy.typing import DTypeLike

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid

__all__ = ["FieldInfo", "Recorder"]


class Recorder:
    """Writes frames during a run and one result file at its end; every method but `abandon` is collective.

    Raises (on construction, on all ranks):
        StorageError: the place cannot be written, or there is a result already and `force` is false.
        CaseError: a field's name cannot be stored.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        path: Path,
        grid: Grid,
        fields: Sequence[FieldInfo],
        dtype: DTypeLike,
        provenance: Mapping[str, str],
        *,
        keep_frames: bool = False,
        force: bool = False,
    ) -> None:
        self._comm = comm
        self._keep_frames = keep_frames
        self._content = Content(grid, tuple(fields), np.dtype(dtype), dict(provenance))
        self._offsets: list[dict[str, int]] = []
        self._writer: BoxWriter | None = None
        places: Places | None = None
        with agreed(comm):
            if comm.rank == 0:
                check_names(fields)
                places = claim(Path(path), force)
        self._places: Places = comm.bcast(places, root=0)

    @property
    def count(self) -> int:
        """Number of complete frames."""
        return len(self._offsets)

    def write(self, time: float, step: int, fields: Sequence[Field]) -> None:
        """Write the fields' owned cells as one frame; collective.

        Raises:
            StorageError, ResourceError: the disk failed or is full; the frame then does not exist.
        """
        by_name = {field.name: field for field in fields}
        chosen = [by_name[info.name] for info in self._content.fields]
        if step in self._content.steps:
            raise ValueError(f"step {step} has a frame already: a frame is written once")
        partial = self._places.partial_frame(step)
        offsets = self._lay_out(partial, time, step)
        if self._writer is None:
            self._writer = BoxWriter(chosen[0].subdomain, self._content.dtype)
        self._write_boxes(partial, self._writer, [(field, offsets[field.name]) for field in chosen])
        with agreed(self._comm):
            if self._comm.rank == 0:
                with naming(partial, "give the frame its name"):
                    partial.rename(self._places.frame(step))
                    sync_directory(self._places.working)
        self._offsets.append(offsets)
        content = self._content
        self._content = replace(content, times=(*content.times, time), steps=(*content.steps, step))

    def finish(self) -> Path:
        """Turn the frames into the result: a self-contained file, or an index of the kept frames; collective.

        Raises:
            StorageError, ResourceError: the disk failed or is full; the frames are then still there.
        """
        frames = [self._places.frame(step) for step in self._content.steps]
        if self._keep_frames:
            gather.write_index(self._comm, self._places, self._content, frames)
        else:
            gather.copy_frames(self._comm, self._places.partial, self._content, frames, self._offsets)
        with agreed(self._comm):
            if self._comm.rank == 0:
                publish(self._places, self._keep_frames)
        return self._places.result

    def abandon(self) -> None:
        """Leave the complete frames and remove unfinished files; not collective, safe after any error."""
        if self._comm.rank == 0:
            discard_unfinished(self._places)

    def _lay_out(self, partial: Path, time: float, step: int) -> dict[str, int]:
        """Return each field's byte offset in a new frame file made by rank 0; collective."""
        offsets: dict[str, int] = {}
        with agreed(self._comm):
            if self._comm.rank == 0:
                content = self._content
                cells = content.grid.size * len(content.fields) * content.dtype.itemsize
                # The frames are still there while they are gathered: better to stop now than at the end.
                copies = 1 if self._keep_frames else self.count + 2
                require_space(self._places.working, cells * copies, f"frame {self.count + 1} with the result")
                with naming(partial, "create it"), create_file(partial) as file:
                    file.attrs["time"] = np.float64(time)
                    file.attrs["step"] = np.int64(step)
                    for info in content.fields:
                        dataset = create_contiguous(file, info.name, content.grid.shape, content.dtype)
                        offsets[info.name] = int(dataset.id.get_offset())
        shared: dict[str, int] = self._comm.bcast(offsets, root=0)
        return shared

    def _write_boxes(self, path: Path, writer: BoxWriter, fields: Sequence[tuple[Field, int]]) -> None:
        """Write this rank's box of every field at its offset and bring the file to the disk; collective.

        Every rank makes the same collective calls whatever fails on it, so that no error ends in a hang.
        """
        from mpi4py import MPI

        error: ParsolveError | None = None
        file: MPI.File | None = None
        try:
            file = MPI.File.Open(self._comm, str(path), MPI.MODE_WRONLY)
        except MPI.Exception as caught:
            error = self._failure(path, "open it (do all nodes share this file system?)", caught)
        agree(self._comm, error)
        assert file is not None
        for field, offset in fields:
            failed = writer.write(file, offset, field.owned)
            if failed is not None:
                error = error or self._failure(path, f"write field '{field.name}'", failed)
        for finish, action in ((file.Sync, "bring it to the disk"), (file.Close, "close it")):
            try:
                finish()
            except MPI.Exception as caught:
                error = error or self._failure(path, action, caught)
        agree(self._comm, error)

    def _failure(self, path: Path, action: str, caught: MPI.Exception) -> ParsolveError:
        """Return an MPI-IO error as one that names file, rank and host."""
        from mpi4py import MPI

        full = caught.Get_error_class() in (MPI.ERR_NO_SPACE, MPI.ERR_QUOTA)
        # Some MPI libraries say no more than that it failed.
        full = full or free_space(path.parent) < 1 << 20
        reason = " ".join(caught.Get_error_string().split())
        where = f"rank {self._comm.rank} on {socket.gethostname()}"
        return storage_error(path, action, errno.ENOSPC if full else None, f"{where}: {reason}")
