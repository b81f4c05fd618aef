"""What a result says of its own bytes, so that damage is found and told with its field and place.

`/integrity/blocks/u` of shape (time, blocks, 16) has the hash of each block of 2 MiB of `/u` at each time; the hash of
all other bytes of the file stands last, in `/integrity/rest`. Blocks are counted from where the values of a time begin,
so they do not depend on ranks, nor on whether frames were gathered. Behind all that HDF5 knows of the file a line says
where values and that last hash are, so that all but the values can be seen to be whole before HDF5 reads them.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from parsolve.errors import StorageError, agreed, on_root
from parsolve.store.files import create_contiguous, create_group, naming, open_read, write_at
from parsolve.store.filters import require_filters, slabs
from parsolve.store.hashes import BLOCK, block_hashes, damage_of, hash_of, hashes_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import h5py
    from mpi4py import MPI

GROUP, BYTES = "integrity", 16
_END = b" %05d bytes of parsolve\n"  # and what they are of: the line before


@dataclass(frozen=True)
class Table:
    """Where in a file its values and the hashes of them stand.

    Attributes:
        values: of each field the first byte; those of its times follow each other.
        size: bytes of a field at a time.
        rows: of each field the first byte of the hashes; those of its times follow each other.
        rest: first byte of the hash of the rest.
        steps: of the times.

    Packed values have no places: the rest has their bytes too, and the hashes are of what they are unpacked.
    """

    values: dict[str, int]
    size: int
    rows: dict[str, int]
    rest: int
    steps: tuple[int, ...]

    @property
    def row(self) -> int:
        """Bytes of the hashes of a field at a time."""
        return -(-self.size // BLOCK) * BYTES

    @property
    def is_packed(self) -> bool:
        """Whether the values have to be unpacked."""
        return bool(self.rows) and not self.values


def create_table(file: h5py.File, fields: Sequence[str], times: int, size: int) -> None:
    """Make the data sets, empty, in a file that is laid out, for fields of so many bytes at a time."""
    group = create_group(file, GROUP)
    blocks = create_group(group, "blocks")
    for name in fields:
        create_contiguous(blocks, name, (times, -(-size // BLOCK), BYTES), np.uint8)
    create_contiguous(group, "rest", (BYTES,), np.uint8)


def seal(path: Path, table: Table, hashes: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Write the hashes of a complete file into it, those of each field by time, and bring it to the disk; for one rank.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("r+b", buffering=0) as file:
        for name, times in hashes.items():
            write_at(file.fileno(), bytes.fromhex("".join(digest for row in times for digest in row)), table.rows[name])
        line = json.dumps([*sorted(table.values.values()), table.size * len(table.steps), table.rest]).encode()
        write_at(file.fileno(), line + _END % len(line), path.stat().st_size)
        write_at(file.fileno(), _rest(path, table), table.rest)
        os.fsync(file.fileno())


def is_sealed(path: Path) -> bool:
    """Whether all bytes of a file but those of the values are as parsolve wrote them; HDF5 is not asked."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            end = os.pread(file.fileno(), len(_END % 0), size - len(_END % 0))
            length = int(end[1:6])
            *values, total, rest = json.loads(os.pread(file.fileno(), length, size - len(end) - length))
            table = Table(dict(zip(map(str, values), values, strict=True)), total, {}, rest, (0,))
            return end == _END % length and os.pread(file.fileno(), BYTES, rest) == _rest(path, table)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return False


def _rest(path: Path, table: Table) -> bytes:
    """The hash of all bytes of a file but those of the values and of this hash."""
    total = table.size * len(table.steps)
    holes = sorted([(start, total) for start in table.values.values()] + [(table.rest, BYTES)])
    digest, at = xxhash.xxh3_128(), 0
    with path.open("rb") as file:
        for start, length in [*holes, (path.stat().st_size, 0)]:
            file.seek(at)
            while data := file.read(max(0, min(BLOCK, start - file.tell()))):
                digest.update(data)
            digest.update(f"\0{start}\0{length}\0".encode())
            at = start + length
    return digest.digest()


def read_table(path: Path, file: h5py.File, fields: Sequence[str], steps: Sequence[int]) -> Table | None:
    """The table of an open file, without values in an index of frames; None if it has none, as of an older version.

    Raises:
        StorageError: it is damaged.
    """
    if GROUP not in file:
        return None
    try:
        first, rest = file[fields[0]], int(file[GROUP]["rest"].id.get_offset())
        if first.is_virtual:
            return Table({}, 0, {}, rest, tuple(map(int, steps)))
        size = math.prod(first.shape[1:]) * first.dtype.itemsize
        values = {} if first.chunks else {name: int(file[name].id.get_offset()) for name in fields}
        rows = {name: file[GROUP]["blocks"][name] for name in fields}
        shape = (len(steps), -(-size // BLOCK), BYTES)
        if any(row.shape != shape for row in rows.values()):
            raise ValueError("its hashes are of another shape")
        offsets = {name: int(row.id.get_offset()) for name, row in rows.items()}
        return Table(values, size, offsets, rest, tuple(map(int, steps)))
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as caught:
        raise StorageError(f"{path}: damaged: what it says of its own bytes cannot be read ({caught})") from None


def damages(comm: MPI.Comm, path: Path, table: Table, is_all: bool = True) -> list[str]:
    """What of a file is not as it was written, the fields of a table and, if that is all, the rest; collective.

    Raises:
        StorageError: it cannot be read.
    """
    found = []

    def said() -> tuple[dict[str, bytes], bool]:
        with naming(path, "read it"), path.open("rb") as file:
            rows = {name: os.pread(file.fileno(), table.row * len(table.steps), at) for name, at in table.rows.items()}
            return rows, not is_all or os.pread(file.fileno(), BYTES, table.rest) == _rest(path, table)

    rows, is_whole = on_root(comm, said)
    if not is_whole:
        found.append(f"{path}: damaged beside the values: in names, coordinates, provenance or hashes")
    unpacked: Sequence[dict[str, list[str]]] = _unpacked_hashes(comm, path, table) if table.is_packed else ()
    for n, step in enumerate(table.steps):
        regions = {name: (at + n * table.size, table.size) for name, at in table.values.items()}
        hashes = unpacked[n] if table.is_packed else block_hashes(comm, path, regions, str(step))
        for name, digests in hashes.items():
            row = rows[name][n * table.row : (n + 1) * table.row]
            known = [row[i * BYTES : (i + 1) * BYTES].hex() for i in range(table.row // BYTES)]
            damage = damage_of(f"'{name}' at step {step}", regions.get(name, (0, table.size)), known, digests)
            found += [f"{path}: {damage}{' of what is unpacked' if table.is_packed else ''}"] if damage else []
    return found


def _unpacked_hashes(comm: MPI.Comm, path: Path, table: Table) -> list[dict[str, list[str]]]:
    """The hashes of the fields at each time, as they are unpacked, shared out over ranks; collective.

    What cannot be unpacked has none.

    Raises:
        SetupError: what packed them is not installed.
        StorageError: the file cannot be read.
    """
    tasks = [(n, name) for n in range(len(table.steps)) for name in table.rows]
    own: list[list[str]] = []
    with agreed(comm), naming(path, "read it"), open_read(path) as file:
        for n, name in tasks[comm.rank :: comm.size]:
            require_filters(file[name])
            try:
                own.append(array_hashes(file[name], n, str(table.steps[n])))
            except (OSError, RuntimeError):
                own.append([])
    parts = comm.allgather(own)
    found: list[dict[str, list[str]]] = [{} for _ in table.steps]
    for i, (n, name) in enumerate(tasks):
        digests = parts[i % comm.size][i // comm.size]
        found[n][name] = digests + [""] * (table.row // BYTES - len(digests))
    return found


def array_hashes(dataset: h5py.Dataset, n: int, context: str) -> list[str]:
    """Return the hashes of the blocks of the values of a data set at a time, read by this process.

    Raises:
        OSError, RuntimeError: they cannot be read.
    """
    shape, left, found = dataset.shape[1:], bytearray(), list[str]()

    name, total = str(dataset.name).rpartition("/")[-1], math.prod(shape) * dataset.dtype.itemsize
    for part in slabs(shape, dataset.dtype.itemsize):
        left += dataset[(n, part)].tobytes()
        is_last = len(found) * BLOCK + len(left) == total
        while len(left) >= BLOCK or (left and is_last):
            data = bytes(left[:BLOCK])
            found.append(hash_of((name, len(found), 0, len(data)), data, context))
            del left[:BLOCK]
    return found


def known_hashes(file: h5py.File, name: str, n: int) -> list[str] | None:
    """Return the hashes that a file says of a field at a time; None if it has none."""
    with suppress(KeyError, TypeError, ValueError, OSError, RuntimeError):
        row = file[GROUP]["blocks"][name][n]
        return [bytes(digest).hex() for digest in row]
    return None


def doubts(path: Path, table: Table, shown: Sequence[tuple[str, int]]) -> bool:
    """Whether something of a file is not as it was written, of the values only some fields at some times; for one rank.

    Raises:
        StorageError: it cannot be read.
    """
    with naming(path, "read it"), path.open("rb") as file:
        if os.pread(file.fileno(), BYTES, table.rest) != _rest(path, table):
            return True
        for name, n in shown if table.values else ():
            region = {name: (table.values[name] + n * table.size, table.size)}
            said = os.pread(file.fileno(), table.row, table.rows[name] + n * table.row).hex()
            if "".join(hashes_here(path, region, str(table.steps[n]))) != said:
                return True
    return False


def content_hashes(file: h5py.File, fields: Sequence[str]) -> dict[str, str]:
    """A hash of all values of each field, made of those of its blocks, in an index of those of its frames.

    Empty where a file has none.
    """
    with suppress(KeyError, TypeError, ValueError, OSError, RuntimeError):
        return {name: xxhash.xxh3_128_hexdigest(b"".join(_rows(file, name))) for name in fields}
    return {}


def _rows(file: h5py.File, name: str) -> Iterator[bytes]:
    """The hashes of the blocks of a field, time by time."""
    import h5py

    if not file[name].is_virtual:
        yield file[GROUP]["blocks"][name][...].tobytes()
        return
    for source in file[name].virtual_sources():
        with h5py.File(Path(file.filename).resolve().parent / source.file_name, "r", locking=False) as frame:
            yield frame[GROUP]["blocks"][name][...].tobytes()
