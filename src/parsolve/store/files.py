"""Files as the store needs them: HDF5 made deterministic, raw copies, synced directories."""

from __future__ import annotations

import errno
import mmap
import os
import re
import shutil
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

import h5py
import numpy as np

from parsolve.errors import ParsolveError, ResourceError, StorageError
from parsolve.store.writing import failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike

CHUNK = 16 << 20  # bytes moved at once: large enough for full disk speed, small enough to be no memory cost
_ALIGNMENT = 4096  # data sets start on a page, so that copies may share blocks where the file system can
_PAGE = 1 << 20  # bytes of an image that are kept together
_HEAD = 64 << 10  # bytes in which a result says what it is
_WORDS = (b"Conventions", b"CF-1.11", b"source", b"parsolve")
_ORDERED = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED
_NO_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


@contextmanager
def naming(path: Path, action: str) -> Iterator[None]:
    """Turn operating-system and HDF5 errors of the body into a StorageError that names the file."""
    try:
        yield
    except (OSError, RuntimeError) as caught:
        # HDF5 raises a RuntimeError with the number in its text when a file cannot be flushed.
        found = re.search(r"errno = (\d+)", str(caught))
        number = int(found[1]) if found else getattr(caught, "errno", None)
        raise storage_error(path, action, number, os.strerror(number) if number else str(caught)) from caught


def storage_error(path: Path, action: str, number: int | None, reason: str) -> ParsolveError:
    """Return the error for a failed action on a file: ResourceError when space ran out, else StorageError."""
    return failure(path, action, OSError(number, reason))


class Image:
    """The bytes of a file in memory, without long runs of those never written, as HDF5 writes them.

    The library may crash where a disk is full (h5py issue 914): so it writes here, and `save` to the disk.
    """

    def __init__(self) -> None:
        self._pages: dict[int, mmap.mmap] = {}  # given back to the system at once when they go
        self._spans: dict[int, tuple[int, int]] = {}  # what is written of each
        self._at = self._size = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, or to the end."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return where it is."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Make it so long."""
        self._size = self._at if size is None else size
        return self._size

    def flush(self) -> None:
        """Do nothing: there is nothing behind it."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer from here on; what was never written is zero."""
        for start, stop, page, at in self._parts(len(buffer)):
            known = self._pages.get(page)
            buffer[start:stop] = known[at : at + stop - start] if known else bytes(stop - start)
        self._at += len(buffer)
        return len(buffer)

    def write(self, data: memoryview) -> int:
        """Take bytes from here on."""
        for start, stop, page, at in self._parts(len(data)):
            if page not in self._pages:
                self._pages[page], self._spans[page] = mmap.mmap(-1, _PAGE), (at, at)
            low, high = self._spans[page]
            self._spans[page] = min(low, at), max(high, at + stop - start)
            self._pages[page][at : at + stop - start] = data[start:stop]
        self._at += len(data)
        self._size = max(self._size, self._at)
        return len(data)

    def put(self, offset: int, data: bytes) -> None:
        """Take bytes at an offset."""
        self.seek(offset)
        self.write(memoryview(data))

    def bytes_of(self, start: int, stop: int) -> bytes:
        """Return the bytes from one offset up to another."""
        found = bytearray(stop - start)
        self.seek(start)
        self.readinto(memoryview(found))
        return bytes(found)

    @property
    def size(self) -> int:
        """Its length."""
        return self._size

    def copy(self) -> Image:
        """Return another with the same bytes."""
        other = Image()
        other._size = self._size
        for page, (low, high) in self._spans.items():
            other.put(page * _PAGE + low, self._pages[page][low:high])
        return other

    def save(self, path: Path) -> None:
        """Write a new file, in place of one that is there.

        Raises:
            OSError: it cannot be written.
        """
        path.unlink(missing_ok=True)
        with path.open("xb", buffering=0) as file:
            file.truncate(self._size)
            for page, known in sorted(self._pages.items()):
                low, high = self._spans[page]
                high = min(high, self._size - page * _PAGE)
                write_at(file.fileno(), known[low:high], page * _PAGE + low)

    def _parts(self, count: int) -> Iterator[tuple[int, int, int, int]]:
        """Of so many bytes from here on the parts of each page: first and last one, page, and where in it."""
        done = 0
        while done < count:
            page, at = divmod(self._at + done, _PAGE)
            stop = min(count, done + _PAGE - at)
            yield done, stop, page, at
            done = stop


class Disk:
    """The bytes of a new file on the disk, as HDF5 writes them, which never hears of an error.

    The library may crash where a disk is full (h5py issue 914): so the first error is kept, and raised by `check`.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._file = path.open("x+b", buffering=0)
        self._path, self._at = path, 0
        self._error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, or to the end."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return where it is."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Make it so long."""
        size = self._at if size is None else size
        with self._kept():
            os.ftruncate(self._file.fileno(), size)
        return size

    def flush(self) -> None:
        """Do nothing: `close` brings it to the disk."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer from here on; what was never written is zero."""
        data = b""
        with self._kept():
            data = os.pread(self._file.fileno(), len(buffer), self._at)
        buffer[:] = data + bytes(len(buffer) - len(data))
        self._at += len(buffer)
        return len(buffer)

    def write(self, data: memoryview) -> int:
        """Take bytes from here on."""
        with self._kept():
            write_at(self._file.fileno(), data, self._at)
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Bring it to the disk, once or more."""
        if not self._file.closed:
            with self._kept():
                os.fsync(self._file.fileno())
            with self._kept():
                self._file.close()

    def check(self) -> None:
        """Raise the first error.

        Raises:
            StorageError, ResourceError: there was one.
        """
        if self._error is not None:
            raise failure(self._path, "write it", self._error)

    @property
    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    @contextmanager
    def _kept(self) -> Iterator[None]:
        if self._error is None:
            try:
                yield
            except OSError as caught:
                self._error = caught
        else:
            with suppress(OSError):
                yield


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all bytes at an offset of an open file.

    Raises:
        OSError: it cannot be written.
    """
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


def create_file(image: Image | Disk) -> h5py.File:
    """Return a new HDF5 file whose bytes depend on its content alone: creation order kept, no time stamps."""
    creation = reproducible(h5py.h5p.FILE_CREATE)
    creation.set_link_creation_order(_ORDERED)
    return h5py.File(h5py.h5f.create(b"image", h5py.h5f.ACC_TRUNC, creation, _access(image)))


def open_file(image: Image) -> h5py.File:
    """Return the HDF5 file that an image is, to be written on as it was begun."""
    return h5py.File(h5py.h5f.open(b"image", h5py.h5f.ACC_RDWR, _access(image)))


def _access(image: Image | Disk) -> h5py.h5p.PropFAID:
    """How a file in memory is opened."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V110)  # what older readers understand
    access.set_alignment(_ALIGNMENT, _ALIGNMENT)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, image)
    return access


def create_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Return a new group that keeps creation order and has no time stamp."""
    creation = reproducible(h5py.h5p.GROUP_CREATE)
    creation.set_link_creation_order(_ORDERED)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), None, creation))


def create_contiguous(parent: h5py.Group, name: str, shape: Sequence[int], dtype: DTypeLike) -> h5py.Dataset:
    """Return a new data set that is one run of bytes with an address, allocated but not filled."""
    creation = reproducible(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(np.dtype(dtype))
    space = h5py.h5s.create_simple(tuple(shape))
    return h5py.Dataset(h5py.h5d.create(parent.id, name.encode(), kind, space, creation))


def create_texts(parent: h5py.Group, texts: Mapping[str, str]) -> None:
    """Make a data set of each text, by its name."""
    creation, kind, scalar = reproducible(h5py.h5p.DATASET_CREATE), _text(), h5py.h5s.create(h5py.h5s.SCALAR)
    for name, text in texts.items():
        dataset = h5py.h5d.create(parent.id, name.encode(), kind, scalar, creation)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(text, h5py.string_dtype()))


@cache
def _text() -> h5py.h5t.TypeID:
    """A text of any length."""
    return h5py.h5t.py_create(h5py.string_dtype(), logical=True)


def reproducible(kind: h5py.h5p.PropClassID) -> h5py.h5p.PropCreateID:
    """Properties of something new that keeps the order of its attributes and has no time stamp."""
    creation = h5py.h5p.create(kind)
    creation.set_attr_creation_order(_ORDERED)
    creation.set_obj_track_times(False)
    return creation


def open_read(path: Path) -> h5py.File:
    """Return an HDF5 file open for reading without locks.

    Raises:
        StorageError: the file is missing or is not HDF5.
    """
    if not is_file(path):
        frames = path.with_name(path.name + ".frames") if path.name else path
        stopped = path.name and is_file(frames / "000000000.h5")
        hint = f"; its run did not finish, but there are frames: '{frames}'" if stopped else ""
        raise StorageError(f"{path}: no such file{hint}")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as caught:
        raise StorageError(f"{path}: not a readable HDF5 file ({caught})") from caught


def is_file(path: Path) -> bool:
    """Whether there is a regular file of this name, or a link to one; not so for what cannot be a name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_result(path: Path) -> bool:
    """Whether a regular file, perhaps damaged, looks as parsolve writes results; nothing of it is interpreted."""
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head.startswith(b"\x89HDF\r\n\x1a\n") and all(word in head for word in _WORDS)


def copy_bytes(source: int, target: int, source_offset: int, target_offset: int, count: int) -> None:
    """Copy bytes between two open files in bounded pieces, in the kernel where it can.

    Raises:
        OSError: reading or writing failed, or the source ends early.
    """
    in_kernel = hasattr(os, "copy_file_range")
    while count > 0:
        done = 0
        if in_kernel:
            try:
                done = os.copy_file_range(source, target, min(count, CHUNK), source_offset, target_offset)
            except OSError as caught:
                if caught.errno not in _NO_COPY_RANGE:
                    raise
            in_kernel = done > 0  # some file systems answer 0 instead of an error
        if not in_kernel:
            data = os.pread(source, min(count, CHUNK), source_offset)
            if not data:
                raise OSError(errno.EIO, f"the source ends {count} bytes early")
            done = os.pwrite(target, data, target_offset)
        source_offset, target_offset, count = source_offset + done, target_offset + done, count - done


def sync(path: Path) -> None:
    """Bring a closed file to the disk, or of a directory the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def outlast(path: Path) -> None:
    """Bring a closed file and its name to the disk, so that both outlast the machine.

    Raises:
        StorageError, ResourceError: the disk failed.
    """
    with naming(path, "sync it"):
        sync(path)
        sync(path.parent)


def rename(old: Path, new: Path) -> None:
    """Give a complete file its name, for good once this returns.

    Raises:
        StorageError: it cannot have it.
    """
    with naming(new, "give it its name"):
        old.replace(new)
        sync(new.parent)


def require_space(directory: Path, needed: int, purpose: str) -> None:
    """Check that a directory's file system has room before the first byte is written.

    Raises:
        ResourceError: less is free than needed, both in numbers.
    """
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise ResourceError(
            f"{directory}: {purpose} needs {needed / 2**20:.1f} MiB, only {free / 2**20:.1f} MiB is free; "
            "free some, write fewer frames ([output] every), or use another -o"
        )
