"""The same result from the command line on any number of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mpi4py import MPI

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., tuple[int, str, str]]
    Shell = Callable[..., subprocess.CompletedProcess[str]]

RUNS = {
    "gray-scott": ("gray-scott", "grid.x.cells=22", "grid.y.cells=19", "time.steps=6"),
    "wave": ("wave", "grid.x.cells=21", "grid.y.cells=18", "time.steps=5"),
    "heat, mixed boundaries, adaptive": ("heat.toml",),
}
HEAT = """
equation = "heat"
grid.x = { cells = 9, range = [0, 1] }
grid.y = { cells = 10, range = [0, 1] }
grid.z = { cells = 25, range = [0, 1], periodic = true }
initial.u = "noise(seed=1)"
boundary.u.xmin = { dirichlet = "sin(t)*y" }
boundary.u.ymax = { robin = [1.0, 0.5, 0.1] }
time = { end = 0.004, scheme = "dp45", tolerance = 1e-4 }
output.every = 0.001
run = { order = 4, precision = "float32" }
"""


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts ranks of its own")
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n == "wave" else []) for n in RUNS])
def test_compare_says_same(shell: Shell, call: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "heat.toml").write_text(HEAT)
    case, *changes = RUNS[name]
    words = [word for change in changes for word in ("--set", change)]
    for ranks in (1, 2, 3):
        done = shell("-m", "parsolve", "run", case, *words, "-o", f"{ranks}.h5", "-q", ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr  # nor does an MPI library tell of one that is none
        if ranks > 1:
            code, out, err = call("compare", "1.h5", f"{ranks}.h5")
            assert code == 0, out + err
            assert out.startswith("same")
