"""What is written for those who come from py-pde runs, and its lines are counted right."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import parsolve
from parsolve.__main__ import main

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/coming-from-py-pde.md").read_text("utf-8")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coming_from", ROOT / "benchmarks/coming_from.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["coming_from"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIRST, *TASKS = load().tasks(DOCUMENT)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def test_the_tasks_run_here(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(FIRST.ours, names)
    for task in TASKS:
        exec(compile(task.ours, task.title, "exec"), names)
        if task.case:
            (folder / task.case.split()[1]).write_text(task.case, "utf-8")
        for line in task.shell.splitlines():
            words = shlex.split(line)  # mpirun -n 4 python -m parsolve ..., here on one rank
            assert main(words[words.index("parsolve") + 1 :]) == 0, (task.title, capfd.readouterr().err)
    for name in ("field.png", "movie.gif", "tracked.h5", "spot.h5"):
        assert (folder / name).stat().st_size > 0
    with parsolve.open_result("laplace.h5") as result:
        y, x = result.grid.coordinates("y")[:, None], result.grid.coordinates("x")
        exact = np.sin(np.pi * y) * np.sinh(np.pi * (1 - x)) / np.sinh(np.pi)
        assert np.abs(result.read("u", -1) - exact).max() < 2e-3


def test_what_is_of_py_pde_is_python() -> None:
    assert len(TASKS) >= 15
    for task in (FIRST, *TASKS):
        compile(task.theirs, task.title, "exec")


def test_the_lines_are_counted_right() -> None:
    said = dict(re.findall(r"^\| (.*?) \| (\d+, \d+) \|", DOCUMENT, re.MULTILINE))
    assert said == {task.title: "{}, {}".format(*task.lines()) for task in TASKS}
