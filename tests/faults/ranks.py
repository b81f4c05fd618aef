"""Runs of which one rank fails, in each phase and way: the whole job ends, soon, and leaves nothing.

PYTHONPATH=tests python -m faults.ranks plays all of them with the mpirun beside this Python, and stops ranks under a
watchdog. Words behind it choose phases, ranks and kinds (`wait 2 kill`). Counts and what was wrong are printed; the
exit code is 0 if nothing was.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from faults.rank_fault import FIRED, PHASES

from parsolve.domain.launch import PREFIXES
from parsolve.watchdog import HUNG

RANKS, SECONDS, WATCHDOG, PATIENCE = 4, 10, 5, 60
MARK = "PARSOLVE_FAULT_MARK"
CASE = """
equation = "heat"
[grid]
x = { cells = 32, range = [0.0, 1.0] }
y = { cells = 32, range = [0.0, 1.0] }
[initial]
u = "x*y"
[time]
steps = 40
[output]
every_steps = 5
[checkpoint]
every_steps = 5
[run]
processes = { x = 2, y = 2 }
"""
KINDS = ("exception", "exit", "kill", "segv")
HANGS = [("pose", 1), ("pack", 0), ("post", 3), ("wait", 2), ("reduce", 0), ("reduce", 3),
         ("vote", 1), ("write", 2), ("gather", 0), ("finalize", 3)]  # fmt: skip
PRIVATE = (
    "unshare",
    "-m",
    "sh",
    "-c",
    'mount -t tmpfs none /dev/shm && "$@" ; code=$?; ls -A /dev/shm >"$0"; exit $code',
)


@dataclass
class Case:
    """A fault, and what was seen of it."""

    phase: str
    rank: int
    kind: str
    seconds: float = 0.0
    code: int = 0
    text: str = ""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.phase} {self.rank} {self.kind}"


def everything() -> list[Case]:
    """192 cases of ranks that fail, and 10 of ranks that stop."""
    failing = [Case(phase, rank, kind) for phase, rank, kind in product(PHASES, range(RANKS), KINDS)]
    return failing + [Case(phase, rank, "stop") for phase, rank in HANGS]


def launcher() -> list[str]:
    """The mpirun of this environment, with the options that it needs here."""
    beside = Path(sys.executable).with_name("mpirun")
    path = str(beside) if beside.exists() else shutil.which("mpirun") or "mpirun"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    words = [path, "-n", str(RANKS)]
    if "Open MPI" in said or "OpenRTE" in said:
        words[1:1] = ["--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else [])]
    return words


def is_private() -> bool:
    """Whether a job can have a /dev/shm of its own; else what others leave there would be taken for its."""
    try:
        return (
            subprocess.run([*PRIVATE, os.devnull, "true"], capture_output=True, timeout=10, check=False).returncode == 0
        )
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """The processes of a job, by their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"{MARK}={mark}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid() and not is_zombie(pid)]


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def play(case: Case, mpirun: list[str], private: bool) -> Case:
    """Run a case and note what is wrong."""
    with tempfile.TemporaryDirectory(prefix="parsolve-rank-") as place:
        home, mark, limit = Path(place), uuid.uuid4().hex, SECONDS + (WATCHDOG if case.kind == "stop" else 0)
        (home / "tmp").mkdir()
        (home / "a.toml").write_text(CASE)
        words = [*mpirun, sys.executable, "-m", "faults.rank_fault", case.phase, str(case.rank), case.kind]
        words += ["run", "a.toml", "-o", "a.h5", "-q"]
        words += ["--set", f"run.watchdog={WATCHDOG}s"] if case.kind == "stop" else []
        told = home / "shm"
        if private:
            words = [*PRIVATE, str(told), *words]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIXES)}
        environment |= {MARK: mark, FIRED: str(home / "fired"), "TMPDIR": str(home / "tmp"), "OMP_NUM_THREADS": "1"}
        with (home / "text").open("w") as text, subprocess.Popen(
            words, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=text, stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:  # fmt: skip
            fired = waited(home / "fired", process)
            begin = time.monotonic()
            try:
                case.code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                case.wrong.append("hangs")
            while (left := marked(mark)) and time.monotonic() < begin + limit:
                time.sleep(0.02)  # those that are killed may take a moment
            case.seconds = time.monotonic() - begin
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        case.text = (home / "text").read_text("utf-8", "replace")
        if not fired:
            case.wrong.append("does not fail there")
        case.wrong += judge(case, limit)
        if left:
            case.wrong.append(f"leaves {len(left)} processes")
        remains = told.read_text().split() if told.exists() else []
        remains += [path.name for path in (home / "tmp").iterdir()]
        if remains:
            case.wrong.append(f"leaves {' '.join(remains)}")
    return case


def waited(path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether a file comes while a process runs."""
    end = time.monotonic() + PATIENCE
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return path.exists()


def judge(case: Case, limit: float) -> list[str]:
    """What is wrong with how a job ended and what it told."""
    wrong, text = [], case.text
    if case.code == 0 or (case.kind == "stop" and case.code not in (HUNG, signal.SIGKILL)):
        wrong.append(f"ends with {case.code}")
    if case.seconds >= limit:
        wrong.append(f"takes {case.seconds:.1f} s")
    told = [int(rank) for rank in re.findall(r"parsolve: (?:unexpected )?error.*?\brank (\d+)", text)]
    wanted = {"exception": [case.rank], "stop": [rank for rank in range(RANKS) if rank != case.rank]}.get(case.kind, [])
    if sorted(told) != wanted:
        wrong.append(f"ranks {told} say what is wrong")
    for words, kind in {"Traceback": "exception", "Fatal Python error": "segv"}.items():
        if text.count(words) != (case.kind == kind):
            wrong.append(f"says '{words}' {text.count(words)} times")
    return wrong


def main(words: list[str]) -> int:
    """Play the chosen cases and print the counts."""
    chosen = [case for case in everything() if set(words) <= set(str(case).split())]
    mpirun, private, bad = launcher(), is_private(), 0
    for case in chosen:
        play(case, mpirun, private)
        bad += bool(case.wrong)
        if case.wrong:
            print(f"{case}: {'; '.join(case.wrong)}\n{case.text[-1500:]}", flush=True)
    for name, kinds in {"fail": KINDS, "stop": ("stop",)}.items():
        cases = [case for case in chosen if case.kind in kinds]
        if cases:
            well, slowest = sum(not case.wrong for case in cases), max(case.seconds for case in cases)
            print(f"{len(cases)} ranks {name}: {well} jobs end well, the slowest after {slowest:.1f} s")
    print(f"of {mpirun[0]}; /dev/shm is {'looked at' if private else 'not looked at: it cannot be had alone'}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
