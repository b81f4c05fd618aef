"""The command that runs a family of cases."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.cli.progress import duration
from parsolve.cli.streams import answer, tell
from parsolve.cli.words import file_name, table
from parsolve.errors import agreed, on_root

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.ensemble.members import Sweep
    from parsolve.ensemble.standing import Record


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `sweep`."""
    parser = add("sweep", "run a family of cases", "mpirun -n 4 python -m parsolve sweep study.toml -o study")
    parser.add_argument("sweep", type=file_name, metavar="SWEEP.toml", help="a case, and what varies")
    parser.add_argument("-o", "--output", type=file_name, metavar="FOLDER", help="for its members (default: its name)")
    parser.add_argument("--resume", action="store_true", help="go on with it: what is done stays")
    parser.add_argument("--retry", action="store_true", help="--resume, and run those again that failed by themselves")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--fail-fast", action="store_true", help="begin no other member once one has failed")
    action.add_argument("--keep-going", action="store_true", help="run all, whichever fail (the default)")
    parser.add_argument("--json", action="store_true", help="last line of stdout: how it ended as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors (and the JSON line)")
    parser.set_defaults(do=sweep, parallel=True, writes=True)


def sweep(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Run the members of a sweep and print how they ended."""
    comm = start_mpi()
    from parsolve.ensemble.members import read_sweep
    from parsolve.ensemble.sweep import exit_code
    from parsolve.ensemble.sweep import sweep as run_all
    from parsolve.store.places import command

    found: Sweep | None = None  # of rank 0: it may have a million members
    with agreed(comm):
        if comm.rank == 0:
            found = read_sweep(args.sweep)
    out = args.output or Path(args.sweep.stem)

    def told(number: int, record: Record, ended: int) -> None:
        assert found is not None
        if record.state == "failed":
            label = found.label(number)
            tell(f"parsolve: {label}: {record.error.removeprefix(f'{label}: ')}")
        elif not args.quiet and record.state != "waiting":
            text = f"{record.state} in {duration(record.seconds)}, {ended} of {len(found.members)} ended"
            tell(f"parsolve: member {found.folder(number)} {text}")

    records = run_all(found, comm, out, args.resume, args.fail_fast, told, args.retry)
    if comm.rank == 0:
        counts = {state: sum(r.state == state for r in records) for state in dict.fromkeys(r.state for r in records)}
        if not args.quiet:
            said = ", ".join(f"{count} {state}" for state, count in counts.items())
            rows = [("members", f"{len(records)}: {said}"), ("table", str(out / "members.h5"))]
            if exit_code(records, args.fail_fast) == 75:
                words = f"{command(comm.size, 'sweep', args.sweep)} -o {shlex.quote(str(out))} --resume"
                rows.append(("go on", words))
            (tell if args.json else answer)("\n".join(table(rows, "  ")))
        if args.json:
            answer(json.dumps({"folder": str(out), "members": len(records), **counts}))
    return on_root(comm, lambda: exit_code(records, args.fail_fast))
