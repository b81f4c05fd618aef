"""Numbers and tables in plain words."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


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
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    return int(text)


def file_name(text: str) -> str:
    """Return the name of an option's file.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not text:
        raise ArgumentTypeError("the name of the file is empty")
    return text


def seconds(text: str) -> float:
    """Return the seconds of an option.

    Raises:
        ArgumentTypeError: they are not finite, or not > 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return number


def by_axis(numbers: Mapping[str, int]) -> str:
    """Return numbers by axis, as in '512 x 256 (x, y)'."""
    return f"{' x '.join(str(n) for n in numbers.values())} ({', '.join(numbers)})"


def workers_text(processes: str, threads: int, instruction_set: str) -> str:
    """Return what computes: the process grid, the threads of each rank, and the instruction set of all."""
    return ", ".join([processes, *([f"{threads} threads each"] if threads > 1 else []), instruction_set])


def passes_text(steps: int, tile: Sequence[int]) -> str:
    """Return in which order a march goes: in passes of several steps over tiles, or step by step."""
    if not steps:
        return "step by step"
    count = f"{steps} steps a pass" if steps > 1 else "a step a pass"
    return f"{count}, {'tiles of ' + ' x '.join(map(str, tile)) if tile else 'a single tile'}"


def size(number: float) -> str:
    """Return bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
