"""Frames: the state at one time as one file, written by all ranks at once and named when it is complete.

Rank 0 lays a file out with plain HDF5 and closes it; every rank then writes its box at the data set's offset
through MPI-IO. So no HDF5 built for MPI is needed, and no rank ever holds the global array.
"""

from __future__ import annotations

import errno
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import ParsolveError, StorageError, agree, on_root
from parsolve.store.combine import copy_frames, write_index
from parsolve.store.files import naming, rename, require_space, storage_error
from parsolve.store.layers import Layers
from parsolve.store.layout import Content, FieldInfo, check_names
from parsolve.store.outline import Outline
from parsolve.store.places import Places, claim, discard_unfinished, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from mpi4py import MPI
    from numpy.typing import DTypeLike, NDArray

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid

__all__ = ["FieldInfo", "Recorder"]


class Recorder:
    """Writes frames during a run and one result file at its end; every method but `abandon` is collective.

    `with Recorder(...) as recorder:` removes unfinished files however the body ends; complete frames stay until
    `finish` makes the result of them.

    Raises (on construction, on all ranks):
        StorageError: the place cannot be written, another run writes there, or there is a result already and neither
            `force` (replace it) nor `number` (take the next free name) is set.
        CaseError: a field's name cannot be stored.
    """

    def __init__(
        self, comm: MPI.Intracomm, path: Path, grid: Grid, fields: Sequence[FieldInfo], dtype: DTypeLike,
        provenance: Mapping[str, str], *, keep_frames: bool = False, force: bool = False, number: bool = False,
        inputs: Sequence[Path] = (), dimensions: Sequence[FieldInfo] = (),
    ) -> None:  # fmt: skip
        self._comm = comm
        self._keep_frames = keep_frames
        self._content = Content(grid, tuple(fields), np.dtype(dtype), dict(provenance), tuple(dimensions))
        self._outline: Outline | None = None  # rank 0's
        self._offsets: dict[str, int] = {}  # of the fields in each frame
        self._layers: Layers | None = None

        def claimed() -> Places:
            check_names(fields)
            return claim(Path(path), force=force, number=number, inputs=inputs)

        self._places = on_root(comm, claimed)

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
        self._offsets = on_root(self._comm, lambda: self._lay_out(partial, time, step))
        if self._layers is None:
            self._layers = Layers(chosen[0].subdomain, self._content.dtype)
        self._write_slabs(partial, self._layers, [(field, self._offsets[field.name]) for field in chosen])
        on_root(self._comm, lambda: rename(partial, self._places.frame(step)))
        content = self._content
        self._content = replace(content, times=(*content.times, time), steps=(*content.steps, step))

    def finish(self) -> Path:
        """Turn the frames into the result: a self-contained file, or an index of the kept frames; collective.

        Raises:
            StorageError, ResourceError: the disk failed or is full; the frames are then still there.
        """
        places = self._places
        missing = StorageError(f"{places.result}: no frame was written, so there is no result")
        agree(self._comm, None if self._content.steps else missing)
        frames = [places.frame(step) for step in self._content.steps]
        if self._keep_frames:
            on_root(self._comm, lambda: write_index(places, self._content, frames))
        else:
            copy_frames(self._comm, places.partial, self._content, frames, self._offsets)
        on_root(self._comm, lambda: publish(places, self._keep_frames))
        return places.result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Leave the complete frames and remove unfinished files; not collective, safe after any error."""
        if self._comm.rank == 0:
            discard_unfinished(self._places)

    def _lay_out(self, partial: Path, time: float, step: int) -> dict[str, int]:
        """Make a frame's file without the values and return each field's byte offset in it; on rank 0."""
        content = self._content
        size = content.grid.size * len(content.fields) * content.dtype.itemsize
        # The frames are still there while they are gathered: better to stop now than at the end.
        number = len(content.steps) + 1
        copies = 1 if self._keep_frames else number + 1
        require_space(self._places.working, size * copies, f"frame {number} with the result")
        with naming(partial, "create it"):
            if self._outline is None:
                self._outline = Outline.of(partial, content)
            self._outline.write(partial, time, step)
        return self._outline.fields

    def _write_slabs(self, path: Path, layers: Layers, fields: Sequence[tuple[Field, int]]) -> None:
        """Write this rank's slabs of every field from its offset on and bring the file to the disk; collective.

        Each rank opens the file for itself, so nothing but the exchange is collective; a rank on which something fails
        still takes part in that.
        """
        from mpi4py import MPI

        error: ParsolveError | None = None

        def attempt(action: str, call: Callable[..., Any], *args: Any) -> Any:
            nonlocal error
            try:
                return call(*args)
            except MPI.Exception as caught:
                error = error or self._failure(path, action, caught)

        where = "open it (do all nodes share this file system?)"
        file = attempt(where, MPI.File.Open, MPI.COMM_SELF, str(path), MPI.MODE_WRONLY)
        try:
            for field, offset in fields:
                for start, values in layers.slabs(field.owned):
                    if values.size and error is None:
                        attempt(f"write field '{field.name}'", _write_at, file, offset + start, values)
            if error is None:
                attempt("bring it to the disk", file.Sync)
        finally:
            if file is not None:
                attempt("close it", file.Close)
        agree(self._comm, error)

    def _failure(self, path: Path, action: str, caught: MPI.Exception) -> ParsolveError:
        """Return an MPI-IO error as one that names file, rank and host."""
        from mpi4py import MPI

        # Some MPI libraries say no more than that it failed.
        full = (
            caught.Get_error_class() in (MPI.ERR_NO_SPACE, MPI.ERR_QUOTA)
            or shutil.disk_usage(path.parent).free < 1 << 20
        )
        reason = " ".join(caught.Get_error_string().split())
        where = f"rank {self._comm.rank} on {socket.gethostname()}"
        return storage_error(path, action, errno.ENOSPC if full else None, f"{where}: {reason}")


def _write_at(file: MPI.File, offset: int, values: NDArray[Any]) -> None:
    """Write all bytes of an array at once."""
    from mpi4py import MPI

    status = MPI.Status()
    file.Write_at(offset, values, status)
    if status.Get_count(MPI.BYTE) != values.nbytes:  # some libraries raise nothing
        raise MPI.Exception(MPI.ERR_IO)
