"""Files that are no cases, no results or no arrays, or are damaged: each read by the commands that read such files."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from hostile.given import Content, Input, case, setting, toml

if TYPE_CHECKING:
    from collections.abc import Callable


def result() -> bytes:
    """The bytes of a result of the small case."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.toml").write_text(toml())
        command = [sys.executable, "-m", "parsolve", "run", "a.toml", "-o", "a.h5", "-q"]
        subprocess.run(command, cwd=folder, check=True, env=os.environ | {"XDG_CACHE_HOME": folder})
        return Path(folder, "a.h5").read_bytes()


GOOD = result()
TEXT = toml()


def edited(edit: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    """Makes a result and changes it."""

    def make(path: Path) -> None:
        path.write_bytes(GOOD)
        with h5py.File(path, "r+") as file:
            edit(file)

    return make


def instead(name: str, **data: Any) -> Callable[[Path], None]:
    """Makes a result with another data set in the place of one, its attributes kept."""

    def edit(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        new = file.create_dataset(name, **data)
        for key, value in attributes.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                new.attrs[key] = value

    return edited(edit)


def attribute(name: str, key: str, value: object) -> Callable[[Path], None]:
    """Makes a result with another attribute of an object, or without it for None."""

    def edit(file: h5py.File) -> None:
        del file[name].attrs[key]
        if value is not None:
            file[name].attrs[key] = value

    return edited(edit)


def linked(name: str, link: object) -> Callable[[Path], None]:
    """Makes a result with a link, or what is in this object, in the place of one."""

    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return edited(edit)


def virtual(source: str, name: str = "u") -> Callable[[Path], None]:
    """Makes a result the field of which is a virtual data set of a source."""

    def edit(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(file["u"].shape, float)
        layout[...] = h5py.VirtualSource(source, name, file["u"].shape)
        del file["u"]
        file.create_virtual_dataset("u", layout, fillvalue=0.0)

    return edited(edit)


def packed(file: h5py.File) -> None:
    """Compress the field, and damage what is compressed."""
    values = file["u"][...]
    del file["u"]
    field = file.create_dataset("u", data=values, chunks=values.shape, compression="gzip")
    place = field.id.get_chunk_info(0)
    file.flush()
    with Path(file.filename).open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xff" * 64)


def null(file: h5py.File) -> None:
    del file["u"]
    file["u"] = h5py.Empty(float)


def cyclic(file: h5py.File) -> None:
    file["entry"]["again"] = file["entry"]


SHAPE = (3, 16, 8)
FIELD = np.ones(SHAPE)
# A damaged result, by what was done to it. As a source of initial values it is refused too, with code 2.
DAMAGED: dict[str, Content] = {
    "empty": b"",
    "text": "not a result",
    "only the signature": GOOD[:8],
    "first 100 bytes": GOOD[:100],
    "half": GOOD[: len(GOOD) // 2],
    "three quarters": GOOD[: 3 * len(GOOD) // 4],
    "zeros": bytes(len(GOOD)),
    "zeros behind the signature": GOOD[:8] + bytes(len(GOOD) - 8),
    "signature damaged": b"\x00" + GOOD[1:],
    "version of the superblock": GOOD[:8] + b"\xff" + GOOD[9:],
    "another format": b"CDF\x01" + bytes(100),
    "no u": edited(lambda file: file.__delitem__("u")),
    "u is text": instead("u", data=np.full(SHAPE, b"abc")),
    "u is complex": instead("u", data=FIELD + 1j),
    "u is compound": instead("u", data=np.zeros(SHAPE, [("a", float)])),
    "u is opaque": instead("u", data=np.zeros(SHAPE, "V8")),
    "u is texts": instead("u", shape=SHAPE, dtype=h5py.string_dtype()),
    "u is lists": instead("u", shape=SHAPE, dtype=h5py.vlen_dtype(float)),
    "u is references": instead("u", shape=SHAPE, dtype=h5py.ref_dtype),
    "u is one number": instead("u", data=1.0),
    "u is nothing": edited(null),
    "u has no frames": instead("u", data=FIELD[:0]),
    "u has other cells": instead("u", data=FIELD[:, 1:]),
    "u has too many axes": instead("u", data=FIELD[None, None]),
    "u is a group": edited(lambda file: (file.__delitem__("u"), file.create_group("u"))),
    "u is a link to itself": linked("u", h5py.SoftLink("/u")),
    "u is a link to nothing": linked("u", h5py.SoftLink("/none")),
    "u is in a missing file": linked("u", h5py.ExternalLink("none.h5", "/u")),
    "u is a link to this file": linked("u", h5py.ExternalLink("b.h5", "/u")),
    "u is virtual, without source": virtual("none.h5"),
    "u is virtual, of itself": virtual("."),
    "u is virtual, of this file": virtual("b.h5"),
    "u is virtual, of no data set": virtual("b.h5", "none"),
    "u is external": instead("u", shape=SHAPE, dtype=float, external=[("/etc/passwd", 0, 3072)]),
    "u is external, missing": instead("u", shape=SHAPE, dtype=float, external=[("none.raw", 0, 3072)]),
    "u is packed and damaged": edited(packed),
}
# Damage that only those see who need the whole result.
INCOMPLETE: dict[str, Content] = {
    "no time": edited(lambda file: file.__delitem__("time")),
    "no step": edited(lambda file: file.__delitem__("step")),
    "no x": edited(lambda file: file.__delitem__("x")),
    "time is text": instead("time", data=np.full(3, b"abc")),
    "time is empty": instead("time", data=np.zeros(0)),
    "time is short": instead("time", data=np.zeros(2)),
    "time is a table": instead("time", data=np.zeros((3, 3))),
    "time is one number": instead("time", data=1.0),
    "time is not a number": instead("time", data=np.full(3, np.nan)),
    "time is complex": instead("time", data=np.zeros(3, complex)),
    "step is text": instead("step", data=np.full(3, b"abc")),
    "step is short": instead("step", data=np.zeros(1, int)),
    "x is a group": edited(lambda file: (file.__delitem__("x"), file.create_group("x"))),
    "x is text": instead("x", data=np.full(8, b"abc")),
    "x is short": instead("x", data=np.zeros(7)),
    "x has no spacing": attribute("x", "spacing", None),
    "x has no lower end": attribute("x", "lower", None),
    "x has a spacing of text": attribute("x", "spacing", "wide"),
    "x has a spacing of 0": attribute("x", "spacing", 0.0),
    "x has a spacing of nan": attribute("x", "spacing", np.nan),
    "x has two spacings": attribute("x", "spacing", [1.0, 2.0]),
}
# Odd results that are as good as others.
ODD: dict[str, Content] = {
    "as it was": GOOD,
    "user block": lambda path: path.write_bytes(bytes(512) + GOOD),
    "bytes behind the end": GOOD + b"more",
    "packed": instead("u", data=FIELD, chunks=(1, 16, 8), compression="gzip"),
    "big-endian": instead("u", data=FIELD.astype(">f8")),
    "half precision": instead("u", data=FIELD.astype("f2")),
    "whole numbers": instead("u", data=FIELD.astype("i2")),
    "cycle of groups": edited(cyclic),
    "another data set": edited(lambda file: file.create_dataset("notes", data="abc")),
    "an attribute of bytes": attribute("u", "units", np.bytes_(b"\xff\xfe")),
    "an attribute of numbers": attribute("u", "units", [1, 2, 3]),
    "provenance of numbers": edited(lambda file: file["provenance"].attrs.__setitem__("title", 3)),
}
FROM_FILE = toml(initial__u={"file": "b.h5", "dataset": "u"})


def reads(
    content: Content, about: str, code: int = 5, commands: str = "info plot compare", says: str = "b.h5"
) -> list[Input]:
    """The commands on results, on this one."""
    argv = {"info": ("info", "b.h5"), "plot": ("plot", "b.h5", "-o", "b.png"), "compare": ("compare", "b.h5", "c.h5")}
    files = {"b.h5": content, "c.h5": GOOD}
    return [
        Input(argv=argv[name], code=code, words=(says,), files=files, about=about,
              leaves=("b.png",) if code == 0 and name == "plot" else ())
        for name in commands.split()
    ]  # fmt: skip


def source(content: Content, about: str, *words: str, code: int = 2, name: str = "b.h5", **more: Any) -> Input:
    """A run that begins from a file."""
    given = case(toml(initial__u={"file": name, **more}), *words, code=code, about=about)
    return Input(**{**vars(given), "files": {**given.files, name: content}})


def saved(array: object, **more: Any) -> bytes:
    """A .npy file."""
    file = BytesIO()
    np.save(file, array, **more)
    return file.getvalue()


def header(text: str, version: bytes = b"\x01\x00", data: bytes = bytes(1024)) -> bytes:
    """A .npy file with this header."""
    count = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + count + text.encode() + data


class Command:
    """What would run a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch hacked",)


PLATE = np.ones((16, 8))
DESCRIBED = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"
ARRAYS: dict[str, bytes] = {
    "empty": b"",
    "text": b"1 2 3",
    "signature": b"\x93NUMPY",
    "half": saved(PLATE)[:600],
    "only the header": saved(PLATE)[:128],
    "version 9": b"\x93NUMPY\x09\x00" + saved(PLATE)[8:],
    "header of 4 GiB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + saved(PLATE)[12:],
    "header is code": header("__import__('os').system('touch hacked')\n"),
    "header is a list": header("[1, 2]\n"),
    "header is deep": header("(" * 5000 + ")" * 5000, b"\x02\x00"),
    "no header": header(""),
    "negative cells": header(DESCRIBED.format("<f8", "(-16, 8)")),
    "huge": header(DESCRIBED.format("<f8", "(1000000000, 1000000000)")),
    "beyond whole numbers": header(DESCRIBED.format("<f8", f"({10**30}, 8)")),
    "cells of text": header(DESCRIBED.format("<f8", "('a', 8)")),
    "wrong type": header(DESCRIBED.format("<q99", "(16, 8)")),
    "objects": saved(np.array([[Command()] * 8] * 16, dtype=object), allow_pickle=True),
    "complex": saved(PLATE + 0j),
    "texts": saved(np.full((16, 8), "a")),
    "records": saved(np.zeros((16, 8), [("a", float)])),
    "dates": saved(np.zeros((16, 8), "M8[s]")),
    "one number": saved(1.0),
    "no cells": saved(np.ones((0, 8))),
    "too few cells": saved(np.ones((15, 8))),
    "turned": saved(np.ones((8, 16))),
    "too many axes": saved(np.ones((1, 1, 1, 16, 8))),
}
GOOD_ARRAYS = {
    "columns first": saved(np.asfortranarray(PLATE)),
    "big-endian": saved(PLATE.astype(">f4")),
    "half precision": saved(PLATE.astype("f2")),
    "flags": saved(PLATE > 0),
    "large whole numbers": saved(np.full((16, 8), 2**63, "u8")),
    "with a z axis": saved(PLATE[None]),
    "bytes behind": saved(PLATE) + b"more",
}
LINES = TEXT.splitlines()
CASES: dict[str, tuple[Content, str]] = {
    "empty": ("", "grid"),
    "blanks": (" \n\t\n", "grid"),
    "comments": ("# a\n" * 1000, "grid"),
    "one word": ("heat", "TOML"),
    "json": ('{"equation": "heat"}', "TOML"),
    "yaml": ("equation: heat\n", "TOML"),
    "python": ("import os\nos.system('touch hacked')\n", "TOML"),
    "binary": (bytes(range(256)), "UTF-8"),
    "result": (GOOD, "UTF-8"),
    "UTF-16": (TEXT.encode("utf-16"), "UTF-8"),
    "latin-1": ('title = "é"\n'.encode("latin-1") + TEXT.encode(), "UTF-8"),
    "a zero byte": (TEXT + "\0", "TOML"),
    "an escape": (TEXT + "\x1b[31m", "TOML"),
    "half": (TEXT[: len(TEXT) // 2 + 3], "TOML"),
    "a key twice": ("equation = 1\n" + TEXT, "TOML"),
    "a table twice": (TEXT + "\n[time]\nend = 1\n", "TOML"),
    "a value and a table": ("time = 1\n" + TEXT, "TOML"),
    "a table of tables": ("[[grid]]\nx = 1\n", "grid"),
    "deep lists": ("a = " + "[" * 5000, "deep"),
    "deep lists, closed": ("a = " + "[" * 200 + "]" * 200, "deep"),
    "deep tables": ("a = " + "{a=" * 3000, "deep"),
    "deep keys": (".".join("a" * 5000) + " = 1", "deep"),
    "5000 digits": ("a = " + "9" * 5000, "TOML"),
    "an odd date": ("a = 2026-13-41", "TOML"),
    "a bad escape": ('title = "\\q"', "TOML"),
    "a surrogate": ('title = "\\ud800"', "TOML"),
    "an open text": ('title = """abc', "TOML"),
    "empty keys": ('"" = 1', "unknown key ''"),
    "keys of signs": ('"a\\nb" = 1', "unknown key"),
    "100000 keys": ("".join(f"a{n} = 1\n" for n in range(100000)), "unknown key 'a0'"),
    "5 MB of comments": ("#" + "x" * 5_000_000, "grid"),
}
GOOD_CASES = {
    "as it was": TEXT,
    "a mark of byte order": b"\xef\xbb\xbf" + TEXT.encode(),
    "old carriage returns": TEXT.replace("\n", "\r"),
    "carriage returns": TEXT.replace("\n", "\r\n"),
    "no last line end": TEXT.rstrip(),
    "comments everywhere": TEXT.replace("\n", " # é\n\n"),
    "tables in another order": "\n[".join([TEXT.split("\n[")[0], *sorted(TEXT.split("\n[")[1:])]),
    "unicode in texts": 'title = "\\u0000 \\u202e é 💥"\n' + TEXT.partition("\n")[2],
}


def mutants() -> list[Input]:
    """The small case with a line taken away, doubled, cut or run into the next, and with a sign changed."""
    draw = random.Random(1)
    made = []
    for _ in range(40):
        at = draw.choice([n for n, line in enumerate(LINES) if "=" in line])
        key, _, value = LINES[at].partition(" = ")
        cut = [
            f"{key} = {value}",
            f"{key} == {value}",
            f"{key} {value}",
            f"{key} = ",
            f"= {value}",
            f"{key} = {value} ]",
        ]
        how = draw.randrange(1, len(cut) + 1)
        new = [LINES[at], LINES[at]] if how == len(cut) else [cut[how]]
        made.append(
            case("\n".join(LINES[:at] + new + LINES[at + 1 :]), "TOML", command="check", about=f"line {at}, {new}")
        )
    return made


PLACES: dict[str, tuple[Content, str]] = {
    "a folder": (os.mkdir, "a.toml"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "a.toml"),
    "a link to nothing": (lambda path: path.symlink_to("none"), "a.toml"),
    "a socket": (lambda path: __import__("socket").socket(1).bind(str(path)), "a.toml"),
    "a device without an end": (lambda path: path.symlink_to("/dev/zero"), "a.toml"),
    "an empty device": (lambda path: path.symlink_to("/dev/null"), "device"),
    "closed to us": (lambda path: (path.write_text(TEXT), path.chmod(0)), "a.toml"),
}
REFERENCES = [
    setting(f"initial.u.file={name}", words=words, about="file")
    for name, *words in [
        ("none.h5", "none.h5"), ("''", "initial.u"), ("'.'", "initial.u"), ("'/'", "initial.u"), ("/dev/zero", "/dev/zero"),
        ("a.toml", "a.toml"), ("a.toml/b.h5", "a.toml"), ("'../../../../../../etc/passwd'", "etc/passwd"),
        ("/etc/passwd", "/etc/passwd"), ("'" + "n" * 300 + ".h5'", "n"), ("'\"a\\u0000b.h5\"'", "initial.u"),
        ('"a\\u0000b.h5"', "initial.u"), ("http://example.org/a.h5", "a.h5"), ("s3://bucket/a.h5", "a.h5"), ("~/a.h5", "a.h5"),
    ]
]  # fmt: skip
INPUTS: list[Input] = [
    *(
        given
        for about, content in DAMAGED.items()
        for given in reads(content, about, commands="plot compare" if "packed" in about else "info plot compare")
    ),
    *(given for about, content in INCOMPLETE.items() for given in reads(content, about)),
    *(given for about, content in ODD.items() for given in reads(content, about, 0, "info plot", "")),
    *(source(content, about, "b.h5", dataset="u") for about, content in DAMAGED.items()),
    *(source(content, about, "result", dataset="u", code=0) for about, content in ODD.items()),
    *(source(content, about, "b.npy", name="b.npy") for about, content in ARRAYS.items()),
    *(source(content, about, "result", name="b.npy", code=0, ) for about, content in GOOD_ARRAYS.items()),
    *(source(GOOD, f"dataset {name!r}", "b.h5", dataset=name) for name in ("", "/", "w", "time", "x", "..", "💥")),
    source(GOOD, "dataset with a zero byte", "initial.u.dataset", dataset="u\0b"),
    *(source(GOOD, f"time {time}", "b.h5", dataset="u", time=time) for time in (-1.0, 0.003, 1e308)),
    source(GOOD, "time 0.005", "result", dataset="u", time=0.005, code=0),
    *(source(GOOD, f"named {name}", name, name=name) for name in ("b.npy", "b.png", "b.tif", "b.txt", "b", "b.h5.gz")),
    *(case(content, word, about=about, command=command) for about, (content, word) in CASES.items()
      for command in ("check", "run")),
    *(case(content, "result", code=0, about=about) for about, content in GOOD_CASES.items()),
    *(case(content, word, about=about, nobody=True) for about, (content, word) in PLACES.items()),
    *(
        source(saved(np.full((16, 8), value)), str(value), "not finite", name="b.npy", code=2)
        for value in (np.nan, np.inf, -np.inf)
    ),
    *mutants(),
    *REFERENCES,
]  # fmt: skip
