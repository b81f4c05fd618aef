"""Stdout and stderr as they may be: closed, full, left by their reader, or without the letters of a text.

What a command was asked for is an `answer`; one that cannot be written is an error. What is said beside it is told
(`tell`), and lost where nobody hears it.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from parsolve.errors import StorageError

_LONGEST = 1000  # letters of a line of a message: whole paths, but not whole programs


def guard() -> None:
    """Open what is closed, so that no other file takes its place, and write letters that a stream lacks as escapes.

    Writing to it fails as before.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def answer(text: str) -> None:
    """Print to stdout. A reader who has gone (`parsolve list | head`) is no error, and hears nothing more.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _drop(sys.stdout)
    except OSError as error:
        _drop(sys.stdout)
        raise StorageError(f"stdout: cannot be written: {error.strerror or error}") from None


def tell(text: str, end: str = "\n", stream: TextIO | None = None) -> None:
    """Write to stderr in one piece, so that ranks do not mix their lines."""
    stream = stream or sys.stderr
    try:
        stream.write(text + end)
        stream.flush()
    except (OSError, ValueError):
        _drop(stream)


def has_letters(letters: str) -> bool:
    """Return whether stdout can show letters as they are."""
    try:
        letters.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def short(text: str) -> str:
    """Return a message without the middle of lines that nobody would read to the end."""
    half = _LONGEST // 2
    lines = text.split("\n")
    return "\n".join(line if len(line) <= _LONGEST else f"{line[:half]} ... {line[-half:]}" for line in lines)


def _drop(stream: TextIO) -> None:
    """Let a stream write to nowhere: nothing is left that could fail when the program ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
