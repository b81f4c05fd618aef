"""Expressions of values at a point, with their derivatives by some of these, in NumPy.

The derivatives are those of linearise.py: forward mode on the tape of the expressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.equations.linearise import along
from parsolve.equations.lowering import Lowering
from parsolve.equations.operations import NUMPY
from parsolve.equations.tape import needed
from parsolve.equations.values import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sympy
    from numpy.typing import NDArray

    from parsolve.equations.tape import Operation

    Values = NDArray[np.float64]


class Pointwise:
    """Expressions of names, and their derivatives by some names.

    Args:
        expressions: without operators and noise; every name that is none of the next two and not t is a parameter.
        names: by which they are differentiated.
        others: of what else varies.
        parameters: the values of the rest.

    Attributes:
        depends: for each expression whether it depends on any of ``names``.
        is_affine: whether no derivative depends on any of ``names``.
    """

    def __init__(
        self,
        expressions: Sequence[sympy.Expr],
        names: Sequence[str],
        others: Sequence[str],
        parameters: Mapping[str, float],
    ) -> None:
        lowering = Lowering((), 2, [*names, *others])
        tape = lowering.tape
        values = [lowering.value(e) for e in expressions]
        dots = [along(tape, values, name) for name in names]
        self._values = _Taped(tape.operations, values, parameters)
        self._count, self._slots = len(values), [[-1 if n is None else 0 for n in row] for row in dots]
        found: list[int] = []
        for row, slots in zip(dots, self._slots, strict=True):
            for place, number in enumerate(row):
                if number is not None:
                    slots[place] = len(values) + len(found)
                    found.append(number)
        self._all = _Taped(tape.operations, [*values, *found], parameters)
        self.depends = [any(row[place] is not None for row in dots) for place in range(len(values))]
        self.is_affine = not _Taped(tape.operations, found, parameters).reads(names)

    def values(self, known: Mapping[str, Values], size: int) -> list[Values]:
        """The values of the expressions at so many points; ``known``: t and all names, at each point or one for all."""
        return self._values(known, size)

    def lost(self, known: Mapping[str, Values], size: int) -> list[Values]:
        """Of each expression about how large its terms were before they cancelled: its rounding errors are of that."""
        return self._values.lost(known, size)

    def derived(self, known: Mapping[str, Values], size: int) -> tuple[list[Values], list[list[Values | None]]]:
        """The values, and by name and expression the derivatives; None: it is zero everywhere."""
        found = self._all(known, size)
        return found[: self._count], [[None if n < 0 else found[n] for n in row] for row in self._slots]


class _Taped:
    """Some results of a tape, computed with NumPy at points; the bits at a point do not depend on the others."""

    def __init__(
        self, operations: Sequence[Operation], results: Sequence[int], parameters: Mapping[str, float]
    ) -> None:
        self._operations, self._results = needed(operations, results)
        self._constants = {
            n: float(op.data if op.name == "constant" else evaluate(op.data, parameters))
            for n, op in enumerate(self._operations)
            if op.name in ("constant", "coefficient")
        }
        self._many = 0
        self._filled: dict[int, Values] = {}

    def reads(self, names: Sequence[str]) -> bool:
        """Whether any of the names is read."""
        return any(op.name == "load" and op.data[0] in names for op in self._operations)

    def __call__(self, known: Mapping[str, Values], size: int) -> list[Values]:
        found = self._found(known, size)
        return [found[n][:size] for n in self._results]

    def lost(self, known: Mapping[str, Values], size: int) -> list[Values]:
        """What the terms of sums come to in each result."""
        found = self._found(known, size)
        lost: list[Values] = []
        with np.errstate(all="ignore"):
            for op, value in zip(self._operations, found, strict=True):
                own = [np.abs(found[a]) for a in op.arguments]
                given = [lost[a] for a in op.arguments]
                if op.name in ("add", "sub"):
                    lost.append(given[0] + given[1] + np.fmax(*own))
                elif op.name in ("mul", "fma"):
                    through = given[0] * own[1] + given[1] * own[0]
                    more = given[2] + np.fmax(own[0] * own[1], own[2]) if op.name == "fma" else 0.0
                    lost.append(through + more)
                elif op.name == "div":
                    lost.append((given[0] + given[1] * np.abs(value)) / own[1])
                else:
                    lost.append(np.fmax.reduce([*given, np.zeros(value.shape)]))
        return [lost[n][:size] for n in self._results]

    def _found(self, known: Mapping[str, Values], size: int) -> list[Values]:
        """The results of all operations, at two points at least."""
        many = max(size, 2)  # NumPy has other code for single values, with other bits
        if self._many != many:
            self._many, self._filled = many, {n: np.full(many, value) for n, value in self._constants.items()}
        found: list[Values] = []
        with np.errstate(all="ignore"):
            for n, op in enumerate(self._operations):
                if n in self._filled:
                    found.append(self._filled[n])
                elif op.name in ("load", "time"):
                    value = known["t" if op.name == "time" else op.data[0]]
                    found.append(value if value.shape == (many,) else np.full(many, value))
                else:
                    found.append(NUMPY[op.name](*[found[a] for a in op.arguments]))
        return found
