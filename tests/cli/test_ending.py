"""How the program starts and ends: what is loaded, and one message and exit code whatever fails where."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from mpi4py import MPI

from parsolve.__main__ import World
from parsolve.case import Case
from parsolve.errors import NumericalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shell = Callable[..., subprocess.CompletedProcess[str]]

REMOVED = """
import os, sys
os.mkdir("gone"), os.chdir("gone"), os.rmdir("../gone")
from parsolve.__main__ import main
sys.exit(main())
"""
# A program whose command fails as the first argument says; rank 1 of 2 may fail alone.
FAILING = """
import sys
import parsolve.__main__ as program
from parsolve.errors import CaseError, NumericalError, agreed
program.MEETING_SECONDS = 1.0

def command(argv, world):
    comm = world()
    how = argv[0]
    if how == "agreed":
        with agreed(comm):
            if comm.rank == 1:
                raise CaseError("u is not a field")
    if how == "alone" and comm.rank == 1:
        raise NumericalError("u is not finite")
    if how == "file" and comm.rank == 1:
        open("no/such/file")
    if how == "different":
        raise CaseError(f"rank {comm.rank} does not like it")
    if how == "crash" and comm.rank == 1:
        1 / 0
    if how == "memory":
        raise MemoryError
    if how == "interrupt":
        raise KeyboardInterrupt
    comm.barrier()
    return 0

program.run_command = command
sys.exit(program.main(sys.argv[1:]))
"""


def _own(text: str) -> list[str]:
    """Return the program's lines: launchers add their own on failure."""
    return [line for line in text.splitlines() if line.startswith("parsolve:")]


LOADED = """
import json, sys
import parsolve.__main__ as program
try:
    program.main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted({module.partition(".")[0] for module in sys.modules})))
"""


@pytest.mark.parametrize(
    "words",
    ["--help", "run --help", "--version", "list cases", "list equations", "new heat", "rnu"],
)
def test_what_only_tells_loads_nothing_heavy(shell: Shell, words: str) -> None:
    done = shell("-c", LOADED, *words.split())
    heavy = {"sympy", "numpy", "scipy", "h5py", "matplotlib", "mpi4py", "msgspec", "subprocess", "platform"}
    assert heavy & {*json.loads(done.stdout.splitlines()[-1])} == set(), done.stderr


@pytest.mark.parametrize("words", ["check heat", "run heat --set time.steps=1 -q"])
def test_solving_draws_nothing_and_loads_no_scipy(shell: Shell, words: str) -> None:
    done = shell("-c", LOADED, *words.split())
    loaded = {*json.loads(done.stdout.splitlines()[-1])}
    assert "numpy" in loaded, done.stderr
    assert loaded & {"matplotlib", "scipy", "PIL"} == set()


def test_a_command_leaves_no_file_and_no_communicator(comm: MPI.Intracomm) -> None:
    world = World()
    opened, meeting = world.open(), world.meeting
    world.close()
    assert opened == meeting == MPI.COMM_NULL
    assert world.open().size == comm.size  # may be opened again
    world.close()


def test_import_is_light(shell: Shell) -> None:
    done = shell("-c", "import parsolve, sys; print(sorted({'sympy', 'h5py', 'matplotlib'} & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("agreed", 2, ["parsolve: error: u is not a field"]),
        (
            "different",
            2,
            ["parsolve: error: rank 0 does not like it", "parsolve: error: rank 1 does not like it"],
        ),
        ("alone", 4, ["parsolve: error: u is not finite (rank 1 alone; stopping all ranks)"]),
        (
            "file",
            5,
            ["parsolve: error: no/such/file: No such file or directory (rank 1 alone; stopping all ranks)"],
        ),
        ("crash", 1, ["parsolve: unexpected error on rank 1 of 2; please report it:"]),
    ],
)
def test_errors_end_all_ranks_with_one_message(shell: Shell, how: str, code: int, words: list[str]) -> None:
    began = time.monotonic()
    done = shell("-c", FAILING, how, ranks=2)
    assert time.monotonic() - began < 30
    assert _own(done.stderr) == words
    assert done.returncode == code
    assert ("Traceback" in done.stderr) == (how == "crash")


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("different", 2, "parsolve: error: rank 0 does not like it"),
        ("memory", 6, "parsolve: error: not enough memory (no details); use more ranks or fewer cells"),
        ("interrupt", 130, "parsolve: interrupted"),
    ],
)
def test_errors_on_one_rank(shell: Shell, how: str, code: int, words: str) -> None:
    done = shell("-c", FAILING, how)
    assert (done.returncode, done.stderr) == (code, words + "\n")


def test_a_foreign_launcher_is_noticed_and_told_once(shell: Shell, tmp_path: Path) -> None:
    found = []
    for rank in ("0", "1"):
        foreign = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": rank}
        done = shell("-c", FAILING, "none", **foreign)
        if done.returncode == 0:
            pytest.skip("the MPI library in use takes these variables for its own")
        assert done.returncode == 3
        found += _own(done.stderr)
    assert len(found) == 1
    assert "OMPI_COMM_WORLD_SIZE=2" in found[0]
    assert "mpi4py uses" in found[0]


def test_a_serial_command_under_a_launcher_speaks_and_writes_once(shell: Shell, tmp_path: Path) -> None:
    done = shell("-m", "parsolve", "new", "heat", ranks=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("heat.toml") == 2  # the file, and how to run it
    done = shell("-m", "parsolve", "rnu", ranks=2)
    assert _own(done.stderr) == ["parsolve: error: unknown command 'rnu'; did you mean 'run'?"]
    assert done.returncode == 2


def test_a_reader_that_leaves_is_no_error(no_launcher: None) -> None:
    command = f"{sys.executable} -m parsolve list cases; echo $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | true"], capture_output=True, text=True, check=False)
    assert done.stderr == "0\n"


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "parsolve: interrupted\n"),
        (signal.SIGTERM, -signal.SIGTERM, "\nparsolve: terminated (SIGTERM)\n"),
    ],
)
def test_signals(no_launcher: None, tmp_path: Path, number: signal.Signals, code: int, words: str) -> None:
    program = "import time; print('here', flush=True); time.sleep(20)"
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # not so under `pytest &`
    text = heard + FAILING.replace("comm.barrier()", program)
    with subprocess.Popen(
        [sys.executable, "-c", text, "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "here\n"
        running.send_signal(number)
        _, err = running.communicate(timeout=10)
    assert (running.returncode, err) == (code, words)


@pytest.mark.mpi(min_size=2)
def test_a_member_that_fails_does_not_stop_the_others(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    """Groups of ranks run cases of their own; an error is that of its group alone, on all its ranks."""
    from parsolve.run import run

    part = comm.Split(comm.rank % 2)
    steps = {"steps": 40, "dt": 1.0 if comm.rank % 2 else 1e-4, "unstable": "allow"}
    case = Case.from_dict(lab.case("allen-cahn", 16, 12, time=steps))
    try:
        run(case, part, shared_tmp / f"{comm.rank % 2}.h5")
        found = "done"
    except NumericalError as error:
        found = str(error)
    same = part.allgather(found)
    part.Free()
    ends = comm.allgather(found)
    assert len(set(same)) == 1
    assert ["done" if end == "done" else "failed" for end in ends] == ["done", "failed"] * (comm.size // 2) + [
        "done"
    ] * (comm.size % 2)
    assert (shared_tmp / "0.h5").is_file()
    assert not (shared_tmp / "1.h5").exists()


@pytest.mark.parametrize(
    ("command", "code"), [("doctor", 0), ("new heat", 5), ("run heat", 5), ("check heat", 0), ("plot a.h5", 5)]
)
def test_a_removed_directory_is_told(shell: Shell, tmp_path: Path, command: str, code: int) -> None:
    done = shell("-c", REMOVED, *command.split())
    assert done.returncode in (code, 3 if command == "doctor" else code)
    assert "Traceback" not in done.stderr
    told = "not there any more" in (done.stdout if command == "doctor" else done.stderr)
    assert told == (command != "check heat" and command != "plot a.h5")
