"""Run a page of docs/coming-from-* on both sides: `python benchmarks/coming_from.py [py-pde|dedalus] [CELLS]`.

Needs py-pde (`pip install py-pde`) or Dedalus (`pip install dedalus`) and parsolve in one environment. Prints the
table of the page: lines, and processor seconds there and here with everything to be compiled, here again, and of the
march alone, all compiled. With CELLS the tasks of py-pde on 64 x 64 cells, and no others, are done on so many along
each axis.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "py-pde": DOCS / "coming-from-py-pde.md",
    "dedalus": DOCS / "coming-from-dedalus-and-oceananigans.md",
}


@dataclass(frozen=True)
class Task:
    """One task: its title, the text of the others in Python or Julia, and ours with its shell lines and case file."""

    title: str
    theirs: str
    julia: str
    ours: str
    shell: str
    case: str

    def lines(self) -> tuple[int, int]:
        """Lines that are neither empty nor comments: there, here."""
        return count(self.theirs + self.julia), count(self.ours + self.case + self.shell)


def count(text: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def tasks(document: str) -> list[Task]:
    """What is under the headings of level three, and before them, under the title '', what is imported."""
    parts = re.split(r"^### (.*)$", document, flags=re.MULTILINE)
    pairs = [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    return [Task(title, *(block(text, kind) for kind in ("py", "jl", "python", "sh", "toml"))) for title, text in pairs]


def block(text: str, language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def run_here(task: Task, names: dict[str, Any]) -> None:
    """Do a task here, in the folder that we are in: its Python, then its case by the lines of its shell, on one rank.

    Raises RuntimeError with the line if one ends with another exit code than 0.
    """
    from parsolve.__main__ import main as command

    exec(compile(task.ours, task.title, "exec"), names)
    if task.case:
        Path(task.case.split()[1]).write_text(task.case, "utf-8")
    for line in task.shell.splitlines():
        words = shlex.split(line)  # mpirun -n 4 python -m parsolve ...
        if code := command(words[words.index("parsolve") + 1 :]):
            raise RuntimeError(f"{task.title}: exit code {code} of {line}")


def larger(task: Task, cells: str) -> Task:
    """A task on 64 x 64 cells of size 1 on more of them."""
    return replace(task, theirs=re.sub(r"\b64\b", cells, task.theirs), ours=re.sub(r"\b64\b", cells, task.ours))


def processor() -> float:
    """Seconds of the processors so far, those of compilers that were started among them."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def timed_there(task: Task, names: dict[str, Any]) -> float:
    start = processor()
    with redirect_stdout(StringIO()):
        exec(compile(task.theirs, task.title, "exec"), names)
    return processor() - start


def timed_here(task: Task, names: dict[str, Any]) -> float:
    start = processor()
    with redirect_stdout(StringIO()):
        run_here(task, names)
    return processor() - start


def arrays_of_pde(names: dict[str, Any]) -> list[np.ndarray]:
    """The fields of py-pde, complex ones as two, indexed as here; none if it has none."""
    if (result := names.pop("result", None)) is None:
        return []
    data = result.data if hasattr(result, "labels") else [result.data]
    parts = [part for a in data for part in ([a.real, a.imag] if np.iscomplexobj(a) else [a])]
    return [np.transpose(part) for part in parts]


def arrays_of_dedalus(names: dict[str, Any], cells: tuple[int, ...]) -> list[np.ndarray]:
    """The field u of Dedalus at the centres of so many cells (z, y, x), indexed as here."""
    field = names["u"]
    field.change_scales(1)
    values = np.copy(field["g"])
    for axis, (basis, n) in enumerate(zip(field.domain.bases, reversed(cells), strict=True)):
        points = np.ravel(names["dist"].local_grid(basis))
        values = np.moveaxis(at_centres(points, np.moveaxis(values, axis, 0), basis.bounds, n), 0, axis)
    return [np.transpose(values)]


def at_centres(points: np.ndarray, values: np.ndarray, bounds: tuple[float, float], n: int) -> np.ndarray:
    """What a Fourier series (equal spacing) or a polynomial through these values is at the centres of n cells."""
    if np.allclose(np.diff(points), points[1] - points[0]):
        modes = np.fft.rfft(values, axis=0)
        turn = np.exp(1j * np.pi * np.arange(len(modes)) / n) * n / len(points)
        return np.fft.irfft(modes * turn.reshape(-1, *[1] * (values.ndim - 1)), n, axis=0)
    from scipy.interpolate import BarycentricInterpolator

    low, high = bounds
    return np.asarray(BarycentricInterpolator(points, values)(low + (np.arange(n) + 0.5) * (high - low) / n))


def arrays_here(path: Path) -> list[np.ndarray]:
    import parsolve

    with parsolve.open_result(path) as result:
        return [result.read(name, -1) for name in result.fields]


def listen_here(solved: list[tuple[Any, float]]) -> None:
    """Keep what is solved here."""
    import parsolve

    solve = parsolve.solve

    def here(case: parsolve.Case, *args: Any, **kwargs: Any) -> Any:
        summary = solve(case, *args, **kwargs)
        solved.append((case, summary.time))
        return summary

    parsolve.solve = here


def listen_to_pde(marched: list[float]) -> None:
    """Let py-pde march once more after each solution, and keep the processor time of that alone."""
    from pde.solvers.controller import Controller

    run = Controller._run_main_process

    def there(self: Any, state: Any, dt: Any = None) -> None:
        start, kept, make = state.copy(), [], self.solver.make_stepper
        self.solver.make_stepper = lambda *args, **kwargs: kept.append(make(*args, **kwargs)) or kept[-1]
        run(self, state, dt)
        begin = processor()
        kept[-1](start, 0.0, self.info["t_final"])
        marched.append(processor() - begin)

    Controller._run_main_process = there


def listen_to_dedalus(marched: list[float]) -> None:
    """Keep the processor time of each step of Dedalus."""
    from dedalus.core.solvers import InitialValueSolver

    step = InitialValueSolver.step

    def there(self: Any, dt: float) -> None:
        begin = processor()
        step(self, dt)
        marched.append(processor() - begin)

    InitialValueSolver.step = there


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
    words = sys.argv[1:]
    whom = words.pop(0) if words and words[0] in PAGES else "py-pde"
    os.environ["MPLBACKEND"] = "Agg"
    folder = Path(tempfile.mkdtemp())
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.chdir(folder)
    there: dict[str, Any] = {}
    here: dict[str, Any] = {}
    first, *rest = tasks(PAGES[whom].read_text("utf-8"))
    if words:
        rest = [larger(task, words[0]) for task in rest if "UnitGrid([64, 64]" in task.theirs]
    timed_there(first, there)
    timed_here(first, here)
    solved: list[tuple[Any, float]] = []
    marched: list[float] = []
    listen_here(solved)
    (listen_to_pde if whom == "py-pde" else listen_to_dedalus)(marched)
    print("| task | lines | first time | again | march | largest difference |\n|---|---|---|---|---|---|")
    for task in rest:
        solved.clear()
        marched.clear()
        print(row(task, there, here, (solved, marched), whom), flush=True)
    print(f"\n{versions(whom)}, Python {sys.version.split()[0]}")


def row(task: Task, there: dict[str, Any], here: dict[str, Any], kept: tuple[list[Any], list[float]], whom: str) -> str:
    """Do a task on both sides, as far as it has them; return its row."""
    solved, marched = kept
    lines = "{}, {}".format(*task.lines())
    if not (task.ours or task.case) or (whom == "py-pde" and not (task.theirs and task.ours)):
        return f"| {task.title} | {lines} | | | | |"
    cold_there = ""
    if task.theirs:  # the second march of py-pde is none of its script's
        cold_there = f"{timed_there(task, there) - (sum(marched) if whom == 'py-pde' else 0):.2g}, "
    cold = timed_here(task, here)
    seconds = f"{sum(marched):.2g}, {march(solved):.2g}" if solved and marched else ""
    again = timed_here(task, here)
    ours = arrays_here(newest(Path.cwd()))
    theirs = arrays_of_pde(there) if whom == "py-pde" else []
    if whom == "dedalus" and task.theirs:
        theirs = arrays_of_dedalus(there, ours[0].shape)
    far = f"{distance(theirs, ours):.1g}" if theirs else ""
    return f"| {task.title} | {lines} | {cold_there}{cold:.2g} | {again:.2g} | {seconds} | {far} |"


def versions(whom: str) -> str:
    if whom == "dedalus":
        import dedalus

        return f"Dedalus {dedalus.__version__}"
    import numba
    import pde

    return f"py-pde {pde.__version__}, numba {numba.__version__}"


def newest(folder: Path) -> Path:
    return max(folder.glob("*.h5"), key=lambda path: path.stat().st_mtime_ns)


def distance(theirs: list[np.ndarray], ours: list[np.ndarray]) -> float:
    """The largest difference, over the largest value there if that is above 1."""
    pairs = list(zip(theirs, ours, strict=False))
    return float(max(np.abs(a - b).max() / max(1, np.abs(a).max()) for a, b in pairs))


if __name__ == "__main__":
    main()
