"""One operation on many files, spread over ranks, a pool or Dask; when one is broken, the rest go on.

Each file is a task. Where there are more ranks than files, several ranks do a file together.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.ensemble import operations
from parsolve.ensemble.calls import EndedError
from parsolve.ensemble.conditions import Condition
from parsolve.ensemble.engines import Pool
from parsolve.ensemble.journal import Done, Journal, Work
from parsolve.ensemble.tasks import Executor
from parsolve.errors import ParsolveError, ResourceError, StorageError
from parsolve.store import writing
from parsolve.store.files import is_file, is_result, naming
from parsolve.store.packing import Packing
from parsolve.store.places import FOLDERS, frames_in, partial_of
from parsolve.store.result import open_result
from parsolve.store.source import HDF5
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from mpi4py import MPI

TOGETHER = {"convert", "repack", "verify"}  # that several ranks do with one file


def perform(work: Work, comm: MPI.Intracomm) -> Done:
    """Do an operation on the ranks of a communicator and return how it ended; collective."""
    begin, size, found, error, code = time.perf_counter(), 0, {}, "", 0
    try:
        size = operations.size_or_zero(work.source)
        found = _do(work, comm)
        error = "; ".join(found.get("damaged", ()))
        code = StorageError.exit_code if error else 0
    except ParsolveError as caught:
        error, code = _worded(work, str(caught)), caught.exit_code
    except OSError as caught:
        if comm.size > 1:
            raise
        failed = writing.failure(work.source, "read it", caught)
        error, code = str(failed), failed.exit_code
    return _done(work, size, time.perf_counter() - begin, error, code, found)


def _done(work: Work, size: int, seconds: float, error: str, code: int, found: dict[str, Any]) -> Done:
    target = None if work.target is None else str(work.target)
    return Done(work.name or str(work.source), target, size, seconds, error, code, found)


def _worded(work: Work, error: str) -> str:
    """An error with the name that the file gets, and the option that these commands have."""
    if work.target is not None:
        error = error.replace(str(partial_of(work.target)), str(work.target))
    return error.replace("another -o", "another --into")


def _do(work: Work, comm: MPI.Intracomm) -> dict[str, Any]:
    """Do it and return what is found.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    source, target, options = work.source, work.target or work.source, work.options
    if work.operation == "verify":
        return vars(verify(comm, [source]))
    if work.operation == "stats":
        return operations.describe(comm, source)
    if work.operation == "find":
        known = operations.facts(source)
        conditions = [Condition(*parts) for parts in options["where"]]
        missing = [one.key for one in conditions if one.key not in known]
        doubts = [one.doubt(known) if one.key in known else None for one in conditions]
        matches = all(one.holds(known) for one in conditions)
        return {"matches": matches, "keys": sorted(known) if missing else [], "doubts": doubts}
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
        where: a pool, or what `Executor.of` takes: a communicator, an executor, a client of Dask.
        journal: in which each is noted when it has ended well, and what stands in it is not done again.
        told: of each that has ended, and of how many have.

    Raises:
        StorageError: the journal cannot be written.
    """
    found: dict[int, Done] = {}

    def note(n: int, done: Done) -> None:
        found[n] = done
        if journal is not None and not done.error and not done.skipped:
            journal.note(works[n], done)
        told(done, len(found))

    if journal is not None:
        for n, work in enumerate(works):
            known = journal.find(work)
            if known is not None:
                note(n, known)
    if not isinstance(where, Pool) and getattr(where, "size", 0) == 1:
        for n in range(len(works)):
            if n not in found:
                note(n, _ended(works[n], partial(perform, works[n], where)))
        return [found[n] for n in range(len(works))]
    with where if isinstance(where, Pool) else Executor.of(where) as tasks:
        if tasks is None:
            return None
        left = [n for n in range(len(works)) if n not in found]
        left.sort(key=lambda n: operations.size_or_zero(works[n].source), reverse=True)
        futures: dict[Future[Any], int] = {}
        for n in left:  # large ones first, so that all ranks end together
            ranks = max(1, tasks.size // len(left)) if works[n].operation in TOGETHER else 1
            futures[tasks.submit(perform, works[n], ranks=ranks)] = n
        for future in tasks.as_completed(list(futures)):
            n = futures.pop(future)
            note(n, _ended(works[n], future.result))
    return [found[n] for n in range(len(works))]


def _ended(work: Work, ask: Callable[[], Done]) -> Done:
    """How a task ended, also if what did it is gone."""
    try:
        return ask()
    except (CancelledError, BrokenExecutor, EndedError):
        lost = "not done: a worker was killed, perhaps for lack of memory; fewer workers need less"
        return _done(work, 0, 0.0, lost, ResourceError.exit_code, {})
    except Exception as error:
        return _done(work, 0, 0.0, f"unexpected error: {error}", 1, {})


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
    is_writing, is_all = operation in ("convert", "repack", "copy"), operation == "copy"
    if into is not None and any(_is_below(into, path) for path in paths if path.is_dir()):
        raise StorageError(f"{into}: is in a folder that is read; give another --into")
    pairs = dict.fromkeys(pair for path in paths for pair in _inside(path, is_all))
    sources = {os.path.realpath(path) for path, _ in pairs}
    works, targets = list[Work](), dict[str, Path]()
    for path, inside in pairs:
        target = None
        if is_writing:
            name = inside if suffix is None else inside.with_name(_stem(inside) + suffix)
            target = (path.with_name(name.name) if into is None else into / name).absolute()
            real = os.path.realpath(target)
            if real in targets:
                raise StorageError(f"{target}: is what both '{targets[real]}' and '{path}' become; do one apart")
            if real in sources:
                raise StorageError(f"{target}: is read here, so it is not replaced; give another --into")
            targets[real] = path
        works.append(Work(operation, path.absolute(), target, options, str(path)))
    for folder in dict.fromkeys(work.target.parent for work in works if work.target is not None):
        with naming(folder, "make it"):
            folder.mkdir(parents=True, exist_ok=True)
    return works


def refuse_record(record: Path, paths: Sequence[Path]) -> None:
    """Refuse a record within what is copied.

    Raises:
        StorageError: it is.
    """
    if any(_is_below(record, path) for path in paths):
        raise StorageError(f"{record}: is in a folder that is copied; give another --record")


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _stem(path: Path) -> str:
    """The name of a result without its suffix; of a folder of frames, that of its run."""
    return _result_of(path).stem


def _inside(path: Path, is_all: bool) -> Iterator[tuple[Path, Path]]:
    """The files of a folder, or the file itself, and their names in ``into``: a folder keeps its own name.

    Raises:
        StorageError: there is none.
    """
    if is_file(path) or (not is_all and path.is_dir() and (path.name.endswith(FOLDERS) or frames_in(path))):
        yield Path(os.path.realpath(path)) if path.is_symlink() else path, Path(path.name)
        for frame in _shown(path) if is_all else ():
            yield frame, Path(frame.parent.name) / frame.name
        return
    if not path.is_dir():
        raise StorageError(f"{path}: no such file or folder")
    count, above = 0, path.resolve().name
    for folder, names, files in os.walk(path, onerror=_refuse_folder):
        here, links = Path(folder), [name for name in names if (Path(folder) / name).is_symlink()]
        frames = [] if is_all else [name for name in names if name.endswith(FOLDERS)]
        names[:] = sorted(name for name in names if name not in {*frames, *links})
        if is_all:
            found = [here / name for name in sorted([*files, *links])]
        else:
            found = [here / name for name in sorted(files) if _is_candidate(here / name)]
            found += [here / name for name in frames if frames_in(here / name) and not is_file(_result_of(here / name))]
        for file in found:
            count += 1
            yield file, Path(above) / file.relative_to(path)
    if not count:
        raise StorageError(f"{path}: no {'files' if is_all else 'results'} in this folder")


def _refuse_folder(error: OSError) -> None:
    """Refuse a folder that cannot be looked into: what is in it would be left out in silence.

    Raises:
        StorageError: always.
    """
    raise writing.failure(Path(str(error.filename)), "look into it", error)


def _is_candidate(file: Path) -> bool:
    """Whether a file is a result, or has the name of one and cannot be read."""
    real = Path(os.path.realpath(file))
    return is_result(real) or (file.suffix in HDF5 and is_file(real) and not os.access(real, os.R_OK))


def _shown(path: Path) -> list[Path]:
    """The frames that an index shows."""
    with suppress(ParsolveError), open_result(path) as result:
        return [file for file, _ in result.moments() if file != path.absolute() and not file.samefile(path)]
    return []


def _result_of(frames: Path) -> Path:
    """The name of the result of a folder of frames."""
    name = frames.name
    for suffix in FOLDERS:
        name = name.removesuffix(suffix)
    return frames.with_name(name)
