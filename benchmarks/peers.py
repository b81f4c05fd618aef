"""Other solvers on the problem of a benchmark, in the same call: their speed, and whether their fields are ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.bench.measure import BENCHMARKS, case_of, ready, wait_asleep
from parsolve.domain.cores import node_cores
from parsolve.domain.redistribute import gather
from parsolve.march.control import Limited, steady
from parsolve.march.march import march
from parsolve.march.schedule import Stop
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpi4py import MPI

SCRIPT = Path(__file__).parent / "peers" / "peer.py"
PEERS = ("devito", "numba", "numpy")
INSTALL = "not installed: pip install 'parsolve[bench]'"
STEPS = 16  # after which the fields are compared
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}  # of the largest value


@dataclass(frozen=True)
class Peer:
    """What a peer did: ``difference`` of its field from ours, relative to the largest value.

    ``problem`` says why there are no figures, or is empty.
    """

    name: str
    version: str = ""
    updates_per_s: float = 0.0
    difference: float = 0.0
    problem: str = ""


def missing(names: Sequence[str] = PEERS) -> list[str]:
    """The peers that are not installed."""
    return [name for name in names if find_spec(name) is None]


def run_peers(
    name: str, comm: MPI.Intracomm, *, size: int | None, precision: str, seconds: float, threads: int,
    names: Sequence[str] = PEERS,
) -> list[Peer]:  # fmt: skip
    """Let each peer march a benchmark on rank 0, with as many threads as all ranks have, who sleep; collective."""
    _, cores = node_cores(comm)
    found: list[Peer] = []
    with tempfile.TemporaryDirectory(prefix="parsolve-") as directory:
        problem, ours = Path(directory) / "problem.npz", _describe(name, comm, size, precision, Path(directory))
        if ours is not None:
            for peer in names:
                theirs = Path(directory) / f"{peer}.npy"
                words = [peer, str(problem), str(theirs), "--seconds", str(seconds), "--threads",
                         str(threads * comm.size)]  # fmt: skip
                found.append(_run(peer, words, cores, theirs, ours, TOLERANCE[precision]))
        wait_asleep(comm)
    return list(comm.bcast(found))


def _describe(name: str, comm: MPI.Intracomm, size: int | None, precision: str, directory: Path) -> np.ndarray | None:
    """Write the problem for the peers; our field u after STEPS steps, on rank 0."""
    problem = pose(case_of(name, size, precision))
    with ready(problem, comm) as prepared:
        dt = prepared.layout.dt
        arrays = {field: gather(f.owned, f.subdomain) for field, f in prepared.state.items()}
        for before in prepared.steps.stepper.carried[1:]:
            arrays["u_before"] = gather(before["u"].owned, before["u"].subdomain)
        if comm.rank == 0:
            told = {
                "name": BENCHMARKS[name].equation,
                "order": problem.case.run.order,
                "dt": dt,
                "spacing": [h for h, there in zip(problem.grid.spacing, problem.grid.present, strict=True) if there],
                "parameters": json.dumps(dict(problem.parameters)),
                "steps": STEPS,
            }
            np.savez(directory / "problem.npz", **{key: np.asarray(value) for key, value in (told | arrays).items()})
        march(prepared.steps, Limited(steady(dt), Stop(step=STEPS)))
        return gather(prepared.state["u"].owned, prepared.state["u"].subdomain)


def _run(peer: str, words: list[str], cores: set[int], theirs: Path, ours: np.ndarray, tolerance: float) -> Peer:
    if missing([peer]):
        return Peer(peer, problem=INSTALL)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "PMIX", "MPI", "OMPI", "HYDRA"))}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], env=environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    if done.returncode:
        return Peer(peer, problem=(done.stderr.strip().splitlines() or ["failed"])[-1])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    difference = float(np.abs(np.load(theirs) - ours).max() / np.abs(ours).max())
    problem = (
        "" if difference <= tolerance else f"computes another field: differs by {difference:.1e} of the largest value"
    )
    return Peer(peer, told["version"], told["updates_per_s"], difference, problem)
