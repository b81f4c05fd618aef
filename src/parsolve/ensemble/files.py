"""One operation on many files, spread over ranks, a pool or Dask; when one is broken, the rest go on.

Each file is a task. Where there are more ranks than files, several ranks do a file together.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.ensemble import operations
from parsolve.ensemble.conditions import Condition
from parsolve.ensemble.journal import Done, Journal, Work
from parsolve.ensemble.tasks import Executor
from parsolve.errors import ParsolveError, StorageError
from parsolve.store import writing
from parsolve.store.files import is_file, is_result, naming
from parsolve.store.packing import Packing
from parsolve.store.places import FOLDERS, frames_in
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mpi4py import MPI

TOGETHER = {"convert", "repack", "verify"}  # that several ranks do with one file


def perform(work: Work, comm: MPI.Intracomm) -> Done:
    """Do an operation on the ranks of a communicator and return how it ended; collective."""
    begin, size, found, error = time.perf_counter(), 0, {}, ""
    try:
        size = operations.size_or_zero(work.source)
        found = _do(work, comm)
        error = "; ".join(found.get("damaged", ()))
    except ParsolveError as caught:
        error = str(caught)
    except OSError as caught:
        if comm.size > 1:
            raise
        error = str(writing.failure(work.source, "read it", caught))
    target = None if work.target is None else str(work.target)
    return Done(str(work.source), target, size, time.perf_counter() - begin, error, found)


def _do(work: Work, comm: MPI.Intracomm) -> dict[str, Any]:
    """Do it and return what is found.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    source, target, options = work.source, work.target or work.source, work.options
    if work.operation == "verify":
        return vars(verify(comm, [source]))
    if work.operation == "stats":
        return operations.describe(source)
    if work.operation == "find":
        known = operations.facts(source)
        conditions = [Condition(*parts) for parts in options["where"]]
        missing = [one.key for one in conditions if one.key not in known]
        return {"matches": all(one.holds(known) for one in conditions), "keys": sorted(known) if missing else []}
    if work.operation == "copy":
        operations.copy(comm, source, target, options["force"])
    elif work.operation == "repack":
        packing = Packing(**options["packing"]) if options["packing"] else None
        operations.repack(comm, source, target, options["force"], packing)
    else:
        operations.convert(comm, source, target, options["force"], options["to"])
    return {"bytes": operations.size_of(target)}


def spread(
    works: Sequence[Work],
    where: Any,
    journal: Journal | None = None,
    told: Callable[[Done, int], None] = lambda *_: None,
) -> list[Done] | None:
    """Do all and return how each ended, in their order; on ranks collective, and None but on rank 0.

    Args:
        works: what is to be done.
        where: a communicator, an executor of `concurrent.futures`, or a client of Dask: see `Executor.of`.
        journal: in which each is noted when it has ended well, and what stands in it is not done again.
        told: of each that has ended, and of how many have.

    Raises:
        StorageError: the journal cannot be written.
    """
    with Executor.of(where) as tasks:
        if tasks is None:
            return None
        found: dict[int, Done] = {}
        for n, work in enumerate(works):
            known = journal.find(work) if journal is not None else None
            if known is not None:
                found[n] = known
                told(known, len(found))
        left = sorted(
            (n for n in range(len(works)) if n not in found), key=lambda n: -operations.size_or_zero(works[n].source)
        )
        futures = {}
        for n in left:  # large ones first, so that all ranks end together
            ranks = max(1, tasks.size // len(left)) if works[n].operation in TOGETHER else 1
            futures[tasks.submit(perform, works[n], ranks=ranks)] = n
        for future in tasks.as_completed(list(futures)):
            n = futures.pop(future)
            error = future.exception()
            target = works[n].target
            failed = Done(str(works[n].source), str(target) if target else None, 0, 0.0, f"unexpected error: {error}")
            found[n] = done = future.result() if error is None else failed
            if journal is not None and not done.error:
                journal.note(works[n], done)
            told(done, len(found))
        return [found[n] for n in range(len(works))]


def gather_works(
    operation: str, paths: Sequence[Path], into: Path | None, suffix: str | None, options: dict[str, Any]
) -> list[Work]:
    """Return what is to be done with files, and with all results in folders; their folders are made in ``into``.

    Args:
        operation: its name.
        paths: files and folders. To copy, all files of a folder are taken.
        into: a folder for what is written; None: beside the file.
        suffix: of what is written; None: that of the file.
        options: of the operation.

    Raises:
        StorageError: there is no such file or nothing in a folder, or two would become one.
    """
    is_writing = operation in ("convert", "repack", "copy")
    works, sources = list[Work](), dict[Path, Path]()
    for path, inside in (pair for given in paths for pair in _inside(given, operation == "copy")):
        target = None
        if is_writing:
            name = inside if suffix is None else inside.with_name(_stem(inside) + suffix)
            target = path.with_name(name.name) if into is None else into / name
            if target in sources:
                raise StorageError(f"{target}: is what both '{sources[target]}' and '{path}' become; do one apart")
            sources[target] = path
            if into is not None:
                with naming(target.parent, "make it"):
                    target.parent.mkdir(parents=True, exist_ok=True)
        works.append(Work(operation, path, target, options))
    return works


def _stem(path: Path) -> str:
    """The name of a result without its suffix; of a folder of frames, that of its run."""
    name = path.name
    for suffix in FOLDERS:
        name = name.removesuffix(suffix)
    return Path(name).stem


def _inside(path: Path, is_all: bool) -> Iterator[tuple[Path, Path]]:
    """The files of a folder, or the file itself, and their names in ``into``: a folder keeps its own name.

    Raises:
        StorageError: there is none.
    """
    if is_file(path) or (not is_all and path.is_dir() and (path.name.endswith(FOLDERS) or frames_in(path))):
        yield path, Path(path.name)
        return
    if not path.is_dir():
        raise StorageError(f"{path}: no such file or folder")
    count, above = 0, path.resolve().name
    for folder, names, files in os.walk(path):
        names.sort()
        here = Path(folder)
        frames = [] if is_all else [name for name in names if name.endswith(FOLDERS)]
        names[:] = [name for name in names if name not in frames]
        alone = [here / name for name in frames if not is_file(_result_of(here / name)) and frames_in(here / name)]
        results = [here / name for name in sorted(files) if is_all or is_result(here / name)]
        for found in [*results, *alone]:
            if not found.is_symlink() and not (is_all and not is_file(found)):
                count += 1
                yield found, Path(above) / found.relative_to(path)
    if not count:
        raise StorageError(f"{path}: no {'files' if is_all else 'results'} in this folder")


def _result_of(frames: Path) -> Path:
    """The name of the result of a folder of frames."""
    name = frames.name
    for suffix in FOLDERS:
        name = name.removesuffix(suffix)
    return frames.with_name(name)
