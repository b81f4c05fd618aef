"""A frame's file, written by all ranks at once.

Rank 0 lays a file out with plain HDF5 and closes it; every rank then writes whole layers at the data sets' offsets
through MPI-IO. So no HDF5 built for MPI is needed, and no rank ever holds the global array.
"""

from __future__ import annotations

import errno
import shutil
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from parsolve.errors import ParsolveError, agree, on_root
from parsolve.store.files import naming, require_space, storage_error
from parsolve.store.hashes import block_hashes
from parsolve.store.integrity import Table, context_of, seal
from parsolve.store.layers import Layers
from parsolve.store.outline import Outline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain
    from parsolve.store.layout import Content


class FrameWriter:
    """Writes files of one time that have the same content but for the values, the time and the step.

    Attributes:
        outline: of the files; rank 0's, from the first one on.
    """

    def __init__(self, comm: MPI.Intracomm, content: Content) -> None:
        self._comm, self.content = comm, content
        self.outline: Outline | None = None
        self.hashes: dict[str, list[str]] = {}  # of the blocks of each field, in the last file
        self._table: Table | None = None
        self._layers: Layers | None = None

    @property
    def size(self) -> int:
        """Bytes of the values of a file."""
        return self.content.grid.size * len(self.content.fields) * self.content.dtype.itemsize

    def write(
        self, path: Path, time: float, step: int, sub: Subdomain, arrays: Mapping[str, NDArray[Any]],
        room: int, purpose: str,
    ) -> None:  # fmt: skip
        """Write a file of the owned cells of each field and bring it to the disk; collective.

        Args:
            path: of the file, replaced if it is there.
            time: of the values.
            step: of the values.
            sub: of the ranks.
            arrays: values over the owned cells, by the names of the fields.
            room: bytes that are to be free before.
            purpose: for what.

        Raises:
            StorageError, ResourceError: the disk failed or is full; the same on all ranks.
        """
        self._table = table = on_root(self._comm, lambda: self._lay_out(path, time, step, room, purpose))
        if self._layers is None:
            self._layers = Layers(sub, self.content.dtype)
        self._write_slabs(path, self._layers, arrays)
        context = context_of(self.content.provenance.get("run", ""), step)
        self.hashes = block_hashes(self._comm, path, self.regions, context)

        def sealed() -> None:
            with naming(path, "write its hashes"):
                seal(path, replace(table, steps=(step,)), {name: [row] for name, row in self.hashes.items()})

        on_root(self._comm, sealed)

    @property
    def regions(self) -> dict[str, tuple[int, int]]:
        """Where the values of each field stand in a file."""
        assert self._table is not None
        return {name: (start, self._table.size) for name, start in self._table.values.items()}

    def _lay_out(self, path: Path, time: float, step: int, room: int, purpose: str) -> Table:
        """Make the file without the values and return where they stand in it; on rank 0."""
        require_space(path.parent, room, purpose)
        with naming(path, "create it"):
            if self.outline is None:
                self.outline = Outline.of(path, self.content)
            self.outline.write(path, time, step)
        return self.outline.table

    def _write_slabs(self, path: Path, layers: Layers, arrays: Mapping[str, NDArray[Any]]) -> None:
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
            for info in self.content.fields:
                offset = self.regions[info.name][0]
                for start, values in layers.slabs(arrays[info.name]):
                    if values.size and error is None:
                        attempt(f"write field '{info.name}'", _write_at, file, offset + start, values)
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
