"""Bits flip, files are cut, pages are zeroed, blocks are swapped, manifests are of another time: all of it is found.

`python -m faults.corruption STRIDE [DEFECT]` plays every STRIDE-th case. Blocks are of 256 bytes here, so that a field
has several. A checkpoint whose values or manifest are damaged is not taken: the older one is, with the right bits.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from faults.play import CASE, RUN, SOLO, Tally, damage, main, played, prepare, scratch

from parsolve.store import checkpoint, hashes, integrity
from parsolve.store.files import open_read
from parsolve.store.hashes import text_hash
from parsolve.store.integrity import Table, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK, PAGE = 256, 4096
FLIPS, HEADS, CUTS, PAGES, SWAPS, STALE = 1000, 200, 100, 100, 50, 50
OTHER = CASE.replace("1e-4", "2e-4")  # a run of the same steps with other values
Place = tuple[Path, str, int, int]  # file, field, first byte of a block and how many


@dataclass
class Home:
    """The files of a run, whole: a result, an index with its frames, and two checkpoints; and those of another."""

    folder: Path
    files: dict[Path, bytes]
    tables: dict[Path, Table]
    kept: dict[int, dict[str, bytes]]  # by the steps of the checkpoints their values

    @property
    def frames(self) -> Path:
        """The folder of the frames and the checkpoints."""
        return self.folder / "index.h5.frames"

    def blocks(self, *paths: Path) -> list[Place]:
        """Those of the values of files."""
        found = []
        for path in paths:
            table = self.tables[path]
            for name, start in table.values.items():
                for n in range(len(table.steps)):
                    for at in range(0, table.size, BLOCK):
                        place = start + n * table.size + at
                        found.append((path, name, place, min(BLOCK, table.size - at)))
        return found


def made(folder: Path) -> Home:
    """The files of two runs."""
    for name, case in (("mine", CASE), ("other", OTHER)):
        (folder / name).mkdir()
        (folder / name / "a.toml").write_text(case)
        assert played(folder / name, RUN)[0] == 0
        words = ["run", "a.toml", "-o", "index.h5", "-q", "--set", "output.keep_frames=true"]
        assert played(folder / name, words)[0] == 0
    mine = folder / "mine"
    paths = [mine / "a.h5", mine / "index.h5", *sorted((mine / "index.h5.frames").iterdir())]
    files = {path: path.read_bytes() for path in paths if path.name != "status.json"}
    tables = {}
    for path in files:
        if path.suffix == ".h5" and path.name != "index.h5":
            with open_read(path) as file:
                steps = file["step"][...].tolist()
                fields = [name for name in file if getattr(file[name], "shape", ()) == (len(steps), 10, 12)]
                tables[path] = read_table(path, file, fields, steps)
    kept = {}
    for manifest in checkpoint.manifests(mine / "index.h5.frames"):
        said = checkpoint.read_manifest(manifest)
        kept[said.step] = {name: files[said.file][a : a + n] for name, (a, n) in said.regions.items()}
    return Home(mine, files, tables, kept)  # type: ignore[arg-type]


class Case:
    """One damage: what is done to which bytes, and what must be named."""

    def __init__(self, kind: str, changes: dict[Path, bytes], says: list[str], what: str) -> None:
        self.kind, self.changes, self.says, self.what = kind, changes, says, what

    def __str__(self) -> str:
        return f"{self.kind} {self.what} of {', '.join(path.name for path in self.changes)}"


def changed(home: Home, kind: str, path: Path, start: int, data: bytes) -> Case | None:
    """The case in which bytes of a file are others; nothing if they are the same."""
    whole = home.files[path]
    new = whole[:start] + data + whole[start + len(data) :]
    if new == whole:
        return None
    says = [path.name]
    first = next(n for n in range(len(whole)) if whole[n] != new[n])
    last = next(n for n in range(len(whole) - 1, -1, -1) if whole[n] != new[n])
    for _, name, at, size in home.blocks(path) if path in home.tables else ():
        if at <= first and last < at + size:  # in a single block: it is named
            says = [path.name, f"'{name}'", f"in bytes {at} to {at + size}"]
    return Case(kind, {path: new}, says, f"at byte {start}")


def flips(home: Home, draw: random.Random) -> Iterator[Case | None]:
    """A bit is another: anywhere in the files, or in manifests and what HDF5 files begin with."""
    paths = list(home.files)
    for n in range(FLIPS):
        heads = n < HEADS
        path = draw.choice([path for path in paths if not heads or path.suffix == ".json"] if n % 2 else paths)
        if n % 3 and path in home.tables and not heads:
            _, _, start, size = draw.choice(home.blocks(path))
        else:
            start, size = 0, min(2048, len(home.files[path])) if heads else len(home.files[path])
        at = start + draw.randrange(size)
        yield changed(home, "flip", path, at, bytes([home.files[path][at] ^ 1 << draw.randrange(8)]))


def cuts(home: Home, draw: random.Random) -> Iterator[Case | None]:
    """A file ends early."""
    for n in range(CUTS):
        path = draw.choice(list(home.files))
        size = len(home.files[path])
        left = size - 1 - n // 10 if n % 10 == 0 else draw.randrange(size)
        yield Case("cut", {path: home.files[path][:left]}, [path.name], f"to {left} bytes")


def zeros(home: Home, draw: random.Random) -> Iterator[Case | None]:
    """A page of zeros; where it is zero already another is taken."""
    pages = [
        (path, at) for path, data in home.files.items() for at in range(0, len(data), PAGE) if any(data[at : at + PAGE])
    ]
    for _ in range(PAGES):
        path, at = draw.choice(pages)
        yield changed(home, "zeros", path, at, bytes(min(PAGE, len(home.files[path]) - at)))


def swaps(home: Home, draw: random.Random) -> Iterator[Case | None]:
    """Two blocks have each other's bytes: in a file, between slots, frames and fields; or two files have."""
    slots = [path for path in home.tables if path.name.startswith("checkpoint")]
    others = [path for path in home.tables if path not in slots]
    for n in range(SWAPS):
        kind = slots if n % 2 else others
        if n % 10 == 0:
            one, two = draw.sample([path for path in kind if path.name != "a.h5"] if n % 20 else slots, 2)
            both = {one: home.files[two]} | ({} if one in slots else {two: home.files[one]})
            yield Case("swap", both, [one.name], f"with {two.name}")
            continue
        one, two = draw.sample(home.blocks(*kind), 2)
        while one[3] != two[3]:
            two = draw.choice(home.blocks(*kind))
        data = {path: bytearray(home.files[path]) for path in (one[0], two[0])}
        for (path, _, at, size), (other, _, start, _) in ((one, two), (two, one)):
            if path == one[0] or path not in slots:  # one slot stays
                data[path][at : at + size] = home.files[other][start : start + size]
        if bytes(data[one[0]]) != home.files[one[0]]:
            both = {path: bytes(text) for path, text in data.items() if text != home.files[path]}
            says = [word for path, name, *_ in (one, two) if path in both for word in (path.name, f"'{name}'")]
            yield Case("swap", both, says, f"{one[1:3]} and {two[1:3]}")


def stale(home: Home, draw: random.Random) -> Iterator[Case | None]:
    """A manifest is that of another time, of another run, or has numbers of another with its hash made anew."""
    mine, other = ([folder / path.name for path in checkpoint.manifests(home.frames)]
                   for folder in (home.frames, home.folder.parent / "other/index.h5.frames"))  # fmt: skip
    for n in range(STALE):
        place = mine[n // 2 % 2]
        old = draw.choice([path for path in (*mine, *other) if path != place])
        data = old.read_bytes()
        if n % 4 == 3:  # as if it were of this place
            said = json.loads(json.loads(data)["text"]) | {"file": place.with_suffix(".h5").name}
            text = json.dumps(said)
            data = json.dumps({"hash": text_hash(text), "text": text}).encode()
        yield Case("stale", {place: data}, [place.stem], f"{old.parent.parent.name}/{old.name}")


KINDS: tuple[Callable[[Home, random.Random], Iterator[Case | None]], ...] = (flips, cuts, zeros, swaps, stale)


def judge(home: Home, case: Case) -> str:
    """What is wrong with how a damage is told and gone around."""
    for path, data in case.changes.items():
        path.write_bytes(data)
    try:
        found = damage(home.folder / "a.h5", home.folder / "index.h5", home.frames)
        since, doubts = checkpoint.find(SOLO, home.frames)
        got = values(since) if since else {}
    finally:
        for path in case.changes:
            path.write_bytes(home.files[path])
    wrong = [] if found else ["is not found"]
    told = "; ".join(found)
    wrong += [f"does not say {word}: {told[:300]}" for word in case.says if found and word not in told]
    for path in case.changes:
        others = [text for text in found if not re.search("|".join(re.escape(p.stem) for p in case.changes), text)]
        if others and path.name != "index.h5":
            wrong.append(f"says of another file {others[:2]}")
    if since is None:
        wrong.append(f"leaves no checkpoint: {doubts}")
    elif got != home.kept[since.step]:
        wrong.append(f"goes on from wrong values of step {since.step}")
    newest = home.frames / "checkpoint-000000006"
    if case.kind == "stale" and newest.with_suffix(".json") in case.changes and since and since.step == 6:
        wrong.append("takes a stale manifest")
    return "; ".join(dict.fromkeys(wrong))


def values(since: checkpoint.Checkpoint) -> dict[str, bytes]:
    """Those that a march would go on from."""
    grid = SimpleNamespace(cells=(1, 10, 12), size=120)
    sub: Any = SimpleNamespace(grid=grid, comm=SOLO, start=(0, 0, 0), stop=grid.cells)
    arrays = {name: np.zeros(grid.cells) for name in since.regions}
    since.read(sub, arrays)
    return {name: array.tobytes() for name, array in arrays.items()}


def play(stride: int) -> Tally:
    """Play every so many cases of each kind, here, one after the other."""
    hashes.BLOCK = integrity.BLOCK = BLOCK
    prepare()
    with scratch() as place:
        home, draw = made(place), random.Random(1)
        assert not damage(home.folder / "a.h5", home.folder / "index.h5", home.frames)
        drawn = [case for kind in KINDS for case in list(kind(home, draw))[::stride] if case]
        found = [(case, judge(home, case)) for case in drawn]
        shutil.rmtree(place / "other")
    counts: Any = Counter(case.kind for case in drawn)
    family = "corruption (" + ", ".join(f"{count} {kind}" for kind, count in counts.items()) + ")"
    return Tally(family, len(found), len(found), tuple(f"{case}: {text}" for case, text in found if text))


if __name__ == "__main__":
    sys.exit(main(play))
