"""Small files written whole or not at all, and what a name must be to be written to; loads no HDF5."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from parsolve.errors import ResourceError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_LONGEST = 255 - len("..frames.partial")  # bytes of a file name, with what temporary names add


def write_whole(
    path: Path, content: bytes, *, force: bool = False, number: bool = False, inputs: Iterable[Path] = ()
) -> Path:
    """Write a small file and return its path; on any failure what was there before is still there, and nothing else.

    Args:
        path: its name.
        content: all of it.
        force: replace a regular file that is there already.
        number: if there is something already that is not to be replaced, take stem-2, stem-3, ...
        inputs: files that are never replaced.

    Raises:
        StorageError: the name cannot be written to, or there is a file already.
        ResourceError: no space is left.
    """
    refuse_name(path)
    refuse_inputs(path, inputs)
    if os.path.lexists(path) and not number:
        refuse_special(path)
    with written_aside(path) as aside:
        with aside.open("xb") as file:
            file.write(content)
        return give_name(aside, path, force=force, number=number)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give the name under which a file is written before it gets its own (`give_name`); at the end nothing has it.

    Raises:
        StorageError, ResourceError: an OSError of the body.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield aside
    except OSError as caught:
        raise failure(path, "write it", caught) from caught
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def give_name(aside: Path, path: Path, *, force: bool = False, number: bool = False) -> Path:
    """Bring a file that is complete to the disk and give it its name, which is returned.

    Raises:
        OSError: it cannot be done.
        StorageError: there is a file of that name, and neither `force` nor `number` is set.
    """
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    if force:
        return aside.replace(path)
    for name in numbered(path) if number else (path,):
        with suppress(FileExistsError):
            return _give_name(aside, name)
    raise _taken(path)


def refuse_there(path: Path, force: bool) -> None:
    """Refuse a name under which no new file can be written: before there is something to write.

    Raises:
        StorageError: it cannot be one; or something has it that is not to be replaced.
    """
    refuse_name(path)
    if os.path.lexists(path):
        refuse_special(path)
        if not force:
            raise _taken(path)


def _taken(path: Path) -> StorageError:
    return StorageError(f"{path}: exists already; use -o for another name or --force to replace it")


def numbered(path: Path) -> Iterator[Path]:
    """Yield the path, then with -2, -3, ... behind its stem."""
    yield path
    for count in itertools.count(2):
        yield path.with_name(f"{path.stem}-{count}{path.suffix}")


def _give_name(aside: Path, name: Path) -> Path:
    """Give a file a name that nothing has, and return it.

    Raises:
        FileExistsError: something has it.
    """
    try:
        name.hardlink_to(aside)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(name):
            raise FileExistsError from None
        aside.replace(name)
    return name


def failure(path: Path, action: str, caught: OSError, advice: str = "") -> StorageError | ResourceError:
    """The error for a failed action on a file: ResourceError when space ran out, else StorageError with an advice."""
    if caught.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{path}: cannot {action}: no space left (or quota reached); free some or use another -o")
    return StorageError(f"{path}: cannot {action}: {caught.strerror or caught}{advice}")


def refuse_name(path: Path) -> None:
    """Refuse what cannot be the name of a new file.

    Raises:
        StorageError: it is empty, too long, has characters that no file name should have, or is in no directory.
    """
    text = str(path)
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise StorageError(f"{text!r}: a file name without control characters is due; use another -o")
    if path.name in ("", ".."):
        raise StorageError(f"{path}: is a directory; name a file with -o")
    if len(os.fsencode(path.name)) > _LONGEST or len(os.fsencode(path.absolute())) > 4000:
        raise StorageError(f"{text[:40]}...: a name of {len(text)} characters is too long; use a shorter -o")
    try:
        if not stat.S_ISDIR(path.parent.stat().st_mode):
            raise NotADirectoryError
    except OSError as caught:
        why = {FileNotFoundError: "does not exist; create it or", PermissionError: "cannot be entered;"}
        text = why.get(type(caught), "is no directory;")
        raise StorageError(f"{path}: directory '{path.parent}' {text} use another -o") from None


def refuse_special(path: Path) -> None:
    """Refuse what is there under a name, unless it is a regular file.

    Raises:
        StorageError: it is a directory, a link, a device or a pipe.
    """
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise StorageError(f"{path}: is a link, to '{path.readlink()}'; name the file itself or use another -o")
    if stat.S_ISDIR(mode):
        raise StorageError(f"{path}: is a directory; name a file with -o, e.g. -o {path / 'new'}")
    if not stat.S_ISREG(mode):
        raise StorageError(f"{path}: is a device, pipe or socket, not a file; use another -o")


def refuse_inputs(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse a name under which a file lies that is read.

    Raises:
        StorageError: it is one of the inputs.
    """
    for file in inputs:
        with suppress(OSError, ValueError):
            if path.samefile(file):
                raise StorageError(f"{path}: is read here ('{file}'), so it is not replaced; use another -o")
