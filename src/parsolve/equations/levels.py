"""Splits expressions into stages of one level of operators each.

A derivative of something that itself has derivatives becomes an intermediate field; an integral becomes a number known
before the stages that use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sympy

from parsolve.equations.operators import INTEGRALS, MIDPOINTS, OPERATORS, has_operator, name_of, operands
from parsolve.equations.white import has_white, is_white
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def symbol(name: str) -> sympy.Symbol:
    """The symbol of a name of the case, as the parser makes it."""
    return sympy.Symbol(name, real=True)


@dataclass
class Levels:
    """Expressions by name, each with one level of operators, in an order in which each uses only earlier ones.

    Attributes:
        defines: named expressions that others may use.
        stages: the intermediate fields and integrands found so far.
        integrals: which stages are integrands, and whether their mean is meant.
        taken: names of the case, which no stage may get but those of its definitions.
    """

    defines: Mapping[str, sympy.Expr]
    stages: dict[str, sympy.Expr] = field(default_factory=dict)
    integrals: dict[str, bool] = field(default_factory=dict)
    taken: Collection[str] = ()

    def split(self, rates: Mapping[str, sympy.Expr]) -> dict[str, sympy.Expr]:
        """The rates with nested operators replaced by stages, and the definitions that are not stages put in place.

        Raises:
            CaseError: definitions that use each other in a circle.
        """
        self._refuse_circles()
        marked = {name: self._mark(e) for name, e in rates.items()}
        settled = self._settle_stages(())
        rates = {name: self._settle(e) for name, e in marked.items()}
        self._settle_stages(settled)
        self.stages = self._in_order(self.stages)
        return rates

    def _settle_stages(self, settled: Collection[str]) -> Collection[str]:
        """Settle the stages but those that are, and what they bring along, which may be stages too; all their names."""
        while new := [name for name in self.stages if name not in settled]:
            self.stages |= {name: self._settle(self.stages[name]) for name in new}
            settled = [*settled, *new]
        return settled

    def _in_order(self, stages: Mapping[str, sympy.Expr]) -> dict[str, sympy.Expr]:
        """The stages with each after those that it uses: one that was found later may serve an earlier one."""
        ordered: dict[str, sympy.Expr] = {}
        while len(ordered) < len(stages):
            for name, e in stages.items():
                if name not in ordered and all(s.name in ordered for s in e.free_symbols if s.name in stages):
                    ordered[name] = e
        return ordered

    def _settle(self, e: sympy.Expr) -> sympy.Expr:
        """Definitions that are not stages in place; operators that are stages by their field."""
        while pending := [s for s in e.free_symbols if s.name in self.defines and s.name not in self.stages]:
            e = e.xreplace({s: self._mark(self.defines[s.name]) for s in pending})
        known = {e: symbol(name) for name, e in self.stages.items() if name_of(e) in OPERATORS}
        return e.xreplace({k: v for k, v in known.items() if k != e}) if e in known else e.xreplace(known)

    def _mark(self, e: sympy.Expr) -> sympy.Expr:
        """The expression with integrals and nested operands replaced by the symbols of their stages."""
        if not e.args:
            return e
        if name_of(e) in INTEGRALS:
            return self._integral(e)
        if name_of(e) in OPERATORS | MIDPOINTS:
            kept = e.args[: len(e.args) - len(operands(e))]
            return e.func(*(self._mark(s) for s in kept), *(self._operand(s) for s in operands(e)))
        return e.func(*(self._mark(s) for s in e.args))

    def _operand(self, e: sympy.Expr) -> sympy.Expr:
        # Definitions that need no neighbours are computed where they are used.
        while plain := [s for s in e.free_symbols if s.name in self.defines and not self._is_wide(s.name)]:
            e = e.xreplace({s: self.defines[s.name] for s in plain})
        if not (has_operator(e) or has_white(e) or any(s.name in self.defines for s in e.free_symbols)):
            return self._mark(e)
        if is_white(str(e)):
            return self._stage(self._numbered(e), e)
        if e.is_Symbol:
            return self._stage(e.name, self.defines[e.name])
        return self._stage(self._name(e), e)

    def _is_wide(self, name: str) -> bool:
        e = self.defines[name]
        return (
            has_operator(e)
            or has_white(e)
            or any(s.name in self.defines and self._is_wide(s.name) for s in e.free_symbols)
        )

    def _stage(self, name: str, e: sympy.Expr) -> sympy.Symbol:
        if name not in self.stages:
            self.stages[name] = self._mark(e)  # behind the stages that it needs itself
        return symbol(name)

    def _integral(self, e: sympy.Expr) -> sympy.Symbol:
        is_mean = name_of(e) == "mean"
        integrand = self._mark(e.args[0])
        for name, mean in self.integrals.items():
            if mean == is_mean and self.stages[name] == integrand:
                return symbol(name)
        name = f"{name_of(e)}_{len(self.integrals) + 1}"
        self.stages[name] = integrand
        self.integrals[name] = is_mean
        return symbol(name)

    def _name(self, e: sympy.Expr) -> str:
        """A readable name of an operand: laplace_u, or a number."""
        readable = f"{name_of(e)}_{e.args[0]}"
        if len(e.args) == 1 and e.args[0].is_Symbol and not has_white(e) and readable not in self.taken:
            return readable
        return self._numbered(e)

    def _numbered(self, e: sympy.Expr) -> str:
        """The name of a stage that is this expression already, or a number."""
        marked = self._mark(e)
        known = next((name for name, s in self.stages.items() if s == marked), None)
        return known or f"intermediate_{len(self.stages) + 1}"

    def _refuse_circles(self) -> None:
        for name in self.defines:
            seen: set[str] = set()
            pending = [name]
            while pending:
                uses = {s.name for s in self.defines[pending.pop()].free_symbols if s.name in self.defines}
                if name in uses:
                    raise CaseError(f"define.{name}: it is defined by itself")
                pending += uses - seen
                seen |= uses
