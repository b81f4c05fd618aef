"""The text of a case as plain tables: packaged cases, files, overrides.

This knows TOML and nothing of what the keys mean; that is in `schema`.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEFAULT_CASE = "gray-scott"
LONGEST = 120  # letters of a key or a value in a message
DEEPEST = 8  # tables in tables: no key of a case has more

# Keys of one table of which at most one may be given; `--set` of one takes the place of the others.
ALTERNATIVES = (
    {"end", "steps"},
    {"every", "every_steps"},
    {"dirichlet", "neumann", "curvature", "robin", "outflow"},
    {"dt", "tolerance"},
)


WHOLE = "from"  # the key of [initial] that names a result for all fields

# Tables in which a value may be text as well as a table: { file = ... }, { steps = ... }, { unit = ... }.
MIXED = ("fields", "initial", "boundary", "run", "units")


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
    try:
        if case is None or not path.is_file():
            known = packaged()
            if name in known:
                return f"{name}.toml", known[name], Path()
            if not path.exists():
                hint = nearest(path.stem, known, "packaged cases")
                raise CaseError(f"{name}: no such file and no packaged case of that name{hint}")
            if path.is_char_device() or path.is_block_device():
                raise CaseError(f"{name}: a device; give a case file")
        return name, path.read_text("utf-8").removeprefix("\ufeff"), path.parent
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


def brief(text: str) -> str:
    """Return a text for a message, its end left out if it is long."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def override(data: dict[str, Any], text: str) -> str:
    """Put 'a.b=value' into the tables and return its key."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise CaseError(f"--set {brief(text)}: expected key=value, such as time.end=10 or grid.x.cells=64")
    put_at(data, key, toml_value(value), f"--set {brief(text)}")
    return key


def put_at(data: dict[str, Any], key: str, value: object, said: str) -> None:
    """Put a value into nested tables at a dotted key, which was ``said`` so.

    Raises:
        CaseError: there is a value where a table is to be.
    """
    parts = key.split(".")
    if len(parts) > DEEPEST:
        raise CaseError(f"{said}: unknown key, none has more than {DEEPEST} parts")
    table = data
    for depth, part in enumerate(parts[:-1]):
        below = table.setdefault(part, {})
        if not isinstance(below, dict):
            if parts[0] not in MIXED:
                raise CaseError(f"{said}: '{'.'.join(parts[: depth + 1])}' is a value, not a table")
            below = table[part] = {}
        table = below
    put(table, parts[-1], value)


def put(table: dict[str, Any], key: str, value: object) -> None:
    """Put a value into a table, in place of those of which it is an alternative."""
    for group in ALTERNATIVES:
        if key in group:
            for other in group - {key}:
                table.pop(other, None)
    table[key] = value


def merge(table: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put all values of nested tables into a table; later ones win, and what names a file is one value."""
    for key, value in more.items():
        below = table.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and "file" not in value:
            merge(below, value)
        else:
            put(table, key, value)


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by their dotted keys, in order; what names a file is one value."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        is_table = isinstance(value, dict) and "file" not in value
        found |= flat(value, f"{prefix}{key}.") if is_table else {f"{prefix}{key}": value}
    return found


def parse(name: str, text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        CaseError: it is none, or its tables lie too deep in each other.
    """
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise CaseError(f"{name}: not a case: its tables or lists lie too deep in each other") from None
    except ValueError as error:  # of TOML, or of a number with thousands of digits
        reason = str(error).partition("; use sys.")[0]
        raise CaseError(f"{name}: not valid TOML: {reason}") from None
    if _depth(data) > DEEPEST:
        raise CaseError(f"{name}: not a case: its tables or lists lie too deep in each other")
    return data


def _depth(data: Any) -> int:
    """Return how many tables and lists lie in each other, as far as that matters."""
    depth, level = 0, [data]
    while depth <= DEEPEST and level:
        depth += 1
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    return depth


def toml_value(text: str) -> object:
    """Return the TOML value of a text, or the text itself where it is none."""
    try:
        parsed = parse("", f"value = {text.strip()}")
    except CaseError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def name_whole(data: dict[str, Any]) -> None:
    """Write `from = "x.h5"` in [initial] as what it stands for, { file = "x.h5" }."""
    initial = data.get("initial")
    if isinstance(initial, dict) and isinstance(initial.get(WHOLE), str):
        data["initial"] = initial | {WHOLE: {"file": initial[WHOLE]}}


def anchor_files(data: dict[str, Any], folder: Path, settle: Callable[[Path], Path] = Path) -> None:
    """Make the files named in a case relative to its own folder (those of `--set` are to the current one)."""
    name_whole(data)
    for key, value in data.items():
        if isinstance(value, dict):
            anchor_files(value, folder, settle)
        elif key == "file" and isinstance(value, str):
            data[key] = str(settle(folder / value))
