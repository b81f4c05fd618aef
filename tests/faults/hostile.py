"""Files of parsolve with bytes changed, and HDF5 files made with intent, read by the commands that read such files.

`python -m faults.hostile STRIDE [DEFECT]` (with the shim) plays every STRIDE-th mutant and construct. A child reads many
of them in turn, with limits of memory and time; whatever it opens is written down.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py
from faults.constructs import CONSTRUCTS
from faults.corruption import values
from faults.play import (
    AT_ONCE,
    CASE,
    RUN,
    SOLO,
    Tally,
    child,
    contents,
    main,
    played,
    prepare,
    program,
    scratch,
    spoken,
)

from parsolve.store import checkpoint, look

if TYPE_CHECKING:
    from collections.abc import Callable

MUTANTS, BATCH, MEMORY, SLOW = 10_000, 50, 6 << 30, 10.0
NAMES = ("a.h5", "000000002.h5", "checkpoint-000000006.h5", "checkpoint-000000006.json", "status.json")
WEIGHTS = (5, 2, 1, 1, 1)
STEP = "checkpoint-000000006"


@dataclass(frozen=True)
class Home:
    """Whole files, and what is read of them."""

    files: dict[str, bytes]  # by names below the folder
    facts: dict[str, Any]  # that `info` tells of the result and of a frame
    status: dict[str, Any]
    kept: dict[int, dict[str, bytes]]
    pictures: dict[str, bytes]


def ran(*argv: str) -> tuple[int, str, str]:
    """Exit code, answer and messages of a command, here, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = program.main(argv)
    return code, out.getvalue(), err.getvalue()


def trial(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
    """In place of a new interpreter that looks at files: a child that is forked."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
        for name in command[3:]:
            try:
                look._try_all(Path(name))
            except BaseException:
                continue
        os._exit(0)
    return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


class World:
    """In place of MPI: a communicator of one rank."""

    rank, size = 0, 1
    allreduce, bcast, allgather = SOLO.allreduce, SOLO.bcast, SOLO.allgather

    def Dup(self) -> World:
        """This one."""
        return self

    def Free(self) -> None:
        """Nothing."""

    Barrier = Free


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The bytes with something changed, most of all where something stands."""
    if draw.random() < 0.05:
        return data[: draw.randrange(len(data))]
    some = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at = draw.randrange(len(data))
        for _ in range(20):  # HDF5 has wide gaps
            if data[at]:
                break
            at = draw.randrange(len(data))
        at = min(at, len(some) - 1)  # of which some may be gone
        how, size = draw.randrange(6), draw.choice((1, 2, 4, 8))
        if how == 0:
            some[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            some[at] = draw.randrange(256)
        elif how == 2:
            some[at : at + size] = draw.choice((b"\xff", b"\0", b"\x7f", b"\x80"))[:1] * len(some[at : at + size])
        elif how == 3:
            some[at : at + size] = draw.randbytes(len(some[at : at + size]))
        elif how == 4:
            start, count = draw.randrange(len(data)), draw.choice((8, 64, 512))
            part = data[start : start + count]
            some[at : at + len(part)] = part[: len(some) - at]
        else:
            del some[at : at + size]
    return bytes(some)


def place(name: str) -> str:
    """Where a file is, below the folder."""
    return name if name == "a.h5" else f"{'a' if name[0] in 'cs' else 'index'}.h5.frames/{name}"


def read(home: Home, path: str, number: int, opened: Callable[[], set[str]], is_mutant: bool) -> list[str]:
    """What is wrong with how the commands take a file."""
    wrong: list[str] = []
    name = Path(path).name
    if name == "status.json":
        plan = [("status", "a.h5", "--json")]
    elif name.startswith("checkpoint"):
        plan = [("verify", path if path.endswith("json") else path[:-2] + "json")]
    else:
        plan = [("info", path, "--json"), ("verify", path), ("compare", path, "b.h5")]
        plan += [("plot", path, "-o", "p.png", "--force")] if number % 10 == 0 or not is_mutant else []
    for argv in plan:
        opened()
        begun = time.process_time()
        code, out, err = ran(*argv)
        taken, also = time.process_time() - begun, opened()
        wrong += [f"{argv[0]}: {text}" for text in told(home, argv, path, code, out, err)]
        if taken > SLOW:
            wrong.append(f"{argv[0]} takes {taken:.0f} s")
        if also:
            wrong.append(f"{argv[0]} opens {sorted(also)[:3]}")
    if name.startswith("checkpoint"):
        since = checkpoint.find(SOLO, Path(path).parent)[0]
        if since is None or values(since) != home.kept[since.step]:
            wrong.append("restart: goes on from wrong values, or from none")
        elif name.endswith("json") and since.step == 6:
            wrong.append("restart: takes a changed manifest")
    return wrong


def told(home: Home, argv: tuple[str, ...], path: str, code: int, out: str, err: str) -> list[str]:
    """What is wrong with exit code and words of a command."""
    if spoken(out + err):
        return [f"says {(out + err)[-700:]}"]
    if code not in (0, 1, 5, 6) or (code == 1 and argv[0] != "compare"):
        return [f"ends with {code}: {err[-300:]}"]
    if code in (5, 6):
        return [] if "parsolve: error: " in err or "damaged" in out else [f"ends with {code} and no word: {out} {err}"]
    if argv[0] == "verify" and "no hashes" not in out:
        return [f"finds nothing: {out[-200:]}"]
    warned = "parsolve: warning: " in err
    if argv[0] == "info" and not warned and json.loads(out) != home.facts[path]:
        return ["tells other facts without a word"]
    if argv[0] == "status" and {**json.loads(out), "age": 0} != home.status:
        return ["tells another status without a word"]
    if argv[0] == "compare" and code == 0 and contents(Path(path)) != contents(Path("b.h5")):
        return ["says that others are the same"]
    if argv[0] == "plot" and not warned and Path("p.png").read_bytes() != home.pictures[path]:
        return ["draws another picture without a word"]
    return []


def batch(home: Home, numbers: list[int], folder: Path, is_mutant: bool) -> list[str]:
    """Read some mutants or constructs, in children; what is wrong with each."""
    for name, data in home.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    log, left, wrong = folder.with_name(folder.name + ".log"), list(numbers), []
    while left:
        log.unlink(missing_ok=True)
        code = child(folder, partial(reader, home, folder, left, log, is_mutant), 60 + 20 * len(left))
        done = [line.split("\t", 1) for line in log.read_text().splitlines()] if log.exists() else []
        wrong += [f"{number}: {text}" for number, text in done if text]
        if code == 0:
            break
        number = left[len(done)]
        wrong.append(f"{title(number, is_mutant)}: ends with {code}: {Path(f'{folder}.err').read_text()[-500:]}")
        left = left[len(done) + 1 :]
    return wrong


def title(number: int, is_mutant: bool) -> str:
    """What a case is called."""
    return f"mutant {number}" if is_mutant else list(CONSTRUCTS)[number]


def reader(home: Home, folder: Path, numbers: list[int], log: Path, is_mutant: bool, shim: Any) -> int:
    """Be the child that reads: with limits, and with all names of files that it opens."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    look.subprocess = SimpleNamespace(**(vars(subprocess) | {"run": trial}))  # type: ignore[attr-defined]
    program._prepare = lambda comm: None
    program._start_mpi = lambda _: (World(), "none")  # type: ignore[assignment, return-value]
    trace = os.open(f"{folder}.trace", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    shim.fault_trace(trace)
    warnings.simplefilter("default")

    def opened() -> set[str]:
        names = {os.path.realpath(name) for name in Path(f"{folder}.trace").read_text().splitlines()}
        os.ftruncate(trace, 0)
        os.lseek(trace, 0, os.SEEK_SET)
        mine = {str(folder / name) for name in allowed} | {f"{folder}.trace", str(log)}
        usual = (
            sys.prefix,
            sys.base_prefix,
            "/usr",
            "/lib",
            "/proc",
            "/sys",
            "/dev/null",
            str(Path(program.__file__).parent),
        )
        return {name for name in names - mine if not name.startswith(usual)}

    for number in numbers:
        draw = random.Random(number)
        name = draw.choices(NAMES, WEIGHTS)[0] if is_mutant else "a.h5"
        path = folder / place(name)
        allowed = {place(name), "b.h5", "p.png", "a.h5.frames", f"a.h5.frames/{STEP}.json", f"a.h5.frames/{STEP}.h5"}
        allowed |= {f".p.png.{os.getpid()}.partial", "a.h5/status.json", "a.h5.frames.new/status.json"}
        if is_mutant:
            path.write_bytes(mutated(home.files[place(name)], draw))
        else:
            (folder / "secret.h5").write_bytes(home.files["b.h5"])
            with h5py.File(path, "r+") as file:
                CONSTRUCTS[title(number, False)](file)
        wrong = (
            [] if path.read_bytes() == home.files[place(name)] else read(home, place(name), number, opened, is_mutant)
        )
        path.write_bytes(home.files[place(name)])
        with log.open("a") as file:
            said = f"{name}: {'; '.join(wrong)}" if wrong else ""
            file.write(f"{title(number, is_mutant)}\t{said!a}\n".replace("''", ""))
    return 0


def whole(folder: Path) -> Home:
    """The files of a run, and what commands tell of them."""
    (folder / "a.toml").write_text(CASE)
    assert played(folder, RUN)[0] == 0
    assert played(folder, ["run", "a.toml", "-o", "index.h5", "-q", "--set", "output.keep_frames=true"])[0] == 0
    (folder / "b.h5").write_bytes((folder / "a.h5").read_bytes())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    paths = ("a.h5", place("000000002.h5"))
    facts, kept, pictures = {}, {}, {}
    for path in paths:
        played(folder, ["info", path, "--json"])
        facts[path] = json.loads(Path(f"{folder}.out").read_text())
        assert played(folder, ["plot", path, "-o", "p.png", "--force"])[0] == 0
        pictures[path] = (folder / "p.png").read_bytes()
    played(folder, ["status", "a.h5", "--json"])
    status = {**json.loads(Path(f"{folder}.out").read_text()), "age": 0}
    for manifest in checkpoint.manifests(folder / "a.h5.frames"):
        said = checkpoint.read_manifest(manifest)
        kept[said.step] = {name: said.file.read_bytes()[a : a + n] for name, (a, n) in said.regions.items()}
    return Home(files, facts, status, kept, pictures)


def one_batch(job: tuple[int, list[int], bool], home: Home, place: Path) -> list[str]:
    """A batch in a folder of its own."""
    folder = place / f"batch-{job[0]}-{job[2]}"
    folder.mkdir()
    found = batch(home, job[1], folder, job[2])
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return found


def play(stride: int) -> Tally:
    """Play every so many mutants and constructs, two batches at a time."""
    prepare()
    import matplotlib.backends.backend_agg  # noqa: F401

    import parsolve.view.plot  # noqa: F401

    with scratch() as place:
        (place / "whole").mkdir()
        home = whole(place / "whole")
        mutants, constructs = (
            list(range(0, MUTANTS, stride)),
            list(range(0, len(CONSTRUCTS), 1 if stride <= 200 else 7)),
        )
        jobs = [(at, mutants[at : at + BATCH], True) for at in range(0, len(mutants), BATCH)]
        jobs += [(at, [number], False) for at, number in enumerate(constructs)]
        with get_context("fork").Pool(AT_ONCE) as pool:
            found = [text for part in pool.map(partial(one_batch, home=home, place=place), jobs, 1) for text in part]
    cases = len(mutants) + len(constructs)
    return Tally(f"hostile ({len(constructs)} constructs, {len(mutants)} mutants)", cases, cases, tuple(found))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(play))
