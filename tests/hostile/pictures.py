"""Pictures as initial values, damaged and odd ones too, and the pictures that are drawn of results."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import tifffile
from hostile.files import GOOD, edited, instead, source
from hostile.given import Content, Input
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = np.linspace(0, 255, 128).reshape(16, 8).astype("u1")


def picture(array: np.ndarray, mode: str = "", kind: str = "PNG", **more: Any) -> bytes:
    """A picture of an array, in another mode of Pillow."""
    file = BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **more)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 8, colours: int = 0, data: bytes = b"", ahead: bytes = b"") -> bytes:
    """A PNG with this header and data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + ahead + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(array: np.ndarray = ROWS, **more: Any) -> bytes:
    """A TIFF of an array."""
    file = BytesIO()
    tifffile.imwrite(file, array, **more)
    return file.getvalue()


def entry(tag: int, value: int, count: int = 1, kind: int = 4) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def directory(next_one: int = 0, **tags: int) -> bytes:
    """A TIFF that has only a directory: 8 x 16 cells of a byte, with other values where they are given."""
    known = {"width": 256, "height": 257, "bits": 258, "packing": 259, "meaning": 262, "offset": 273, "samples": 277,
             "rows": 278, "bytes": 279}  # fmt: skip
    values = {"width": 8, "height": 16, "bits": 8, "packing": 1, "meaning": 1, "offset": 200, "samples": 1, "rows": 16,
              "bytes": 128} | tags  # fmt: skip
    entries = b"".join(entry(known[name], value) for name, value in values.items())
    return (
        b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(values)) + entries + struct.pack("<I", next_one) + bytes(300)
    )


PNG, GREY = picture(ROWS), ROWS.tobytes()
LINES = b"".join(b"\0" + row.tobytes() for row in ROWS)
WRONG_PNG: dict[str, bytes] = {
    "empty": b"",
    "text": b"a picture",
    "signature": PNG[:8],
    "half": PNG[: len(PNG) // 2],
    "first byte": b"\x00" + PNG[1:],
    "check sum of the header": PNG[:29] + bytes(4) + PNG[33:],
    "data of zeros": PNG[:45] + bytes(len(PNG) - 45),
    "no data": png(8, 16),
    "too few rows": png(8, 16, data=LINES[:50]),
    "no columns": png(0, 16, data=LINES),
    "no rows": png(8, 0, data=LINES),
    "2**31 columns": png(2**31, 16, data=LINES),
    "a thousand million cells": png(32000, 32000, data=LINES),
    "3 bits": png(8, 16, depth=3, data=LINES),
    "unknown colours": png(8, 16, colours=5, data=LINES),
    "unknown filter": png(8, 16, data=LINES.replace(b"\0", b"\x63")),
    "text that unpacks to 1 GB": png(
        8, 16, data=LINES, ahead=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000)))
    ),
    "too few columns": picture(ROWS[:, 1:]),
    "turned": picture(ROWS.T.copy()),
    "a colour photograph": picture(np.zeros((17, 8, 3), "u1")),
    "of one cell": picture(ROWS[:1, :1]),
    "web page": b"<html><body>404</body></html>",
}
GOOD_PNG: dict[str, bytes] = {
    "grey": PNG,
    "grey and alpha": picture(ROWS, "LA"),
    "colours": picture(ROWS, "RGB"),
    "colours and alpha": picture(ROWS, "RGBA"),
    "palette": picture(ROWS, "P"),
    "black and white": picture(ROWS, "1"),
    "16 bits": picture(ROWS.astype("u2") * 257),
    "bytes behind": PNG + b"more",
    "no end": PNG[:-12],
    "no palette": png(8, 16, colours=3, data=LINES),
    "JPEG by the name of PNG": picture(ROWS, kind="JPEG"),
    "without check of the end": PNG[:-4] + bytes(4),
}
TIFF = tiff()
WRONG_TIFF: dict[str, bytes] = {
    "empty": b"",
    "text": b"II*\x00 and no more",
    "signature": TIFF[:8],
    "half": TIFF[: len(TIFF) // 2],
    "all but 100 bytes": TIFF[:-100],
    "another number": TIFF[:2] + b"\x99\x00" + TIFF[4:],
    "directory beyond the end": TIFF[:4] + b"\xff\xff\xff\x7f" + TIFF[8:],
    "directory in the header": TIFF[:4] + b"\x00\x00\x00\x00" + TIFF[8:],
    "directory that is its own next": directory(8, height=3),
    "data beyond the end": directory(offset=10**9),
    "data in the header, too long": directory(offset=8, bytes=10**9, rows=10**9, height=10**9),
    "no columns": directory(width=0),
    "no rows": directory(height=0),
    "7 bits": directory(bits=7),
    "1000 samples": directory(samples=1000),
    "unknown packing": directory(packing=9999),
    "damaged packing": directory(packing=8),
    "too many cells": directory(width=30000, height=30000, rows=30000, bytes=900_000_000),
    "complex": tiff(ROWS.astype("c8")),
    "signed": tiff(ROWS.astype("i2")),
    "colours in planes": tiff(np.stack([ROWS] * 3), photometric="rgb", planarconfig="separate"),
    "turned": tiff(ROWS.T.copy()),
    "two pages": tiff(np.stack([ROWS, ROWS])),
    "big, half": tiff(bigtiff=True)[:100],
    "PNG by the name of TIFF": PNG,
}
GOOD_TIFF: dict[str, bytes] = {
    "bytes": TIFF,
    "16 bits": tiff(ROWS.astype("u2")),
    "numbers": tiff(ROWS.astype("f4")),
    "big-endian": tiff(ROWS.astype("u2"), byteorder=">"),
    "big": tiff(bigtiff=True),
    "packed": tiff(compression="zlib"),
    "in tiles": tiff(tile=(16, 16)),
    "in strips": tiff(rowsperstrip=3),
    "colours": tiff(np.stack([ROWS] * 3, axis=-1), photometric="rgb"),
}


def drawn(*options: str, says: str = "", code: int = 0, content: Content = GOOD, about: str = "", **more: Any) -> Input:
    """A plot of a result with options."""
    name = options[options.index("-o") + 1] if "-o" in options else "b.*.png"
    leaves = (name,) if code == 0 else ()
    return Input(argv=("plot", "b.h5", *options), code=code, words=(says,), files={"b.h5": content, "old.png": "mine"},
                 about=about, **{"leaves": leaves} | more)  # fmt: skip


def named(name: str) -> Callable[[Path], None]:
    """Makes a result with another name of the field."""
    return edited(lambda file: file.move("u", name))


def filled(values: object, kind: str = "f8") -> Callable[[Path], None]:
    """Makes a result with these values."""
    return instead("u", data=np.broadcast_to(np.asarray(values, kind), (3, 16, 8)))


def described(key: str, text: object, name: str = "u") -> Callable[[Path], None]:
    """Makes a result with another description."""
    return edited(lambda file: file[name].attrs.__setitem__(key, text))


def titled(text: str) -> Callable[[Path], None]:
    """Makes a result with another title."""

    def edit(file: h5py.File) -> None:
        del file["provenance/title"]
        file["provenance/title"] = text

    return edited(edit)


TEXTS = (
    "$",
    "$\\frac$",
    "$\\frac{1}{2}$",
    "{}",
    "%s",
    "_^",
    "\\",
    "é💥",
    "a" * 1000,
    "a\nb\nc",
    "\x1b[31m",
    "<b>",
    "",
    " ",
    "$$",
)
PLOTS: list[Input] = [
    drawn(),
    drawn("--sheet"),
    drawn("--field", "u", "--time", "0.005"),
    drawn("--slice", "x=0.5"),
    drawn("--time", "-0"),
    drawn("--field", "w", code=2, says="'w'"),
    drawn("--field", "", code=2, says="b.h5"),
    drawn("--field", "time", code=2, says="time"),
    drawn("--field", "../u", code=2, says="../u"),
    *(drawn("--time", text, code=2, says="time") for text in ("-1", "1", "nan", "inf", "1e400", "", "abc")),
    *(drawn("--slice", text, code=2, says="slice") for text in
      ("", "=", "x", "x=", "x=abc", "x=nan", "x=inf", "x=5", "x=-1", "z=0", "w=0", "=0.5", "x=0.5=0.5", "x=1e400")),
    drawn("--sheet", "--time", "0.005", code=2, says="sheet"),
    *(drawn("-o", name, code=5, says=name[:30]) for name in ("none/b.png", ".", "b.png/c.png", "n" * 300 + ".png")),
    *(drawn("-o", name, code=5, says=name) for name in ("b.txt", "b.h5")),
    *(drawn("-o", name, says=name) for name in ("c", "-", "c d")),
    drawn("-o", "", code=2),
    drawn("-o", "/none/b.png", code=5, says="/none", nobody=True),
    drawn("-o", "/dev/full", code=5, says="/dev/full", nobody=True),
    *(drawn("-o", name) for name in ("c.pdf", "c.svg", "💥.png", "a b.PNG", "c.jpg", "n" * 200 + ".png")),
    *(drawn(content=described(key, text), about=f"{key} {text[:20]!r}")
      for text, key in zip(TEXTS, ("long_name", "units") * len(TEXTS), strict=False)),
    *(drawn(content=titled(text), about=f"title {text[:20]!r}") for text in TEXTS[:6]),
    *(drawn(content=named(name), about=f"field {name[:20]!r}") for name in ("$a$", "$\\q", "a b", "é💥", "a" * 200, "%")),
    *(drawn(content=filled(value), about=f"all {value}") for value in
      (0, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e-320, 1.0)),
    *(drawn("--sheet", content=filled(values), about=f"values {values}") for values in
      ([np.nan] * 7 + [1], [np.inf] * 7 + [1], [1e308] * 4 + [-1e308] * 4, [1.0] * 7 + [1 + 1e-16], [0.0] * 7 + [5e-324])),
    drawn(content=named("\n"), about="field of a line end", code=5, says="control"),
    drawn(content=filled(1, "u1"), about="bytes"),
    drawn(content=filled(1, "?"), about="flags", code=5, says="b.h5"),
    drawn(content=filled(1, "f2"), about="half precision"),
]  # fmt: skip
INPUTS: list[Input] = [
    *(source(content, f"PNG, {about}", "b.png", name="b.png") for about, content in WRONG_PNG.items()),
    *(source(content, f"TIFF, {about}", "b.tif", name="b.tif") for about, content in WRONG_TIFF.items()),
    *(source(content, f"PNG, {about}", "result", name="b.png", code=0) for about, content in GOOD_PNG.items()),
    *(source(content, f"TIFF, {about}", "result", name="b.tiff", code=0) for about, content in GOOD_TIFF.items()),
    source(tiff(np.full((16, 8), np.nan, "f4")), "TIFF, not a number", "initial", name="b.tif", code=2),
    source(directory(width=2**31, rows=1), "TIFF, 2**31 columns", "memory", name="b.tif", code=6),
    source(PNG, "in capitals", "result", name="b.PNG", code=0),
    source(PNG, "with a data set", "b.png", name="b.png", dataset="u"),
    source(PNG, "with a time", "time", name="b.png", time=0.0),
    source(picture(ROWS, kind="GIF"), "GIF", "b.gif", name="b.gif"),
    *PLOTS,
]
