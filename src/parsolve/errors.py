"""Errors that reach the user once, with one exit code on all ranks."""

from __future__ import annotations

from array import array
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from parsolve.watchdog import pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mpi4py import MPI

T = TypeVar("T")


class ParsolveError(Exception):
    """What went wrong, where, and what to do; shown without a traceback.

    Attributes:
        ranks: how many raise it together; set where they agree.
    """

    exit_code = 1
    ranks = 1


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
    pulse.beats += 1
    if first == comm.size:
        return
    if error is None or comm.rank != first:  # without its traceback, which some packages pickle too (tblib, of Dask)
        kind, given, *more = comm.bcast(None, root=first)
        error = cast("ParsolveError", kind(*given))
        vars(error).update(*more)
    else:
        comm.bcast(BaseException.__reduce__(error), root=first)
    error.ranks = comm.size
    raise error


def failure(caught: OSError) -> StorageError:
    """What the system refused, for people; without a name of a file it may be the current directory that is gone."""
    if caught.filename is None and not has_directory():
        return StorageError("the current directory is not there any more; go to another with cd")
    return StorageError(f"{caught.filename or 'input/output'}: {caught.strerror or caught}")


def has_directory() -> bool:
    """Whether there is a current directory: it may have been removed."""
    try:
        return Path.cwd().is_absolute()
    except OSError:
        return False


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
        error = failure(caught)
    agree(comm, error)


def on_root(comm: MPI.Comm, decide: Callable[[], T]) -> T:
    """What rank 0 decides, on every rank; collective.

    Whatever a rank could decide differently from another (environment, caches, libraries, clock) goes through here.
    """
    decision: T | None = None
    with agreed(comm):
        if comm.rank == 0:
            decision = decide()
    return cast("T", comm.bcast(decision, root=0))


def is_agreed(comm: MPI.Comm, error: BaseException | None) -> bool:
    """Whether all ranks of a communicator pass here: there is no error, one that they agreed on, or one rank only.

    (Agreed on there or on a larger communicator: an error of some ranks of ``comm`` is theirs alone.)
    """
    return error is None or getattr(error, "ranks", 1) >= comm.size


def require_same(comm: MPI.Intracomm, items: dict[str, str]) -> None:
    """Refuse what is not that of rank 0, in its order of keys too, which in a case is that of fields; collective.

    Hashes travel as the largest and the smallest of each byte, so that the usual case costs one reduction.

    Raises:
        CaseError: some rank has something else.
    """
    if comm.size == 1:
        return
    from mpi4py import MPI

    own = sha256(repr(items).encode("utf-8", "surrogatepass")).digest()
    found = array("B", own + bytes(255 - byte for byte in own))
    comm.Allreduce(MPI.IN_PLACE, found, op=MPI.MAX)
    if all(high == 255 - low for high, low in zip(found[:32], found[32:], strict=True)):
        return
    first: dict[str, str] = comm.bcast(items)
    error = None
    if items != first or [*items] != [*first]:
        differing = [key for key in {**first, **items} if first.get(key) != items.get(key)]
        differing += [f"the order of keys from {a}" for a, b in zip(first, items, strict=False) if a != b]
        error = CaseError(
            f"the ranks differ: {differing[0]} on rank {comm.rank} is not that of rank 0; make it the "
            "same on every rank: seed the generator, or share what rank 0 has by comm.bcast"
        )
    agree(comm, error)


def together(comm: MPI.Comm, act: Callable[[], object], name: str) -> None:
    """Call what may raise anything on any rank, and raise on all ranks or on none; collective.

    Raises:
        BaseException: where all ranks have one, each its own.
        CaseError: that some have one: the name of what was called, the first of them, and its words.
    """
    caught: BaseException | None = None
    try:
        act()
    except BaseException as raised:  # an end of one rank alone, as by sys.exit, would leave the others waiting
        caught = raised
    if caught is not None and comm.allreduce(1) == comm.size:
        raise caught
    if caught is None and comm.allreduce(0) == 0:
        return
    error = None
    if caught is not None:
        error = CaseError(f"{name}: {type(caught).__name__} on rank {comm.rank} alone: {caught}")
        error.__cause__ = caught
    agree(comm, error)


@contextmanager
def owning(comm: MPI.Comm) -> Iterator[ExitStack]:
    """Release what the body opens, last first, however the body ends; releases may be collective.

    ``with owning(comm) as owner: x = owner.enter_context(Thing())``, or ``owner.callback(x.free)``. Who keeps things
    beyond the body ends it with ``self.free = owner.pop_all().close``. An error of one rank alone releases nothing, as
    the others would not come; it ends the whole job (see ``__main__``).
    """
    with ExitStack() as owner:
        try:
            yield owner
        except BaseException as error:
            if not is_agreed(comm, error):
                owner.pop_all()
            raise


def _minimum() -> MPI.Op:
    from mpi4py import MPI

    return MPI.MIN
