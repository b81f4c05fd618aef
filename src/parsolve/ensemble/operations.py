"""What is done with one file: converted, repacked, copied, described, or asked whether it is looked for."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.case.tables import flat
from parsolve.errors import StorageError, agreed, on_root
from parsolve.store import claims, writing
from parsolve.store.export import SOURCE, WRITERS
from parsolve.store.files import copy_bytes, is_result, naming, require_space, sync
from parsolve.store.hashes import block_hashes
from parsolve.store.packing import Packing, write_packed
from parsolve.store.places import partial_of
from parsolve.store.result import open_result
from parsolve.store.statistics import NONE, statistics_at
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.store.layout import Content
    from parsolve.store.packing import Moment
    from parsolve.store.result import Result

RESULTS = {"hdf5": ".h5", "vtkhdf": ".vtkhdf"}  # formats that are results
FORMATS = RESULTS | {name: suffix for name, (suffix, _) in WRITERS.items()}


def convert(comm: MPI.Intracomm, source: Path, target: Path, force: bool, to: str) -> None:
    """Write a result in another format; collective.

    Raises:
        StorageError, ResourceError: it is damaged, the target is there, or the disk failed or is full.
        SetupError: a package is missing.
    """
    if to in RESULTS:
        repack(comm, source, target, force, None)
        return
    _refuse_damage(comm, source)

    def write(partial: Path) -> None:
        with agreed(comm):
            if comm.rank == 0:
                with open_result(source) as result, naming(target, "write it"):
                    WRITERS[to][1](result, partial, target)

    _replace(comm, source, target, force, write)


def repack(comm: MPI.Intracomm, source: Path, target: Path, force: bool, packing: Packing | None) -> None:
    """Write a result with its values packed, packed otherwise, or not; collective.

    Raises:
        StorageError, ResourceError: it is damaged, the target is there, or the disk failed or is full.
        SetupError: a package is missing.
    """
    _refuse_damage(comm, source)
    wished = set((packing.cells if packing else None) or {})

    def known() -> tuple[Content, list[Moment]]:
        with open_result(source) as result:
            if not wished <= set(result.axes):
                wrong = min(wished - set(result.axes))
                raise StorageError(f"{source}: has no axis '{wrong}', but {', '.join(sorted(result.axes))}")
            return result.content(), result.moments()

    content, moments = on_root(comm, known)
    _replace(comm, source, target, force, lambda partial: write_packed(comm, partial, content, moments, packing))


def copy(comm: MPI.Intracomm, source: Path, target: Path, force: bool) -> None:
    """Copy a file with its times of change; what was written is compared with what was read; collective.

    Raises:
        StorageError, ResourceError: it is a result and damaged, the target is there, or the disk failed or is full.
    """
    if on_root(comm, lambda: is_result(source)):
        _refuse_damage(comm, source)
    kind = on_root(comm, lambda: stat.S_IFMT(source.lstat().st_mode))
    if kind == stat.S_IFLNK:
        _replace(
            comm, source, target, force, lambda partial: on_root(comm, lambda: partial.symlink_to(source.readlink()))
        )
        return
    with agreed(comm):
        if kind != stat.S_IFREG:
            raise StorageError(f"{source}: is a device, pipe or socket, which is not copied")

    def write(partial: Path) -> None:
        with agreed(comm):
            if comm.rank == 0:
                size = source.stat().st_size
                require_space(target.parent, size, f"the copy of '{source}'")
                with naming(target, f"copy '{source}' to it"):
                    with source.open("rb", buffering=0) as old, partial.open("wb", buffering=0) as new:
                        copy_bytes(old.fileno(), new.fileno(), 0, 0, size)
                    sync(partial)
        size = on_root(comm, lambda: source.stat().st_size)
        same = [block_hashes(comm, path, {"bytes": (0, size)}, "") for path in (source, partial)]
        with agreed(comm):
            if same[0] != same[1]:
                raise StorageError(f"{target}: what was written is not what was read from '{source}'")
            if comm.rank == 0:
                shutil.copystat(source, partial)

    _replace(comm, source, target, force, write)


def describe(comm: MPI.Intracomm, source: Path) -> dict[str, Any]:
    """Return size, times and of each field the statistics over all times and cells.

    Raises:
        StorageError: it is damaged, or no result.
    """
    _refuse_damage(comm, source)
    with open_result(source) as result:
        count = range(len(result.times))
        return {
            "cells": dict(zip(result.axes, result.grid.shape, strict=True)),
            "times": [float(result.times[0]), float(result.times[-1])],
            "frames": len(result.times),
            "fields": {
                name: sum((statistics_at(result, name, n) for n in count), NONE).table() for name in result.fields
            },
        }


def facts(source: Path) -> dict[str, Any]:
    """Return what can be asked for: the keys of its case, and facts of the file.

    These are ``fields``, ``frames``, the last ``step`` and ``time``, ``ranks``, ``created``, ``bytes``, ``title`` and
    ``parsolve``, the version.

    Raises:
        StorageError: it is no result, or damaged beside its values.
    """
    with open_result(source) as result:
        doubt = "" if source.is_dir() else result.doubt()
        if doubt:
            raise StorageError(doubt)
        known = _case(result)
        known |= {key: text for key, text in result.provenance.items() if key in ("created", "parsolve", "title")}
        with suppress(KeyError, ValueError):
            known["ranks"] = int(result.provenance["ranks"])
        known |= {"fields": list(result.fields), "frames": len(result.times)}
        return known | {"step": int(result.steps[-1]), "time": float(result.times[-1]), "bytes": size_of(source)}


def _case(result: Result) -> dict[str, Any]:
    """The keys and values of the case of a result, with points; none if it does not say."""
    with suppress(tomllib.TOMLDecodeError, AttributeError):
        return flat(tomllib.loads(result.provenance.get("case", "")))
    return {}


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(inner.lstat().st_size for inner in path.rglob("*") if inner.is_file())
    return path.lstat().st_size if path.is_symlink() and not path.exists() else path.stat().st_size


def size_or_zero(path: Path) -> int:
    """Return the bytes of a file or a folder; 0 if they are not known."""
    with suppress(OSError):
        return size_of(path)
    return 0


def _refuse_damage(comm: MPI.Intracomm, source: Path) -> None:
    report = verify(comm, [source])
    with agreed(comm):
        if report.damaged:
            raise StorageError(report.damaged[0])


def _replace(comm: MPI.Intracomm, source: Path, target: Path, force: bool, write: Callable[[Path], None]) -> None:
    """Write a file, or a folder, under another name, and give it its name when it is complete; collective.

    Raises:
        StorageError, ResourceError: the name is taken, or the disk failed or is full.
    """

    def claimed() -> claims.Claim:
        writing.refuse_name(target)
        claim = claims.take(target)
        try:
            if _old(target).exists() and not os.path.lexists(target):  # it was killed between two names
                _old(target).rename(target)
            _refuse_taken(source, target, force)
        except BaseException:
            claim.release()
            raise
        return claim

    claim, partial = on_root(comm, claimed), partial_of(target)
    try:
        if comm.rank == 0:
            _remove(partial)
        write(partial)
        on_root(comm, lambda: _name(source, partial, target, force))
    finally:
        if comm.rank == 0:
            with suppress(OSError):
                _remove(partial)
            claim.release()


def _refuse_taken(source: Path, target: Path, force: bool) -> None:
    """Refuse the name of something that is there, but, to be replaced by force, a file or what was written as Zarr.

    Raises:
        StorageError: it is there.
    """
    if not os.path.lexists(target):
        return
    if not force:
        raise StorageError(f"{target}: exists already; use --force to replace it, or another --into")
    writing.refuse_inputs(target, [source])
    if not (target.is_dir() and not target.is_symlink() and _is_zarr(target)):
        writing.refuse_special(target)


def _is_zarr(path: Path) -> bool:
    """Whether a folder is a group of Zarr that was written here."""
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        said = json.loads((path / "zarr.json").read_bytes()) if (path / "zarr.json").is_file() else {}
        return str(said.get("attributes", {}).get("source", "")).startswith(SOURCE)
    return False


def _old(target: Path) -> Path:
    """The name of a folder while another takes its place."""
    return target.with_name(f".{target.name}.old")


def _name(source: Path, partial: Path, target: Path, force: bool) -> None:
    """Bring a complete file or folder to the disk and give it its name.

    Raises:
        StorageError: it cannot have it.
    """
    with naming(target, "give it its name"):
        folders = (
            [] if partial.is_symlink() or not partial.is_dir() else [Path(place) for place, *_ in os.walk(partial)]
        )
        for folder in folders:
            for inner in folder.iterdir():
                if inner.is_file():
                    sync(inner)
            sync(folder)
        if not folders and not partial.is_symlink():
            sync(partial)
        _refuse_taken(source, target, force)  # what came meanwhile
        if folders and target.exists():
            _remove(_old(target))
            target.rename(_old(target))  # a folder cannot take the place of another
            partial.rename(target)
            _remove(_old(target))
        else:
            partial.replace(target)
        sync(target.parent)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
