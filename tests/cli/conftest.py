"""How the tests call the command line: in this process, or as the user does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parsolve.__main__ import main
from parsolve.domain.launch import PREFIXES

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the launcher's variables away: pytest itself may run under mpirun."""
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture
def call(
    no_launcher: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process and in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def shell(no_launcher: None, tmp_path: Path) -> Shell:
    """Run Python with these arguments in an empty folder, on so many ranks."""

    def run(*argv: str, ranks: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *argv]
        if ranks:
            beside = Path(sys.executable).with_name("mpirun")
            mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
            if mpirun is None:
                pytest.skip("no mpirun")
            open_mpi = {
                "OMPI_ALLOW_RUN_AS_ROOT": "1",
                "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "OMPI_MCA_rmaps_base_oversubscribe": "1",
                "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            }
            environment = open_mpi | environment
            command = [mpirun, "-n", str(ranks), *command]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
