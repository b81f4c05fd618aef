"""Measures: numbers made of the values at all cells, from texts such as ``integral(u**2)/2`` or ``max(u) - min(u)``.

A text is taken apart into reductions of values over the grid, and an expression of their results; or it is a histogram
or a spectrum alone, which are several numbers each. The values that are no field of the state themselves come from one
program, so that all of them need one way over the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import sympy

from parsolve.equations import functions
from parsolve.equations.functions import MEASURE_FUNCTIONS
from parsolve.equations.levels import symbol
from parsolve.equations.operators import INTEGRALS, name_of
from parsolve.equations.parse import parse
from parsolve.equations.program import build
from parsolve.equations.texts import Texts
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program

HEADS = {
    "integral": "integral", "mean": "mean", "smallest": "min", "largest": "max", "deviation": "std", "norm": "norm",
    "count": "count", "at_smallest": "at_min", "at_largest": "at_max", "probe": "at",
}  # fmt: skip
SEVERAL = ("histogram", "spectrum")  # heads of what is several numbers
MOST_BINS = 10_000


class Reduction(NamedTuple):
    """What is made of the values at all cells.

    integral of u; mean; min, max; std, the root of the mean of (u - mean)^2; norm, the root of the integral of u^2;
    count, of the cells where a condition holds; at_min, at_max: the value of another expression where u is smallest or
    largest, at the first such cell; at: the value of u at a point, linear between the centres of cells.

    Attributes:
        kind: one of these.
        of: name of the value.
        at: for at_min and at_max the name of the other value.
        point: for at the place along x, y, z, as expressions of parameters.
    """

    kind: str
    of: str
    at: str = ""
    point: tuple[sympy.Expr, ...] = ()


class Several(NamedTuple):
    """Several numbers of the values at all cells.

    histogram: how many cells are in each of so many equal bins; spectrum: the part of each wave number in the mean
    square.

    Attributes:
        kind: one of these.
        of: name of the value.
        low, high: where the bins begin and end, as expressions of parameters.
        bins: how many they are.
    """

    kind: str
    of: str
    low: sympy.Expr = sympy.S.Zero
    high: sympy.Expr = sympy.S.One
    bins: int = 0


@dataclass(frozen=True, eq=False)
class Measures:
    """Reductions, and what is made of them.

    Attributes:
        reductions: each once.
        several: by the name of a measure those that are several numbers.
        results: by the name of a measure an expression of the symbols ``reduction.0``, ... of parameters and t.
        program: gives the values that are no fields of the state; None if there are none.
    """

    reductions: tuple[Reduction, ...]
    several: Mapping[str, Several]
    results: Mapping[str, sympy.Expr]
    program: Program | None

    @property
    def values(self) -> frozenset[str]:
        """Names of the values that are looked at."""
        names = {name for r in self.reductions for name in (r.of, r.at)}
        return frozenset(names | {s.of for s in self.several.values()})


def symbol_of(n: int) -> sympy.Symbol:
    """The symbol of the result of a reduction; no name of a case can be the same."""
    return sympy.Symbol(f"reduction.{n}", real=True)


def measures_of(
    equation: Equation, axes: Sequence[str], order: int, texts: Mapping[str, str], marched: Sequence[str]
) -> Measures:
    """The measures of texts by name, with derivatives to an order of accuracy; ``marched``: fields of the state.

    Raises:
        CaseError: a text is wrong, varies over the grid, or reads what is not marched.
    """
    taker = _Taker(Texts(equation, tuple(axes)), marched)
    taken = {name: taker.taken(text, f"measure.{name}") for name, text in texts.items()}
    several = {name: one for name, one in taken.items() if isinstance(one, Several)}
    results = {name: one for name, one in taken.items() if not isinstance(one, Several)}
    values = {name: e for e, name in taker.values.items() if name not in marched}
    return Measures(tuple(taker.reductions), several, results, values_of(equation, axes, order, values, marched))


def derived_of(
    equation: Equation, axes: Sequence[str], order: int, texts: Mapping[str, str], marched: Sequence[str], key: str
) -> Program | None:
    """The program of expressions of the state by name: fields that are written and not marched.

    The ``key`` of the case before each name is for messages.

    Raises:
        CaseError: a text is wrong.
    """
    known = Texts(equation, tuple(axes))
    values = {name: known.read(text, f"{key}{name}") for name, text in texts.items()}
    return values_of(equation, axes, order, values, marched)


def values_of(
    equation: Equation, axes: Sequence[str], order: int, values: Mapping[str, sympy.Expr], marched: Sequence[str]
) -> Program | None:
    """The program of some expressions of the state; None of none.

    Raises:
        CaseError: one reads a velocity that is not marched.
    """
    program = build(equation, axes, order, values=values, terms=0) if values else None
    read = {name for stage in program.stages for name in stage.inputs} if program else set()
    if late := sorted(read & {*equation.unknowns} - {*marched}):
        raise CaseError(f"time.scheme: with leapfrog there is no {late[0]} to look at; use scheme = 'rk4'")
    return program


def _is_of_cells(e: sympy.Expr) -> bool:
    """Whether it has what is made of values at cells."""
    of_cells = {*functions.OPERATOR_FUNCTIONS, *HEADS, "noise"}
    return any(name_of(s) in of_cells for s in sympy.preorder_traversal(e))


class _Taker:
    """Takes texts apart.

    Attributes:
        values: names of what is reduced.
        reductions: found so far.
    """

    def __init__(self, texts: Texts, marched: Sequence[str]) -> None:
        self.texts, self.reductions = texts, list[Reduction]()
        self.values: dict[sympy.Expr, str] = {symbol(name): name for name in marched}

    def taken(self, text: str, key: str) -> sympy.Expr | Several:
        """The expression of a text, with symbols for reductions; or what is several numbers."""
        e = parse(text, self.texts.names, functions=MEASURE_FUNCTIONS, key=key)
        kinds = [name_of(s) for s in sympy.preorder_traversal(e) if name_of(s) in SEVERAL]
        if len(kinds) > (name_of(e) in SEVERAL):
            raise CaseError(f"{key}: {kinds[0]}(...) is several numbers, and stands alone: in no other expression")
        if kinds:
            return self._several(e, text, key)
        made = self._walk(e, text, key)
        left = {s.name for s in made.free_symbols} & ({*self.texts.names} - self.texts.constants)
        if left or _is_of_cells(made):
            what = sorted(left)[0] if left else text
            raise CaseError(
                f"{key}: '{what}' is not one number but one at each cell: take integral({what}), mean({what}), "
                f"min({what}), max({what}), std({what}), norm({what}), or count of a condition"
            )
        if not any(symbol_of(n) in made.free_symbols for n in range(len(self.reductions))):
            raise CaseError(f"{key}: '{text}' is made of no values of cells; write a reduction, such as integral(u)")
        return made

    def _walk(self, e: sympy.Expr, text: str, key: str) -> sympy.Expr:
        kind = HEADS.get(name_of(e))
        if kind is None:
            return e.func(*(self._walk(s, text, key) for s in e.args)) if e.args else e
        if kind == "at":
            return self._probe(e, text, key)
        inner = [functions.where(s, sympy.S.One, sympy.S.Zero) if kind == "count" else s for s in e.args]
        names = [self._value(s, text, key) for s in inner]
        return self._known(Reduction(kind, names[0], names[1] if len(names) > 1 else ""))

    def _several(self, e: sympy.Expr, text: str, key: str) -> Several:
        """A histogram or a spectrum."""
        kind, (value, *given) = name_of(e), e.args
        of = self._value(value, text, key)
        if kind == "spectrum":
            return Several(kind, of)
        low, high, bins = given
        if not (self._is_fixed(low) and self._is_fixed(high)):
            raise CaseError(f"{key}: 'from' and 'to' of a histogram are numbers, or made of parameters")
        if not (bins.is_Integer and 1 <= int(bins) <= MOST_BINS):
            raise CaseError(f"{key}: 'bins' of a histogram is a whole number from 1 to {MOST_BINS}")
        return Several(kind, of, low, high, int(bins))

    def _probe(self, e: sympy.Expr, text: str, key: str) -> sympy.Expr:
        """A value at a point."""
        value, *point = e.args
        axes = self.texts.axes
        if len(point) != len(axes) or not all(map(self._is_fixed, point)):
            raise CaseError(
                f"{key}: a point is given by numbers or parameters for {', '.join(axes)}: at(u, {', '.join(axes)})"
            )
        return self._known(Reduction("at", self._value(value, text, key), point=tuple(point)))

    def _is_fixed(self, e: sympy.Expr) -> bool:
        """Whether it is made of numbers and parameters alone."""
        return {s.name for s in e.free_symbols} <= self.texts.constants - {"t"} and not _is_of_cells(e)

    def _known(self, reduction: Reduction) -> sympy.Symbol:
        if reduction not in self.reductions:
            self.reductions.append(reduction)
        return symbol_of(self.reductions.index(reduction))

    def _value(self, e: sympy.Expr, text: str, key: str) -> str:
        for s in sympy.preorder_traversal(e):
            if name_of(s) in HEADS and name_of(s) not in INTEGRALS:
                raise CaseError(f"{key}: within a reduction only integral(...) and mean(...) can stand")
        e = self.texts.settled(e, text, key)
        return self.values.setdefault(e, f"value.{len(self.values)}")
