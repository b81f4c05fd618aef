"""HDF5 files made with intent: results that would have other files read, memory filled, or a reader never end.

Each is made of a whole result in the folder of which lies `secret.h5`, another result; three of each kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Edit = "Callable[[h5py.File], object]"
SHAPE = (4, 10, 12)


def again(file: h5py.File, name: str, **data: Any) -> h5py.Dataset:
    """Another data set of a name, with the attributes of the one before."""
    known = dict(file[name].attrs)
    del file[name]
    made = file.create_dataset(name, **data)
    for key, value in known.items():
        if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
            made.attrs[key] = value
    return made


def linked(name: str, link: object) -> Callable[[h5py.File], object]:
    """A link in the place of a name."""

    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return edit


def through(name: str) -> Callable[[h5py.File], object]:
    """A name that leads through a link to another file."""

    def edit(file: h5py.File) -> None:
        file["way"] = h5py.ExternalLink("secret.h5", "/")
        del file[name]
        file[name] = h5py.SoftLink(f"/way/{name}")

    return edit


def virtual(name: str, source: str) -> Callable[[h5py.File], object]:
    """A virtual data set that shows another file."""

    def edit(file: h5py.File) -> None:
        shape = file[name].shape
        layout = h5py.VirtualLayout(shape, file[name].dtype)
        layout[...] = h5py.VirtualSource(source, name, shape)
        del file[name]
        file.create_virtual_dataset(name, layout)

    return edit


def external(name: str) -> Callable[[h5py.File], object]:
    """Values that are bytes of another file."""
    return lambda file: again(
        file, name, shape=file[name].shape, dtype=file[name].dtype, external=[("secret.h5", 0, file[name].nbytes)]
    )


def huge(name: str, *shape: int) -> Callable[[h5py.File], object]:
    """Far more values than there are bytes."""
    return lambda file: again(file, name, shape=shape, dtype="f8", chunks=tuple(min(n, 4) for n in shape))


def bomb(name: str, *shape: int) -> Callable[[h5py.File], object]:
    """Many values in few bytes."""

    def edit(file: h5py.File) -> None:
        made = again(
            file, name, shape=shape, dtype="f8", chunks=(1 << 20, *shape[1:]), compression="gzip", compression_opts=1
        )
        made[...] = 1.0

    return edit


def many(count: int, size: int) -> Callable[[h5py.File], object]:
    """Many fields, all of them huge."""

    def edit(file: h5py.File) -> None:
        for n in range(count):
            file.create_dataset(f"w{n}", (4, 10, size), "f8", chunks=(1, 1, 4))

    return edit


def cycle(where: str) -> Callable[[h5py.File], object]:
    """A group that is in itself."""
    return lambda file: file[where].__setitem__("again", file["/"])


def deep(levels: int) -> Callable[[h5py.File], object]:
    """Groups in groups."""

    def edit(file: h5py.File) -> None:
        place = file.create_group("deep")
        for _ in range(levels):
            place = place.create_group("d")

    return edit


def attribute(name: str, key: str, value: object) -> Callable[[h5py.File], object]:
    """Another attribute."""
    return lambda file: file[name].attrs.__setitem__(key, value)


def filtered(number: int) -> Callable[[h5py.File], object]:
    """Values behind a filter that nobody has."""

    def edit(file: h5py.File) -> None:
        values = file["u"][...]
        del file["u"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(values.shape)
        creation.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (1,))
        made = h5py.h5d.create(file.id, b"u", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple(values.shape), creation)
        made.write_direct_chunk((0, 0, 0), values.tobytes(), 0)

    return edit


def references(kind: str) -> Callable[[h5py.File], object]:
    """Values that refer to others."""
    types = {"object": h5py.ref_dtype, "region": h5py.regionref_dtype, "list": h5py.vlen_dtype(np.float64)}
    return lambda file: again(file, "u", shape=SHAPE, dtype=types[kind])


def committed(kind: str) -> Callable[[h5py.File], object]:
    """Values of a named type."""
    types = {"compound": np.dtype([("a", "f8")]), "opaque": np.dtype("V8"), "large": np.dtype([("a", "f8", (1000,))])}

    def edit(file: h5py.File) -> None:
        file["type"] = types[kind]
        again(file, "u", shape=SHAPE, dtype=file["type"])

    return edit


CONSTRUCTS: dict[str, Any] = {
    **{f"external storage of {name}": external(name) for name in ("u", "time", "x")},
    "external link to a field": linked("u", h5py.ExternalLink("secret.h5", "/u")),
    "external link to a group": linked("provenance", h5py.ExternalLink("secret.h5", "/provenance")),
    "external link to hashes": linked("integrity", h5py.ExternalLink("secret.h5", "/integrity")),
    **{f"soft link of {name}": linked(name, h5py.SoftLink("/v")) for name in ("u", "time", "integrity")},
    **{f"{name} through a link": through(name) for name in ("u", "step", "provenance")},
    **{f"virtual {name}": virtual(name, "secret.h5") for name in ("u", "v", "time")},
    "virtual in another folder": virtual("u", "../secret.h5"),
    "virtual of itself": virtual("u", "."),
    "virtual of nothing": virtual("u", "none.h5"),
    "huge u": huge("u", 4, 10**7, 10**7),
    "huge time": huge("time", 10**10),
    "huge x": huge("x", 10**11),
    **{f"{count} huge fields": many(count, 10**9 // count) for count in (10, 100, 500)},
    **{f"bomb in {name}": bomb(name, 1 << 24) for name in ("time", "x", "step")},
    **{f"cycle in {where}": cycle(where) for where in ("/", "entry", "provenance")},
    **{f"{levels} groups deep": deep(levels) for levels in (100, 1000, 10_000)},
    "long attribute": attribute("u", "units", "m" * 60_000),
    "attribute of lists": attribute("u", "units", np.zeros(1000, "S60")),
    "attribute that is no text": attribute("x", "spacing", np.zeros((80, 80))),
    **{f"filter {number}": filtered(number) for number in (300, 32001, 65000)},
    **{f"{kind} references": references(kind) for kind in ("object", "region", "list")},
    **{f"committed {kind}": committed(kind) for kind in ("compound", "opaque", "large")},
}
