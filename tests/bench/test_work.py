"""The work that engines are compared by: the same bits on any ranks and threads, other bits for another case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.bench import work
from parsolve.bench.measure import BENCHMARKS, case_of, ready, time_march
from parsolve.bench.work import Family, come, digest_of, family_of, march_large, solve_small
from parsolve.domain.field import Field
from parsolve.domain.redistribute import allgather
from parsolve.errors import CaseError
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from mpi4py import MPI

FAMILY = Family("heat3d", 8, "float64")


def test_cases_of_a_family_differ_and_are_solved_the_same_again(solo: MPI.Intracomm) -> None:
    first = [solve_small(FAMILY, number, solo) for number in range(8)]
    again = [solve_small(FAMILY, number, solo).digest for number in range(8)]
    assert [one.digest for one in first] == again
    assert len(set(again)) == 8
    assert all(0 < one.marching < one.seconds for one in first)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_small_cases_of_every_benchmark_can_be_solved(solo: MPI.Intracomm, name: str) -> None:
    for precision in ("float64", "float32"):
        family = family_of(name, 16, precision)
        assert family.size == 8
        assert solve_small(family, 1, solo).digest != solve_small(family, 2, solo).digest
    assert come(family, solo) == come(family, solo)


def test_small_cases_are_no_larger_than_the_large_one() -> None:
    assert family_of("heat3d", 4, "float64").size == 4
    assert family_of("heat3d", None, "float64").size == BENCHMARKS["heat3d"].size // 8
    with pytest.raises(CaseError, match="unknown benchmark 'heat3'"):
        family_of("heat3", None, "float64")


@pytest.mark.parametrize("name", ["gray-scott", "heat3d"])
def test_the_large_case_ends_with_the_same_bits_by_ranks_threads_and_one(
    comm: MPI.Intracomm, solo: MPI.Intracomm, many_cores: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(work, "MARCHES", 1)
    one = march_large(name, 16, "float64", solo, 1, 0.0)
    together = march_large(name, 16, "float64", comm, 2, 0.0, one.steps)
    assert (together.digest, together.steps) == (one.digest, one.steps)
    assert min(together.seconds, together.startup) > 0
    assert march_large(name, 16, "float64", comm, 1, 0.0, 2 * one.steps).digest != one.digest


def test_a_digest_is_of_every_bit_and_place(comm: MPI.Intracomm) -> None:
    with ready(pose(case_of("gray-scott", 12)), comm) as prepared:
        state = prepared.state
        seen = {digest_of(state)}
        for field in state.values():
            whole = allgather(field.owned, field.subdomain)
            for place in [(0, 0), (5, 7), (11, 11)]:
                _put(field, place, np.nextafter(whole[place], 9.0))
                seen.add(digest_of(state))
                _put(field, place, whole[place])
        assert len(seen) == 7
        u, v = state.values()
        assert digest_of({"u": u, "v": v}) == digest_of(state)
        assert digest_of({"v": u, "u": v}) not in seen
        time_march(prepared, comm, 1)
        assert digest_of(prepared.state) not in seen


def _put(field: Field, place: tuple[int, int], value: float) -> None:
    """Give a cell (y, x) of a plane a value, where it is owned."""
    sub = field.subdomain
    y, x = (n - first for n, first in zip(place, sub.start[1:], strict=True))
    if 0 <= y < sub.shape[1] and 0 <= x < sub.shape[2]:
        field.owned[0, y, x] = value
