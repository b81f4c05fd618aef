"""The launcher's variables: who is first, and copies that do not know each other."""

from __future__ import annotations

import pytest

from parsolve.domain import launch

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
