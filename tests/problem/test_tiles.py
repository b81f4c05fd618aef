"""The tile that a run found is taken by the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.kernels import cache
from parsolve.march import steps
from parsolve.problem import tiles
from parsolve.problem.layout import decide
from parsolve.problem.prepare import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


@pytest.fixture
def problem(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A problem whose passes are in tiles and worth a search, and a cache of its own."""
    folder = tmp_path / "caches"
    folder.mkdir(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(steps, "LEAST_TRIAL", 0.0)
    return lab.pose(lab.case("heat", 80, 80, 80, time={"steps": 192, "scheme": "euler"}))


def test_a_tile_that_was_found_is_taken_by_the_next_run(problem: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    assert not decide(problem, solo).blocking.tried
    first = run(problem, solo)
    assert list(tmp_path.glob("caches/parsolve/kernels/tile-*.kernels"))
    known = decide(problem, solo).blocking
    assert known.tried
    assert known.tile == first.steps.tile
    second = run(problem, solo)
    assert second.steps.tile == known.tile
    np.testing.assert_array_equal(second.state["u"].owned, first.state["u"].owned)


def test_a_tile_that_makes_no_sense_is_searched_again(problem: Any, solo: MPI.Intracomm) -> None:
    key = decide(problem, solo).tile_key
    for wrong in (b"[0, 5]", b"[1]", b"nonsense"):
        cache.keep(key, wrong, tiles.HINT)
        assert not decide(problem, solo).blocking.tried


def test_without_a_cache_it_is_searched_in_every_run(
    problem: Any, solo: MPI.Intracomm, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "caches").chmod(0o777)
    run(problem, solo)
    assert not decide(problem, solo).blocking.tried
    assert not recwarn.list


def run(problem: Any, comm: MPI.Intracomm) -> Any:
    prepared = prepare(problem, decide(problem, comm), comm)
    prepared.run(lambda *_: None)
    prepared.free()
    return prepared
