"""The command that writes batch scripts for Slurm."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.cli.progress import duration
from parsolve.cli.solve import case_arguments
from parsolve.cli.streams import answer, tell
from parsolve.cli.words import count, file_name, size
from parsolve.errors import CaseError, SetupError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.ensemble.members import Sweep
    from parsolve.ensemble.slurm import Job
    from parsolve.ensemble.trial import Proposal

PLAIN = {
    "partition": "where it runs",
    "account": "that pays for it",
    "qos": "quality of service",
    "constraint": "features that the nodes have",
    "dependency": "jobs that are to end before, as afterok:123",
    "mail": "address that is told of its end",
}


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `slurm`."""
    parser = add(
        "slurm", "write a batch script for Slurm, of a case or a sweep, or submit it",
        "python -m parsolve slurm case.toml --ranks 64 --nodes 2 --time 4:00:00 --submit",
    )  # fmt: skip
    case_arguments(parser)
    parser.add_argument("-o", "--output", type=file_name, metavar="OUT.h5", help="result (default: the case's name)")
    parser.add_argument("--ranks", type=count, metavar="N", help="of MPI (default: proposed from a short trial here)")
    parser.add_argument("--nodes", type=count, metavar="N", help="to spread them over (default: as Slurm finds them)")
    parser.add_argument("--cpus-per-task", type=count, default=1, metavar="N", help="threads of a rank")
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="of a node")
    parser.add_argument("--time", metavar="TIME", help="limit of one job, as 90 or 4:00:00 (default: proposed)")
    parser.add_argument("--memory", type=count, metavar="MIB", help="of a core (default: as planned)")
    for name, text in PLAIN.items():
        parser.add_argument(f"--{name}", metavar="TEXT", help=text)
    parser.add_argument("--mail-type", default="END,FAIL", metavar="TYPES", help="when it is told (default: END,FAIL)")
    array = "run it for each index, e.g. 0-9%%4; {task} in CASE, --set and -o is the index"
    parser.add_argument("--array", metavar="INDICES", help=array)
    parser.add_argument("--exclusive", action="store_true", help="share no node")
    parser.add_argument("--module", action="append", default=[], metavar="NAME", help="to load before (repeatable)")
    parser.add_argument("--container", type=file_name, metavar="IMAGE", help="an Apptainer image that holds parsolve")
    parser.add_argument("--python", metavar="PATH", help="that runs it (default: this one)")
    parser.add_argument("--mpi", metavar="TYPE", help="of `srun --mpi=list` (default: what suits the MPI library)")
    margin = "seconds before the limit at which it is told to stop (default: a quarter of it, 180 at most)"
    parser.add_argument("--margin", type=count, metavar="S", help=margin)
    back = "how often it is queued again at most (default: 20)"
    parser.add_argument("--requeues", type=int, default=20, metavar="N", help=back)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--submit", action="store_true", help="give it to sbatch")
    action.add_argument("--test-only", action="store_true", help="ask sbatch when it would start")
    parser.set_defaults(do=slurm, parallel=False, writes=True)


def slurm(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Print the batch script of a case, or give it to sbatch."""
    from parsolve.case import Case
    from parsolve.ensemble.slurm import TASK, chosen_mpi, script
    from parsolve.ensemble.trial import of_sweep, propose
    from parsolve.problem.plan import check

    if args.gpus < 0 or args.requeues < 0:
        raise CaseError("--gpus and --requeues: expected a whole number >= 0")
    if args.gpus:
        tell("parsolve: warning: runs march on the CPU: the GPUs that are asked for stay idle")
    if args.array is None and any(TASK in text for text in (str(args.case), *args.set)):
        raise CaseError(f"slurm: {TASK} is for array jobs; give --array")
    first = [text.replace(TASK, _first(args.array)) for text in (str(args.case), *args.set)]
    found = _sweep(args, Path(first[0]))
    case = found.case(0) if found else Case.load(first[0], first[1:])
    if found and args.ranks is not None and args.ranks < found.ranks:
        raise CaseError(f"--ranks {args.ranks}: a member of '{args.case}' is to have {found.ranks}")
    asked = None
    if args.ranks is None or args.time is None or args.memory is None:
        ranks = found.ranks if found else args.ranks
        asked = propose(case, start_mpi(), ranks, timed=args.ranks is None or args.time is None)
        if found:
            asked = of_sweep(asked, len(found.members), args.ranks)
        tell(_proposed(asked))
    else:
        check(case, found.ranks if found else args.ranks)
    job = _job(args, asked, chosen_mpi(_offered(), _library()), found is not None)
    text = script(job)
    if not (args.submit or args.test_only):
        answer(text.rstrip("\n"))
        return 0
    return _sbatch(text, args.test_only)


def _first(array: str | None) -> str:
    """The first index of an array job."""
    return re.split(r"\D", array or "0")[0] or "0"


def _sweep(args: argparse.Namespace, path: Path) -> Sweep | None:
    """The sweep of a file; None if it is a case.

    Raises:
        CaseError: it cannot be read, or something in it is wrong.
    """
    from parsolve.case.tables import parse, read_source

    name, text, _ = read_source(path)
    if "vary" not in parse(name, text):
        return None
    if args.set or args.array:
        raise CaseError("slurm: a sweep varies by its file: leave --set and --array out, or give its case")
    from parsolve.ensemble.members import read_sweep

    return read_sweep(path)


def _job(args: argparse.Namespace, asked: Proposal | None, mpi: str, is_sweep: bool) -> Job:
    """What the command line asks for, the rest as proposed."""
    from parsolve.ensemble.slurm import TASK, Job, job_name, usual_margin
    from parsolve.store.places import argument

    stem = args.case.stem.replace(TASK, "")
    usual = stem if is_sweep else f"{stem}-{TASK}.h5" if args.array else f"{stem}.h5"
    output = str(args.output or usual)
    ranks = args.ranks or (asked.ranks if asked else 1)
    time = args.time or (str(asked.minutes) if asked and asked.minutes else None)
    if time is None:
        raise CaseError("slurm: the steps are not known beforehand, so no time can be proposed; give --time")
    memory = args.memory or (-(-asked.memory // args.cpus_per_task) if asked else None)
    return Job(
        name=job_name(stem), case=argument(args.case), output=argument(Path(output)), sets=tuple(args.set),
        is_sweep=is_sweep, array=args.array, ranks=ranks, nodes=args.nodes, threads=args.cpus_per_task, gpus=args.gpus,
        memory=memory, exclusive=args.exclusive, time=time, margin=args.margin or usual_margin(time),
        requeues=args.requeues, mail_type=args.mail_type, mpi=args.mpi or mpi, modules=tuple(args.module),
        container=argument(args.container) if args.container else None,
        python=args.python or ("python" if args.container else sys.executable),
        **{name: getattr(args, name) for name in PLAIN},
    )  # fmt: skip


def _proposed(asked: Proposal) -> str:
    """What is proposed, and from what, in plain words."""
    plan = asked.plan
    rows = [f"{asked.ranks} ranks, {size(plan.memory_per_rank)} each"]
    if asked.cells_per_s and plan.steps:
        rows.append(f"{plan.steps} steps at {asked.cells_per_s:.3g} cell updates/s of a rank here")
    if asked.minutes:
        rows.append(f"{duration(60 * asked.minutes)} with a reserve")
    return f"parsolve: planned: {'; '.join(rows)}"


def _offered() -> list[str]:
    """The ways of srun to start ranks, as far as it says."""
    import shutil
    import subprocess

    found = shutil.which("srun")
    if not found:
        return []
    try:
        done = subprocess.run([found, "--mpi=list"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return (done.stdout + done.stderr).split() if done.returncode == 0 else []


def _library() -> str:
    """What the MPI library says that it is; empty if it cannot be asked."""
    from parsolve.cli.environment import ASK_MPI, ask

    code, text = ask([sys.executable, "-c", ASK_MPI], without_launcher=True)
    return text.splitlines()[-1] if code == 0 else ""


def _sbatch(text: str, is_test: bool) -> int:
    """Give a script to sbatch, and tell its answer.

    Raises:
        SetupError: there is none, or it refuses.
    """
    import shutil
    import subprocess

    program = shutil.which("sbatch")
    if program is None:
        raise SetupError("no sbatch on PATH; print the script without --submit, and submit it where Slurm is")
    words = [program, *(["--test-only"] if is_test else [])]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    if done.returncode:
        raise SetupError(f"sbatch refuses it: {said}")
    answer(said)
    return 0
