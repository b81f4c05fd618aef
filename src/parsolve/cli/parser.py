"""The parser: what is typed, with the nearest command or option named in every refusal."""

from __future__ import annotations

import argparse
import re
from typing import IO, TYPE_CHECKING, Any, NoReturn

from parsolve.case.tables import DEFAULT_CASE, nearest, packaged
from parsolve.cli import bench, catalog, doctor, equations, files, looking, results, slurm, solve, sweep, watch
from parsolve.cli.streams import answer
from parsolve.domain import launch
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = """\
exit codes:
  0    done; for compare: the results are the same
  1    for compare: the results differ; else unexpected error (please report it, with the output of doctor)
  2    wrong command line, case file or input file
  3    wrong environment: MPI, launcher, missing library, too many ranks
  4    numerical failure: a value that is not finite
  5    a file cannot be read or written, or exists
  6    memory or disk is not enough
  75   told to stop, and stopped with a checkpoint: restart goes on
  130  interrupted (Ctrl-C); 143: terminated (SIGTERM)

example:
  mpirun -n 4 python -m parsolve run gray-scott -o patterns.h5"""


class Answered(Exception):
    """The parser has printed all that was asked for."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises CaseError, and prints its help once however many copies run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e-3 is a number as -1 is, not an option

    def error(self, message: str) -> NoReturn:
        """Raise CaseError in place of printing and exiting."""
        raise CaseError(f"{message}; see `{self.prog} --help`")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise Answered in place of exiting: there is a code to return."""
        raise Answered

    def print_help(self, file: IO[str] | None = None) -> None:  # type: ignore[override]
        """Print the help on the launcher's first process only."""
        if launch.is_first():
            answer(self.format_help().rstrip())


def build() -> tuple[Parser, dict[str, Parser]]:
    """Return the whole parser, and those of the commands by name."""
    parser = Parser(
        prog="python -m parsolve",
        description="Solve partial differential equations on structured grids, on any number of MPI ranks. "
        f"Without a command, the packaged case '{DEFAULT_CASE}' is run.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    known: dict[str, Parser] = {}

    def add(name: str, summary: str, example: str) -> Parser:
        known[name] = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return known[name]

    for family in (solve, watch, catalog, equations, results, looking, files, sweep, slurm, bench, doctor):
        family.register(add)
    return parser, known


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line; without arguments, that of running the default case.

    Raises:
        Answered: it asked for help, which is printed.
        CaseError: an unknown command or option, or a wrong value.
    """
    parser, known = build()
    words = list(argv) or ["run", DEFAULT_CASE]
    first = next((word for word in words if not word.startswith("-")), None)
    if first is not None and words[0] == first and first not in known:
        is_case = first.endswith(".toml") or first in packaged()
        hint = f"; did you mean 'run {first}'?" if is_case else nearest(first, known)
        raise CaseError(f"unknown command '{first}'{hint}")
    args, rest = parser.parse_known_args(words)
    if rest:
        used = known.get(args.command or "", parser)
        kind = "option" if rest[0].startswith("-") else "argument"
        options = [option for action in used._actions for option in action.option_strings if len(option) > 2]
        hint = nearest(rest[0].partition("=")[0], options) if kind == "option" else ""
        if rest[0] in used._option_string_actions:
            hint = f"; write it after '{args.command}'"
        raise CaseError(f"unknown {kind} '{rest[0]}'{hint}; see `{used.prog} --help`")
    if args.command is None and not args.version:
        parser.error("no command given")
    return args
