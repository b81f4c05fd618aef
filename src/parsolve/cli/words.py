"""Numbers and tables in plain words."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


def table(rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Return lines with aligned columns; the last column is as long as it is."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows if len(row) > i) for i in range(max(map(len, rows), default=0))]
    return [
        (indent + "  ".join([*(c.ljust(w) for c, w in zip(row[:-1], widths, strict=False)), row[-1]])).rstrip()
        for row in rows
    ]


def count(text: str) -> int:
    """Return the whole number >= 1 of an option.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        value = int(text)
    except ValueError:  # thousands of digits are none either
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    return value


def file_name(text: str) -> Path:
    """Return the path of an option.

    Raises:
        ArgumentTypeError: it is empty, or holds what no path may hold.
    """
    if not text or "\0" in text:
        raise ArgumentTypeError(f"expected the name of a file, got {text!r}")
    return Path(text)


def png_name(text: str) -> Path:
    """Return the path of a picture.

    Raises:
        ArgumentTypeError: it does not end with .png.
    """
    if Path(text).suffix.lower() != ".png":
        raise ArgumentTypeError(f"expected a name that ends with .png, got {text!r} (a case comes before it)")
    return file_name(text)


def number(text: str) -> float:
    """Return the finite number of an option.

    Raises:
        ArgumentTypeError: it is none.
    """
    return _number(text, "a number", -sys.float_info.max)


def tolerance(text: str) -> float:
    """Return the number >= 0 of an option.

    Raises:
        ArgumentTypeError: it is none.
    """
    return _number(text, "a number >= 0", 0.0)


def seconds(text: str) -> float:
    """Return the seconds of an option.

    Raises:
        ArgumentTypeError: they are not finite, or not > 0.
    """
    return _number(text, "a number > 0", sys.float_info.min)


def _number(text: str, kind: str, least: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise ArgumentTypeError(f"expected {kind}, got {text!r}")
    return value


def by_axis(numbers: Mapping[str, int]) -> str:
    """Return numbers by axis, as in '512 x 256 (x, y)'."""
    return f"{' x '.join(str(n) for n in numbers.values())} ({', '.join(numbers)})"


def workers_text(processes: str, threads: int, instruction_set: str) -> str:
    """Return what computes: the process grid, the threads of each rank, and the instruction set of all."""
    return ", ".join([processes, *([f"{threads} threads each"] if threads > 1 else []), instruction_set])


def steps_text(steps: int | None, changes: bool) -> str:
    """Return how many steps a march will take, as far as that is known."""
    if steps is None:
        return "adapted to the tolerance"
    return f"about {steps} steps, as they change with the solution" if changes else f"{steps} steps"


def passes_text(steps: int, tile: Sequence[int]) -> str:
    """Return in which order a march goes: in passes of several steps over tiles, or step by step."""
    if not steps:
        return "step by step"
    count = f"{steps} steps a pass" if steps > 1 else "a step a pass"
    return f"{count}, {'tiles of ' + ' x '.join(map(str, tile)) if tile else 'a single tile'}"


def slice_rows(slices: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return a row of a table for each slice that has become a result."""
    return [(f"slice {name}", f"{said['result']}, {said['frames']} frames") for name, said in slices.items()]


def size(number: float) -> str:
    """Return bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
