"""The filters of HDF5 that pack the values of a data set, and whether they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from parsolve.errors import SetupError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ZSTD = 32015  # as registered with The HDF Group
# What hdf5plugin brings: bzip2, blosc, lz4, bitshuffle, zfp, zstd, fcidecomp, sz, sz3, blosc2, sperr.
PLUGIN = frozenset({307, 32001, 32004, 32008, 32013, 32015, 32017, 32018, 32024, 32026, 32028})
INSTALL = "install the extra compress: pip install 'parsolve[compress]'"
SLAB = 16 << 20  # bytes of a field that are in memory at once


def has_filter(code: int) -> bool:
    """Whether HDF5 knows a filter, perhaps as soon as hdf5plugin is loaded."""
    if not h5py.h5z.filter_avail(code):
        try:
            import hdf5plugin
        except ImportError:
            return False
        assert hdf5plugin
    return bool(h5py.h5z.filter_avail(code))


def require_filters(dataset: h5py.Dataset) -> None:
    """Refuse a packed data set that cannot be unpacked here.

    Raises:
        SetupError: what packed it is not installed.
        StorageError: nobody knows what packed it.
    """
    if dataset.chunks is None:
        return
    creation = dataset.id.get_create_plist()
    for n in range(creation.get_nfilters()):
        code, _, _, name = creation.get_filter(n)
        if not has_filter(code):
            said = name.decode(errors="replace") or f"filter {code}"
            text = f"{dataset.file.filename}: '{dataset.name}' is packed with {said}"
            if code not in PLUGIN:
                raise StorageError(f"{text}, which neither HDF5 nor hdf5plugin knows")
            raise SetupError(f"{text}; {INSTALL}")


def slabs(shape: Sequence[int], itemsize: int = 8) -> Iterator[slice]:
    """Yield ranges of the slowest axis of an array of this shape that bound the memory of a read."""
    layer = itemsize
    for cells in shape[1:]:
        layer *= cells
    layers = max(1, SLAB // layer)
    for start in range(0, shape[0], layers):
        yield slice(start, min(start + layers, shape[0]))
