"""Errors that all ranks agree on, and what is released when they pass."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from parsolve.errors import CaseError, ResourceError, StorageError, agree, agreed, is_agreed, owning, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mpi4py import MPI


def fail(comm: MPI.Intracomm, error: BaseException, rank: int) -> None:
    """Raise an error on one rank, where errors are agreed on."""
    with agreed(comm):
        if comm.rank == rank:
            raise error


def own(comm: MPI.Intracomm, release: Callable[[], object], body: Callable[[], object]) -> None:
    with owning(comm) as owner:
        owner.callback(release)
        body()


def raise_(error: BaseException) -> None:
    raise error


def test_the_error_of_any_rank_is_that_of_all(comm: MPI.Intracomm) -> None:
    for rank in range(comm.size):
        with pytest.raises(CaseError, match=f"rank {rank} of") as caught:
            fail(comm, CaseError(f"rank {comm.rank} of {comm.size}"), rank)
        assert caught.value.ranks == comm.size


def test_the_lowest_rank_is_heard(comm: MPI.Intracomm) -> None:
    with pytest.raises(CaseError, match="rank 0"):
        agree(comm, CaseError(f"rank {comm.rank}"))


@pytest.mark.parametrize(
    ("error", "kind"), [(MemoryError("1 TiB"), ResourceError), (OSError(5, "broken", "a.h5"), StorageError)]
)
def test_errors_of_the_machine_are_told_as_ours(comm: MPI.Intracomm, error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"1 TiB|a\.h5: broken"):
        fail(comm, error, comm.size - 1)


def test_without_an_error_all_go_on(comm: MPI.Intracomm) -> None:
    with agreed(comm):
        pass
    agree(comm, None)


def test_everything_is_released_at_the_end_last_first(comm: MPI.Intracomm) -> None:
    released: list[str] = []

    @contextmanager
    def thing() -> Iterator[str]:
        yield "thing"
        released.append("thing")

    with owning(comm) as owner:
        owner.callback(released.append, "first")
        assert owner.enter_context(thing()) == "thing"
        assert not released
    assert released == ["thing", "first"]


def test_an_agreed_error_releases_collectively(comm: MPI.Intracomm) -> None:
    duplicate = comm.Dup()
    with pytest.raises(CaseError):
        own(comm, duplicate.Free, lambda: fail(comm, CaseError("all"), 0))
    assert not duplicate  # freed: a null handle


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("error", [CaseError("alone"), ZeroDivisionError(), KeyboardInterrupt()])
def test_an_error_of_one_rank_waits_for_nobody(comm: MPI.Intracomm, error: BaseException) -> None:
    if comm.rank == 0:
        with pytest.raises(type(error)):
            own(comm, comm.Barrier, lambda: raise_(error))
        comm.Barrier()  # which the others wait for
    else:
        own(comm, comm.Barrier, lambda: None)


@pytest.mark.mpi(min_size=2)
def test_an_error_of_a_part_is_not_that_of_all(comm: MPI.Intracomm) -> None:
    part = comm.Split(comm.rank == 0, comm.rank)
    released: list[str] = []

    def body() -> None:
        own(part, lambda: released.append("part"), lambda: fail(part, CaseError("part"), 0))

    with pytest.raises(CaseError) as caught:
        own(comm, lambda: released.append("whole"), body)
    part.Free()
    assert released == ["part"]
    assert is_agreed(comm, None)
    assert not is_agreed(comm, caught.value)


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_one_rank_releases_whatever_happens(solo: MPI.Intracomm, error: BaseException) -> None:
    released: list[str] = []
    with pytest.raises(type(error)):
        own(solo, lambda: released.append("x"), lambda: raise_(error))
    assert released == ["x"]


def test_what_is_kept_is_released_by_its_keeper(solo: MPI.Intracomm) -> None:
    released: list[str] = []
    with owning(solo) as owner:
        owner.callback(released.append, "x")
        free = owner.pop_all().close
    assert not released
    free()
    assert released == ["x"]


def test_what_a_function_raises_is_raised_by_all_or_told_with_its_rank(comm: MPI.Intracomm) -> None:
    together(comm, lambda: None, "f")
    with pytest.raises(KeyError, match=str(comm.rank)):
        together(comm, lambda: raise_(KeyError(comm.rank)), "f")
    if comm.size > 1:
        with pytest.raises(CaseError, match="f: KeyError on rank 1 alone: 'x'") as caught:
            together(comm, lambda: raise_(KeyError("x")) if comm.rank == 1 else None, "f")
        assert isinstance(caught.value.__cause__, KeyError) == (comm.rank == 1)
