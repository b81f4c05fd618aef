"""Commands that march: `run`, and `check`, which does all of it but the marching."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.cli.progress import ProgressLine
from parsolve.cli.streams import answer, tell
from parsolve.cli.words import (
    by_axis,
    count,
    file_name,
    passes_text,
    png_name,
    size,
    slice_rows,
    steps_text,
    table,
    workers_text,
)
from parsolve.domain import launch
from parsolve.errors import CaseError, ParsolveError, StorageError, on_root
from parsolve.watchdog import Watchdog

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from mpi4py import MPI

    from parsolve.case import Case
    from parsolve.problem.plan import Plan
    from parsolve.problem.summary import Summary
    from parsolve.resume import Found
    from parsolve.view.live import LivePicture

BESIDE = Path()  # of the result


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `run` and `check`."""
    parser = add("run", "run a case", "mpirun -n 4 python -m parsolve run heat --set grid.x.cells=128 -o heat.h5")
    case_arguments(parser)
    output = "result (default: the case's name, numbered if taken unless --force)"
    parser.add_argument("-o", "--output", type=file_name, metavar="OUT.h5", help=output)
    parser.add_argument("--force", action="store_true", help="replace an existing result")
    parser.add_argument("--json", action="store_true", help="last line of stdout: the summary as one JSON object")
    go_on = "go on from the newest checkpoint of a run of this result, if there is one, else start"
    parser.add_argument("--resume", action="store_true", help=go_on)
    _live(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors (and the JSON line)")
    parser.set_defaults(do=run, parallel=True, writes=True)

    parser = add(
        "restart", "go on from the newest checkpoint of a run", "mpirun -n 4 python -m parsolve restart heat.h5"
    )
    what = "the result of the run, its folder of frames, or the manifest of a checkpoint (which needs -o)"
    parser.add_argument("run", type=file_name, metavar="RUN", help=what)
    override = "override a key of its case, e.g. time.end=10 (repeatable; later ones win)"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=override)
    another = (
        "begin there with the values alone, so that cells, order, precision, scheme and dt may be others; needs -o"
    )
    parser.add_argument("--resample", action="store_true", help=another)
    parser.add_argument("-o", "--output", type=file_name, metavar="OUT.h5", help="another result, which begins there")
    parser.add_argument("--force", action="store_true", help="replace an existing OUT.h5")
    _live(parser)
    parser.add_argument("--json", action="store_true", help="last line of stdout: the summary as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors (and the JSON line)")
    parser.set_defaults(do=restart, parallel=True, writes=True)

    parser = add("check", "check a case and show what a run would do", "python -m parsolve check heat --ranks 16")
    case_arguments(parser)
    parser.add_argument("--ranks", type=count, metavar="N", help="number of ranks to plan for (default: as launched)")
    parser.add_argument("--json", action="store_true", help="print the plan as one JSON object")
    parser.set_defaults(do=check, parallel=False, writes=False)


def _live(parser: argparse.ArgumentParser) -> None:
    """Add `--live`."""
    picture = "while it runs, draw each new frame, at most one in 2 s, into this PNG (default: OUT.live.png)"
    parser.add_argument("--live", nargs="?", type=png_name, const=BESIDE, metavar="FILE.png", help=picture)


def case_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the case and `--set`."""
    case = "a case file, or the name of a packaged case (see `list cases`)"
    parser.add_argument("case", type=file_name, metavar="CASE", help=case)
    override = "override a key of the case, e.g. time.end=10 (repeatable; later ones win)"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=override)


def run(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Run the case on all ranks and print the summary."""
    from parsolve.case import Case

    def read() -> tuple[Case, int]:
        case = Case.load(args.case, args.set)
        return case, case.run.threads or launch.threads()

    comm = start_mpi()
    case, threads = on_root(comm, read)
    warning = launch.oversubscription(comm, threads)
    if warning and not args.quiet:
        _warn([warning])

    found = None
    if args.resume:
        from parsolve.resume import is_complete, look_for

        out = args.output or Path(f"{case.stem}.h5")
        found = look_for(comm, out)
        if found is not None:
            found.check(case)
        elif not args.force and is_complete(comm, out, case):
            if comm.rank == 0 and not args.quiet:
                tell(f"parsolve: '{out}' is complete: nothing is left to do")
            if comm.rank == 0 and args.json:
                answer(json.dumps({"result": str(out), "complete": True}))
            return 0
    return _solve(args, case, comm, found)


def restart(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Go on from the newest checkpoint of a run, and print the summary."""
    comm = start_mpi()

    from parsolve.resume import look_for
    from parsolve.store.checkpoint import MANIFEST, require_manifest

    is_manifest = bool(MANIFEST.fullmatch(args.run.name))
    if is_manifest:
        on_root(comm, lambda: require_manifest(args.run))
    if args.output is None and (args.resample or is_manifest):
        why = "the frames of a result are on one grid" if args.resample else "the run has gone on since"
        raise CaseError(f"restart: give -o OTHER.h5, as {why}")
    found = look_for(comm, args.run, is_any=args.output is not None)
    if found is None:
        raise StorageError(f"{args.run}: no checkpoint of a run; give its result, where [checkpoint] is in the case")
    case = on_root(comm, lambda: found.case(args.set, args.resample))
    return _solve(args, case, comm, found, args.output, args.resample)


def _solve(
    args: argparse.Namespace,
    case: Case,
    comm: MPI.Intracomm,
    found: Found | None,
    apart: Path | None = None,
    resample: bool = False,
) -> int:
    """Run a case, from a checkpoint if one was found, with the result there or apart; print the summary."""
    from parsolve.run import run as solve  # loads the numerics only now, after the case is known to be good

    live = _picture(args, comm)
    Watchdog(case.patience, comm).start()  # until the process ends

    anew = args.command == "run" and args.resume
    since, reopen, out = None, None, apart or args.output or (Path(f"{case.stem}.h5") if anew else None)
    if found is not None:
        since, reopen = found.since, None if apart else found.reopen
        out = apart or found.result
        if comm.rank == 0 and not args.quiet:
            _warn(found.warnings)
            tell(f"parsolve: going on from step {since.step}, t = {since.time:.6g}, of '{since.manifest}'")
    shown = live.show if live else None
    with closing(ProgressLine(sys.stderr if comm.rank == 0 and not args.quiet else None)) as progress:
        try:
            summary = solve(case, comm, out, args.force, progress, since, reopen, anew, resample, shown)
        except ParsolveError:
            if live:
                live.finish()  # where it ended
            raise
    if live:
        live.finish(Path(summary.result))
    if comm.rank == 0:
        if not args.quiet:
            _warn(summary.warnings)
            (tell if args.json else answer)(summary_text(summary))
        if args.json:
            answer(json.dumps(summary.to_dict()))
    return 0


def _picture(args: argparse.Namespace, comm: MPI.Intracomm) -> LivePicture | None:
    """Return what draws the run while it goes on, on rank 0, if that is asked for; collective.

    Raises:
        StorageError: the picture cannot have this name.
    """
    if args.live is None:
        return None

    from parsolve.view.live import LivePicture, check_picture

    path = None if args.live == BESIDE else args.live
    if path is not None:
        on_root(comm, lambda: check_picture(path))
    return LivePicture(path, lambda text: None if args.quiet else _warn([text])) if comm.rank == 0 else None


def _warn(texts: Sequence[str]) -> None:
    """Tell each text on stderr."""
    for text in texts:
        tell(f"parsolve: warning: {text}")


def summary_text(summary: Summary) -> str:
    """Return what a run did, in plain words."""
    grid, processes = by_axis(summary.grid), by_axis(summary.processes)
    rows = [
        ("grid", f"{grid}: {summary.cells} cells"),
        ("processes", workers_text(processes, summary.threads, summary.instruction_set)),
        ("steps", f"{summary.steps}, to t = {summary.time:.6g}, {'first ' * summary.changes}dt = {summary.dt:.6g}"),
        ("marching", f"{summary.seconds:.3g} s, {summary.updates_per_s:.3g} cell updates/s"),
        ("order", passes_text(summary.steps_a_pass, summary.tile)),
    ]
    for name, values in summary.fields.items():
        rows.append((f"field {name}", "   ".join(f"{key} {values[key]:.6g}" for key in ("min", "max", "mean"))))
    for name, value in summary.measures.items():
        rows.append((f"measure {name}", "no value" if value is None else f"{value:.6g}"))
    rows += [("stopped by", summary.stopped)] if summary.stopped else []
    rows += slice_rows(summary.slices)
    rows += [("result", str(summary.result)), ("look at it", f"python -m parsolve plot {shlex.quote(summary.result)}")]
    return "\n".join(([summary.case_title] if summary.case_title else []) + table(rows, "  "))


def check(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Print what a run of the case would do."""
    from parsolve.case import Case

    case = Case.load(args.case, args.set)
    found = launch.launched()
    ranks = args.ranks or (found[2] if found else 1)

    from parsolve.problem.plan import check as plan_run

    plan = plan_run(case, ranks)
    _warn(plan.warnings)
    if args.json:
        answer(json.dumps(vars(plan) | {"local_shapes": _local_cells(plan)}))
    else:
        answer(plan_text(case.title or case.stem, ranks, plan))
    return 0


def plan_text(title: str, ranks: int, plan: Plan) -> str:
    """Return the plan of a run, in plain words."""
    least, most = map(by_axis, _local_cells(plan))
    local = least if least == most else f"{least} to {most}"
    free = "" if plan.memory_free is None else f", {size(plan.memory_free)} free here"
    lacks = plan.memory_free is not None and plan.memory_per_rank * ranks > plan.memory_free
    rows = [
        ("ranks", f"{ranks}: {workers_text(by_axis(plan.processes), plan.threads, plan.instruction_set)}"),
        ("cells a rank", f"{local}, imbalance {plan.imbalance:.3g}"),
        ("halo", f"{size(plan.halo_bytes_per_step)} a step and rank, at most"),
        ("memory", f"{size(plan.memory_per_rank)} a rank{free}"),
        ("frames", _written_text(plan.frames, plan.frame_bytes)),
        *((f"slice {name}", _written_text(said["frames"], said["frame_bytes"])) for name, said in plan.slices.items()),
        ("step", f"{'first ' * plan.changes}dt = {plan.dt:.6g}, {steps_text(plan.steps, plan.changes)}"),
        ("order", passes_text(plan.steps_a_pass, plan.tile)),
        *(("boundary", note) for note in plan.boundary),
    ]
    return "\n".join([f"{title}: valid" + ", but too large for this machine" * lacks, *table(rows, "  ")])


def _written_text(frames: int, frame_bytes: int) -> str:
    """Return how many frames are written, and their bytes."""
    return f"{frames} of {size(frame_bytes)}: {size(frames * frame_bytes)}"


def _local_cells(plan: Plan) -> list[dict[str, int]]:
    """Return the smallest and the largest subdomain by axis."""
    return [{axis: shape["zyx".index(axis)] for axis in plan.processes} for shape in plan.local_shapes]
