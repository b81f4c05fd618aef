"""The commands that do one thing with many files: `verify`, `convert`, `repack`, `copy`, `stats` and `find`."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from contextlib import ExitStack, closing, nullcontext
from dataclasses import astuple
from time import perf_counter
from typing import TYPE_CHECKING, Any

from parsolve.case.tables import nearest
from parsolve.cli.streams import answer, tell
from parsolve.cli.words import by_axis, count, file_name, size, table
from parsolve.errors import CaseError, SetupError, StorageError, agreed, on_root

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from mpi4py import MPI

    from parsolve.ensemble.journal import Done, Work

    Show = Callable[[Sequence[Done]], None]

Parser = Any
FORMATS = ("hdf5", "vtkhdf", "netcdf", "zarr", "npz", "csv", "xdmf")
METHODS = ("gzip", "zstd", "none")
TERMINAL_SECONDS, LOG_SECONDS = 0.2, 10.0  # between two lines of status


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands."""
    example = "mpirun -n 4 python -m parsolve verify a.h5 b.h5.frames"
    parser = add("verify", "compare every byte of results with its hash", example)
    _common(parser, "results, frames, manifests of checkpoints, folders of these, or folders with results in them")
    parser.set_defaults(do=verify, parallel=True, writes=False)

    example = "mpirun -n 4 python -m parsolve convert study --to zarr --into zarr"
    parser = add("convert", "write results in another format", example)
    _common(parser, "results, folders of frames, or folders with such in them")
    formats = "hdf5, vtkhdf (ParaView), netcdf (CF), zarr (3), npz (NumPy), csv (statistics), xdmf (a text beside)"
    parser.add_argument("--to", required=True, choices=FORMATS, metavar="FORMAT", help=formats)
    _writing(parser, needed=False)
    parser.set_defaults(do=convert, parallel=True, writes=True)

    example = "mpirun -n 4 python -m parsolve repack study --into packed --compression zstd"
    parser = add("repack", "write results with their values packed, or not", example)
    _common(parser, "results, folders of frames, or folders with such in them")
    parser.add_argument("--compression", choices=METHODS, default="gzip", help="default: gzip")
    parser.add_argument("--level", type=int, metavar="N", help="0 to 9 for gzip (4), 1 to 22 for zstd (3)")
    chunks = "cells of a chunk by axis, as x=64,y=64 (default: whole layers or rows of up to 1 MiB)"
    parser.add_argument("--chunks", type=_chunks, metavar="AXIS=N,...", help=chunks)
    _writing(parser, needed=True)
    parser.set_defaults(do=repack, parallel=True, writes=True)

    example = "mpirun -n 4 python -m parsolve copy study --into /archive"
    parser = add("copy", "copy files and compare what was written with what was read", example)
    _common(parser, "files of any kind, or folders")
    _writing(parser, needed=True)
    parser.set_defaults(do=copy, parallel=True, writes=True)

    parser = add("stats", "show minimum, maximum, mean and deviation of results", "python -m parsolve stats study")
    _common(parser, "results, folders of frames, or folders with such in them")
    parser.set_defaults(do=stats, parallel=True, writes=True)

    example = "python -m parsolve find study --where 'parameters.F >= 0.03' --where fields=u"
    parser = add("find", "name the results whose case or facts are as asked", example)
    _common(parser, "results, folders of frames, or folders with such in them")
    where = "a key of the case, or fields, frames, step, time, bytes, ranks, created; all of them hold"
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help=where)
    parser.set_defaults(do=find, parallel=True, writes=True)


def _common(parser: Parser, what: str) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", type=file_name, help=what)
    parser.add_argument("--record", type=file_name, metavar="FILE", help="keep in it what is done, as lines of JSON")
    parser.add_argument("--resume", action="store_true", help="leave out what stands in the record")
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument("--workers", type=count, metavar="N", help="processes, in place of ranks")
    engine.add_argument("--dask", metavar="ADDRESS", help="the workers of this scheduler of Dask, in place of ranks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="no lines of status")


def _writing(parser: Parser, needed: bool) -> None:
    beside = "" if needed else " (default: beside the file)"
    parser.add_argument(
        "--into", type=file_name, metavar="FOLDER", required=needed, help=f"for what is written{beside}"
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")


def _chunks(text: str) -> dict[str, int]:
    """Return the cells by axis of an option.

    Raises:
        ArgumentTypeError: it says none.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    if any(axis not in ("x", "y", "z") or not number.isdecimal() or not int(number) for axis, _, number in pairs):
        raise ArgumentTypeError(f"expected cells by axis, as x=64,y=64, got {text!r}")
    found = {axis: int(number) for axis, _, number in pairs}
    if len(found) < len(pairs):
        raise ArgumentTypeError(f"an axis is there twice: {text!r}")
    return found


def convert(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Write results in another format."""
    from parsolve.ensemble.operations import FORMATS as SUFFIXES

    return _run(args, start_mpi(), SUFFIXES[args.to], {"to": args.to, "force": args.force})


def repack(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Write results packed."""
    from parsolve.store.packing import LEVELS

    packing = None
    if args.compression != "none":
        least, most, _ = LEVELS[args.compression]
        if args.level is not None and not least <= args.level <= most:
            raise CaseError(f"--level: expected {least} to {most} for {args.compression}, got {args.level}")
        packing = {"method": args.compression, "level": args.level, "cells": args.chunks}
    elif args.level is not None or args.chunks:
        raise CaseError("--level and --chunks are for what is packed: leave them out, or --compression none")
    return _run(args, start_mpi(), ".h5", {"packing": packing, "force": args.force})


def copy(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Copy files."""
    return _run(args, start_mpi(), None, {"force": args.force})


def verify(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Print what is whole and what is damaged."""

    def show(ended: Sequence[Done]) -> None:
        found = _report(ended)
        titles = {"damaged": "damaged", "unknown": "no hashes", "whole": "whole"}
        answer("\n".join(table((title, text) for kind, title in titles.items() for text in found[kind])))

    return _run(args, start_mpi(), None, {}, show, _report)


def _report(ended: Sequence[Done]) -> dict[str, list[str]]:
    """Return what of all files is damaged, has no hashes, or is whole."""
    found = {kind: [text for done in ended for text in done.found.get(kind, ())] for kind in ("unknown", "whole")}
    damaged = [text for done in ended if done.error for text in done.found.get("damaged", [done.error])]
    return {"damaged": damaged, **found}


def stats(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Show the statistics of results."""
    return _run(args, start_mpi(), None, {}, _statistics)


def find(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Name results."""
    from parsolve.ensemble.conditions import Condition

    where = [astuple(Condition.of(text)) for text in args.where]

    def show(ended: Sequence[Done]) -> None:
        for path in _found(where, ended)["found"]:
            answer(path)

    return _run(args, start_mpi(), None, {"where": where}, show, lambda ended: _found(where, ended))


def _found(where: Sequence[Sequence[Any]], ended: Sequence[Done]) -> dict[str, list[str]]:
    """Return the results of which all holds.

    Raises:
        CaseError: no result says one of the keys, or one has it as what is asked for.
    """
    known = [done for done in ended if not done.error]
    for n, (key, *_) in enumerate(where):
        names = {name for done in known for name in done.found["keys"]}
        if known and key not in names and all(done.found["keys"] for done in known):
            raise CaseError(f"--where: no result says '{key}'{nearest(key, names)}")
        doubts = [done.found["doubts"][n] for done in known if done.found.get("doubts")]  # None: it does not say it
        if any(doubts) and all(doubt != "" for doubt in doubts):
            raise CaseError(f"--where: {next(filter(None, doubts))}")
    return {"found": [done.file for done in known if done.found["matches"]]}


def _statistics(ended: Sequence[Done]) -> None:
    """Print a row for each field of each result."""
    rows = [("file", "field", "cells", "frames", "min", "max", "mean", "std")]
    for done in ended:
        for name, numbers in done.found.get("fields", {}).items():
            known = [numbers[kind] for kind in ("min", "max", "mean", "std")]
            values = ["-" if value is None else f"{value:.6g}" for value in known]
            more = f"  ({numbers['not_finite']} values are not finite)" if numbers["not_finite"] else ""
            cells = by_axis(done.found["cells"]).partition(" (")[0]
            rows.append((done.file, name, cells, str(done.found["frames"]), *values[:3], values[3] + more))
    if len(rows) > 1:
        answer("\n".join(table(rows)))


def _run(
    args: argparse.Namespace, comm: MPI.Intracomm, suffix: str | None, options: dict[str, Any],
    show: Show | None = None, more: Callable[[Sequence[Done]], dict[str, Any]] = lambda _: {},
) -> int:  # fmt: skip
    """Do it with all files and print how that ended; 5 if one is broken."""
    from parsolve.ensemble.files import gather_works, refuse_record, spread
    from parsolve.ensemble.journal import Journal

    with agreed(comm):
        if args.resume and args.record is None:
            raise CaseError("--resume goes on with a record: say which, --record FILE")
        if comm.size > 1 and (args.workers is not None or args.dask is not None):
            raise SetupError("--workers and --dask are for one process: leave mpirun out, or them")
        if args.record is not None and args.command == "copy" and comm.rank == 0:
            refuse_record(args.record, args.paths)
    works = on_root(comm, lambda: gather_works(args.command, args.paths, getattr(args, "into", None), suffix, options))
    begin, code = perf_counter(), 0
    with ExitStack() as stack:
        journal = None
        with agreed(comm):
            if comm.rank == 0 and args.record is not None:
                journal = stack.enter_context(closing(Journal(args.record, args.resume)))
        line = _Line(works, args.quiet, args.command != "verify")
        ended = spread(works, stack.enter_context(_engine(args)) or comm, journal, line.update)
    with agreed(comm):
        if ended is not None:
            codes = {done.code for done in ended if done.error}
            code = StorageError.exit_code if len(codes) > 1 else max(codes, default=0)
            line.close()
            if args.json:
                known = _summary(args.command, ended, perf_counter() - begin)
                answer(json.dumps(known | more(ended)))
            elif show is not None:
                show(ended)
            elif not args.quiet:
                answer(line.text(perf_counter() - begin))
    return int(comm.bcast(code))


def _engine(args: argparse.Namespace) -> Any:
    """What does the tasks: a pool of processes, a client of Dask, or, if nothing is given, ranks.

    Raises:
        SetupError: it cannot be had.
    """
    if args.workers is not None:
        from parsolve.ensemble.pools import processes

        return processes(args.workers)
    if args.dask is not None:
        try:
            from distributed import Client
        except ImportError:
            raise SetupError("--dask needs the package distributed: pip install 'parsolve[dask]'") from None
        try:
            return Client(args.dask, timeout=10)
        except (OSError, ValueError, TypeError) as error:
            raise SetupError(f"--dask {args.dask!r}: no scheduler of Dask answers ({error})") from None
    return nullcontext()  # the communicator


def _summary(operation: str, ended: Sequence[Done], seconds: float) -> dict[str, Any]:
    """Return how it ended as plain data."""
    read = sum(done.bytes for done in ended if not done.error and not done.skipped)
    return {
        "operation": operation,
        "files": [vars(done) for done in ended],
        "done": sum(not done.error and not done.skipped for done in ended),
        "skipped": sum(done.skipped for done in ended),
        "failed": sum(bool(done.error) for done in ended),
        "bytes": read,
        "seconds": seconds,
        "bytes_per_s": read / max(seconds, 1e-9),
    }


class _Line:
    """The line of status on stderr: files, bytes, rate; what is broken has a line of its own, if that is told."""

    def __init__(self, works: Sequence[Work], is_quiet: bool, tells: bool) -> None:
        self.tells = tells
        self.total, self.ended, self.bytes, self.failed = len(works), 0, 0, 0
        self.terminal, self.quiet = sys.stderr.isatty(), is_quiet
        self.began = self.shown = perf_counter()
        self.width = 0

    def update(self, done: Done, ended: int) -> None:
        """Take note of a file."""
        self.ended = ended
        self.bytes += 0 if done.skipped or done.error else done.bytes
        if done.error:
            self.failed += 1
        if done.error and self.tells:
            self.close()
            is_named = any(name and name in done.error for name in (done.file, done.target))
            text = done.error if is_named else f"{done.file}: {done.error}"
            tell(f"parsolve: error: {text}")
        now = perf_counter()
        if not self.quiet and now - self.shown >= (TERMINAL_SECONDS if self.terminal else LOG_SECONDS):
            self.shown, text = now, self.text(now - self.began)
            tell(f"\r{text.ljust(self.width)}" if self.terminal else text, "" if self.terminal else "\n")
            self.width = len(text)

    def text(self, elapsed: float) -> str:
        """Return how far it is."""
        broken = f", {self.failed} broken" if self.failed else ""
        rate = self.bytes / max(elapsed, 1e-9)
        return f"{self.ended} of {self.total} files{broken}  {size(self.bytes)}  {size(rate)}/s"

    def close(self) -> None:
        """End an open line on a terminal."""
        if self.terminal and self.width:
            tell("")
            self.width = 0
