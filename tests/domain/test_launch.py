"""The launcher's variables: who is first, and copies that do not know each other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from parsolve.domain import launch
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from mpi4py import MPI

MPICH = {"PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALNRANKS": "4", "MPI_LOCALRANKID": "2"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"}
BATCH = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}
SRUN = BATCH | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}
ONE_NODE_STEP = BATCH | {"SLURM_STEP_NUM_TASKS": "1"}


@pytest.mark.parametrize(
    ("environment", "rank", "copies"),
    [
        ({}, None, False),
        (MPICH, 2, True),
        (OPEN_MPI, 0, True),
        (SRUN, 3, True),
        (BATCH, None, False),  # a batch script started this process, not srun
        (ONE_NODE_STEP | MPICH, 2, True),  # mpirun starts its daemons with srun
        (SRUN | {"PMI_SIZE": "1", "PMI_RANK": "0"}, 0, False),  # mpirun -n 1 inside a step
        ({"PMI_SIZE": "many"}, None, False),
    ],
)
def test_launchers(environment: dict[str, str], rank: int | None, copies: bool) -> None:
    assert launch.rank(environment) == rank
    assert launch.is_first(environment) == (rank in (None, 0))
    assert (launch.duplicate(1, environment) is not None) == copies
    assert launch.duplicate(4, environment) is None


@pytest.mark.parametrize(
    ("given", "threads"),
    [(None, 1), ("3", 3), ("4,2", 4), (" 2 ", 2), ("", 1), ("100000", 100000)],
)
def test_threads_that_the_launcher_asks_for(given: str | None, threads: int) -> None:
    assert launch.threads({} if given is None else {"OMP_NUM_THREADS": given}) == threads


@pytest.mark.parametrize("given", ["0", "-2", "many", "1e3", "9" * 5000])
def test_threads_that_are_no_number_are_an_error(given: str) -> None:
    with pytest.raises(SetupError, match=r"OMP_NUM_THREADS=.*: expected a whole number"):
        launch.threads({"OMP_NUM_THREADS": given})


@pytest.mark.mpi
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_more_threads_than_cores_are_told(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Of all ranks of a node together."""
    for cores in range(1, 3 * comm.size + 2):
        monkeypatch.setattr(launch, "node_cores", lambda _, cores=cores: (comm.size, set(range(cores))))
        found = launch.oversubscription(comm, threads)
        if comm.rank or comm.size * threads <= cores or threads > cores:
            assert found is None
        else:
            assert found is not None
            assert f"{comm.size} ranks" in found
            assert f"share {cores} cores" in found
            assert (f"of {threads} threads" in found) == (threads > 1)


def test_more_ranks_than_cores_do_not_wait_in_a_loop() -> None:
    """And what is set already stays."""
    key, cores = "MPIR_CVAR_POSIX_NUM_COLLS_THRESHOLD", os.cpu_count() or 1
    crowded, fitting, given = ({"MPI_LOCALNRANKS": str(n)} for n in (cores + 1, cores, cores + 1))
    given[key] = "5"
    for environment in (crowded, fitting, given):
        launch.prepare(environment)
    assert int(crowded[key]) > 10**9
    assert key not in fitting
    assert given[key] == "5"
