"""The power fails: what a run did is recorded once, and each state that a disk may be left in is gone on from.

Names and bytes of a disk are those of before, of each prefix of the calls, with what was not synced kept, dropped, in
part there, or in another order (LazyFS and ALICE describe such states). `python -m faults.power STRIDE` (with the shim)
plays every STRIDE-th.
"""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults.play import AT_ONCE, LATER, RUN, SOLO, Tally, child, main, prepare, program, scratch
from faults.server import after, undisturbed

from parsolve.store.checkpoint import find

if TYPE_CHECKING:
    from collections.abc import Iterator

TEARS = (512, 4096, 0)  # bytes of the last write that are there; 0: half of it


@dataclass(frozen=True)
class Call:
    """A call that changed something: its kind, one or two names below the folder, an offset and bytes."""

    kind: str
    path: str
    to: str
    offset: int
    count: int
    data: bytes


def recorded(folder: Path, argv: list[str]) -> list[Call]:
    """What the program does to the files of a folder."""
    log = Path(f"{folder}.log")

    def do(shim: Any) -> int:
        shim.fault_arm(os.fsencode(folder), 0, 0, 0)
        shim.fault_record(os.open(log, os.O_WRONLY | os.O_CREAT))
        return program.main(argv)

    assert child(folder, do) == 0, Path(f"{folder}.err").read_text()
    data, at, calls = log.read_bytes(), 0, []
    while at < len(data):
        a, b, c, offset, count = struct.unpack_from("5q", data, at)
        at += 40
        parts = []
        kind = data[at : at + a].decode()
        for size in (a, b, c, count if kind == "write" else 0):
            parts.append(data[at : at + size])
            at += size
        path, to = (part.decode().removeprefix(f"{folder}/").rstrip("/") for part in parts[1:3])
        calls.append(Call(kind, path, to, offset, count, parts[3]))
    return calls


@dataclass
class File:
    """Bytes as a process sees them, those that were synced, and the writes since."""

    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    since: list[tuple[int, bytes]] = field(default_factory=list)

    def torn(self, most: int) -> bytes:
        """The bytes where of the last write only the first ones came to the disk."""
        if not self.since:
            return bytes(self.now)
        at, data = self.since[-1]
        keep = min(most or len(data) // 2, len(data))
        there, before = bytearray(self.now), self.synced.ljust(len(self.now), b"\0")
        there[at + keep : at + len(data)] = before[at + keep : at + len(data)]
        return bytes(there)


State = dict[str, bytes | None]  # of each name the bytes; None: a folder


class Disk:
    """The files of a folder while calls are played: their names now, and those that are sure to be there."""

    def __init__(self, names: State) -> None:
        self.now: dict[str, File | None] = {
            name: None if data is None else File(bytearray(data), data) for name, data in names.items()
        }  # None: a folder
        self.sure = dict(self.now)

    def play(self, call: Call) -> None:
        """Do what a call did."""
        path, now = call.path.removesuffix(" (deleted)"), self.now
        file = now.get(path)
        if call.kind in ("open", "empty"):
            file = now.setdefault(path, File())
            if call.kind == "empty" and file is not None:
                file.now.clear()
        elif call.kind == "mkdir":
            now[path] = None
        elif call.kind in ("unlink", "rmdir"):
            now.pop(path, None)
        elif call.kind == "link":
            now[call.to] = now[path]
        elif call.kind == "rename" and file is not None:
            now[call.to] = now.pop(path)
        elif call.kind == "rename":  # a folder, with all that is in it
            for name in [name for name in now if name == path or name.startswith(f"{path}/")]:
                now[call.to + name.removeprefix(path)] = now.pop(name)
        elif call.kind == "sync" and file is None:
            self._sync_names(path)
        elif file is not None:
            self._change(file, call)

    def _change(self, file: File, call: Call) -> None:
        if call.kind == "sync":
            file.synced, file.since = bytes(file.now), []
        elif call.kind == "cut":
            file.now[:] = file.now[: call.count].ljust(call.count, b"\0")
        elif call.kind == "write":
            end = call.offset + len(call.data)
            file.now[:] = file.now.ljust(end, b"\0")
            file.now[call.offset : end] = call.data
            file.since.append((call.offset, call.data))
        else:
            raise AssertionError(call.kind)

    def _sync_names(self, folder: str) -> None:
        """Those directly in a folder are sure; a folder that has gone takes what was in it along."""
        inside = lambda name: os.path.dirname(name) == folder  # noqa: E731, PTH120
        for name in [name for name in self.sure if inside(name) and name not in self.now]:
            for inner in [inner for inner in self.sure if inner == name or inner.startswith(f"{name}/")]:
                del self.sure[inner]
        self.sure.update({name: file for name, file in self.now.items() if inside(name)})

    def states(self) -> Iterator[State]:
        """What may be there when the power fails now."""
        for names in (self.now, self.sure):  # with later names, or without; a file in a folder that is lost is lost
            there = {name: file for name, file in names.items() if all(str(up) in names for up in _above(name))}
            yield {name: file and bytes(file.now) for name, file in there.items()}
            yield {name: file and file.synced for name, file in there.items()}
            yield {name: file and file.synced.ljust(len(file.now), b"\0") for name, file in there.items()}
            for name, file in there.items():
                for most in TEARS if file is not None and file.since else ():
                    yield {n: f and (f.torn(most) if n == name else bytes(f.now)) for n, f in there.items()}


def _above(name: str) -> list[Path]:
    return [up for up in Path(name).parents if str(up) != "."]


@dataclass(frozen=True)
class Case:
    """A state after so many calls; ``promised``: the step of the newest checkpoint that was committed by then."""

    later: bool  # of a run that goes on with a finished one
    calls: int
    promised: int
    state: State


def cases(names: State, calls: list[Call], later: bool) -> list[Case]:
    """All states that differ, with the first prefix that leads to each."""
    disk, known, found = Disk(names), set(), []
    promised, waiting = (6 if later else 0), 0
    for count in range(len(calls) + 1):
        for state in disk.states():
            text = b"".join(f"{n}\0{d is None}\0".encode() + (d or b"") + b"\1" for n, d in sorted(state.items()))
            key = (promised, hashlib.blake2b(text).digest())
            if key not in known:
                known.add(key)
                found.append(Case(later, count, promised, state))
        if count < len(calls):
            call = calls[count]
            disk.play(call)
            name = Path(call.to if call.kind in ("rename", "link") else call.path).name
            if call.kind in ("rename", "link") and name.startswith("checkpoint-") and name.endswith(".json"):
                waiting = int(Path(name).stem.rpartition("-")[2])
            elif waiting:  # whatever comes next, the run takes it for committed
                promised, waiting = waiting, 0
    return found


def judge(case: Case, home: Path, wanted: list[Any]) -> str:
    """What is wrong with a state and with the run that goes on with it."""
    with tempfile.TemporaryDirectory(prefix="fault-", dir=home) as place:
        folder = Path(place) / "here"
        folder.mkdir()
        for name, data in sorted(case.state.items()):
            path = folder / name
            if data is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.write_bytes(data)
        frames = folder / "a.h5.frames"
        since = find(SOLO, frames)[0] if frames.is_dir() else None
        wrong = []
        if (since.step if since else 0) < case.promised:
            wrong.append(f"has lost checkpoint {case.promised}")
        wrong += after(folder, LATER if case.later else RUN, wanted[case.later], case.later)
        return f"after call {case.calls}{' of going on' * case.later}: {'; '.join(wrong)}" if wrong else ""


def play(stride: int) -> Tally:
    """Play every so many of the states."""
    prepare()
    gc.freeze()
    with scratch() as home:
        wanted = undisturbed(home)[0]
        found = []
        for later, name, argv in ((False, "fresh", RUN), (True, "finished", LATER)):
            here = home / f"here-{name}"
            shutil.copytree(home / name, here)
            paths = {str(path.relative_to(here)): path for path in sorted(here.rglob("*"))}
            names = {name: path.read_bytes() if path.is_file() else None for name, path in paths.items()}
            found += cases(names, recorded(here, argv), later)
        found.sort(key=lambda case: (-case.promised, len(case.state)))  # first of all where most is missed
        chosen = found[::stride]
        with get_context("fork").Pool(AT_ONCE) as pool:
            said = pool.map(partial(judge, home=home, wanted=wanted), chosen, chunksize=4)
    return Tally("power", len(chosen), len(chosen), tuple(text for text in said if text))


if __name__ == "__main__":
    sys.exit(main(play))
