"""The arithmetic of one cell as a list of operations, each written once; C and NumPy are printed from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class Operation:
    """One value: load (data = input, offset), constant, coefficient (data = number), or a function of others.

    Functions: add sub mul div neg, pow, select (condition, then, else), lt le eq ne and or not, and one- and
    two-argument functions of C's <math.h> by name, with min, max and sign.
    """

    name: str
    arguments: tuple[int, ...] = ()
    data: Any = None


@dataclass
class Tape:
    """Operations in an order in which each uses only earlier ones; equal operations share one number."""

    operations: list[Operation] = field(default_factory=list)
    _numbers: dict[Operation, int] = field(default_factory=dict)

    def push(self, name: str, *arguments: int, data: Any = None) -> int:
        """Number of the value; a new one only if the same operation is not there yet."""
        operation = Operation(name, arguments, data)
        if operation not in self._numbers:
            self._numbers[operation] = len(self.operations)
            self.operations.append(operation)
        return self._numbers[operation]

    def constant(self, value: float) -> int:
        """Number of a constant."""
        return self.push("constant", data=float(value))

    def fold(self, name: str, values: list[int]) -> int:
        """Number of ``((v0 o v1) o v2) ...``: the order of the operations is the order of the list."""
        total = values[0]
        for value in values[1:]:
            total = self.push(name, total, value)
        return total

    def power(self, base: int, exponent: int) -> int:
        """Number of base**exponent, exponent >= 1, as a product by repeated squaring."""
        result = None
        square = base
        while exponent:
            if exponent & 1:
                result = square if result is None else self.push("mul", result, square)
            exponent >>= 1
            if exponent:
                square = self.push("mul", square, square)
        assert result is not None
        return result
