"""Run docs/coming-from-py-pde.md on both sides: `python benchmarks/coming_from.py [CELLS]`.

Needs py-pde (`pip install py-pde`) and parsolve in one environment. Prints the table of the document: lines, and
processor seconds there and here with everything to be compiled, here again, and of the march alone, all compiled.
With CELLS the tasks on 64 x 64 cells, and no others, are done on so many along each axis.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

DOCUMENT = Path(__file__).parents[1] / "docs/coming-from-py-pde.md"


@dataclass(frozen=True)
class Task:
    """One task: its title, the text of py-pde, and that of parsolve with its shell lines and case file."""

    title: str
    theirs: str
    ours: str
    shell: str
    case: str

    def lines(self) -> tuple[int, int]:
        """Lines that are neither empty nor comments: there, here."""
        here = self.ours + self.case + self.shell
        return count(self.theirs), count(here)


def count(text: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def tasks(document: str) -> list[Task]:
    """What is under the headings of level three, and before them, under the title '', what is imported."""
    parts = re.split(r"^### (.*)$", document, flags=re.MULTILINE)
    pairs = [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    return [Task(title, *(block(text, kind) for kind in ("py", "python", "sh", "toml"))) for title, text in pairs]


def block(text: str, language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def larger(task: Task, cells: str) -> Task:
    """A task on 64 x 64 cells of size 1 on more of them."""
    return replace(task, theirs=re.sub(r"\b64\b", cells, task.theirs), ours=re.sub(r"\b64\b", cells, task.ours))


def processor() -> float:
    """Seconds of the processors so far, those of compilers that were started among them."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def timed(text: str, names: dict[str, Any]) -> float:
    start = processor()
    with redirect_stdout(StringIO()):
        exec(compile(text, str(DOCUMENT), "exec"), names)
    return processor() - start


def arrays_there(result: Any) -> list[np.ndarray]:
    """The fields of py-pde, complex ones as two, indexed as here."""
    data = result.data if hasattr(result, "labels") else [result.data]
    parts = [part for a in data for part in ([a.real, a.imag] if np.iscomplexobj(a) else [a])]
    return [np.transpose(part) for part in parts]


def arrays_here(path: Path) -> list[np.ndarray]:
    import parsolve

    with parsolve.open_result(path) as result:
        return [result.read(name, -1) for name in result.fields]


def listen(solved: list[tuple[Any, float]], marched: list[float]) -> None:
    """Keep what is solved here, and let py-pde march once more after each solution, for the time of that alone."""
    from pde.solvers.controller import Controller

    import parsolve

    solve, run = parsolve.solve, Controller._run_main_process

    def here(case: parsolve.Case, *args: Any, **kwargs: Any) -> Any:
        summary = solve(case, *args, **kwargs)
        solved.append((case, summary.time))
        return summary

    def there(self: Any, state: Any, dt: Any = None) -> None:
        start, kept, make = state.copy(), [], self.solver.make_stepper
        self.solver.make_stepper = lambda *args, **kwargs: kept.append(make(*args, **kwargs)) or kept[-1]
        run(self, state, dt)
        begin = processor()
        kept[-1](start, 0.0, self.info["t_final"])
        marched.append(processor() - begin)

    parsolve.solve, Controller._run_main_process = here, there


def march(solved: list[tuple[Any, float]]) -> float:
    """March these cases to these times; return the processor time of that."""
    import parsolve

    seconds = 0.0
    for case, end in solved:
        with parsolve.Simulation(case) as sim:
            begin = processor()
            sim.run(until=end)
            seconds += processor() - begin
    return seconds


def main() -> None:
    """Print the table and the versions."""
    os.environ["MPLBACKEND"] = "Agg"
    folder = Path(tempfile.mkdtemp())
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.chdir(folder)
    there: dict[str, Any] = {}
    here: dict[str, Any] = {}
    solved: list[tuple[Any, float]] = []
    marched: list[float] = []
    first, *rest = tasks(DOCUMENT.read_text("utf-8"))
    if len(sys.argv) > 1:
        rest = [larger(task, sys.argv[1]) for task in rest if "UnitGrid([64, 64]" in task.theirs]
    timed(first.theirs, there)
    timed(first.ours, here)
    listen(solved, marched)
    print("| task | lines | first time | again | march | largest difference |\n|---|---|---|---|---|---|")
    for task in rest:
        there.pop("result", None)
        solved.clear()
        marched.clear()
        lines = "{}, {}".format(*task.lines())
        if not (task.theirs and task.ours):
            print(f"| {task.title} | {lines} | | | | |")
            continue
        cold = timed(task.theirs, there) - sum(marched), timed(task.ours, here)
        seconds = f"{sum(marched):.2g}, {march(solved):.2g}" if solved and marched else ""
        again = timed(task.ours, here)
        far = f"{distance(there['result'], folder):.1g}" if "result" in there else ""
        print(
            f"| {task.title} | {lines} | {cold[0]:.2g}, {cold[1]:.2g} | {again:.2g} | {seconds} | {far} |", flush=True
        )
    import numba
    import pde

    print(f"\npy-pde {pde.__version__}, numba {numba.__version__}, Python {sys.version.split()[0]}")


def distance(result: Any, folder: Path) -> float:
    """The largest difference to the newest result in the folder, over the largest value if that is above 1."""
    newest = max(folder.glob("*.h5"), key=lambda path: path.stat().st_mtime_ns)
    pairs = list(zip(arrays_there(result), arrays_here(newest), strict=False))
    return float(max(np.abs(a - b).max() / max(1, np.abs(a).max()) for a, b in pairs))


if __name__ == "__main__":
    main()
