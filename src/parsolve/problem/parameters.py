"""The parameters of a march, as a mapping that changes them from the next step on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING

from parsolve.case.tables import nearest
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from parsolve.problem.live import Live


class Parameters(MutableMapping[str, float]):
    """The parameters of a march by name; none comes or goes.

    Args:
        live: gives the march.
        asked: looks on all ranks at what is asked for, and that it is the same.
    """

    def __init__(
        self, live: Callable[[], Live], asked: Callable[[bool], AbstractContextManager[dict[str, str]]]
    ) -> None:
        self._live, self._asked = live, asked

    def __getitem__(self, name: str) -> float:
        return self._live().problem.parameters[name]

    def __setitem__(self, name: str, value: float) -> None:
        """Give a parameter another value, from the next step on; collective.

        Raises:
            CaseError: there is no such parameter, or the case does not take the value; it is then as it was.
        """
        live, known = self._live(), self._live().problem.parameters
        with self._asked(False) as said:
            if name not in known:
                raise CaseError(f"parameters.{name}: there is no such parameter{nearest(str(name), known)}")
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            if not math.isfinite(number):
                raise CaseError(f"parameters.{name}: expected a number, got {value!r}")
            said[f"parameters.{name}"] = repr(number)
        live.set_parameter(name, number)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a parameter of a simulation cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._live().problem.parameters)

    def __len__(self) -> int:
        return len(self._live().problem.parameters)

    def __repr__(self) -> str:
        return repr(dict(self))
