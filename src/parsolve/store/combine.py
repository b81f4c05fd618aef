"""The end of a run: frames become one self-contained file, or an index that shows them as one."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from parsolve.errors import StorageError, agreed, on_root
from parsolve.store.files import copy_bytes, naming, open_read, require_space
from parsolve.store.integrity import Table, damages, read_table, seal
from parsolve.store.layout import Content, lay_out
from parsolve.store.packing import Packing, write_packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpi4py import MPI

    from parsolve.store.places import Places


EMPTY: Mapping[int, Table] = MappingProxyType({})


def combine(
    comm: MPI.Intracomm, path: Path, content: Content, frames: Sequence[Path], packing: Packing | None = None,
    known: Mapping[int, Table] = EMPTY,
) -> None:  # fmt: skip
    """Write a self-contained result of frames, packed if that is wanted; collective.

    Raises:
        StorageError, ResourceError: a frame is damaged, or the disk failed or is full.
    """
    if packing is None:
        copy_frames(comm, path, content, frames, known)
    else:
        write_packed(comm, path, content, [(frame, 0) for frame in frames], packing)


def copy_frames(
    comm: MPI.Intracomm, path: Path, content: Content, frames: Sequence[Path], known: Mapping[int, Table] = EMPTY
) -> None:
    """Write a self-contained result: rank 0 lays it out, all ranks copy the frames' bytes; collective.

    Bytes move in small pieces or in the kernel alone. Frames of one run have their fields at the same places, those of
    a run that went on after a stop at others: frames are asked for them whose steps are not ``known``.

    Raises:
        StorageError, ResourceError: the disk failed or is full.
    """
    size = content.grid.size * content.dtype.itemsize

    def laid_out() -> Table:
        require_space(path.parent, size * len(content.fields) * len(frames), "the gathered result")
        with naming(path, "lay it out"):
            return lay_out(path, content)

    whole = on_root(comm, laid_out)
    pieces = [(index, field.name) for index in range(len(frames)) for field in content.fields]
    with agreed(comm), naming(path, "copy the frames into it"), path.open("r+b", buffering=0) as target:
        for index, name in pieces[comm.rank :: comm.size]:
            steps = content.steps[index : index + 1]
            at_hand = known.get(steps[0])
            part = replace(at_hand, steps=steps) if at_hand else _table(frames[index], content, steps)
            with frames[index].open("rb", buffering=0) as source:
                copy = partial(copy_bytes, source.fileno(), target.fileno())
                copy(part.values[name], whole.values[name] + index * size, size)
                copy(part.rows[name], whole.rows[name] + index * whole.row, whole.row)
            at = {name: whole.values[name] + index * size}
            rows = {name: whole.rows[name] + index * whole.row}
            copied = replace(whole, values=at, rows=rows, steps=steps)
            _refuse_damage(frames[index], part, path, copied)
        os.fsync(target.fileno())

    def sealed() -> None:
        with naming(path, "write its hashes"):
            seal(path, whole, {})

    on_root(comm, sealed)


def _refuse_damage(frame: Path, table: Table, path: Path, copied: Table) -> None:
    """Refuse a copy of a field whose values do not have the hashes that the frame says.

    Raises:
        StorageError: they have not, of the frame or of the copy alone, or one cannot be read.
    """
    from mpi4py import MPI

    wrong = damages(MPI.COMM_SELF, path, copied, is_all=False)
    if wrong:
        only = replace(
            table, values={n: table.values[n] for n in copied.values}, rows={n: table.rows[n] for n in copied.rows}
        )
        found = damages(MPI.COMM_SELF, frame, only, is_all=False)
        advice = "go on into another result with `restart -o`, or gather the frames before it"
        raise StorageError(
            f"{found[0]}; {advice}" if found else f"{wrong[0]}, though the frame is whole: look at the disk"
        )


def _table(path: Path, content: Content, steps: Sequence[int]) -> Table:
    """Where values and hashes stand in a file of this content.

    Raises:
        StorageError: it is another one.
    """
    with open_read(path) as file:
        names = [field.name for field in content.fields]
        same = all(name in file and file[name].shape == (len(steps), *content.grid.shape) for name in names)
        table = read_table(path, file, names, steps) if same else None
    if table is None or table.size != content.grid.size * content.dtype.itemsize:
        raise StorageError(f"{path}: not a frame of the same run")
    return table


def write_index(places: Places, content: Content, frames: Sequence[Path]) -> None:
    """Write a result of virtual data sets over the frames, named relative to it; for one rank.

    Raises:
        StorageError: the disk failed.
    """
    with naming(places.partial, "write the index"):
        table = lay_out(places.partial, content, [Path(places.frames.name) / frame.name for frame in frames])
        seal(places.partial, table, {})
