"""What the MPI launcher says in the environment, before and without MPI itself."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.domain.cores import node_cores
from parsolve.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from mpi4py import MPI

# Launcher, variable of the number of ranks, variable of the rank.
LAUNCHERS = (
    ("Open MPI's mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MVAPICH's launcher", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("a PMI launcher (MPICH, Intel MPI, Cray)", "PMI_SIZE", "PMI_RANK"),
    ("Hydra", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
    ("Flux", "FLUX_JOB_SIZE", "FLUX_TASK_RANK"),
    ("Slurm's srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
PREFIXES = ("OMPI_", "MV2_", "PMI_", "PMIX_", "MPI_LOCAL", "FLUX_", "SLURM_", "HYDI_", "PALS_")


def launched(environment: Mapping[str, str] = os.environ) -> tuple[str, str, int] | None:
    """Return launcher, size variable and number of ranks; None without a launcher.

    Slurm counts only where no other launcher speaks: an mpirun inside a Slurm job sees both.
    """
    for launcher, size, _ in LAUNCHERS:
        if environment.get(size, "").isdigit():
            return launcher, size, int(environment[size])
    return None


def rank(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the rank that the launcher gave this process; None without a launcher."""
    for _, size, place in LAUNCHERS:
        if environment.get(size, "").isdigit() and environment.get(place, "").isdigit():
            return int(environment[place])
    number = environment.get("PMIX_RANK", "")
    return int(number) if number.isdigit() else None


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process speaks for all copies that a launcher started."""
    return rank(environment) in (None, 0)


def duplicate(comm_size: int, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return how the launcher contradicts MPI when it started copies that do not know each other."""
    found = launched(environment)
    if comm_size > 1 or found is None or found[2] < 2:
        return None
    launcher, variable, size = found
    return f"{launcher} started {size} processes ({variable}={size})"


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell MPI libraries, before they start, what they do not know; what is set already stays.

    Open MPI 5 without a network tells an error for each window in shared memory. MPICH lets ranks of a node agree by
    waiting in a loop, which takes milliseconds where there are more ranks than cores: 0.1 ms without (4 on 2 cores).
    """
    environment.setdefault("OMPI_MCA_osc", "^ucx")
    ranks = environment.get("MPI_LOCALNRANKS", "")
    if ranks.isdecimal() and int(ranks) > (os.cpu_count() or 1):
        environment.setdefault("MPIR_CVAR_POSIX_NUM_COLLS_THRESHOLD", str(2**31 - 1))


def forget_names() -> None:
    """Remove the names of the memory that MPICH shares between the ranks of a node: all have it, and use no name again.

    So nothing is left of ranks that are killed.
    """
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            name = line.partition("/dev/shm/mpich_shm_")[1:]
            if name[0]:
                with suppress(OSError):
                    Path("".join(name)).unlink()


def threads(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many threads of a rank the launcher asks for.

    Raises:
        SetupError: it does not say a number.
    """
    given = environment.get("OMP_NUM_THREADS") or "1"
    first = given.partition(",")[0].strip()
    if not first.isdecimal() or len(first) > 18 or int(first) < 1:
        raise SetupError(f"OMP_NUM_THREADS={given}: expected a whole number >= 1; set it right, or run.threads")
    return int(first)


def oversubscription(comm: MPI.Intracomm, threads: int) -> str | None:
    """Return, on rank 0, the node with more ranks of so many threads than usable cores; collective."""
    from mpi4py import MPI

    ranks, cores = node_cores(comm)
    found = comm.reduce((ranks / len(cores), ranks, len(cores), MPI.Get_processor_name()), op=MPI.MAX)
    if found is None:
        return None
    _, ranks, count, host = found
    if ranks * threads <= count or threads > count:  # which is refused
        return None
    each = f" of {threads} threads" if threads > 1 else ""
    return f"{ranks} ranks{each} share {count} cores on {host}; they will wait for each other"
