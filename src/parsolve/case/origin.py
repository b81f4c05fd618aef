"""Where each key of a case was written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.case.tables import brief, nearest
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Origin:
    """Where a case came from, so that errors can say where to look."""

    name: str = "case"
    text: str = ""
    overrides: tuple[str, ...] = ()

    def where(self, key: str) -> str:
        """Return 'file:line' of a dotted key, or the `--set` that gave it."""
        key = key.partition("[")[0]
        lines = _lines(self.text)
        for override in self.overrides:
            if f"{key}.".startswith(f"{override}.") or (override.startswith(f"{key}.") and key not in lines):
                return f"--set {brief(override)}"
        while key and key not in lines:
            key = key.rpartition(".")[0]
        return f"{self.name}:{lines[key]}" if key else self.name

    def error(self, key: str, problem: str, choices: Collection[str] = ()) -> CaseError:
        """Return an error about a key.

        Of the choices, that nearest to the word quoted in the problem (or to the key) is named.
        """
        place = self.where(key)
        place = place if place == f"--set {brief(key)}" else f"{place}: {brief(key)}"
        quoted = re.findall(r"'([^']+)'", problem)
        word = quoted[-1] if quoted else key.rpartition(".")[2]
        return CaseError(f"{place}: {problem}{nearest(word, choices)}")

    def unknown(self, key: str, choices: Collection[str]) -> CaseError:
        """Return the error for a key that does not exist."""
        return CaseError(f"{self.where(key)}: unknown key '{brief(key)}'{nearest(key.rpartition('.')[2], choices)}")


def _lines(text: str) -> dict[str, int]:
    """Return the first line that has to do with each dotted key, found by a plain scan."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            key = table = header[1]
        elif entry := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            key = f"{table}.{entry[1]}" if table else entry[1]
        else:
            continue
        parts = [part.strip(" \"'") for part in key.split(".")]
        for depth in range(1, len(parts) + 1):
            lines.setdefault(".".join(parts[:depth]), number)
    return lines
