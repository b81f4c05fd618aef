"""Programs that the problems of one process share, as those of a sweep: values of parameters are in none."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from parsolve.equations.codegen import library_text
from parsolve.equations.measures import Measures, derived_of, measures_of
from parsolve.equations.program import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program

MOST = 16  # programs that are kept


def program_of(equation: Equation, axes: tuple[str, ...], order: int, acceleration: bool, terms: int) -> Program:
    """The program of an equation of evolution, as `build` makes it; one for all that have its texts and names.

    Raises:
        CaseError: a text is wrong, or more than a kernel takes.
    """
    return _built(_Texts(equation.key, equation), axes, order, acceleration, terms)


def measures_for(
    equation: Equation, axes: tuple[str, ...], order: int, texts: Mapping[str, str], marched: tuple[str, ...]
) -> Measures:
    """The measures of texts, as `measures_of` makes them; one for all problems that have the same.

    Raises:
        CaseError: a text is wrong.
    """
    return _measured(_Texts(equation.key, equation), axes, order, tuple(texts.items()), marched)


def derived_for(
    equation: Equation, axes: tuple[str, ...], order: int, texts: Mapping[str, str], marched: tuple[str, ...], key: str
) -> Program | None:
    """The program of expressions of the state by name, as `derived_of` makes it; one for all that have the same.

    Raises:
        CaseError: a text is wrong.
    """
    return _derived(_Texts(equation.key, equation), axes, order, tuple(texts.items()), marched, key) if texts else None


@lru_cache(maxsize=MOST)
def library_of(program: Program) -> str:
    """C text of its kernels (codegen.library_text)."""
    return library_text(program)


@dataclass(frozen=True)
class _Texts:
    """An equation; the same as others with this key."""

    key: tuple[object, ...]
    equation: Equation = field(compare=False)


@lru_cache(maxsize=MOST)
def _measured(
    texts: _Texts, axes: tuple[str, ...], order: int, measures: tuple[tuple[str, str], ...], marched: tuple[str, ...]
) -> Measures:
    return measures_of(texts.equation, axes, order, dict(measures), marched)


@lru_cache(maxsize=MOST)
def _derived(
    texts: _Texts, axes: tuple[str, ...], order: int, given: tuple[tuple[str, str], ...], marched: tuple[str, ...],
    key: str,
) -> Program | None:  # fmt: skip
    return derived_of(texts.equation, axes, order, dict(given), marched, key)


@lru_cache(maxsize=MOST)
def _built(texts: _Texts, axes: tuple[str, ...], order: int, acceleration: bool, terms: int) -> Program:
    return build(texts.equation, axes, order, acceleration=acceleration, terms=terms)
