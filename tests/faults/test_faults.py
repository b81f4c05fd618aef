"""Killed or failing at any call that changes a file, a run loses nothing that was kept, and nothing wrong exits 0.

Here some of the faults are played; `PYTHONPATH=tests python -m faults.server` plays all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STRIDES = {"kill": 23, "torn": 61, "short": 61, "once": 101, "ever": 251}
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", path, HERE / "shim.c", "-ldl"], check=True)
    return path


def play(shim: Path, family: str, stride: int) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "faults.server", family, str(stride)], capture_output=True, text=True, timeout=280,
        env=os.environ | {"PYTHONPATH": path, "LD_PRELOAD": str(shim)}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("family", STRIDES)
def test_no_fault_loses_what_was_kept(shim: Path, family: str) -> None:
    played = play(shim, family, STRIDES[family])
    assert played.returncode == 0, f"\n{played.stdout}{played.stderr}"


@pytest.mark.parametrize("defect", ["hashes_of_nothing", "claims_for_ever"])
def test_a_defect_is_found(shim: Path, defect: str) -> None:
    played = play(shim, defect, 97)
    assert played.returncode == 1, f"\n{played.stdout}{played.stderr}"
    assert " bad" in played.stdout
