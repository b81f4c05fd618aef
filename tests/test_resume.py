"""What a batch script says again after all is done: the result stays as it is, and a job of another case is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

CASE = """
[grid]
x = { cells = 16, range = [0.0, 1.0], periodic = true }
[parameters]
D = 1.0
[evolve]
u = "D*laplace(u)"
[initial]
u = { file = "u.npy" }
[time]
steps = 2
dt = 1e-5
"""
AGAIN = ("run", "heat.toml", "-q", "--json", "-o", "a.h5", "--resume")


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heat.toml").write_text(CASE)
    np.save(tmp_path / "u.npy", np.linspace(0, 1, 16))
    assert main(AGAIN) == 0
    capfd.readouterr()
    return tmp_path / "a.h5"


@pytest.mark.parametrize("more", [[], ["--set", "run.walltime=1h"], ["--set", "run.threads=1"]])
def test_what_is_complete_stays(done: Path, capfd: pytest.CaptureFixture[str], more: list[str]) -> None:
    before = done.read_bytes()
    assert main([*AGAIN, *more]) == 0
    assert json.loads(capfd.readouterr().out) == {"result": "a.h5", "complete": True}
    assert done.read_bytes() == before


@pytest.mark.parametrize("change", ["parameter", "end", "input", "damage", "another file"])
def test_what_is_of_another_case_is_not_taken_for_it(done: Path, change: str) -> None:
    more = {"parameter": ["--set", "parameters.D=2"], "end": ["--set", "time.steps=3"]}.get(change, [])
    if change == "input":
        np.save(done.with_name("u.npy"), np.linspace(0, 2, 16))
    elif change == "damage":
        done.write_bytes(done.read_bytes()[:-900])
    elif change == "another file":
        done.write_text("a text")
    before = done.read_bytes()
    assert main([*AGAIN, *more]) == 5
    assert done.read_bytes() == before
