"""What no run could do is refused before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve import make_case, solve
from parsolve.errors import CaseError, ResourceError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

HOPELESS = {
    "time.end: more than 1e": {"time": {"end": 1e308}},
    "time.end: more than": {"time": {"end": 1e-3, "dt": 1e-320}},
    "time.steps: more than": {"time": {"steps": 10**16}},
    "output.every: 1e+11 frames": {"time": {"end": 1.0}, "output": {"every": 1e-11}},
    "output.every: 1e+12 frames": {
        "time": {"end": 1.0, "scheme": "dp45", "tolerance": 1e-3},
        "output": {"every": 1e-12},
    },
    "output.every_steps: 1e+08 frames": {"time": {"steps": 10**8}, "output": {"every_steps": 1}},
    "none.npy: no such file": {"boundary": {"u": {"xmax": {"dirichlet": {"file": "none.npy"}}}}},
    "two.npy": {"boundary": {"u": {"xmax": {"dirichlet": {"file": "two.npy"}}}}},
}


def heat(**tables: Any) -> Any:
    grid = {"x": {"cells": 8, "range": (0, 1)}, "y": {"cells": 4, "range": (0, 1)}}
    return make_case(**{"equation": "heat", "grid": grid, "initial": {"u": 0.0}, "time": {"steps": 1}} | tables)


@pytest.mark.parametrize("words", HOPELESS)
def test_what_is_hopeless_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """And no frame stays."""
    monkeypatch.chdir(tmp_path)
    np.save("two.npy", np.zeros(2))
    with pytest.raises(CaseError) as caught:
        solve(heat(**HOPELESS[words]), tmp_path / "out.h5")
    assert words in str(caught.value)
    assert not list(tmp_path.glob("out.h5*"))


def test_a_tiny_step_before_a_frame_that_never_comes(tmp_path: Path) -> None:
    case = heat(time={"steps": 2, "dt": 1e-320}, output={"every": 1.0})
    assert solve(case, tmp_path / "out.h5").steps == 2


def test_more_cells_than_addresses(tmp_path: Path) -> None:
    side = {"cells": 10**12, "range": (0, 1)}
    with pytest.raises(ResourceError):
        solve(heat(grid={"x": side, "y": side, "z": side}), tmp_path / "out.h5")


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="is a directory"):
        solve(heat(), name)
