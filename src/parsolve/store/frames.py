"""Frames: the state at one time as one file, named when it is complete; and the result that they become."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import StorageError, agree, agreed, on_root
from parsolve.store.combine import combine, write_index
from parsolve.store.files import rename
from parsolve.store.layout import Content, FieldInfo, check_names
from parsolve.store.places import FRAME, Places, claim, discard_unfinished, publish, refuse_slices
from parsolve.store.provenance import spent_text
from parsolve.store.result import content_of, open_result
from parsolve.store.series import Series, described, series_of
from parsolve.store.slabs import FrameWriter
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from mpi4py import MPI
    from numpy.typing import DTypeLike, NDArray

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid, Subdomain
    from parsolve.store.integrity import Table
    from parsolve.store.packing import Packing
    from parsolve.store.result import Result

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
        inputs: Sequence[Path] = (), dimensions: Sequence[FieldInfo] = (), keep_checkpoints: bool = False,
        anew: bool = False, reopen: Callable[[], Places] | None = None, packing: Packing | None = None,
        slices: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._comm, self._packing = comm, packing
        self._keep_frames, self._keep_checkpoints = keep_frames, keep_checkpoints
        self._content = Content(grid, tuple(fields), np.dtype(dtype), dict(provenance), tuple(dimensions))
        self._writer = FrameWriter(comm, self._content)
        self._tables: dict[int, Table] = {}  # of its frames by step

        def claimed() -> Places:
            check_names(fields)
            if packing is not None:
                packing.require()
            if reopen is not None:
                return _reopened(reopen, slices, inputs)
            return claim(Path(path), force=force, number=number, anew=anew, inputs=inputs, slices=slices)

        self._places = on_root(comm, claimed)

    def write(self, time: float, step: int, fields: Sequence[Field]) -> None:
        """Write the fields' owned cells as one frame; collective.

        Raises:
            StorageError, ResourceError: the disk failed or is full; the frame then does not exist.
        """
        by_name = {field.name: field for field in fields}
        if step in self._content.steps:
            raise ValueError(f"step {step} has a frame already: a frame is written once")
        partial = self._places.partial_frame(step)
        # The frames are still there while they are gathered: better to stop now than at the end.
        number = len(self._content.steps) + 1
        room = self._writer.size * (1 if self._keep_frames else number + 1)
        owned = {info.name: by_name[info.name].owned for info in self._content.fields}
        sub = next(iter(fields)).subdomain
        self._writer.write(partial, time, step, sub, owned, room, f"frame {number} with the result")
        self._named(step)
        if self._writer.table is not None:
            self._tables[step] = self._writer.table
        content = self._content
        self._content = replace(content, times=(*content.times, time), steps=(*content.steps, step))

    def go_on(self, frames: Sequence[tuple[int, float]], sub: Subdomain) -> None:
        """Take over the frames of these steps and times, and remove later ones; collective.

        Those that the result of before holds alone, as it was finished, are taken from there.

        Raises:
            StorageError: one is missing.
        """
        places, names = self._places, [info.name for info in self._content.fields]

        def left() -> list[int]:
            steps = {step for step, _ in frames}
            for path in places.working.glob("*.h5"):
                if FRAME.fullmatch(path.name) and int(path.stem) not in steps:
                    path.unlink()
            there = [step for step in steps if places.frame(step).exists()]
            if there:
                self._refuse_other(places.working, [places.frame(step) for step in there])
            return [step for step in steps if step not in there]

        missing = on_root(self._comm, left)
        gone = f"{places.result}: is not there, and has frames of the run; put it back, or give another -o to `restart`"
        there = on_root(self._comm, lambda: not missing or places.result.exists())
        agree(self._comm, None if there else StorageError(gone))
        damaged = verify(self._comm, [places.result]).damaged if missing else []
        agree(self._comm, StorageError(f"{damaged[0]}; its frames are needed to go on") if damaged else None)
        for step, time in frames:
            if step in missing:
                values: dict[str, NDArray[Any]] = {}
                with agreed(self._comm), open_result(places.result) as old:
                    self._refuse_run(places.result, old.provenance)
                    values = {name: _box(old, name, step, sub) for name in names}
                self._writer.write(places.partial_frame(step), time, step, sub, values, self._writer.size, "a frame")
                self._named(step)
        self._content = replace(self._content, times=tuple(t for _, t in frames), steps=tuple(s for s, _ in frames))

    def series_before(self) -> list[Series]:
        """The time series of the result that is replaced; for one rank."""
        if not self._places.result.exists():
            return []
        with open_result(self._places.result) as old:
            self._refuse_run(self._places.result, old.provenance)
            return old.series

    @property
    def frames(self) -> list[tuple[int, float]]:
        """Step and time of the frames so far."""
        return list(zip(self._content.steps, self._content.times, strict=True))

    def has(self, step: int) -> bool:
        """Whether there is a frame of a step."""
        return step in self._content.steps

    @property
    def result(self) -> Path:
        """The name that the result gets."""
        return self._places.result

    def frame(self, step: int) -> Path:
        """The file of the frame of a step."""
        return self._places.frame(step)

    @property
    def folder(self) -> Path:
        """Where the frames are."""
        return self._places.working

    @property
    def places(self) -> Places:
        """Where everything is."""
        return self._places

    def finish(self, measured: Sequence[FieldInfo] = (), spent: tuple[float, int] = (0.0, 0)) -> Path:
        """Turn the frames into the result: a self-contained file, or an index of the kept frames; collective.

        With the time series of its folder, of which ``measured`` says the units, and the seconds and steps ``spent``.

        Raises:
            StorageError, ResourceError: the disk failed or is full; the frames are then still there.
        """
        places = self._places
        missing = StorageError(f"{places.result}: no frame was written, so there is no result")
        agree(self._comm, None if self._content.steps else missing)
        frames = [places.frame(step) for step in self._content.steps]
        more = on_root(self._comm, lambda: spent_text(spent))
        self._content = replace(self._content, provenance={**self._content.provenance, **more})
        if measured:
            series = on_root(self._comm, lambda: described(series_of(places.working), measured))
            self._content = replace(self._content, series=series)
        if self._keep_frames:
            on_root(self._comm, lambda: write_index(places, self._content, frames))
        else:
            combine(self._comm, places.partial, self._content, frames, self._packing, self._tables)
        on_root(self._comm, lambda: publish(places, self._keep_frames, self._keep_checkpoints))
        return places.result

    def _refuse_other(self, folder: Path, frames: Sequence[Path]) -> None:
        """Refuse to go on with frames of another run, or that lack fields.

        Raises:
            StorageError: they are, or do.
        """
        held = content_of(frames)
        self._refuse_run(folder, held.provenance)
        missing = {info.name for info in self._content.fields} - {info.name for info in held.fields}
        if missing:
            raise StorageError(f"{folder}: has no field '{min(missing)}'; give output.fields as before, or another -o")

    def _refuse_run(self, path: Path, said: Mapping[str, str]) -> None:
        """Refuse to go on with what another run wrote.

        Raises:
            StorageError: it did.
        """
        if said.get("run") != self._content.provenance.get("run"):
            raise StorageError(f"{path}: is of another run than the checkpoint; move it away, or give another -o")

    def _named(self, step: int) -> None:
        """Give a frame its name; collective."""
        on_root(self._comm, lambda: rename(self._places.partial_frame(step), self._places.frame(step)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Leave the complete frames and remove unfinished files; not collective, safe after any error."""
        if self._comm.rank == 0:
            discard_unfinished(self._places)


def _reopened(reopen: Callable[[], Places], slices: Sequence[str], inputs: Sequence[Path]) -> Places:
    """Return the places of a run that goes on.

    Raises:
        StorageError: as of ``reopen``, or something has the name of a slice that is not replaced.
    """
    places = reopen()
    try:
        refuse_slices(places.result, slices, places.renews, inputs)
    except StorageError:
        places.claim.release()
        raise
    return places


def _box(old: Result, name: str, step: int, sub: Subdomain) -> NDArray[Any]:
    """Return the owned cells of a field at a step.

    Raises:
        StorageError: there is no such step.
    """
    found = np.flatnonzero(old.steps == step)
    if not found.size or old.grid.cells != sub.grid.cells:
        raise StorageError(f"{old.path}: the frame of step {step} is neither here nor in the frames")
    box = tuple(slice(a, b) for a, b, there in zip(sub.start, sub.stop, sub.grid.present, strict=True) if there)
    return old.read(name, int(found[0]), box).reshape(sub.shape)
