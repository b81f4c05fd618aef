"""The examples of docs/equations.md run, and it names every operator."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.equations.functions import OPERATOR_FUNCTIONS
from parsolve.equations.syntax import MAX_DEPTH, MAX_EXPONENT, MAX_LENGTH, MAX_NODES
from parsolve.kernels.library import MAX_COEFFICIENTS

if TYPE_CHECKING:
    from conftest import Lab

TEXT = (Path(__file__).parent.parent / "docs/equations.md").read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
TORUS = {axis: {"cells": 16, "range": [0.0, 1.0], "periodic": True} for axis in "xy"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", "-", block)[:40])
def test_an_example_runs(lab: Lab, block: str) -> None:
    tables = tomllib.loads(block)
    fields = [key.removesuffix("_tt") for key in tables["evolve"]]
    left_out = {
        "grid": TORUS,
        "initial": {name: f"0.5 + 0.1*noise(seed={n})" for n, name in enumerate(fields)},
        "time": {"steps": 3, "dt": 1e-7},
        "run": {"device": "numpy"},
    }
    solution = lab.solve(left_out | tables)
    for name in fields:
        assert np.isfinite(solution.fields[name]).all()
        assert not np.array_equal(solution.fields[name], solution.frames[0][name])


@pytest.mark.parametrize(("number", "printed"), [(0, "('q',) ('d_p',) ('p',) ('p',)"), (1, "0.1 ")])
def test_a_python_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, printed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    exec(compile(blocks[number], "docs/equations.md", "exec"), {})
    assert capsys.readouterr().out.startswith(printed)


def test_it_names_every_operator_and_limit() -> None:
    assert all(f"`{name}(" in TEXT or f"({name}(" in TEXT for name in OPERATOR_FUNCTIONS)
    words = f"{MAX_NODES} numbers, names and operations, {MAX_DEPTH} levels, exponents to {MAX_EXPONENT}"
    assert f"Limits: {MAX_LENGTH} characters, {words}; {MAX_COEFFICIENTS} different constants" in TEXT
