"""The scripts of benchmarks/ run, and tell what they are there to tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
RUNS = {
    "frames.py --size 8 --repeats 2": ("tofile + fsync", "frame", "ratio"),
    "user_equation.py --size 16 --seconds 0.01": ("catalogue", "text"),
}


@pytest.mark.parametrize("words", RUNS)
def test_a_script_runs(tmp_path: Path, words: str) -> None:
    script, *options = words.split()
    command = [sys.executable, str(SCRIPTS / script), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert all(any(row.startswith(name) for row in rows) for name in RUNS[words])
    assert list(tmp_path.iterdir()) == []
