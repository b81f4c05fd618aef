"""`check` predicts what a run takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parsolve.case import Case
from parsolve.problem.plan import check

RESIDENT = """
import re, sys
from pathlib import Path
import parsolve
case = parsolve.Case.load(sys.argv[1])
parsolve.solve(case, Path(sys.argv[2]))
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.parametrize("name", ["wave", "gray-scott"])
def test_memory_is_that_of_a_run(tmp_path: Path, name: str) -> None:
    """Within a tenth: the largest resident memory of a process that runs the case.

    (Not ru_maxrss, which counts the process that started it too.)
    """
    if not Path("/proc/self/status").is_file():
        pytest.skip("the system does not tell the largest resident memory of a process")
    scheme, fields = {"wave": ("leapfrog", 3), "gray-scott": ("rk4", 8)}[name]
    size = round((400e6 / 8 / fields) ** (1 / 3))
    grid = "".join(f"{a} = {{ cells = {size}, range = [0, 1], periodic = true }}\n" for a in "xyz")
    initial = "".join(f"{f} = 0.5\n" for f in (("u", "v") if name == "gray-scott" else ("u",)))
    text = f"equation = '{name}'\n[grid]\n{grid}[initial]\n{initial}[time]\nsteps = 8\nscheme = '{scheme}'\n"
    text += "[output]\nevery_steps = 8\n"
    path = tmp_path / "case.toml"
    path.write_text(text)
    words = [sys.executable, "-c", RESIDENT, str(path), str(tmp_path / "out.h5")]
    found = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert check(Case.load(path, []), 1).memory_per_rank == pytest.approx(found, rel=0.1)
