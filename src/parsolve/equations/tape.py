"""The arithmetic of one cell as a list of operations, each written once; C and NumPy are printed from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sympy

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class Operation:
    """One value: load (data = input, offset), constant, coefficient (data = number), or a function of others.

    Or white: the noise of the step (data = seed, offset).

    While a tape is written, loads bear the names of fields and coefficients their expressions; see numbered.

    Functions: add sub mul div neg, fma (a b + c, rounded once), pow, select (condition, then, else), lt le eq ne and or
    not, and one- and two-argument functions of C's <math.h> by name, with min, max and sign.
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


def fused(operations: Sequence[Operation], results: Sequence[int]) -> tuple[tuple[Operation, ...], tuple[int, ...]]:
    """The operations with fma for a product that is only added or subtracted, and the numbers of the results.

    x - (y + y) becomes fma(-2, y, x), which has the same bits, as y + y is exact.  A difference of two products stays,
    so that it is zero where they are equal: a constant has no derivatives.
    """
    uses = Counter(n for op in operations for n in op.arguments) + Counter(results)
    tape, number = Tape(), dict[int, int]()

    def factors(n: int) -> list[int] | None:
        op = operations[n]
        return [number[a] for a in op.arguments] if op.name == "mul" and uses[n] == 1 else None

    def minus(n: int) -> int:
        op = tape.operations[n]
        return tape.constant(-op.data) if op.name == "constant" else tape.push("neg", n)

    def sum_of(x: int, y: int) -> int:
        product, other = (factors(y), x) if factors(y) else (factors(x), y)
        return tape.push("fma", *product, number[other]) if product else tape.push("add", number[x], number[y])

    def difference(x: int, y: int) -> int:
        first, second = factors(x), factors(y)
        if operations[y].name == "add" and len(set(operations[y].arguments)) == 1:
            return tape.push("fma", tape.constant(-2.0), number[operations[y].arguments[0]], number[x])
        if second and not first:
            return tape.push("fma", minus(second[0]), second[1], number[x])
        if first and not second:
            return tape.push("fma", *first, minus(number[y]))
        return tape.push("sub", number[x], number[y])

    for n, op in enumerate(operations):
        if op.name in ("add", "sub"):
            number[n] = (sum_of if op.name == "add" else difference)(*op.arguments)
        else:
            number[n] = tape.push(op.name, *(number[a] for a in op.arguments), data=op.data)
    return needed(tape.operations, [number[n] for n in results])


def needed(operations: Sequence[Operation], results: Sequence[int]) -> tuple[tuple[Operation, ...], tuple[int, ...]]:
    """The operations that the results depend on, numbered anew."""
    used = set(results)
    for n in range(len(operations) - 1, -1, -1):
        if n in used:
            used.update(operations[n].arguments)
    number = {n: i for i, n in enumerate(sorted(used))}
    kept = (operations[n] for n in number)
    return (
        tuple(Operation(op.name, tuple(number[a] for a in op.arguments), op.data) for op in kept),
        tuple(number[n] for n in results),
    )


def numbered(
    operations: Sequence[Operation],
) -> tuple[tuple[Operation, ...], dict[str, list[Offset]], tuple[sympy.Expr, ...]]:
    """The operations with inputs and coefficients by number, in the order of first use.

    Returns:
        The operations; the offsets at which each input is read, by its name; the coefficients.
    """
    reads: dict[str, list[Offset]] = {}
    coefficients: dict[sympy.Expr, int] = {}
    made = []
    for op in operations:
        data = op.data
        if op.name == "load":
            name, offset = data
            reads.setdefault(name, []).append(offset)
            data = (list(reads).index(name), offset)
        elif op.name == "coefficient":
            data = coefficients.setdefault(data, len(coefficients))
        made.append(Operation(op.name, op.arguments, data))
    return tuple(made), reads, tuple(coefficients)
