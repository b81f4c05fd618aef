"""What all tests share: a communicator and a directory that all ranks see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mpi4py import MPI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def comm() -> Iterator[MPI.Intracomm]:
    """All ranks of this test run: one without mpirun."""
    duplicate = MPI.COMM_WORLD.Dup()
    yield duplicate
    duplicate.Free()


@pytest.fixture
def shared_tmp(comm: MPI.Intracomm, tmp_path: Path) -> Path:
    """The temporary directory of rank 0, on all ranks."""
    return comm.bcast(tmp_path, root=0)
