"""A frame's file, written by all ranks at once.

Rank 0 lays a file out with plain HDF5 and closes it; every rank then writes whole layers at the data sets' offsets. So
no HDF5 built for MPI is needed, and no rank ever holds the global array.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import ParsolveError, StorageError, agreed, on_root
from parsolve.store.files import naming, require_space, write_at
from parsolve.store.hashes import Blocks, Task, hash_of, read_hashes
from parsolve.store.integrity import Table, seal
from parsolve.store.layers import Layers
from parsolve.store.outline import Outline
from parsolve.store.stages import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain
    from parsolve.store.layout import Content
    from parsolve.store.stages import Stages

Piece = tuple[str, int, "NDArray[Any]"]  # field, first byte in the file, values


class FrameWriter:
    """Writes files of one time that have the same content but for the values, the time and the step.

    Attributes:
        outline: of the files; rank 0's, from the first one on.
        table: where values and hashes stand in the last file.
    """

    def __init__(self, comm: MPI.Intracomm, content: Content) -> None:
        self._comm, self.content = comm, content
        self.outline: Outline | None = None
        self.hashes: dict[str, list[str]] = {}  # of the blocks of each field, in the last file
        self.table: Table | None = None
        self._layers: Layers | None = None
        self._copies: list[NDArray[Any]] = []

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
        Job(self._comm, self.stages(path, time, step, sub, arrays, room, purpose)).finish()

    def stages(
        self, path: Path, time: float, step: int, sub: Subdomain, arrays: Mapping[str, NDArray[Any]],
        room: int, purpose: str, copy: bool = False,
    ) -> Stages:  # fmt: skip
        """The stages of that; with a ``copy`` the arrays may change once the first stage has begun."""
        self.table = table = on_root(self._comm, lambda: self._lay_out(path, time, step, room, purpose))
        if self._layers is None:
            self._layers = Layers(sub, self.content.dtype)
        pieces: Iterable[Piece] = self._pieces(self._layers, arrays)
        if copy:
            with agreed(self._comm):
                self._copies = self._copies or [a for _ in self.content.fields for a in self._layers.empty()]
            pieces = list(self._copied(pieces))
        written = yield partial(self._write_pieces, path, pieces)
        blocks = Blocks(self._comm, path, self.regions, str(step))
        self.hashes = blocks.gather((yield partial(_read_back, path, written, blocks)))

        def sealed() -> None:
            if self._comm.rank == 0:
                with naming(path, "write its hashes"):
                    seal(path, replace(table, steps=(step,)), {name: [row] for name, row in self.hashes.items()})

        yield sealed

    @property
    def regions(self) -> dict[str, tuple[int, int]]:
        """Where the values of each field stand in a file."""
        assert self.table is not None
        return {name: (start, self.table.size) for name, start in self.table.values.items()}

    def _lay_out(self, path: Path, time: float, step: int, room: int, purpose: str) -> Table:
        """Make the file without the values and return where they stand in it; on rank 0."""
        require_space(path.parent, room, purpose)
        with naming(path, "create it"):
            if self.outline is None:
                self.outline = Outline.of(self.content)
            self.outline.write(path, time, step)
        return self.outline.table

    def _pieces(self, layers: Layers, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Piece]:
        """What this rank writes, to be taken to its end, as others wait for what it sends."""
        for info in self.content.fields:
            offset = self.regions[info.name][0]
            for start, values in layers.slabs(arrays[info.name]):
                yield info.name, offset + start, values

    def _copied(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Copies of them, in memory that is kept for the next time: new pages take longer than the copy."""
        for n, (name, at, values) in enumerate(pieces):
            np.copyto(self._copies[n], values)
            yield name, at, self._copies[n]

    def _write_pieces(self, path: Path, pieces: Iterable[Piece]) -> dict[Task, str]:
        """Write this rank's part of a file, bring it to the disk, and return the hashes of what was to be written.

        Whatever fails, all pieces are taken.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        error: Exception | None = None
        where = f" on rank {self._comm.rank}, {socket.gethostname()}"
        descriptor, hashes = -1, dict[Task, str]()
        try:
            with naming(path, f"open it{where} (do all nodes share this file system?)"):
                descriptor = _open(path)
        except ParsolveError as caught:
            error = caught
        try:
            for name, at, values in pieces:
                if values.size and error is None:
                    try:
                        data = values.data.cast("B")
                        with naming(path, f"write field '{name}'{where}"):
                            write_at(descriptor, data, at)
                        task = (name, 0, at, values.nbytes)
                        hashes[task] = hash_of(task, data, "")
                    except ParsolveError as caught:
                        error = caught
            if error is None:
                with naming(path, f"bring it to the disk{where}"):
                    os.fsync(descriptor)
        finally:
            if descriptor >= 0:
                with naming(path, f"close it{where}"):
                    os.close(descriptor)
        if error is not None:
            raise error
        return hashes


def _read_back(path: Path, written: Mapping[Task, str], blocks: Blocks) -> list[str]:
    """Return the hashes of this rank's blocks, once what it wrote stands in the file as it was in memory.

    Raises:
        StorageError: it does not, or cannot be read.
    """
    for task, digest in zip(written, read_hashes(path, list(written), ""), strict=True):
        if digest != written[task]:
            name, _, at, size = task
            raise StorageError(f"{path}: '{name}' is not there as it was written, in bytes {at} to {at + size}")
    return blocks.read()


def _open(path: Path) -> int:
    """Return the descriptor of a file that is there, to be written."""
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
