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
from parsolve.store.files import (
    create_contiguous,
    create_file,
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
    from numpy.typing import DTypeLike, NDArray

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid

__all__ = ["FieldInfo", "Recorder"]

_SLAB = (
    4 << 20
)  # bytes packed and written at once: large for the disk, small enough to stay in cache between the two


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
        self._buffer: NDArray[np.generic] | None = None
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
        with agreed(self._comm):
            whole_rows = _in_one_piece(chosen[0])
            self._reserve(chosen[0], whole_rows)
        self._write_boxes(partial, [(field, offsets[field.name]) for field in chosen], whole_rows)
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

    def _reserve(self, field: Field, whole_rows: bool) -> None:
        """Make the one buffer for all boxes: of a slab if boxes are in one piece, else of a box."""
        cells = int(np.prod(field.subdomain.shape))
        if whole_rows:
            axis = _slab_axis(field)
            layer = cells // field.subdomain.shape[axis]
            cells = layer * min(field.subdomain.shape[axis], _layers(layer, self._content.dtype))
        if self._buffer is None or self._buffer.size < cells:
            self._buffer = np.empty(cells, self._content.dtype)

    def _write_boxes(self, path: Path, fields: Sequence[tuple[Field, int]], whole_rows: bool) -> None:
        """Write this rank's box of every field at its offset and bring the file to the disk; collective.

        Every rank makes the same collective calls whatever fails on it, so that no error ends in a hang.
        """
        from mpi4py import MPI

        error: ParsolveError | None = None
        file: MPI.File | None = None
        try:
            file = MPI.File.Open(self._comm, str(path), MPI.MODE_RDWR)
        except MPI.Exception as caught:
            error = self._failure(path, "open it (do all nodes share this file system?)", caught)
        agree(self._comm, error)
        assert file is not None
        for field, offset in fields:
            try:
                if whole_rows:
                    self._write_slabs(file, field, offset)
                else:
                    self._write_box(file, field, offset)
            except MPI.Exception as caught:
                error = error or self._failure(path, f"write field '{field.name}'", caught)
        for finish, action in ((file.Sync, "bring it to the disk"), (file.Close, "close it")):
            try:
                finish()
            except MPI.Exception as caught:
                error = error or self._failure(path, action, caught)
        agree(self._comm, error)

    def _write_slabs(self, file: MPI.File, field: Field, offset: int) -> None:
        """Write a box that is one run of bytes in the file, by slabs that stay in cache when packed."""
        assert self._buffer is not None
        owned, domain, axis = field.owned, field.subdomain, _slab_axis(field)
        layer = owned.size // owned.shape[axis]
        layers = _layers(layer, self._content.dtype)
        for first in range(0, owned.shape[axis], layers):
            index = (slice(None),) * axis + (slice(first, first + layers),)
            part = owned[index]
            packed = self._buffer[: part.size]
            np.copyto(packed.reshape(part.shape), part)
            file.Write_at(offset + (domain.start[axis] + first) * layer * packed.itemsize, packed)

    def _write_box(self, file: MPI.File, field: Field, offset: int) -> None:
        """Write a box that is scattered in the file: MPI-IO brings the ranks' rows together; collective."""
        from mpi4py import MPI

        assert self._buffer is not None
        domain = field.subdomain
        packed = self._buffer[: field.owned.size]
        np.copyto(packed.reshape(field.owned.shape), field.owned)
        kind = MPI.Datatype.fromcode(packed.dtype.char)
        box = kind.Create_subarray(domain.grid.cells, domain.shape, domain.start).Commit()
        try:
            file.Set_view(offset, kind, box)
            file.Write_at_all(0, packed)
        finally:
            box.Free()

    def _failure(self, path: Path, action: str, caught: MPI.Exception) -> ParsolveError:
        """Return an MPI-IO error as one that names file, rank and host."""
        from mpi4py import MPI

        full = caught.Get_error_class() in (MPI.ERR_NO_SPACE, MPI.ERR_QUOTA)
        reason = " ".join(caught.Get_error_string().split())
        where = f"rank {self._comm.rank} on {socket.gethostname()}"
        return storage_error(path, action, errno.ENOSPC if full else None, f"{where}: {reason}")


def _slab_axis(field: Field) -> int:
    """Return the slowest axis that has more than one cell (x if none has)."""
    cells = field.subdomain.grid.cells
    return next((axis for axis in range(3) if cells[axis] > 1), 2)


def _in_one_piece(field: Field) -> bool:
    """Return whether every rank's box is one run of bytes in the file: only the slowest axis is split."""
    processes = field.subdomain.processes
    return all(processes[axis] == 1 for axis in range(3) if axis != _slab_axis(field))


def _layers(layer: int, dtype: np.dtype[np.generic]) -> int:
    """Return how many layers of cells make a slab of bounded size."""
    return max(1, _SLAB // (layer * dtype.itemsize))
