"""A call as bytes: how a function and its arguments travel to a rank, and how a value or an error comes back."""

from __future__ import annotations

import inspect
import pickle
import traceback
from functools import lru_cache
from reprlib import Repr
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from parsolve.ensemble.staying import Left
from parsolve.errors import ParsolveError, SetupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

PROTOCOL = 5
F = TypeVar("F", bound="Callable[..., Any]")
Call = tuple["Callable[..., Any]", tuple[Any, ...], dict[str, Any]]

_short = Repr()
_short.maxstring = _short.maxother = 60


class TaskError(ParsolveError):
    """A task cannot be sent, or what it raised cannot."""


class EndedError(TaskError):
    """The process of a task ended within it."""


class RemoteTraceback(Exception):
    """The cause of an error that came from another process: the text of its traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Wishes(NamedTuple):
    """What `task` says of a function."""

    ranks: int = 1
    priority: float = 0


def task(ranks: int = 1, priority: float = 0) -> Callable[[F], F]:
    """Decorate a function with the ranks and the priority that its tasks have, unless ``submit`` says otherwise."""

    def decorate(fn: F) -> F:
        fn.parsolve_task = Wishes(ranks, priority)  # type: ignore[attr-defined]
        return fn

    return decorate


def wishes(fn: Callable[..., Any], ranks: int | None, priority: float | None, most: int | None) -> tuple[Wishes, bool]:
    """Ranks and priority of a task, and whether the function is given a communicator.

    Args:
        fn: the function.
        ranks: what ``submit`` says; None: what `task` says, or 1.
        priority: likewise.
        most: ranks that there are; None: that is looked at later.

    Raises:
        TaskError: not a function, not numbers, or there is no parameter ``comm``.
        SetupError: there are not so many ranks.
    """
    if not callable(fn):
        raise TaskError(f"submit: expected a function and its arguments, got {fn!r}")
    said: Wishes = getattr(fn, "parsolve_task", Wishes())
    ranks = said.ranks if ranks is None else ranks
    priority = said.priority if priority is None else priority
    if not isinstance(ranks, int) or isinstance(ranks, bool) or ranks < 1:
        raise TaskError(f"{name(fn)}: ranks is a whole number >= 1, got {ranks!r}")
    if not isinstance(priority, int | float) or priority != priority:
        raise TaskError(f"{name(fn)}: priority is a number, got {priority!r}")
    if most is not None and ranks > most:
        raise SetupError(
            f"{name(fn)}: a task of {ranks} ranks does not fit, as there are {most}: mpirun -n {ranks}, or fewer ranks"
        )
    takes = takes_comm(fn)
    if ranks > 1 and takes is False:
        raise TaskError(
            f"{name(fn)}: a task of {ranks} ranks is called as {name(fn)}(..., comm=...) on all of them, "
            "but it has no parameter comm"
        )
    return Wishes(ranks, priority), ranks > 1 or takes is True


def pack(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """A call as bytes: functions by their names, others (lambdas, closures) by cloudpickle if it is installed.

    Raises:
        TaskError: it cannot be pickled.
    """
    return _dumps((fn, args, kwargs), f"{name(fn)} or its arguments")


def _dumps(thing: object, what: str) -> bytes:
    try:
        return pickle.dumps(thing, PROTOCOL)
    except Exception as error:  # a class may raise anything
        first = error
    try:
        import cloudpickle
    except ImportError:
        raise TaskError(
            f"{what} cannot be sent to another process ({first}); define functions and classes at the top of a module, "
            "or pip install cloudpickle for lambdas and functions within functions"
        ) from first
    try:
        packed: bytes = cloudpickle.dumps(thing, PROTOCOL)
    except Exception as error:
        raise TaskError(f"{what} cannot be sent to another process ({error})") from error
    return packed


def unpack(packed: bytes) -> Call:
    """The call of such bytes.

    Raises:
        TaskError: the function is not here.
    """
    try:
        call: Call = pickle.loads(packed)
    except (AttributeError, ImportError) as error:
        raise TaskError(
            f"this process does not have what the task needs ({error}); "
            "define functions and classes in a module, or in the script above the line that makes the executor"
        ) from error
    return call


def pack_value(value: object) -> bytes:
    """What a task returns as bytes; as calls are packed.

    Raises:
        TaskError: it cannot be pickled.
    """
    return _dumps(value, f"the result, of type {type(value).__name__},")


def unpack_value(packed: bytes) -> Any:
    """The value of such bytes.

    Raises:
        TaskError: it cannot be unpickled here.
    """
    try:
        return pickle.loads(packed)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what is unpickled may raise anything
        raise TaskError(f"the result cannot be unpacked here: {words(error)}") from error


def fulfil(future: Future[Any], call: bytes, is_value: bool, content: bytes, where: str) -> None:
    """Give the future of a call the value of such bytes, or the error."""
    value: Any = None
    error: BaseException | None = None
    try:
        if is_value:
            value = unpack_value(content)
        else:
            error = unpack_error(content, where)
    except BaseException as unexpected:  # who waits would wait for ever
        error = unexpected
        error.add_note(f"task {label_of(call)}{where}")
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def label_of(packed: bytes) -> str:
    """A packed call as it would be written."""
    try:
        return label(*unpack(packed))
    except Exception:  # what is unpickled may raise anything
        return "(not unpacked)"


def pack_error(error: BaseException, label: str) -> bytes:
    """An error, the text of its traceback and the task as bytes; if it cannot be pickled, a TaskError that tells it."""
    text = "".join(traceback.format_exception(error)).rstrip()
    try:
        packed = pickle.dumps(error, PROTOCOL)
        if not isinstance(pickle.loads(packed), BaseException):
            raise TypeError
    except BaseException:  # what is unpickled may raise anything
        packed = pickle.dumps(TaskError(words(error)), PROTOCOL)
    return pickle.dumps((packed, words(error), text, label), PROTOCOL)


def pack_failure(error: BaseException, label: str) -> bytes:
    """As `pack_error`, for what a task raised: what would end the process of who asks for the result is a TaskError."""
    if not isinstance(error, SystemExit | Left):
        return pack_error(error, label)
    sent = TaskError(f"it ended its process: {words(error)}")
    sent.__cause__ = error
    return pack_error(sent.with_traceback(error.__traceback__), label)


def unpack_error(packed: bytes, where: str) -> BaseException:
    """The error of such bytes, with the traceback as its cause and a note on the task and where it ran.

    One that cannot be unpickled here is a TaskError that tells it.
    """
    content, told, text, label = pickle.loads(packed)
    try:
        error: BaseException = pickle.loads(content)
        error.__cause__ = RemoteTraceback(text)
        error.add_note(f"task {label}{where}")
    except BaseException:  # what is unpickled may raise anything
        error = TaskError(told)
        error.__cause__ = RemoteTraceback(text)
        error.add_note(f"task {label}{where}")
    return error


def pack_end(error: BaseException | None) -> bytes:
    """The error with which all ranks end, or none, as bytes."""
    return pack_error(error, "") if error is not None else b""


def unpack_end(packed: bytes) -> BaseException | None:
    """The error of such bytes."""
    error: BaseException | None = pickle.loads(pickle.loads(packed)[0]) if packed else None
    return error


def words(error: BaseException) -> str:
    """Kind and text of an error, for people."""
    return f"{type(error).__name__}: {text_of(error)}"


def text_of(error: BaseException) -> str:
    """The text of an error, whatever its class does."""
    try:
        return str(error)
    except BaseException:  # it may raise anything
        return "(no text)"


def name(fn: Callable[..., Any]) -> str:
    """What a function is called, for people."""
    return str(getattr(fn, "__qualname__", None) or _short.repr(fn))


def label(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A call as it would be written, shortened; the communicator is left out."""
    words = [_short.repr(value) for value in args]
    words += [f"{key}={_short.repr(value)}" for key, value in kwargs.items() if key != "comm"]
    return f"{name(fn)}({', '.join(words)})"


def takes_comm(fn: Callable[..., Any]) -> bool | None:
    """Whether a function has a parameter ``comm``; None: it may have one, as it takes any keyword or does not tell."""
    try:
        return _takes_comm(fn)
    except TypeError:  # not hashable
        return _takes_comm.__wrapped__(fn)


@lru_cache(maxsize=256)
def _takes_comm(fn: Callable[..., Any]) -> bool | None:
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return None
    found = parameters.get("comm")
    if found is not None and found.kind is not found.POSITIONAL_ONLY:
        return True
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else False
