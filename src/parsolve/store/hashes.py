"""Hashes of what stands in a file, block by block, shared out over ranks.

XXH3 with 128 bits (github.com/Cyan4973/xxHash) finds damage, not forgery. The place of a block is hashed before its
bytes, so that a block of another field, place or step is found too.
"""

from __future__ import annotations

import errno
import os
from io import FileIO
from typing import TYPE_CHECKING

import xxhash

from parsolve.errors import agreed
from parsolve.store.files import naming

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mpi4py import MPI

BLOCK = 2 << 20  # bytes: a wrong one is a small part of a field, and a list of all is short
Region = tuple[int, int]  # first byte, and how many
Task = tuple[str, int, int, int]  # what it is of, its number, first byte, and how many


def text_hash(text: str) -> str:
    """Return the hash of a text."""
    return xxhash.xxh3_128_hexdigest(text.encode())


class Blocks:
    """The blocks of regions of a file, of which each rank reads a part.

    Args:
        comm: the ranks.
        path: of the file.
        regions: by name.
        context: what the file is, as its step.
    """

    def __init__(self, comm: MPI.Comm, path: Path, regions: Mapping[str, Region], context: str) -> None:
        self._comm, self._path, self._context, self._names = comm, path, context, tuple(regions)
        self._tasks = _tasks(regions)

    def read(self) -> list[str]:
        """Return the hashes of this rank's part; not collective.

        Raises:
            StorageError: it cannot be read, or ends early.
        """
        first, last = (len(self._tasks) * rank // self._comm.size for rank in (self._comm.rank, self._comm.rank + 1))
        return list(read_hashes(self._path, self._tasks[first:last], self._context))

    def gather(self, own: list[str]) -> dict[str, list[str]]:
        """Return the hashes of all blocks of each region; collective."""
        result: dict[str, list[str]] = {name: [] for name in self._names}
        found = (digest for part in self._comm.allgather(own) for digest in part)
        for (name, *_), digest in zip(self._tasks, found, strict=True):
            result[name].append(digest)
        return result


def block_hashes(comm: MPI.Comm, path: Path, regions: Mapping[str, Region], context: str) -> dict[str, list[str]]:
    """Return the hashes of the blocks of regions of a file, on all ranks; collective.

    Raises:
        StorageError: it cannot be read, or ends early; the same on all ranks.
    """
    blocks, own = Blocks(comm, path, regions, context), []
    with agreed(comm):
        own = blocks.read()
    return blocks.gather(own)


def hashes_here(path: Path, regions: Mapping[str, Region], context: str) -> list[str]:
    """Return the hashes of the blocks of regions one after the other, read by this process alone.

    Raises:
        StorageError: it cannot be read, or ends early.
    """
    return list(read_hashes(path, _tasks(regions), context))


def _tasks(regions: Mapping[str, Region]) -> list[Task]:
    return [(name, n, *block) for name, region in regions.items() for n, block in enumerate(_blocks(region))]


def damage_of(what: str, region: Region, said: Sequence[str], found: Sequence[str]) -> str:
    """Return which blocks of a region do not have the hashes that they had, in words; nothing if all have."""
    wrong = [n for n, (a, b) in enumerate(zip(said, found, strict=True)) if a != b]
    if not wrong:
        return ""
    start, size = list(_blocks(region))[wrong[0]]
    more = f", and {len(wrong) - 1} blocks more" if len(wrong) > 1 else ""
    return f"{what} is damaged in bytes {start} to {start + size}{more}"


def _blocks(region: Region) -> Iterator[Region]:
    start, size = region
    for at in range(0, size, BLOCK):
        yield start + at, min(BLOCK, size - at)


def hash_of(task: Task, data: bytes | memoryview, context: str) -> str:
    """Return the hash of the bytes of a task."""
    digest = _begin(task, context)
    digest.update(data)
    return digest.hexdigest()


def read_hashes(path: Path, tasks: Sequence[Task], context: str) -> Iterator[str]:
    """Return the hashes of what stands in a file.

    Raises:
        StorageError: it cannot be read, or ends early.
    """
    buffer = memoryview(bytearray(min(BLOCK, max((size for *_, size in tasks), default=0))))
    with naming(path, "read it"), _open(path) as file:
        for task in tasks:
            digest, (_, _, at, size) = _begin(task, context), task
            done = 0
            while done < size:
                count = os.preadv(file.fileno(), [buffer[: size - done]], at + done)
                if not count:
                    raise OSError(errno.EIO, f"it ends at byte {at + done}, {size - done} bytes early")
                digest.update(buffer[:count])
                done += count
            yield digest.hexdigest()


def _open(path: Path) -> FileIO:
    """Return a file that is open for reading; of a pipe nothing is waited for."""
    return FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))


def _begin(task: Task, context: str) -> xxhash.xxh3_128:
    name, number, _, size = task
    return xxhash.xxh3_128(f"{context}\0{name}\0{number}\0{size}\0".encode())
