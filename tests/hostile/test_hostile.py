"""Whatever is given, the program ends with one plain message and the right exit code, or with a right result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FAMILIES = ("values", "expressions", "files", "pictures", "commands", "environments")
SLOW, LONG = ("files", "pictures", "environments", "expressions", "commands"), pytest.mark.long


@pytest.mark.parametrize("family", [pytest.param(name, marks=LONG if name in SLOW else ()) for name in FAMILIES])
def test_every_input_ends_well(family: str) -> None:
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    played = subprocess.run(
        [sys.executable, "-m", "hostile.server", family],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert played.returncode == 0, f"\n{played.stdout}{played.stderr}"
