"""Commands on finished results: `info`, `gather`, `compare`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from parsolve.cli.streams import answer, tell
from parsolve.cli.words import by_axis, file_name, size, slice_rows, table, tolerance
from parsolve.errors import CaseError, StorageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.store.result import Result

DIFFERENT = 1  # as of diff and cmp; what cannot be read is 5


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `info`, `gather` and `compare`."""
    parser = add("info", "show what is in a result", "python -m parsolve info gray-scott.h5")
    parser.add_argument("result", metavar="OUT.h5", type=file_name)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object, provenance included")
    form.add_argument("--series", nargs="?", const="", metavar="NAME", help="print what was measured, or one, as CSV")
    parser.set_defaults(do=info, parallel=False, writes=False)

    example = "mpirun -n 4 python -m parsolve gather heat.h5"
    parser = add("gather", "make one result of the frames that a run left", example)
    parser.add_argument("run", type=file_name, metavar="RUN", help="the result of the run, or its folder of frames")
    name = "result (default: that of the run)"
    parser.add_argument("-o", "--output", type=file_name, metavar="OUT.h5", help=name)
    parser.add_argument("--force", action="store_true", help="replace an existing result")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=gather, parallel=True, writes=True)

    example = "python -m parsolve compare a.h5 b.h5 --rtol 1e-12"
    parser = add("compare", "compare two results, bit by bit by default", example)
    parser.add_argument("a", metavar="A.h5", type=file_name)
    parser.add_argument("b", metavar="B.h5", type=file_name)
    parser.add_argument("--rtol", type=tolerance, metavar="R", help="allow |a - b| <= atol + R |b|")
    parser.add_argument("--atol", type=tolerance, default=0.0, metavar="A", help="allow |a - b| <= A + rtol |b|")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=compare, parallel=False, writes=False)


def gather(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Make a result of frames, and print what is in it and what was left out."""
    comm = start_mpi()

    from parsolve.store.gather import gather as gather_frames

    done = gather_frames(comm, args.run, args.output, args.force)
    if comm.rank == 0:
        for text in done.damaged:
            tell(f"parsolve: left out: {text}")
        times = f"{len(done.times)}, t = {done.times[0]:.6g} to {done.times[-1]:.6g}"
        rows = [("result", done.result), ("frames", times), *slice_rows(done.slices)]
        answer(json.dumps(vars(done)) if args.json else "\n".join(table(rows)))
    return StorageError.exit_code if done.damaged else 0


def info(args: argparse.Namespace, start_mpi: object) -> int:
    """Print grid, fields, times and provenance."""
    from parsolve.store.result import open_result

    if args.series is not None:
        return _print_series(args.result, args.series)
    with open_result(args.result) as result:
        facts, doubt = _facts(args.result, result), result.doubt()
    if doubt:
        tell(f"parsolve: warning: {doubt}")
    answer(json.dumps(facts) if args.json else _info_text(facts))
    return 0


def _print_series(path: Path, name: str) -> int:
    """Print the time series of the common schedule, or one, as CSV.

    Raises:
        CaseError: there is none, or none of this name.
    """
    from parsolve.case.tables import nearest
    from parsolve.store.result import open_result
    from parsolve.store.series import table_of

    with open_result(path) as result:
        known, doubt = {s.name: s for s in result.series}, result.doubt()
    if doubt:
        tell(f"parsolve: warning: {doubt}")
    common = [s for s in known.values() if not s.own]
    chosen = [known[name]] if name in known else [] if name else common or list(known.values())[:1]
    if not chosen:
        why = f"no series '{name}'{nearest(name, known, 'series')}" if known else "nothing was measured: see [measure]"
        raise CaseError(f"{path}: {why}")
    for line in table_of(chosen):
        answer(line)
    return 0


def _facts(path: Path, result: Result) -> dict[str, Any]:
    """Return what a result holds, as plain data."""
    from parsolve.store.integrity import content_hashes

    return {
        "result": str(path),
        "bytes": sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path])),
        "grid": dict(zip(result.grid.names, reversed(result.grid.shape), strict=True)),
        "fields": list(result.fields),
        "units": {name: result.units(name) or "1" for name in ("time", *result.grid.names, *result.fields)},
        "long_names": {name: result.long_name(name) for name in ("time", *result.grid.names, *result.fields)},
        "times": [float(time) for time in result.times],
        "steps": [int(step) for step in result.steps],
        "hashes": content_hashes(result.file, result.fields),
        "marching": _marching(result),
        "slices": _slices(path),
        "provenance": dict(result.provenance),
    }


def _slices(path: Path) -> dict[str, dict[str, Any]]:
    """Return the times and steps of the rows of slices in a folder of frames, as far as they are whole."""
    from parsolve.store.rows import RowFile, rows_in

    found = dict[str, dict[str, Any]]()
    for name, file in rows_in(path).items() if path.is_dir() else ():
        try:
            rows = RowFile.of(file)
            found[name] = {"times": rows.times.tolist(), "steps": rows.steps.tolist(), "doubt": rows.doubt}
        except StorageError as error:
            found[name] = {"times": [], "steps": [], "doubt": str(error)}
    return found


def _marching(result: Result) -> dict[str, Any] | None:
    """Return how long the steps took that led to a result; None: it does not say."""
    from parsolve.store.provenance import spent_of

    spent = spent_of(result.provenance)
    if spent is None:
        return None
    seconds, steps = spent
    return {"seconds": seconds, "steps": steps, "updates_per_s": steps * result.grid.size / seconds}


def _info_text(facts: dict[str, Any]) -> str:
    """Return the facts in plain words; long provenance by its first line."""
    times, steps = facts["times"], facts["steps"]
    rows = [
        ("size", size(facts["bytes"])),
        ("grid", by_axis(facts["grid"])),
        ("fields", ", ".join(facts["fields"])),
        ("meaning", "; ".join(_meanings(facts)) or "not said"),
        ("content", "; ".join(f"{name} {text}" for name, text in facts["hashes"].items()) or "no hashes"),
        ("frames", f"{len(times)}, t = {times[0]:.6g} to {times[-1]:.6g}, step {steps[0]} to {steps[-1]}"),
    ]
    rows += [(f"slice {name}", _rows_text(**said)) for name, said in facts["slices"].items()]
    if spent := facts["marching"]:
        speed = f"{spent['updates_per_s']:.3g} cell updates/s"
        rows.append(("marching", f"{spent['seconds']:.3g} s for {spent['steps']} steps, {speed}"))
    for key, text in facts["provenance"].items():
        if key == "marching":
            continue
        lines = str(text).strip().splitlines() or [""]
        rows.append((key, lines[0] + (f" ... ({len(lines)} lines, see --json)" if len(lines) > 1 else "")))
    return "\n".join([str(facts["result"]), *table(rows, "  ")])


def _rows_text(times: list[float], steps: list[int], doubt: str) -> str:
    """Return how many rows a slice has and where, in plain words."""
    ends = f", t = {times[0]:.6g} to {times[-1]:.6g}, step {steps[0]} to {steps[-1]}" if times else ""
    return f"{len(times)} rows{ends}{f'; {doubt}' if doubt else ''}"


def _meanings(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what each field, axis and the time mean, with units, as far as the result says it."""
    for name, unit in facts["units"].items():
        words = name if facts["long_names"][name] == name else f"{name}, {facts['long_names'][name]}"
        words += f" ({unit})" if unit != "1" else ""
        if words != name:
            yield words


def compare(args: argparse.Namespace, start_mpi: object) -> int:
    """Compare two results; 0 if they are the same, 1 if not."""
    from parsolve.store.compare import compare as compare_results

    outcome = compare_results(args.a, args.b, rtol=args.rtol, atol=args.atol)
    if args.json:
        answer(json.dumps({"equal": outcome.equal, "lines": list(outcome.lines)}))
    else:
        answer("\n".join(outcome.lines))
    return 0 if outcome.equal else DIFFERENT
