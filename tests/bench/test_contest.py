"""Engines that do the same work: a complete table, the same bits, and an error for all ranks where they differ."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.bench import contest, work
from parsolve.bench.contest import ONE, Contest, Ledger, compare_engines, on_first
from parsolve.domain import cores
from parsolve.ensemble import pools
from parsolve.errors import CaseError, NumericalError, ResourceError, SetupError

if TYPE_CHECKING:
    from mpi4py import MPI

TINY: dict[str, Any] = {"size": 8, "precision": "float32", "seconds": 0.01}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few small cases, and no pools of processes but where a test asks for them."""
    monkeypatch.setattr(contest, "ROUNDS", 1)
    monkeypatch.setattr(work, "MARCHES", 1)
    monkeypatch.setattr(work, "SMALL_STEPS", 96)
    monkeypatch.setattr(pools, "pools", lambda: ({"threads": pools.threads}, {"dask": pools.NO_DASK}))


def test_the_table_is_complete_on_any_ranks(comm: MPI.Intracomm) -> None:
    found = compare_engines("heat3d", comm, **TINY)
    several = ["ranks"] if comm.size > 1 else []
    assert {(row.work, row.engine) for row in found.rows} == {
        *(("many", name) for name in (ONE, "threads", *several)),
        *(("large", name) for name in (ONE, "threads", *several)),
    }
    assert ("many", "dask", pools.NO_DASK) in {(one.work, one.engine, one.why) for one in found.absent}
    assert {one.engine for one in found.absent} == {"dask", "processes", *(["ranks"] if not several else [])}
    assert json.loads(json.dumps(asdict(found)))["name"] == "heat3d"
    assert comm.allgather(found) == [found] * comm.size
    check(found, comm.size)


def check(found: Contest, ranks: int) -> None:
    """What is true of every row."""
    for row in found.rows:
        one = next(other for other in found.rows if other.work == row.work)
        amount = row.cases if row.work == "many" else found.large**3 * found.large_steps
        assert row.rate == pytest.approx(amount / row.seconds)
        assert row.speedup == pytest.approx(row.rate / one.rate)
        assert row.efficiency == pytest.approx(row.speedup / row.workers)
        assert min(row.startup, row.seconds) > 0
        if row.engine == "ranks":
            assert row.workers == ranks
        elif row.engine != ONE:
            own = len(cores.usable_cores())
            assert row.workers == (min(ranks, own) if ranks > 1 else own)
    assert len({row.cases for row in found.rows if row.work == "many" and row.engine != ONE}) == 1
    assert 0 < found.marching < 1


def test_pools_of_processes_have_the_same_bits(solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = compare_engines("gray-scott", solo, **TINY)
    named = [row.engine for row in found.rows if row.work == "many"]
    assert {one.engine for one in found.absent if one.work == "many"} | set(named) == {
        ONE, "threads", "processes", "dask", "ranks",
    }  # fmt: skip


@pytest.mark.parametrize(("ranks", "own", "workers"), [(1, 4, 4), (2, 4, 2), (4, 4, 4), (4, 1, 1), (1, 1, 1)])
def test_as_many_workers_as_ranks_or_cores(monkeypatch: pytest.MonkeyPatch, ranks: int, own: int, workers: int) -> None:
    monkeypatch.setattr(cores, "usable_cores", lambda: set(range(own)))
    found, notes = contest.find_workers(ranks)
    assert found == workers
    assert any("as rank 0 may use no more" in note for note in notes) == (own < ranks)
    assert any("without that of mpirun" in note for note in notes) == (ranks > 1)


@pytest.mark.parametrize(("load", "is_told"), [(0.0, False), (1000.0, True)])
def test_a_machine_that_is_busy_is_told(monkeypatch: pytest.MonkeyPatch, load: float, is_told: bool) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    assert any("busy" in note for note in contest.find_workers(1)[1]) == is_told


def test_other_bits_are_an_error_of_all_ranks(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = contest.march_large

    def wrong(name: str, size: int, precision: str, ranks: MPI.Intracomm, threads: int, *more: Any) -> Any:
        found = honest(name, size, precision, ranks, threads, *more)
        return found if threads == 1 else found._replace(digest="0")

    monkeypatch.setattr(contest, "march_large", wrong)
    monkeypatch.setattr(cores, "usable_cores", lambda: {0, 1})
    if comm.size == 1:
        with pytest.raises(NumericalError, match="the large case ends with other bits by threads"):
            compare_engines("heat3d", comm, **TINY)


def test_a_case_that_comes_again_must_have_its_bits() -> None:
    ledger = Ledger("many")
    ledger.add(ONE, 1, 0.0, 1.0, 2.0, [(0, "a"), (2, "b")])
    ledger.add("threads", 2, 0.0, 1.0, 3.0, [(0, "a"), (1, "c"), (2, "b"), (0, "a")])
    assert [(row.cases, row.speedup, row.efficiency) for row in ledger.rows] == [(2, 1.0, 1.0), (3, 1.5, 0.75)]
    with pytest.raises(NumericalError, match=r"small case 1 ends with other bits by ranks \(d\) than by threads \(c\)"):
        ledger.add("ranks", 2, 0.0, 1.0, 3.0, [(0, "a"), (1, "d")])
    with pytest.raises(NumericalError, match="small case 3"):  # not even by itself
        ledger.add("dask", 2, 0.0, 1.0, 3.0, [(3, "a"), (3, "b")])


def test_what_fails_on_rank_0_all_ranks_raise(comm: MPI.Intracomm) -> None:
    def fail() -> None:
        raise SetupError("no workers")

    def starve() -> None:
        raise MemoryError("none")

    with pytest.raises(SetupError, match="no workers"):
        on_first(comm, fail)
    with pytest.raises(ResourceError, match="not enough memory"):
        on_first(comm, starve)
    assert on_first(comm, lambda: comm.size) == comm.size


def one_alone(family: Any) -> tuple[int, int]:
    """As if always the same worker came."""
    return 1, 1


def test_workers_that_do_not_come_are_told(solo: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "COMING", 0.0)
    monkeypatch.setattr(contest, "come", one_alone)
    monkeypatch.setattr(cores, "usable_cores", lambda: {0, 1})
    with pytest.raises(SetupError, match="1 of 2 workers did anything"):
        compare_engines("heat3d", solo, **TINY)


def test_an_unknown_benchmark(comm: MPI.Intracomm) -> None:
    with pytest.raises(CaseError, match="unknown benchmark 'heat3'"):
        compare_engines("heat3", comm, **TINY)
