"""How the tests run scripts on ranks of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mpi4py import MPI

from parsolve.domain.launch import PREFIXES

Script = Callable[..., subprocess.CompletedProcess[str]]
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a text as a script in an empty folder, on so many ranks."""
    if MPI.COMM_WORLD.size > 1:
        pytest.skip("starts ranks of its own")

    def run(text: str, ranks: int = 0) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "script.py"
        path.write_text(text)
        command = [sys.executable, str(path)]
        if ranks:
            beside = Path(sys.executable).with_name("mpirun")
            mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
            if mpirun is None:
                pytest.skip("no mpirun")
            command = [mpirun, "-n", str(ranks), *command]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIXES)} | OPEN_MPI
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    return run
