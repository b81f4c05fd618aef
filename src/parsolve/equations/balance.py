"""Which unknowns are balanced: their rate is a sum of divergences, so that their sum changes by the sides alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy

from parsolve.equations.levels import symbol
from parsolve.equations.operators import ADVECTION, FACE_FLUXES, FLUXES, LINEAR, fluxes, name_of
from parsolve.equations.white import is_white

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.equations.program import Program

DIVERGENCES = {*LINEAR, *FLUXES, *FACE_FLUXES}  # all of them differences of something at faces, or of neighbours


def conserved(program: Program) -> tuple[str, ...]:
    """The unknowns whose rate is a sum of divergences with factors constant in space, or of what has no mean."""
    made = dict(zip((n for s in program.defines for n in s.outputs), program.defines, strict=True))
    fields = {name: stage.expressions[0] for name, stage in made.items() if stage.integral is None}
    means = {symbol(name): stage.expressions[0] for name, stage in made.items() if stage.is_mean}
    varying = {symbol(name) for name in (*program.unknowns, *program.arrays, *program.axes, *fields)}
    varying |= {symbol(name) for name in program.equation.unknowns}
    varying |= {s for stage in program.stages for e in stage.expressions for s in e.free_symbols if is_white(s.name)}
    rates = zip(program.rate.outputs, program.rate.expressions, strict=True)
    return tuple(name for name, e in rates if _Balance(fields, means, varying).holds(e))


def is_advective(program: Program) -> bool:
    """Whether there is an advection that is not in the form of fluxes."""
    return bool(program.operators & ADVECTION)


def even(program: Program) -> frozenset[str]:
    """The coefficient fields that only ever multiply gradients in fluxes, which vanish at a wall where they are even.

    Others may be odd there, such as a velocity through the wall.
    """
    inside: set[sympy.Symbol] = set()
    outside: set[sympy.Symbol] = set()
    for e in (e for stage in program.stages for e in stage.expressions):
        found = fluxes(e)
        inside = inside.union(*(s.args[0].free_symbols for s in found))
        outside |= e.xreplace({s: s.args[1] for s in found}).free_symbols
    return frozenset(s.name for s in inside - outside) & frozenset(program.arrays)


class _Balance:
    """Looks through expressions of known intermediate fields, means and names that vary in space."""

    def __init__(
        self,
        fields: Mapping[str, sympy.Expr],
        means: Mapping[sympy.Symbol, sympy.Expr],
        varying: set[sympy.Symbol],
    ) -> None:
        self.fields, self.means, self.varying = fields, means, varying

    def holds(self, e: sympy.Expr) -> bool:
        """Whether the sum of an expression over the cells comes from the sides alone."""
        rest = [term for term in sympy.Add.make_args(e) if not self.is_divergence(term)]
        left = sympy.Add(*(self.local(term) for term in rest))
        return left == 0 or (left != e and all(map(self.is_divergence, sympy.Add.make_args(left))))

    def is_divergence(self, e: sympy.Expr) -> bool:
        if e.is_Symbol and e.name in self.fields:
            return self.holds(self.fields[e.name])
        if e.is_Mul:
            parts = [f for f in e.args if f.free_symbols & self.varying]
            return len(parts) == 1 and self.holds(parts[0])
        return name_of(e) in DIVERGENCES

    def local(self, e: sympy.Expr) -> sympy.Expr:
        """What has the sum of a term: of a constant times a mean, the constant times what it is the mean of."""
        found = [f for f in sympy.Mul.make_args(e) if f in self.means]
        others = [f for f in sympy.Mul.make_args(e) if f not in self.means]
        if len(found) == 1 and not any(f.free_symbols & self.varying for f in others):
            return sympy.Mul(*others, self.means[found[0]])
        return e
