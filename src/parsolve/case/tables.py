"""The text of a case as plain tables: packaged cases, overrides, and where each key was written.

This knows TOML and nothing of what the keys mean; that is in `case`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

DEFAULT_CASE = "gray-scott"

# Keys of one table of which at most one may be given; `--set` of one takes the place of the others.
ALTERNATIVES = (
    {"end", "steps"},
    {"every", "every_steps"},
    {"dirichlet", "neumann", "curvature", "robin"},
    {"dt", "tolerance"},
)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a case came from, so that errors can say where to look."""

    name: str = "case"
    text: str = ""
    overrides: tuple[str, ...] = ()

    def where(self, key: str) -> str:
        """Return 'file:line' of a dotted key, or the `--set` that gave it."""
        key = key.partition("[")[0]
        for override in self.overrides:
            if key == override or key.startswith(override + "."):
                return f"--set {override}"
        line, depth = _line_of(self.text, key)
        if depth <= key.count("."):
            for override in self.overrides:
                if override.startswith(key + "."):
                    return f"--set {override}"
        return f"{self.name}:{line}" if line else self.name

    def error(self, key: str, problem: str, choices: Collection[str] = ()) -> CaseError:
        """Return an error about a key.

        Of the choices, that nearest to the word quoted in the problem (or to the key) is named.
        """
        place = self.where(key)
        place = place if place == f"--set {key}" else f"{place}: {key}"
        quoted = re.findall(r"'([^']+)'", problem)
        word = quoted[-1] if quoted else key.rpartition(".")[2]
        return CaseError(f"{place}: {problem}{nearest(word, choices)}")

    def unknown(self, key: str, choices: Collection[str]) -> CaseError:
        """Return the error for a key that does not exist."""
        return CaseError(f"{self.where(key)}: unknown key '{key}'{nearest(key.rpartition('.')[2], choices)}")


def packaged() -> dict[str, str]:
    """Return the packaged cases: name -> text of the file, comments and all."""
    folder = Path(__file__).parent.parent / "cases"
    return {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.toml"))}


def read_source(case: str | Path | None) -> tuple[str, str, Path]:
    """Return name, text and folder of a case file or packaged case.

    Raises:
        CaseError: there is none of that name, or it cannot be read.
    """
    name = str(case) if case is not None else DEFAULT_CASE
    path = Path(name)
    if case is None or not path.is_file():
        known = packaged()
        if name in known:
            return f"{name}.toml", known[name], Path()
        if not path.exists():
            hint = nearest(path.stem, known, "packaged cases")
            raise CaseError(f"{name}: no such file and no packaged case of that name{hint}")
    try:
        return name, path.read_text("utf-8"), path.parent
    except UnicodeDecodeError as error:
        raise CaseError(f"{name}: not UTF-8 text (byte {error.start}); is this a case file?") from None
    except OSError as error:
        raise CaseError(f"{name}: cannot be read: {error.strerror}") from None


def nearest(word: str, choices: Iterable[str], kind: str = "valid") -> str:
    """Return '; did you mean ...?' for the nearest choice, or the list of choices when none is near."""
    names = [str(choice) for choice in choices]
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{lowered[close[0]]}'?"
    return f"; {kind}: {', '.join(names)}" if names else ""


def override(data: dict[str, Any], text: str) -> str:
    """Put 'a.b=value' into the tables and return its key."""
    key, equals, value = text.partition("=")
    key = key.strip()
    parts = key.split(".")
    if not equals or not all(parts):
        raise CaseError(f"--set {text}: expected key=value, such as time.end=10 or grid.x.cells=64")
    table = data
    for depth, part in enumerate(parts[:-1]):
        below = table.setdefault(part, {})
        if not isinstance(below, dict):
            if parts[0] not in ("initial", "boundary"):  # a value there may be text or { file = ... }
                raise CaseError(f"--set {text}: '{'.'.join(parts[: depth + 1])}' is a value, not a table")
            below = table[part] = {}
        table = below
    for group in ALTERNATIVES:
        if parts[-1] in group:
            for other in group - {parts[-1]}:
                table.pop(other, None)
    table[parts[-1]] = _toml_value(value)
    return key


def _toml_value(text: str) -> object:
    """Return the TOML value of a text, or the text itself where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def anchor_files(data: dict[str, Any], folder: Path) -> None:
    """Make the files named in a case relative to its own folder (those of `--set` are to the current one)."""
    for key, value in data.items():
        if isinstance(value, dict):
            anchor_files(value, folder)
        elif key == "file" and isinstance(value, str):
            data[key] = str(folder / value)


def _line_of(text: str, key: str) -> tuple[int, int]:
    """Return line (0: none) and length of the longest leading part of a dotted key found by a plain scan."""
    wanted = key.split(".")
    best, found = 0, 0
    header: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if table := re.match(r"\s*\[([^\[\]]+)\]", line):
            header = _split_key(table[1])
            here = header
        elif entry := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            here = header + _split_key(entry[1])
        else:
            continue
        common = 0
        while common < min(len(here), len(wanted)) and here[common] == wanted[common]:
            common += 1
        if common > best and common == min(len(here), len(wanted)):
            best, found = common, number
    return found, best


def _split_key(text: str) -> list[str]:
    return [part.strip().strip("\"'") for part in text.split(".")]
