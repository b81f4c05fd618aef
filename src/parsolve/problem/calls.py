"""Functions of the user that a march calls, and when."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import CaseError, together
from parsolve.march.schedule import AtTimes, Either, EverySteps

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.march.schedule import Clock, Stop, When


@dataclass(frozen=True)
class Call:
    """A function, and when it is called."""

    when: When
    act: Callable[[Any], object]


def every_steps(n: object, act: object) -> Call:
    """Return a call after every so many steps.

    Raises:
        CaseError: these are no number of steps and no function.
    """
    if not isinstance(n, Integral) or n < 1 or not callable(act):
        raise CaseError(f"every: expected a number of steps and a function, got {n!r} and {act!r}")
    return Call(EverySteps(int(n)), _plain("every", act))


def at_times(times: Any, act: object, now: float, end: float, met: Callable[[float], float]) -> Call:
    """Return a call at times, as the march meets them.

    Raises:
        CaseError: they are no times after now up to the end, or there is no function.
    """
    try:
        if isinstance(times, str | bytes):
            raise TypeError
        given = [*times] if isinstance(times, Iterable) and getattr(times, "ndim", 1) != 0 else [times]
        due = [math.nan] if np.ma.is_masked(times) else sorted({met(float(time)) for time in given})
    except (TypeError, ValueError, OverflowError):
        due = [math.nan]
    if not callable(act) or not all(now < time <= end for time in due):
        text = f"expected times after now, {now:.6g}, to the end of the case, {end:.6g}"
        raise CaseError(f"at: {text}, and a function, got {times!r} and {act!r}")
    return Call(AtTimes(tuple(due)), _plain("at", act))


def _plain(who: str, act: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return a function that does something when it is called.

    Raises:
        CaseError: it would not, as one of ``async def`` or with ``yield``.
    """
    if inspect.iscoroutinefunction(act) or inspect.isgeneratorfunction(act):
        raise CaseError(f"{who}: {act!r} does nothing when it is called; give a function without async and yield")
    return act


class Calls:
    """Functions that are called at some states of a march, in the order in which they were given."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Make a call from now on."""
        self._calls.append(call)

    def after(self, clock: Clock) -> Stop:
        """Where the next call is due."""
        return Either([call.when for call in self._calls]).after(clock)

    def call(self, comm: MPI.Intracomm, clock: Clock, argument: object) -> None:
        """Make the calls that are due here; collective.

        Raises:
            Exception: that of a function where all ranks have one, else a CaseError that names it and the rank.
        """
        for call in [call for call in self._calls if call.when.is_due(clock)]:
            name = getattr(call.act, "__qualname__", repr(call.act))
            where = f"{name}, called at step {clock.step}, t = {clock.time:.6g}"
            together(comm, lambda act=call.act: act(argument), where)  # type: ignore[misc]
