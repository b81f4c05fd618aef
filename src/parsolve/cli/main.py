"""From the command line to the command."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve import __version__
from parsolve.cli.parser import Answered, parse
from parsolve.cli.streams import answer
from parsolve.domain import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mpi4py import MPI


def main(argv: Sequence[str], start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Run a command and return its exit code.

    Args:
        argv: the words after the program's name.
        start_mpi: starts MPI and returns the communicator; called only by commands that need it.

    Raises:
        ParsolveError: whatever the command found wrong.
    """
    try:
        args = parse(argv)
    except Answered:
        return 0
    if args.version:
        if launch.is_first():
            answer(f"parsolve {__version__}")
        return 0
    if args.parallel or launch.is_first():
        return int(args.do(args, start_mpi))
    # A serial command under a launcher: one copy speaks, and one copy writes.
    if args.writes:
        return 0
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(args.do(args, start_mpi))
