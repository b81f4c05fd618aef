"""What does not change in space: its derivatives are zero, whatever its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy

from parsolve.equations.operators import OPERATORS, name_of, operands

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def constants(defines: Mapping[str, sympy.Expr], known: Collection[str]) -> frozenset[str]:
    """The names of constants: those that are known, and the definitions made of nothing but them."""
    found = frozenset(known)
    while True:
        more = {n for n, e in defines.items() if n not in found and _is_constant(settled(e, found), found)}
        if not more:
            return found
        found |= more


def settled(e: sympy.Expr, names: Collection[str]) -> sympy.Expr:
    """The expression by OPERATORS, with zero for derivatives of constants; ``names`` are theirs."""
    if not e.args:
        return e
    parts = [settled(s, names) for s in e.args]
    made = e if all(a is b for a, b in zip(parts, e.args, strict=True)) else e.func(*parts)
    is_zero = name_of(made) in OPERATORS and all(_is_constant(s, names) for s in operands(made))
    return sympy.S.Zero if is_zero else made


def _is_constant(e: sympy.Expr, names: Collection[str]) -> bool:
    return all(s.name in names for s in e.free_symbols)
