"""The memory that is counted before a run is that which it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.case import Case
from parsolve.domain.field import Field
from parsolve.errors import ResourceError
from parsolve.problem.layout import decide
from parsolve.problem.memory import PROCESS, memory_of
from parsolve.problem.plan import check
from parsolve.problem.pose import pose
from parsolve.run import run

if TYPE_CHECKING:
    from mpi4py import MPI

RESIDENT = """
import json, re, sys
from pathlib import Path
import parsolve
parsolve.solve(parsolve.make_case(json.loads(sys.argv[1])), Path(sys.argv[2]))
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""
FLUX = "div((1 + u**2)*grad(u)) - u**3"
TWO = {"u": "laplace(w) - u*v**2", "v": "div((1 + v)*grad(v)) + u*v**2"}
SAMPLED = {
    "run": {"precision": "float32"}, "output": {"fields": ["u"]},
    "average": {"every_steps": 1, "var": {"variance": "u"}, "cov": {"covariance": ["u", "u**2"]}},
}  # fmt: skip
CASES: dict[str, tuple[Any, tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "wave": ("wave", (220, 220, 220), {"scheme": "leapfrog"}, {}),
    "rates that are measured": ({"u": FLUX}, (150, 160, 140), {"scheme": "euler"}, {}),
    "measured once": ({"u": FLUX}, (160, 160, 160), {"scheme": "rk4", "dt": 1e-6}, {}),
    "two unknowns": (TWO, (110, 120, 130), {"scheme": "rk4"}, {"define": {"w": "u**2 - 0.1*laplace(u)"}}),
    "float32": ({"u": FLUX}, (200, 200, 180), {"scheme": "ssprk33"}, {"run": {"order": 6, "precision": "float32"}}),
    "second derivative": ({"u_tt": FLUX}, (150, 150, 150), {"scheme": "leapfrog"}, {}),
    "adaptive": ({"u": FLUX}, (130, 130, 130), {"scheme": "dp45", "tolerance": 1e-4, "end": 1e-5}, {}),
    "checkpoints": ("wave", (200, 200, 200), {"scheme": "leapfrog"}, {"checkpoint": {"every_steps": 2}}),
    "own and linear": ({"u": "laplace(u)"}, (170, 160, 160), {"scheme": "rk4"}, {}),
    "fourth order": ({"u": "laplace(u**3 - u - 0.01*laplace(u))"}, (160, 160, 150), {"scheme": "rk4"}, {}),
    "slices": ("heat", (150, 140, 150), {"scheme": "rk4"}, {"slices": {"all": {}, "most": {"x": [0.0, 0.3]}}}),
    "averages": ("heat", (150, 150, 150), {"scheme": "rk4", "steps": 2}, SAMPLED),
    "kept averages": ("heat", (150, 150, 150), {"scheme": "rk4"}, SAMPLED | {"checkpoint": {"every_steps": 4}}),
    "line": ({"u": FLUX}, (4000000,), {"scheme": "rk4"}, {}),
}


LARGE = ("two unknowns", "float32", "second derivative", "fourth order")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n in LARGE else []) for n in CASES])
def test_memory_is_that_of_a_run(lab: Any, tmp_path: Path, name: str) -> None:
    """Within a tenth, of the process and of what the case adds to it: the largest resident memory.

    (Not ru_maxrss, which counts the process that started it too.)
    """
    if not Path("/proc/self/status").is_file():
        pytest.skip("the system does not tell the largest resident memory of a process")
    equation, cells, time, more = CASES[name]
    fields = tuple(TWO) if equation == TWO else ("u",)
    tables = {"initial": dict.fromkeys(fields, "0.5 + 0.1*sin(6.28*x)")} | more
    case = lab.case(equation, *cells, time={"steps": 4} | time if "end" not in time else time, **tables)
    words = [sys.executable, "-c", RESIDENT, json.dumps(case), str(tmp_path / "out.h5")]
    found = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    planned = check(Case.from_dict(case), 1).memory_per_rank
    assert planned == pytest.approx(found, rel=0.1)
    assert planned - PROCESS == pytest.approx(found - PROCESS, rel=0.15)


@pytest.mark.mpi
def test_a_run_that_does_not_fit_is_refused_before_its_first_field(
    lab: Any, comm: MPI.Intracomm, shared_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By all ranks, with both numbers, where all of a node together need more than is free."""
    case = Case.from_dict(lab.case("heat", 96, 64, 64, time={"steps": 2}))
    problem = pose(case)
    layout = decide(problem, comm)
    sub = layout.subdomain(problem.grid, comm)
    needed = sum(comm.allgather(memory_of(problem, sub.shape, sub.ghosts)))
    free = needed
    monkeypatch.setattr("parsolve.domain.memory.free_memory", lambda: {"node": free})
    assert decide(problem, comm) == layout
    free -= 1
    monkeypatch.setattr(Field, "__init__", lambda *_, **__: pytest.fail("a field was made"))
    with pytest.raises(ResourceError, match=rf"{needed / 2**30:.3g} GiB.*free there; use fewer cells"):
        run(case, comm, shared_tmp / "out.h5")
    assert list(shared_tmp.glob("out*")) == []
