"""A look at an HDF5 file before it is read: values that lie elsewhere are found, and damage ends another process.

The HDF5 library may crash or run for ever on files that are damaged or made with intent. So a file that is
not as parsolve wrote it is first read, in part, by a child with limits: `python -m parsolve.store.look FILE`.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import lru_cache
from math import prod
from pathlib import Path

import h5py

from parsolve.domain.launch import PREFIXES
from parsolve.errors import StorageError
from parsolve.store.files import is_file, open_read
from parsolve.store.integrity import GROUP, is_sealed

_SECONDS = 5  # of computing, after which the child has seen enough
_LIMIT, _PATIENCE = 3 * _SECONDS, 12 * _SECONDS  # of computing and of waiting, after which it is ended
_MEMORY = 4 << 30
_BYTES = 32 << 20  # that it reads of one data set
_PACKED = 40000  # times that zstd makes bytes fewer, at most (128 KiB are 4 bytes); deflate: 1032
_CHUNK = 64 << 20  # bytes of a chunk that may be larger than the values in it
_DEPTH = 8  # of virtual data sets in each other


def look(*paths: Path) -> None:
    """Let a child read what is in HDF5 files that are there, but for those that are as parsolve wrote them.

    Raises:
        StorageError: the child did not survive that.
    """
    foreign = [path for path in paths if is_file(path) and not is_sealed(path)]
    if foreign and sys.executable:
        _survive(tuple(path.absolute() for path in foreign), tuple(map(_state, foreign)))


@lru_cache(maxsize=64)
def _survive(paths: tuple[Path, ...], states: tuple[tuple[int, ...], ...]) -> None:
    """Start the child and wait for it; ``states``: of the files, which may change."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(PREFIXES)}
    environment = inherited | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "parsolve.store.look", *map(str, paths)]
    what = ", ".join(map(str, paths[:3])) + (f" or {len(paths) - 3} more" if len(paths) > 3 else "")
    try:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment, timeout=_PATIENCE,
        )  # fmt: skip
        ended = done.returncode
    except subprocess.TimeoutExpired:
        ended = -signal.SIGXCPU
    if ended == -signal.SIGXCPU:
        raise StorageError(f"{what}: HDF5 does not come to an end with this file; it is damaged")
    if ended < 0:
        name = signal.Signals(-ended).name
        raise StorageError(f"{what}: HDF5 cannot read this file (a trial ended with {name}); it is damaged")


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def refuse_links(file: h5py.File, *groups: str) -> None:
    """Refuse a file with links to other files or names, which may lead anywhere, at its root or in groups of it.

    Raises:
        StorageError: it has one.
    """
    for place in ("/", *groups):
        if place in file and isinstance(group := file[place], h5py.Group):
            for name in group:
                if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                    raise StorageError(f"{file.filename}: '{name}' in '{place}' is a link, which is not followed")


def refuse_empty(dataset: h5py.Dataset) -> None:
    """Refuse a data set that says far more values than its file holds, even packed, or that has far larger chunks.

    Raises:
        StorageError: it does.
    """
    held, packed = dataset.id.get_storage_size(), dataset.chunks is not None
    if not dataset.is_virtual and dataset.nbytes > (_PACKED if packed else 1) * held:
        raise StorageError(
            f"{dataset.file.filename}: '{dataset.name}' is to have {dataset.nbytes} bytes, but has {held}"
        )
    chunk = prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    if chunk > max(_CHUNK, dataset.nbytes):  # each piece of values would unpack as much
        raise StorageError(
            f"{dataset.file.filename}: '{dataset.name}' has {dataset.nbytes} bytes in chunks of {chunk}; damaged"
        )


def refuse_borrowed(dataset: h5py.Dataset, above: tuple[tuple[Path, str], ...] = ()) -> None:
    """Refuse a data set whose values are not all in HDF5 files that are there.

    Args:
        dataset: the data set.
        above: files and names of the virtual data sets that show this one.

    Raises:
        StorageError: it names files of raw bytes, or is virtual and a source is missing, damaged, a pattern of names,
            smaller than what is shown of it, or the data set itself.
    """
    path = Path(dataset.file.filename)
    if dataset.external:
        raise StorageError(
            f"{path}: data set '{dataset.name}' has its values in other files, the first is "
            f"'{dataset.external[0][0]}', which are not read; copy it into one HDF5 file"
        )
    if dataset.is_virtual:
        _refuse_sources(path.absolute(), dataset.name, _state(path), above)


@lru_cache(maxsize=64)  # a data set is read in many pieces
def _refuse_sources(path: Path, name: str, state: tuple[int, ...], above: tuple[tuple[Path, str], ...]) -> None:
    """Refuse a virtual data set as `refuse_borrowed` does; ``state``: of the file, which may change."""
    what, here = f"{path}: data set '{name}' is virtual", (path.resolve(), name)
    if here in above or len(above) >= _DEPTH:
        raise StorageError(f"{what} and shows itself, or is too deep; copy its source")
    needed: dict[tuple[Path, str], list[int]] = {}
    with open_read(path) as file:
        for source in file[name].virtual_sources():
            if "%" in source.file_name + source.dset_name:
                raise StorageError(f"{what} and names its sources by a pattern, '{source.file_name}'; copy it")
            reach = _extent(source.src_space)
            most = needed.setdefault((_source(path, source.file_name, what), source.dset_name), [0] * len(reach))
            most[:] = map(max, most, reach)
    look(*{source_path for source_path, _ in needed})
    for (source_path, source_name), extent in needed.items():
        with open_read(source_path) as file:
            shown = file.get(source_name)
            if not isinstance(shown, h5py.Dataset):
                raise StorageError(f"{what}, and its source '{source_path}' has no data set '{source_name}'")
            shape = shown.shape or ()
            known = extent or shape  # of the whole of a data set in the same file its shape is not said again
            if len(shape) != len(known) or not shape or any(e > n for e, n in zip(known, shape, strict=True)):
                raise StorageError(f"{what} and shows more of '{source_name}' in '{source_path}' than there is")
            refuse_borrowed(shown, (*above, here))


def _extent(selection: h5py.h5s.SpaceID) -> tuple[int, ...]:
    """Return how far a selection reaches along each axis."""
    if selection.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
        return tuple(last + 1 for last in selection.get_select_bounds()[1])
    return tuple(selection.get_simple_extent_dims())


def _source(path: Path, name: str, what: str) -> Path:
    """Return where HDF5 finds a source of a virtual data set.

    Raises:
        StorageError: nowhere.
    """
    if name == ".":
        return path
    for folder in (path.parent, Path(), path.resolve().parent):
        if is_file(folder / name):
            return folder / name
    raise StorageError(f"{what}, and its source '{name}' is missing; keep the two together")


def _try_all(path: Path) -> None:
    """Read of everything in a file as much as the limits allow; errors, other than crashes, are left to later.

    What lies in other files is left out, as `refuse_borrowed` finds it; so this starts no other process.
    """

    def read(_: str, item: h5py.HLObject) -> bool | None:
        with suppress(Exception):
            list(item.attrs.items())
        with suppress(Exception):
            if isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
                refuse_empty(item)  # what is not read later either
                row = max(1, item.nbytes // max(1, item.shape[0])) if item.shape else 1
                _ = item[()] if item.nbytes <= _BYTES else item[: max(1, _BYTES // row)]
        return time.process_time() > _SECONDS or None

    def read_all(group: h5py.Group) -> None:
        """The members one by one, as a walk ends at the first that is broken."""
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.HardLink):
                with suppress(Exception):
                    read(name, group[name])

    with open_read(path) as file:
        read_all(file)
        for name in ("provenance", "series", GROUP, f"{GROUP}/blocks"):
            with suppress(Exception):
                read_all(file[name])
        file.visititems(read)


def main() -> None:
    """Be the child."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT, _LIMIT + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path in sys.argv[1:]:
        with suppress(Exception):
            _try_all(Path(path))


if __name__ == "__main__":
    main()
