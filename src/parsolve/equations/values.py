"""Expressions as numbers: evaluation with NumPy, values at the cells of a box, and noise.

The value at a cell depends on the cell's global index alone, never on which rank computes it or with how
many neighbours: coordinates come from the global index, and functions that NumPy computes in vector and in
scalar code are always given contiguous arrays.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray
from sympy.logic.boolalg import BooleanAtom

from parsolve.equations.functions import CONDITIONS, HEADS
from parsolve.equations.operations import NUMPY
from parsolve.equations.operators import AXES
from parsolve.equations.parse import parse
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Values = NDArray[Any] | float
_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_MASK = 2**64 - 1
KEPT = 1 << 16  # most cells of a box of which the noise is kept


class CellGrid(Protocol):
    """What is needed of a grid: axis names and, as (z, y, x), cells, lower corner and spacing."""

    @property
    def names(self) -> tuple[str, ...]:
        """Axes present, x first."""

    @property
    def cells(self) -> tuple[int, int, int]:
        """Number of cells."""

    @property
    def lower(self) -> tuple[float, float, float]:
        """Coordinate of the first cell's lower face."""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a cell."""


def noise(seed: int, index: ArrayLike) -> NDArray[np.float64]:
    """Uniform random numbers in [-1, 1), one for each global cell index.

    Number `index` of the SplitMix64 stream (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014) that starts at the hash of the seed, with 53 bits.

    Args:
        seed: any whole number; taken modulo 2**64.
        index: (k*ny + j)*nx + i, whole numbers; taken modulo 2**64.
    """
    counter = np.atleast_1d(np.asarray(index)).astype(np.uint64)
    start = np.array([(seed + _GAMMA) & _MASK], dtype=np.uint64)
    counter += np.uint64(1)
    counter *= np.uint64(_GAMMA)
    counter += _mix(start)
    bits = _mix(counter) >> np.uint64(11)
    return (bits.astype(np.float64) * 2.0**-52 - 1.0).reshape(np.shape(index))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64; changes its argument."""
    for shift, factor in _MIX:
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def evaluate(
    expression: sympy.Basic,
    environment: Mapping[str, ArrayLike],
    *,
    noise: Callable[[int], NDArray[Any]] | None = None,
) -> Values:
    """The value of an expression for these values of its symbols, broadcast by NumPy's rules.

    Subexpressions that occur twice are computed once; sums and products run in SymPy's own, fixed, order, a
    product as its numerator divided by its denominator. Numbers do not widen arrays: float32 stays float32.
    What has no value is NaN or infinite, without a warning.

    Args:
        expression: of numbers, symbols and the functions of `VALUE_FUNCTIONS`.
        environment: the value of each symbol, number or array.
        noise: the random array for a seed, where the expression has noise.

    Raises:
        ValueError: a symbol has no value, or a function none at a point (`laplace`).
    """
    with np.errstate(all="ignore"):
        return _Evaluation(environment, noise).value(expression)


class _Evaluation:
    """One walk over an expression, remembering what is known already."""

    def __init__(self, environment: Mapping[str, ArrayLike], noise: Callable[[int], NDArray[Any]] | None) -> None:
        self.environment = environment
        self.noise = noise
        self.known: dict[Any, Values] = {}

    def value(self, expression: Any) -> Values:
        found = self.known.get(expression)
        if found is None:
            found = self.known[expression] = _settled(self.compute(expression))
        return found

    def compute(self, expression: Any) -> Any:
        if expression.is_Symbol:
            if expression.name not in self.environment:
                raise ValueError(f"no value for '{expression.name}'")
            value = np.asarray(self.environment[expression.name])
            return value if value.dtype.kind == "f" and value.ndim else value.astype(np.float64)
        if expression.is_Rational:
            return expression.p / expression.q
        if expression.is_Number or expression.is_NumberSymbol:
            return float(expression)
        if expression.is_Add:
            return self.folded(np.add, expression.args)
        if expression.is_Mul:
            return self.product(expression.args)
        if expression.is_Pow:
            return self.power(*expression.args)
        return self.call(type(expression).__name__, expression)

    def folded(self, operation: Callable[..., Any], parts: Sequence[Any]) -> Any:
        """The values of the parts joined from left to right."""
        result = self.value(parts[0])
        for part in parts[1:]:
            result = _settled(operation(result, self.value(part)))
        return result

    def product(self, factors: Sequence[Any]) -> Any:
        above, below = [], []
        for factor in factors:
            if factor.is_Rational and not factor.is_Integer:
                above += [sympy.Integer(factor.p)] if factor.p != 1 else []
                below.append(sympy.Integer(factor.q))
            elif factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
                below.append(factor.base if factor.exp == -1 else sympy.Pow(factor.base, -factor.exp, evaluate=False))
            else:
                above.append(factor)
        numerator = self.folded(np.multiply, above) if above else 1.0
        return np.divide(numerator, self.folded(np.multiply, below)) if below else numerator

    def power(self, base: Any, exponent: Any) -> Any:
        """Whole exponents by multiplication, halves by the root, all else by the library's pow."""
        value = self.value(base)
        shown = self.value(exponent)
        if isinstance(shown, float):
            count = abs(shown)
            if count == 0.5:
                root = _elementwise(np.sqrt, value)
                return root if shown > 0 else np.divide(1.0, root)
            if count <= 64 and count.is_integer():
                whole = _repeated(value, int(count))
                return whole if shown >= 0 else np.divide(1.0, whole)
        return _elementwise(np.power, value, shown)

    def call(self, name: str, expression: Any) -> Any:
        if name == "noise":
            if self.noise is None:
                raise ValueError("noise has no value here")
            return self.noise(int(expression.args[0]))
        if name in CONDITIONS:
            condition = CONDITIONS[name]
            parts = expression.args[::-1] if condition.swapped else expression.args
            values = NUMPY[condition.operation]
            return self.folded(values, parts) if len(parts) > 1 else values(self.value(parts[0]))
        if isinstance(expression, BooleanAtom):
            return bool(expression)
        function = HEADS.get(name)
        if function is None or function.values is None:
            raise ValueError(f"'{name}' has no value at a point")
        arguments = [self.value(part) for part in expression.args]
        return function.values(*arguments) if function.exact else _elementwise(function.values, *arguments)


def _settled(value: Any) -> Values:
    """Arrays as they are; scalars as Python numbers, which do not widen float32 arrays."""
    return value if isinstance(value, np.ndarray) and value.ndim else np.asarray(value).item()


def _repeated(base: Values, count: int) -> Any:
    """base**count by squaring."""
    result: Any = 1.0 if count == 0 else None
    while count:
        if count & 1:
            result = base if result is None else np.multiply(result, base)
        base = np.multiply(base, base) if count > 1 else base
        count >>= 1
    return result


def _elementwise(function: Callable[..., Any], *arguments: Values) -> Any:
    """A library function, element by element.

    NumPy has more than one code for these, chosen by strides and length, with results that may differ in
    the last bit. Contiguous arrays of at least two elements always take the same one.
    """
    arrays = np.broadcast_arrays(*arguments)
    shape = arrays[0].shape
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    if flat[0].size == 1:
        return function(*(np.repeat(array, 2) for array in flat))[:1].reshape(shape)
    return function(*flat).reshape(shape)


def fill(
    value: str | float | sympy.Expr,
    grid: CellGrid,
    start: Sequence[int],
    shape: Sequence[int],
    *,
    time: float = 0.0,
    parameters: Mapping[str, float] | None = None,
    key: str = "",
    finite: bool = True,
) -> NDArray[np.float64]:
    """The value at the centres of the cells of a box, as an array (z, y, x).

    The centre of cell i is lower + (i + 0.5)*spacing; the formula holds for ghost cells, i < 0, too. The
    expression may use the axes the grid has, t, pi and the parameters.

    Args:
        value: an expression, its text, or a number.
        grid: the global grid.
        start: the box's first cell, a global index (z, y, x).
        shape: the box's cells (z, y, x).
        time: the value of t.
        parameters: more names and their values.
        key: where the value stands in the case, for messages.
        finite: whether values must be.

    Raises:
        ExpressionError: the text is not an expression of these names.
        CaseError: the value at some cell is not finite and must be.
    """
    box = (int(shape[0]), int(shape[1]), int(shape[2]))
    environment: dict[str, ArrayLike] = {**(parameters or {}), "t": time, **centres(grid, start, box)}
    if isinstance(value, str):
        value = parse(value, environment.keys(), key=key)
    if isinstance(value, sympy.Expr):
        try:
            found = evaluate(value, environment, noise=partial(_noise_in, grid, (start[0], start[1], start[2]), box))
        except ValueError as error:
            raise CaseError(f"{key}: {error}") from None
    else:
        found = float(value)
    result = np.full(box, found, np.float64)
    if finite:
        _require_finite(result, environment, start, key)
    return result


def _noise_in(grid: CellGrid, start: tuple[int, int, int], box: tuple[int, int, int], seed: int) -> NDArray[np.float64]:
    """The noise of the cells of a box; that of small ones is kept, for the next field or run."""
    make = _kept_noise if math.prod(box) <= KEPT else _made_noise
    return make(seed, grid.cells, start, box)


def _made_noise(
    seed: int, cells: tuple[int, int, int], start: tuple[int, int, int], box: tuple[int, int, int]
) -> NDArray[np.float64]:
    made = noise(seed, global_index(cells, start, box))
    made.flags.writeable = False
    return made


_kept_noise = lru_cache(maxsize=4)(_made_noise)


def centres(grid: CellGrid, start: Sequence[int], shape: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """The coordinates of the cells of a box along each axis of the grid, to be broadcast against each other."""
    found: dict[str, NDArray[np.float64]] = {}
    for axis, name in enumerate(AXES):
        if name in grid.names:
            cell = np.arange(start[axis], start[axis] + shape[axis], dtype=np.int64)
            centre = np.asarray(grid.lower[axis] + (cell + 0.5) * grid.spacing[axis], np.float64)
            found[name] = centre.reshape([-1 if a == axis else 1 for a in range(3)])
    return found


def global_index(cells: Sequence[int], start: Sequence[int], shape: Sequence[int]) -> NDArray[np.uint64]:
    """The global index (k*ny + j)*nx + i, modulo 2**64, of each cell of a box in a grid of so many cells."""
    k, j, i = (
        np.arange(first, first + count, dtype=np.int64).astype(np.uint64)
        for first, count in zip(start, shape, strict=True)
    )
    _, ny, nx = (np.uint64(count) for count in cells)
    row: NDArray[np.uint64] = k[:, None] * ny + j
    index: NDArray[np.uint64] = row[:, :, None] * nx + i
    return index


def _require_finite(
    result: NDArray[np.float64], environment: Mapping[str, ArrayLike], start: Sequence[int], key: str
) -> None:
    """Raise CaseError with the first cell, in memory order, whose value is not finite."""
    finite = np.isfinite(result)
    if finite.all():
        return
    cell = np.unravel_index(int(np.argmin(finite)), result.shape)
    places = []
    for axis, name in reversed(list(enumerate(AXES))):
        if name in environment and np.ndim(environment[name]):
            centre = np.asarray(environment[name]).reshape(-1)[cell[axis]]
            places.append(f"{name} = {centre:.6g} (cell {start[axis] + int(cell[axis])})")
    prefix = f"{key}: " if key else ""
    raise CaseError(f"{prefix}the value is {result[cell]} at {', '.join(places)}; it must be finite at every cell")
