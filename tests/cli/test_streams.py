"""Whatever stdout and stderr are, a command answers, or says in one message and by its code that it could not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from parsolve.cli.streams import short
from parsolve.domain.launch import PREFIXES

if TYPE_CHECKING:
    from pathlib import Path

TITLED = """
title = "Wärme: ∂u/∂t, 😀"
equation = "heat"
grid.x = { cells = 8, range = [0.0, 1.0] }
initial.u = 1
time.steps = 1
"""
COMMANDS = ["--help", "list", "eq é.toml", "run é.toml -o a.h5 --force --json", "info é.h5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a case that has letters beyond ASCII, and its result."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "é.toml").write_text(TITLED, "utf-8")
    assert run(folder, "run é.toml -q -o é.h5").returncode == 0
    return folder


def run(folder: Path, command: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a shell, with redirections after it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith((*PREFIXES, "LC_", "LANG"))}
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} -m parsolve {command} {shell}"],
        cwd=folder, env=clean | {"LC_ALL": "C.UTF-8"} | environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("shell", "unbuffered", "reason"),
    [
        ("> /dev/full", "", "No space left on device"),
        ("> /dev/full", "1", "No space left on device"),
        (">&-", "", "Bad file descriptor"),
        (">&- <&-", "1", "Bad file descriptor"),
    ],
)
def test_an_answer_that_cannot_be_written_is_an_error(
    folder: Path, command: str, shell: str, unbuffered: str, reason: str
) -> None:
    done = run(folder, command, shell, PYTHONUNBUFFERED=unbuffered)
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("parsolve:")]
    assert lines == [f"parsolve: error: stdout: cannot be written: {reason}"]
    if "a.h5" in command:  # no text strayed into the file
        assert run(folder, "compare é.h5 a.h5").returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.returncode == 5


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("shell", ["2>&- <&-", "2> /dev/full"])
def test_where_nobody_hears_what_is_said_the_work_is_done(folder: Path, command: str, shell: str) -> None:
    done = run(folder, command, shell)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    if "a.h5" in command:  # no text strayed into the file
        assert run(folder, "compare é.h5 a.h5").returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_hears_no_complaint(folder: Path, command: str, unbuffered: str) -> None:
    done = run(folder, command, "2>&1 | true; exit ${PIPESTATUS[0]}", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_reader_that_has_gone_costs_no_descriptor() -> None:
    code = """
import os, sys
from parsolve.cli.streams import answer
answer("a")
before = len(os.listdir("/dev/fd"))
answer("a"); answer("b")
sys.exit(len(os.listdir("/dev/fd")) - before)
"""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
def test_letters_that_a_stream_lacks_are_escapes(folder: Path, command: str, environment: dict[str, str]) -> None:
    done = run(folder, command, **environment)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert done.stdout
    if "PYTHONIOENCODING" in environment:
        assert done.stdout.isascii()
        assert b"\\u23" not in done.stdout  # formulas are drawn with other letters then


def test_errors_in_letters_that_stderr_lacks(folder: Path) -> None:
    done = run(folder, "run ü.toml", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.startswith(b"parsolve: error: \\xfc.toml: no such file")


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 10**6])
def test_messages_are_short_and_keep_their_ends(count: int) -> None:
    text = short(f"first\n{'a' * count}z\nlast")
    first, line, last = text.split("\n")
    assert (first, last) == ("first", "last")
    assert line.startswith("a")
    assert line.endswith("z")
    assert len(line) <= 1005
    assert (line == "a" * count + "z") == (count < 1000)
