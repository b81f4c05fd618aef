"""Compiled libraries kept between runs, in a directory that nobody else can write to.

Who can write to this directory can make us run code, so it is never in a shared temporary directory, and it is not
trusted by its name: each directory on the way is opened relative to the one before, without following links, and
checked through its descriptor.  The way starts at the home directory if the cache lies in it and it is ours, else at /.

- A directory on the way must belong to us or to root, and neither group nor others may write to it: who can write to a
  directory can put another in the place of the next.  One exception: a sticky directory of root (as /tmp is), in which
  only the owner of an entry can rename or remove it, so the next one must be ours.
- The cache's own two directories must be ours and nobody else's to write to.  They are made with mode 0700.

The part of the path that the user chose (``XDG_CACHE_HOME``, or ``.cache`` in the home directory) may contain links:
it is resolved first, and the rules hold for what it leads to.  If the rules do not hold, or the directory cannot be
used, there is a warning, and everything is compiled anew.

An entry is one file: a line that says what it is, the SHA-256 of key and library, the library.  It is written under
another name and renamed, so it is there whole or not at all, whoever else is writing; it is read once, and the digest
is compared before anything is loaded.  It is against damage and mistakes; against other users there are the rules.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES = 256
MAX_BYTES = 64 << 20
STALE_SECONDS = 3600.0
MAGIC = b"parsolve kernels 1\n"
DIGEST_BYTES = hashlib.sha256().digest_size
ENTRY = re.compile(r"(?:[A-Za-z0-9_]+-)?[0-9a-f]{64}\.kernels")
TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.new")
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NOT_A_FILE = {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EACCES}
DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class UnusableError(Exception):
    """Why the cache cannot be used."""


def find(key: str, hint: str = "") -> bytes | None:
    """The library of a key, None if there is none; an entry that is not as it was written is removed.

    Args:
        key: SHA-256 of all that the library depends on, in hexadecimal digits.
        hint: a word by which people can tell the entries; part of the file's name.
    """
    with _warned(), opened() as folder:
        return _read(folder, _name(key, hint), key)
    return None


def keep(key: str, data: bytes, hint: str = "") -> None:
    """Publish a library under its key, and remove the oldest entries beyond MAX_ENTRIES."""
    with _warned(), opened() as folder:
        _publish(folder, _name(key, hint), MAGIC + _digest(key, data) + data)
        _trim(folder)


@contextmanager
def _warned() -> Iterator[None]:
    """Turn what keeps the cache from being used into a warning."""
    try:
        yield
    except (UnusableError, OSError) as error:
        message = f"the cache of compiled kernels is not used: {error}; kernels are compiled in each run"
        warnings.warn(message, RuntimeWarning, stacklevel=1)


def _name(key: str, hint: str) -> str:
    word = re.sub(r"[^A-Za-z0-9]+", "_", hint)[:40].strip("_")
    return f"{word}-{key}.kernels" if word else f"{key}.kernels"


def _digest(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode() + data).digest()


@contextmanager
def opened() -> Iterator[int]:
    """The descriptor of the cache's directory, made if it is not there, checked all the way.

    Raises:
        UnusableError: others could write to it, it is no directory, or it cannot be made or opened.
    """
    anchor, base = _way()
    names = [*base, "parsolve", "kernels"]
    # The way is only looked up in; a descriptor for that needs no permission to read.
    look = DIRECTORY | getattr(os, "O_PATH", 0)
    where = Path(anchor)
    folder = os.open(anchor, look)
    try:
        shared = _check(folder, where, ours=False)
        for left, name in zip(reversed(range(len(names))), names, strict=True):
            where /= name
            inner = _open_inside(folder, name, where, look if left else DIRECTORY)
            os.close(folder)
            folder = inner
            shared = _check(folder, where, ours=shared or left < 2) and left >= 2
        yield folder
    finally:
        os.close(folder)


def _way() -> tuple[str, tuple[str, ...]]:
    """Where the check starts, and the names from there to the user's directory of caches; no links in either."""
    try:
        home = os.path.realpath(Path.home())
    except RuntimeError as error:
        raise UnusableError("there is no home directory; set XDG_CACHE_HOME") from error
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # As the XDG base directory specification has it, a path that is not absolute is ignored.
    base = Path(os.path.realpath(chosen if chosen.is_absolute() else Path(home) / ".cache"))
    with suppress(OSError):
        if base.is_relative_to(home) and Path(home).stat().st_uid == os.geteuid():
            return home, base.relative_to(home).parts
    return "/", base.parts[1:]


def _open_inside(folder: int, name: str, where: Path, flags: int) -> int:
    """The descriptor of a directory in another, made with mode 0700 if it is not there."""
    try:
        with suppress(FileNotFoundError):
            return os.open(name, flags, dir_fd=folder)
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.ENOTDIR)
        reason = "is a link or not a directory" if link else f"cannot be used ({error.strerror})"
        raise UnusableError(f"{where} {reason}") from error


def _check(folder: int, where: Path, *, ours: bool) -> bool:
    """Whether a directory is sticky and shared, so that what is in it must be ours; an error if it is not safe."""
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() and (ours or status.st_uid != 0):
        raise UnusableError(f"{where} belongs to user {status.st_uid}")
    if not status.st_mode & OTHERS_WRITE:
        return False
    if not ours and status.st_uid == 0 and status.st_mode & stat.S_ISVTX:
        return True
    raise UnusableError(f"other users can write to {where} (chmod go-w {where})")


def _read(folder: int, name: str, key: str) -> bytes | None:
    # Not waiting: a pipe in the place of the entry is not for us to wait for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    content = b""
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
        try:
            content = _trusted(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in NOT_A_FILE:
            raise
    head = len(MAGIC) + DIGEST_BYTES
    data = content[head:]
    if data and content[:head] == MAGIC + _digest(key, data):
        return data
    _remove(folder, name)
    return None


def _trusted(descriptor: int) -> bytes:
    """All of a file that is regular, ours, for us alone to write to and not too large; else nothing."""
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES
    if not regular or status.st_uid != os.geteuid() or status.st_mode & OTHERS_WRITE:
        return b""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(status.st_size + 1)


def _publish(folder: int, name: str, content: bytes) -> None:
    temporary = f".{os.urandom(16).hex()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(content)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _trim(folder: int) -> None:
    """Remove the oldest entries beyond MAX_ENTRIES, and what builders left that were killed."""
    entries = []
    with os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                changed = entry.stat(follow_symlinks=False).st_mtime
                if ENTRY.fullmatch(entry.name):
                    entries.append((changed, entry.name))
                elif TEMPORARY.fullmatch(entry.name) and changed < time.time() - STALE_SECONDS:
                    _remove(folder, entry.name)
    for _, name in sorted(entries)[:-MAX_ENTRIES]:
        _remove(folder, name)


def _remove(folder: int, name: str) -> None:
    """Remove a file, or an empty directory in its place; another process may have done it."""
    with suppress(FileNotFoundError):
        try:
            os.unlink(name, dir_fd=folder)
        except (IsADirectoryError, PermissionError):
            os.rmdir(name, dir_fd=folder)
