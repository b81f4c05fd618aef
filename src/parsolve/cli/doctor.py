"""`doctor`: the environment, as text to paste into a question or a report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from parsolve.cli.streams import answer
from parsolve.errors import SetupError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `doctor`."""
    parser = add("doctor", "report on the environment", "python -m parsolve doctor > doctor.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=show_report, parallel=False, writes=False)


def show_report(args: argparse.Namespace, start_mpi: object) -> int:
    """Print the report; 3 if something in it keeps parsolve from running."""
    from parsolve.cli.environment import examine

    report, problems = examine()
    if args.json:
        answer(json.dumps({**report, "problems": problems}))
    else:
        answer(_markdown(report, problems))
    return SetupError.exit_code if problems else 0


def _markdown(report: dict[str, dict[str, str]], problems: Sequence[str]) -> str:
    """Return the report as markdown lists."""
    lines = ["# parsolve doctor"]
    for name, section in report.items():
        lines += ["", f"## {name}", "", *(f"- {key}: {value}" for key, value in section.items())]
    found = [f"- **{problem}**" for problem in problems] or ["- no problem found"]
    return "\n".join([*lines, "", "## verdict", "", *found])
