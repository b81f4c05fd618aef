"""What a job is to ask for: by the cells, and by a short march."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from parsolve.case import Case
from parsolve.ensemble import trial
from parsolve.ensemble.trial import Proposal, of_sweep, propose
from parsolve.problem.plan import check

if TYPE_CHECKING:
    from mpi4py import MPI


def tables(lab: Any, *cells: int, **more: Any) -> Case:
    return Case.from_dict(lab.case("heat", *cells, **({"time": {"steps": 1000, "dt": 1e-9}} | more)))


def test_a_small_case_is_for_one_rank(lab: Any, solo: MPI.Intracomm) -> None:
    found = propose(tables(lab, 32, 32), solo, seconds=0.02)
    assert found.ranks == 1
    assert found.minutes is not None
    assert 10 <= found.minutes <= 20  # ten minutes are spare
    assert found.cells_per_s is not None
    assert found.cells_per_s > 1e5
    assert found.memory >= found.plan.memory_per_rank / 2**20


@pytest.mark.long
def test_a_large_one_has_as_many_as_its_cells_need(lab: Any, solo: MPI.Intracomm) -> None:
    """Tried on fewer cells; its memory is that of the plan on so many ranks."""
    case = tables(lab, 512, 512, 64)
    found = propose(case, solo, seconds=0.02)
    assert found.ranks == 64
    assert found.plan.memory_per_rank == check(case, 64).memory_per_rank


def test_more_ranks_where_it_would_take_too_long(
    lab: Any, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_cells_per_s", lambda *_: 1e3)
    found = propose(tables(lab, 64, 64, time={"steps": 200_000, "dt": 1e-9}), solo)
    assert found.ranks == pytest.approx(2 * 200_000 * 64 * 64 / 1e3 / (12 * 3600), abs=1)
    assert found.minutes is not None
    assert found.minutes <= 12 * 60 + 11


def test_where_the_grid_cannot_be_split_so_it_is_for_fewer(
    lab: Any, solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "CELLS_A_RANK", 1)
    found = propose(tables(lab, 16), solo, seconds=0.02)
    assert 1 < found.ranks <= 16
    assert found.plan.processes["x"] == found.ranks


def test_adapted_steps_are_not_known_beforehand(lab: Any, solo: MPI.Intracomm) -> None:
    case = lab.case({"u": "laplace(u) - u"}, 16, time={"end": 0.01, "scheme": "bs23", "tolerance": 1e-4})
    found = propose(Case.from_dict(case), solo, seconds=0.02)
    assert found.minutes is None


@pytest.mark.parametrize(("members", "ranks", "asked", "minutes"), [
    (10, None, 20, 20), (200, None, 128, 50), (10, 4, 4, 60), (10, 2, 2, 110),
])  # fmt: skip
def test_a_sweep_takes_as_many_turns_as_it_has_groups(
    lab: Any, members: int, ranks: int | None, asked: int, minutes: int
) -> None:
    """Of members that take ten minutes each, on two ranks; ten more are spare, once."""
    one = Proposal(check(tables(lab, 16), 2), 2, 100, 20, 1e6)
    found = of_sweep(one, members, ranks)
    assert (found.ranks, found.minutes, found.memory) == (asked, minutes, 100)
