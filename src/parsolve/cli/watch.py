"""The commands `status` and `watch`: how a run is getting on, and what it has measured until it is over."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.cli.progress import duration
from parsolve.cli.streams import answer, has_letters
from parsolve.cli.words import file_name, table
from parsolve.errors import StorageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from parsolve.store.result import Result
    from parsolve.store.series import Series
    from parsolve.store.status import Status

BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
TERMINAL_SECONDS, LOG_SECONDS = 1.0, 10.0  # between two looks on a terminal, and two lines elsewhere
PATIENCE = 5  # looks at what is no run any more, before that is an error: it may be about to get its name
WIDTH = 40  # letters of a sparkline, at most


@dataclass(frozen=True)
class Standing:
    """How a run stands: as a text of several lines and of one, and whether it is over."""

    text: str
    line: str
    is_over: bool


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `status` and `watch`."""
    parser = add("status", "show how a run is getting on", "python -m parsolve status heat.h5")
    parser.add_argument("run", type=file_name, metavar="RUN", help="the result of the run, or its folder of frames")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=status, parallel=False, writes=False)

    parser = add("watch", "show how a run is getting on until it is over", "python -m parsolve watch heat.h5")
    what = "the result of the run, its folder of frames, or the folder of a sweep"
    parser.add_argument("run", type=file_name, metavar="RUN", help=what)
    parser.add_argument("--once", action="store_true", help="look once")
    parser.set_defaults(do=watch, parallel=False, writes=False)


def status(args: argparse.Namespace, start_mpi: object) -> int:
    """Print how a run is getting on, or a sweep."""
    from msgspec.structs import asdict

    from parsolve.store.result import open_result
    from parsolve.store.status import read_status, read_sweep_status

    sweep = read_sweep_status(args.run)
    if sweep is not None:
        answer(json.dumps(sweep) if args.json else sweep_text(sweep))
    elif is_result(args.run):
        with open_result(args.run) as result:
            said = finished(args.run, result)
        answer(json.dumps(said) if args.json else finished_text(said))
    else:
        found = read_status(args.run)
        answer(json.dumps(asdict(found) | {"age": found.age}) if args.json else status_text(found))
    return 0


def sweep_text(said: Mapping[str, Any]) -> str:
    """Return the status of a sweep, in plain words."""
    members: Mapping[str, str] = said["members"]
    rows = [("members", f"{len(members)}, as was said {duration(time.time() - said['updated'])} ago")]
    for state in dict.fromkeys(members.values()):
        names = [name for name, other in members.items() if other == state]
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        rows.append((state, f"{len(names)}: {shown}"))
    return "\n".join(table(rows))


def status_text(said: Status) -> str:
    """Return the status of a run, in plain words."""

    def place(pair: tuple[int, float] | None) -> str:
        return f"step {pair[0]}, t = {pair[1]:.6g}" if pair else "none"

    eta = "?" if said.seconds_left is None else duration(said.seconds_left)
    rows = [
        ("state", f"{said.state}, as process {said.process} on {said.host} said {duration(said.age)} ago"),
        ("at", f"{place(said.at)}, dt = {said.dt:.3g}"),
        ("speed", f"{said.steps_per_s:.3g} steps/s, ETA {eta}"),
        ("frames", f"{said.frames}, the last at {place(said.last_frame)}"),
        ("checkpoint", place(said.last_checkpoint)),
    ]
    rows += [(f"slice {name}", f"{written} rows") for name, written in said.slices.items()]
    return "\n".join(table(rows))


def watch(args: argparse.Namespace, start_mpi: object) -> int:
    """Show how a run is getting on: on a terminal in place, elsewhere a line now and then; Ctrl-C ends it with 0."""
    try:
        if args.once:
            answer(look(args.run).text)
        elif sys.stdout.isatty():
            _on_terminal(args.run)
        else:
            _in_lines(args.run)
    except KeyboardInterrupt:
        pass
    return 0


def look(run: Path) -> Standing:
    """Return how a run stands, or a sweep.

    Raises:
        StorageError: there is none, or what it says is damaged.
    """
    from parsolve.store.files import is_file
    from parsolve.store.places import find_folder
    from parsolve.store.result import open_result
    from parsolve.store.series import series_of
    from parsolve.store.status import NAME, read_status, read_sweep_status

    sweep = read_sweep_status(run)
    if sweep is not None:
        states = list(sweep["members"].values())
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return Standing(sweep_text(sweep), counts, not {"waiting", "running"} & {*states})
    if is_result(run):
        with open_result(run) as result:
            found = finished(run, result)
            text = "\n".join([finished_text(found), *series_lines(result.series)])
        return Standing(text, f"done  {run}  {_frames(found)}", True)
    folder = find_folder(run, lambda place: is_file(place / NAME))[0] or run
    said, series = read_status(run), series_of(folder)
    text = "\n".join([status_text(said), *series_lines(series)])
    return Standing(text, _line(said, series), said.state in ("done", "failed", "stopped"))


def is_result(run: Path) -> bool:
    """Return whether a run has become a result, and left nothing else that says how it stands."""
    from parsolve.store.files import is_file
    from parsolve.store.places import find_folder
    from parsolve.store.status import NAME

    return is_file(run) and find_folder(run, lambda place: is_file(place / NAME))[0] is None


def finished(path: Path, result: Result) -> dict[str, Any]:
    """Return how a run stands that has become a result: its file, step and time, first time, number of frames."""
    at, first = (int(result.steps[-1]), float(result.times[-1])), float(result.times[0])
    return {"state": "done", "result": str(path), "at": at, "begin": first, "frames": len(result.times)}


def finished_text(said: Mapping[str, Any]) -> str:
    """Return that in plain words."""
    return "\n".join(table([(key, said[key]) for key in ("state", "result")] + [("frames", _frames(said))]))


def _frames(said: Mapping[str, Any]) -> str:
    step, time = said["at"]
    return f"{said['frames']} frames, t = {said['begin']:.6g} to {time:.6g}, step {step}"


def _line(said: Status, series: Sequence[Series]) -> str:
    """Return a status and the last values in one line."""
    step, at = said.at
    parts = [
        said.state, f"step {step}", f"t {at:.6g}", f"dt {said.dt:.3g}", f"{said.steps_per_s:.3g} steps/s",
        f"ETA {'?' if said.seconds_left is None else duration(said.seconds_left)}", f"frames {said.frames}",
        f"{duration(said.age)} ago",
    ]  # fmt: skip
    known = [one for one in series if len(one.values) and one.coordinate is None]
    return "  ".join([*parts, *(f"{one.name} {one.values[-1]:.6g}" for one in known)])


def series_lines(series: Sequence[Series], width: int = WIDTH) -> list[str]:
    """Return a line for each time series: its name, its course, its last value, least and largest.

    Of a measure of several numbers the course is that of the last of them along its coordinate.
    """
    rows = []
    letters = BLOCKS if has_letters(BLOCKS) else PLAIN_BLOCKS
    for one in series:
        values = [float(v) for v in (one.values[-1:].ravel() if one.coordinate else one.values)]
        known = [value for value in values if math.isfinite(value)]
        last = f"{values[-1]:.6g}" if values else "none yet"
        if one.coordinate and values:
            last = f"{len(values)} numbers"
        units = "" if one.units in ("", "1") else f" {one.units}"
        ends = f"{min(known):.4g} to {max(known):.4g}" if known else ""
        row = (one.name, sparkline(values, width, letters).ljust(width), last + units, ends)
        rows.append([_printable(text) for text in row])
    return table(rows)


def sparkline(values: Sequence[float], width: int, letters: str = BLOCKS) -> str:
    """Return the course of some values: a letter for the mean of each of up to so many equal parts of them.

    The first letter is for the least of them, the last for the largest; a blank for what is not finite.
    """
    count = min(width, len(values))
    parts = [values[n * len(values) // count : (n + 1) * len(values) // count] for n in range(count)]
    means = [sum(value / len(part) for value in part) for part in parts]
    known = [mean for mean in means if math.isfinite(mean)]
    if not known:
        return " " * count
    low, high = min(known), max(known)
    half = high / 2 - low / 2
    top = len(letters) - 1

    def letter(mean: float) -> str:
        if not math.isfinite(mean):
            return " "
        share = (mean / 2 - low / 2) / half if half > 1e-12 * max(abs(low), abs(high)) else 0.0
        return letters[round(top * share)]

    return "".join(map(letter, means))


def _printable(text: str) -> str:
    """Return a text without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _looks(run: Path) -> Iterator[Standing]:
    """Look again and again until it is over; a few looks in a row that fail give what the one before gave.

    Raises:
        StorageError: the first look fails, or too many do.
    """
    standing: Standing | None = None
    failed = 0
    while standing is None or not standing.is_over:
        try:
            standing, failed = look(run), 0
        except StorageError:
            failed += 1
            if standing is None or failed > PATIENCE:
                raise
        yield standing


def _on_terminal(run: Path) -> None:
    """Show it in place, again and again, until it is over."""
    height, begun = 0, time.monotonic()
    for standing in _looks(run):
        columns, rows = shutil.get_terminal_size()
        lines = [line[: columns - 1] for line in standing.text.splitlines()][: max(1, rows - 1)]
        back = f"\x1b[{height}F\x1b[J" if height else ""  # to the first line, and away with what is there
        answer(back + "\n".join(lines))
        height = len(lines)
        if not standing.is_over:
            time.sleep(max(TERMINAL_SECONDS, 5 * (time.monotonic() - begun)))
            begun = time.monotonic()


def _in_lines(run: Path) -> None:
    """Print a line at first, now and then, and at the end."""
    due = 0.0
    for standing in _looks(run):
        if standing.is_over or time.monotonic() >= due:
            due = time.monotonic() + LOG_SECONDS
            answer(_printable(standing.line))
        if not standing.is_over:
            time.sleep(TERMINAL_SECONDS)
