"""The tile that a run found is taken by the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve import tiles
from parsolve.domain.grid import decompose
from parsolve.problem.prepare import prepare
from parsolve.stages import passes

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


@pytest.fixture
def problem(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A problem whose passes are in tiles and worth a search, and a cache of its own."""
    folder = tmp_path / "caches"
    folder.mkdir(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(passes, "LEAST_TRIAL", 0.0)
    return lab.pose(lab.case("heat", 80, 80, 80, time={"steps": 192, "scheme": "euler"}))


def test_a_tile_that_was_found_is_taken_by_the_next_run(problem: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    modelled, _ = tiles.recall(problem, solo)
    assert not modelled.tried
    first = run(problem, solo)
    assert list(tmp_path.glob("caches/parsolve/kernels/tile-*.kernels"))
    known, _ = tiles.recall(problem, solo)
    assert known.tried
    assert known.tile == first.passes.tile
    second = run(problem, solo)
    assert second.passes.tile == known.tile
    np.testing.assert_array_equal(second.state["u"].owned, first.state["u"].owned)


def test_a_tile_that_makes_no_sense_is_searched_again(problem: Any, solo: MPI.Intracomm) -> None:
    for wrong in (b"[0, 5]", b"[1]", b"nonsense"):
        tiles.cache.keep(tiles._key(problem, 1), wrong, tiles.HINT)
        assert not tiles.recall(problem, solo)[0].tried


def test_without_a_cache_it_is_searched_in_every_run(
    problem: Any, solo: MPI.Intracomm, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "caches").chmod(0o777)
    run(problem, solo)
    assert not tiles.recall(problem, solo)[0].tried
    assert not recwarn.list


def run(problem: Any, comm: MPI.Intracomm) -> Any:
    march = prepare(problem, decompose(problem.grid, comm, problem.halo(1)))
    march.run(lambda *_: None)
    return march
