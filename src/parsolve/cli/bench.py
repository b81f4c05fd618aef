"""`bench`: how fast this machine marches, beside its copy bandwidth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.cli.engines import show_engines
from parsolve.cli.streams import answer
from parsolve.cli.words import by_axis, count, file_name, passes_text, seconds, table
from parsolve.errors import agreed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.bench.measure import Measurement
    from parsolve.bench.scaling import Row

HEAD = ("scaling", "ranks", "threads", "cells", "updates/s", "speedup", "efficiency")


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `bench`."""
    parser = add("bench", "measure the speed of marching", "mpirun -n 2 python -m parsolve bench heat3d --size 256")
    names = "heat3d (default), wave3d, gray-scott, gray-scott3d"
    parser.add_argument("name", nargs="?", default="heat3d", metavar="NAME", help=names)
    parser.add_argument("--size", type=count, metavar="N", help="cells along each axis")
    parser.add_argument("--precision", choices=("float64", "float32"), default="float64")
    parser.add_argument("--threads", type=count, metavar="N", help="threads of each rank")
    parser.add_argument("--seconds", type=seconds, default=3.0, help="about how long to march (default: 3)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--peers", action="store_true", help="run Devito, numba and NumPy on the same problem too")
    scaling = "measure on 1, 2, 4, ... ranks and threads; write a table and a figure"
    what.add_argument("--scaling", action="store_true", help=scaling)
    engines = "do the same work by threads, processes, Dask and ranks; write a table and a figure"
    what.add_argument("--compare-engines", action="store_true", help=engines)
    output = "of --scaling and --compare-engines: NAME.csv and NAME.png"
    parser.add_argument("-o", "--output", type=file_name, metavar="NAME", help=output)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=show_speed, parallel=True, writes=False)


def show_speed(args: argparse.Namespace, start_mpi: Callable[..., MPI.Intracomm]) -> int:
    """Measure and print."""
    if args.compare_engines:
        return show_engines(args, start_mpi(threads=True))
    comm = start_mpi()
    if args.scaling:
        return show_scaling(args, comm)
    from parsolve.bench.checkout import load_peers
    from parsolve.bench.measure import measure_speed

    peers = load_peers(comm) if args.peers else None  # what is missing is told before anything is measured
    options = {"size": args.size, "precision": args.precision, "seconds": args.seconds}
    found = measure_speed(args.name, comm, threads=args.threads, **options)
    others = peers.run_peers(args.name, comm, threads=found.threads, **options) if peers else []
    if comm.rank == 0:
        if args.json:
            answer(json.dumps(vars(found) | {"peers": [vars(peer) for peer in others]}))
        else:
            answer("\n".join([speed_text(found), *table([_peer(found, peer) for peer in others], "  ")]))
    return 0


def show_scaling(args: argparse.Namespace, comm: MPI.Intracomm) -> int:
    """Measure the scaling; print, write and draw the table."""
    from parsolve.bench.scaling import measure_scaling, write_table
    from parsolve.view.figures import blank
    from parsolve.view.scaling import draw_scaling

    with agreed(comm):
        if comm.rank == 0:
            blank()  # a missing matplotlib is told before anything is measured
    rows = measure_scaling(args.name, comm, size=args.size, precision=args.precision, seconds=args.seconds,
                           threads=args.threads or 1)  # fmt: skip
    name = args.output or f"{args.name}-scaling"
    with agreed(comm):
        if comm.rank == 0:
            write_table(rows, Path(f"{name}.csv"))
            picture = draw_scaling(rows, f"{args.name}, {args.precision}", Path(f"{name}.png"))
            if args.json:
                answer(json.dumps({"rows": [vars(row) for row in rows]}))
            else:
                lines = table([HEAD, *(_cells(row) for row in rows)], "  ")
                answer("\n".join([*lines, f"written: {name}.csv, {picture}"]))
    return 0


def _cells(row: Row) -> tuple[str, ...]:
    return (row.kind, str(row.ranks), str(row.threads), row.cells, f"{row.updates_per_s:.3g}", f"{row.speedup:.2f}",
            f"{row.efficiency:.2f}")  # fmt: skip


def _peer(m: Measurement, peer: Any) -> tuple[str, str]:
    if peer.problem:
        return peer.name, peer.problem
    ratio = m.updates_per_s / peer.updates_per_s
    return (
        f"{peer.name} {peer.version}",
        f"{peer.updates_per_s:.3g} cell updates/s: parsolve is {ratio:.2f} times as fast; "
        f"largest difference of u {peer.difference:.0e}",
    )


def speed_text(m: Measurement) -> str:
    """The measurement in plain words."""
    workers = f"{m.ranks} ranks x {m.threads} threads" if m.threads > 1 else f"{m.ranks} ranks"
    rows = [
        ("grid", f"{by_axis(m.cells)}, {m.precision}, {workers}, {m.steps} steps in {m.seconds:.3f} s"),
        ("speed", f"{m.updates_per_s:.3g} cell updates/s, {m.step_us:.3g} us a step"),
        ("order", passes_text(m.steps_a_pass, m.tile)),
        ("copy bandwidth", f"{m.copy_bandwidth / 1e9:.1f} GB/s, measured in this run"),
        ("effective bandwidth", f"{m.effective_bandwidth / 1e9:.1f} GB/s: each value once in and once out"),
        ("streaming roofline", f"{m.roofline:.3g} cell updates/s"),
        ("ratio to roofline", f"{m.ratio_to_roofline:.3f}"),
    ]
    if m.ratio_to_off is not None:
        rows.append(("ratio to step by step", f"{m.ratio_to_off:.2f}"))
    return "\n".join([m.name, *table(rows, "  ")])
