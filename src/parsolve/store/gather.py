"""The result of the frames that a run left, however it ended."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from parsolve.errors import StorageError, on_root
from parsolve.store import claims, writing
from parsolve.store.combine import combine
from parsolve.store.files import rename
from parsolve.store.layout import FieldInfo
from parsolve.store.packing import LEVELS, Packing
from parsolve.store.places import find_folder, frames_in, partial_of, refuse_slices, refuse_taken, slice_of
from parsolve.store.provenance import spent_text
from parsolve.store.result import content_of
from parsolve.store.rows import RowFile, publish, rows_in
from parsolve.store.series import described, series_of
from parsolve.store.status import read_status
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.store.claims import Claim
    from parsolve.store.layout import Content
    from parsolve.store.series import Series


@dataclass
class Gathered:
    """The result that was made, the times of its frames, and what is wrong with frames or rows that were left out.

    ``slices``: of each its ``result`` and how many ``frames`` are in it.
    """

    result: str
    times: list[float]
    damaged: list[str] = field(default_factory=list)
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)


def gather(comm: MPI.Intracomm, run: Path, out: Path | None = None, force: bool = False) -> Gathered:
    """Make one file of the complete frames of a run, which stay; those that are damaged are left out; collective.

    Likewise of the rows of each slice, of which those from the first damaged one on are left out.

    Args:
        comm: all ranks.
        run: the name of the run's result, or the folder of its frames.
        out: another name for the result.
        force: replace an older one.

    Raises:
        StorageError: there are no whole frames, they are of several runs, the name is taken, or the disk failed.
    """
    folder, name = on_root(comm, lambda: find_folder(run, frames_in))
    if folder is None:
        why = "give its result or its folder of frames (a result that is whole has them in it)"
        raise StorageError(f"{run}: no frames of a run; {why}")
    result, frames = out or name, on_root(comm, lambda: frames_in(folder))

    def refused() -> None:
        writing.refuse_name(result)
        refuse_taken(result, force)
        refuse_slices(result, slices, force)

    slices = on_root(comm, lambda: rows_in(folder))
    on_root(comm, refused)
    report = verify(comm, frames)
    frames = [path for path in frames if str(path) in {*report.whole, *report.unknown}]
    if not frames:
        raise StorageError(f"{folder}: no frame is whole: {'; '.join(report.damaged)}")

    def outlined() -> Content:
        content = content_of(frames)
        said = {**content.provenance, **_spent(folder)}
        return replace(content, provenance=said, series=_series(folder, content.provenance))

    content = on_root(comm, outlined)

    def claimed() -> Claim:
        claim = claims.take(result)
        try:
            refuse_taken(result, force)
        except StorageError:
            claim.release()
            raise
        return claim

    packing, made = _packing(content.provenance), dict[str, dict[str, Any]]()
    claim, partial = on_root(comm, claimed), partial_of(result)
    try:
        combine(comm, partial, content, frames, packing)
        for one, path in slices.items():
            found, doubt = _slice(comm, path, slice_of(result, one), packing, force)
            made |= {one: found} if found["frames"] else {}
            report.damaged += [doubt] if doubt else []
        on_root(comm, lambda: rename(partial, result))
    finally:
        if comm.rank == 0:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            claim.release()
    return Gathered(str(result), list(content.times), report.damaged, made)


def _slice(
    comm: MPI.Intracomm, path: Path, result: Path, packing: Packing | None, force: bool
) -> tuple[dict[str, Any], str]:
    """Make a result of the rows of a slice, if there are whole ones; what it is, and what is wrong; collective.

    Raises:
        StorageError, ResourceError: the result cannot be written; no memory to look at a row; the same on all ranks.
    """
    rows: RowFile | None = None  # on rank 0

    def looked() -> tuple[int, str]:
        nonlocal rows
        try:
            rows = RowFile.of(path)
        except StorageError as error:
            return 0, str(error)
        doubt = f"{rows.doubt}, and those behind it" if rows.doubt else ""
        return len(rows.times), doubt or ("" if rows.times else f"{path}: has no whole row")

    count, text = on_root(comm, looked)
    frames = publish(comm, rows, result, packing, force) if count else 0
    return {"result": str(result), "frames": frames}, text


def _spent(folder: Path) -> dict[str, str]:
    """How long the run has marched, as it said last."""
    with suppress(StorageError):
        return spent_text(read_status(folder).spent)
    return {}


def _packing(provenance: Mapping[str, str]) -> Packing | None:
    """How the run would have packed its result, by its case."""
    with suppress(tomllib.TOMLDecodeError, AttributeError):
        method = tomllib.loads(provenance.get("case", "")).get("output", {}).get("compression")
        return Packing(method) if method in LEVELS else None
    return None


def _series(folder: Path, provenance: Mapping[str, str]) -> tuple[Series, ...]:
    """The time series of a run that left its frames, with the units that its case says."""
    series, said = series_of(folder), dict[str, Any]()
    with suppress(tomllib.TOMLDecodeError):
        said = tomllib.loads(provenance.get("case", ""))
    units, texts = (said.get(key, {}) for key in ("units", "measure"))
    infos = []
    for name in (s.name for s in series):
        unit, text = units.get(name, "1"), texts.get(name, name)
        known = unit if isinstance(unit, dict) else {"unit": unit}
        of = text.get("of", name) if isinstance(text, dict) else text
        infos.append(FieldInfo(name, str(known.get("name") or of), str(known.get("unit", "1"))))
    return described(series, infos)
