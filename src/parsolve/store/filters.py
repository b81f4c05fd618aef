"""The filters of HDF5 that pack the values of a data set, and whether they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ZSTD = 32015  # as registered with The HDF Group
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
    """
    if dataset.chunks is None:
        return
    creation = dataset.id.get_create_plist()
    for n in range(creation.get_nfilters()):
        code, _, _, name = creation.get_filter(n)
        if not has_filter(code):
            said = name.decode(errors="replace") or f"filter {code}"
            raise SetupError(f"{dataset.file.filename}: '{dataset.name}' is packed with {said}; {INSTALL}")


def slabs(shape: Sequence[int], itemsize: int = 8) -> Iterator[slice]:
    """Yield ranges of the slowest axis of an array of this shape that bound the memory of a read."""
    layer = itemsize
    for cells in shape[1:]:
        layer *= cells
    layers = max(1, SLAB // layer)
    for start in range(0, shape[0], layers):
        yield slice(start, min(start + layers, shape[0]))
