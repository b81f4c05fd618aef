"""Programs that the problems of one process share, as those of a sweep: values of parameters are in none."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from parsolve.equations.codegen import library_text
from parsolve.equations.program import build

if TYPE_CHECKING:
    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program

MOST = 16  # programs that are kept


def program_of(equation: Equation, axes: tuple[str, ...], order: int, acceleration: bool, terms: int) -> Program:
    """The program of an equation of evolution, as `build` makes it; one for all that have its texts and names.

    Raises:
        CaseError: a text is wrong, or more than a kernel takes.
    """
    return _built(_Texts(equation.key, equation), axes, order, acceleration, terms)


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
def _built(texts: _Texts, axes: tuple[str, ...], order: int, acceleration: bool, terms: int) -> Program:
    return build(texts.equation, axes, order, acceleration=acceleration, terms=terms)
