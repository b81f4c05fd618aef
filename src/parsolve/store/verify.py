"""Whether results, frames and checkpoints are as they were written; damage is told with file, field and bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parsolve.errors import StorageError, on_root
from parsolve.store.checkpoint import MANIFEST, read_manifest
from parsolve.store.files import is_file
from parsolve.store.integrity import Table, damages, read_table
from parsolve.store.look import look
from parsolve.store.places import FRAME
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mpi4py import MPI


@dataclass
class Report:
    """What was found: files that are whole, those that say nothing of their bytes, and what is damaged."""

    whole: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def verify(comm: MPI.Comm, paths: Sequence[Path]) -> Report:
    """Compare every byte of results, frames, manifests or folders of them with its hash; collective.

    After damage it goes on with the rest.

    Raises:
        StorageError: there is nothing of such a name, or nothing in a folder.
    """
    report = Report()
    runs: dict[Path, str] = {}
    files = on_root(comm, lambda: [file for path in paths for file in _inside(path)])
    for path in files:
        try:
            found = _damages(comm, path, runs)
        except StorageError as error:
            found = [str(error)]
        if found is None:
            report.unknown.append(str(path))
        else:
            report.damaged.extend(found)
            report.whole.extend([] if found else [str(path)])
    return report


def _inside(path: Path) -> list[Path]:
    """The files to look at: those of a folder, or the file itself; with an index also its frames."""
    if path.is_dir():
        names = sorted(inner.name for inner in path.iterdir())
        found = [path / name for name in names if FRAME.fullmatch(name) or MANIFEST.fullmatch(name)]
        if not found:
            raise StorageError(f"{path}: is a folder without frames or checkpoints of a run")
        return found
    if not is_file(path):
        raise StorageError(f"{path}: no such file")
    return [path]


def _damages(comm: MPI.Comm, path: Path, runs: dict[Path, str]) -> list[str] | None:
    """What is wrong with a file; None if it has no hashes; collective.

    The frames of a folder and the index that shows them are to be of one run: the first one found is noted.
    """
    if MANIFEST.fullmatch(path.name):
        checkpoint = on_root(comm, lambda: read_manifest(path))
        damage = checkpoint.damage(comm)
        return _damages(comm, checkpoint.file, runs) or ([damage] if damage else [])

    def known() -> tuple[Table | None, list[str]]:
        look(path)
        with open_result(path) as result:
            run = result.provenance.get("run", "")
            steps, first = [int(step) for step in result.steps], result.file[result.fields[0]]
            if FRAME.fullmatch(path.name) and steps != [int(path.stem)]:
                raise StorageError(f"{path}: damaged: is the frame of step {steps[0]}")
            if FRAME.fullmatch(path.name) and runs.setdefault(path.parent.resolve(), run) != run:
                raise StorageError(f"{path}: is of another run than the frames beside it")
            shown = {source.file_name for source in first.virtual_sources()} if first.is_virtual else set()
            for name in shown:
                runs.setdefault((path.parent / name).parent.resolve(), run)
            return read_table(path, result.file, result.fields, steps), sorted(shown)

    table, shown = on_root(comm, known)
    if table is None and not shown:
        return None
    found = [] if table is None else damages(comm, path, table)
    return found + [text for name in shown for text in _damages(comm, path.parent / name, runs) or ()]
