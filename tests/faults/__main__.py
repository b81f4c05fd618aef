"""All faults, and all deliberate defects, with a table of the counts: `PYTHONPATH=tests python -m faults [FAMILY ...]`.

The exit code is 0 if nothing was lost, nothing wrong was taken for right, and each defect was found.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import time

from faults.defects import DEFECTS, FINDERS
from faults.play import started
from faults.server import FAMILIES

RUNS = [
    *(("server", name, "1") for name in FAMILIES),
    ("power", "1"),
    ("corruption", "1"),
    ("hostile", "1"),
    ("pair", "3"),
]
COUNTS = re.compile(r"(.+): (\d+) cases, (\d+) fired, (\d+) bad")


def row(words: tuple[str, ...]) -> tuple[str, bool]:
    """A line of the table for a family, and whether it ended well; what is bad goes before."""
    begun = time.monotonic()
    done = started(words)
    found = COUNTS.search(done.stdout)
    name, cases, fired, bad = found.groups() if found else (" ".join(words), "?", "?", "?")
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:], sep="\n")
    return f"| {name} | {cases} | {fired} | {bad} | {time.monotonic() - begun:.0f} s |", done.returncode == 0


def main(chosen: list[str]) -> int:
    """Play the families, and whether each defect is found; print the table."""
    rows, well = [], []
    for words in RUNS:
        if not chosen or {*words} & {*chosen}:
            line, is_well = row(words)
            rows.append(line)
            well.append(is_well)
    unseen = []
    for name in DEFECTS if not chosen or "defects" in chosen else ():
        finder, stride = FINDERS.get(name, ("server", 9))
        words = ("server", name, str(stride)) if finder == "server" else (finder, str(stride), name)
        found = COUNTS.search(started(words).stdout)
        unseen += [] if found and found[4] != "0" else [name]
    print("| family | cases | in force | lost or wrong | time |", "|---|---|---|---|---|", *rows, sep="\n")
    if not chosen or "defects" in chosen:
        print(f"{len(DEFECTS) - len(unseen)} of {len(DEFECTS)} deliberate defects were found {unseen or ''}")
    if (not chosen or "ranks" in chosen) and importlib.util.find_spec("faults.ranks"):
        well.append(importlib.import_module("faults.ranks").main([]) == 0)
    return not all(well) or bool(unseen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
