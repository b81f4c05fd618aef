"""Killed, failing, damaged or without power at any call, a run loses nothing that was kept, and nothing wrong exits 0.

Here a few of the faults are played; `PYTHONPATH=tests python -m faults` plays all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STRIDES = {
    "server": ["kill 149", "random 15", "torn 199", "short 199", "once 399", "ever 999"],
    "power": ["399"],
    "corruption": ["119"],
    "hostile": ["700"],
}
DEFECTS, SLOW = ["server claims_for_ever 97"], ["corruption 60 values_believed", "power 197 files_not_synced"]
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", path, HERE / "shim.c", "-ldl"], check=True)
    return path


def play(shim: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=280,
        env=os.environ | {"PYTHONPATH": path, "LD_PRELOAD": str(shim)}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [f"{name} {given}" for name, some in STRIDES.items() for given in some])
def test_nothing_is_lost(shim: Path, words: str) -> None:
    played = play(shim, *f"faults.{words}".split())
    assert played.returncode == 0, f"\n{played.stdout}{played.stderr}"


@pytest.mark.parametrize("words", [*DEFECTS, *(pytest.param(words, marks=pytest.mark.long) for words in SLOW)])
def test_a_defect_is_found(shim: Path, words: str) -> None:
    played = play(shim, *f"faults.{words}".split())
    assert played.returncode == 1, f"\n{played.stdout}{played.stderr}"
    assert " bad" in played.stdout
