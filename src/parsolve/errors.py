"""Errors that reach the user once, with one exit code on all ranks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mpi4py import MPI


class ParsolveError(Exception):
    """What went wrong, where, and what to do; shown without a traceback."""

    exit_code = 1


class CaseError(ParsolveError):
    """The command line, the case file or its input files are wrong."""

    exit_code = 2


class SetupError(ParsolveError):
    """The environment is wrong: MPI launcher, missing library, too many ranks."""

    exit_code = 3


class NumericalError(ParsolveError):
    """The numbers went wrong: not finite, no convergence."""

    exit_code = 4


class StorageError(ParsolveError):
    """A file cannot be read, written or trusted."""

    exit_code = 5


class ResourceError(ParsolveError):
    """Memory or disk is not enough."""

    exit_code = 6


def agree(comm: MPI.Comm, error: ParsolveError | None) -> None:
    """Raise on every rank the error of the lowest rank that has one; collective.

    The flag travels as a number, so that the usual case costs one reduction and no pickling.
    """
    first = comm.allreduce(comm.size if error is None else comm.rank, op=_minimum())
    if first == comm.size:
        return
    raise comm.bcast(error, root=first)


@contextmanager
def agreed(comm: MPI.Comm) -> Iterator[None]:
    """Run a body that makes no collective call; whatever it raises is raised by all ranks."""
    error: ParsolveError | None = None
    try:
        yield
    except ParsolveError as caught:
        error = caught
    except MemoryError as caught:
        error = ResourceError(f"rank {comm.rank}: not enough memory ({caught}); use more ranks or fewer cells")
    except OSError as caught:
        error = StorageError(f"{caught.filename or 'input/output'}: {caught.strerror or caught}")
    agree(comm, error)


def _minimum() -> MPI.Op:
    from mpi4py import MPI

    return MPI.MIN
