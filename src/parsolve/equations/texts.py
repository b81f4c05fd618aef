"""The texts of an equation as expressions by operators along the axes of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy

from parsolve.equations.constants import constants, settled
from parsolve.equations.functions import NEXT, NOISE, OPERATOR_FUNCTIONS, VALUE_FUNCTIONS, following
from parsolve.equations.levels import symbol
from parsolve.equations.operators import expand, name_of
from parsolve.equations.parse import parse, parse_equation
from parsolve.equations.syntax import Source
from parsolve.equations.white import white
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.equations.equation import Equation

    Expressions = dict[str, sympy.Expr]

GROUPS = {"rate": "evolve", "residual": "solve", "map": "iterate"}  # tables of the case
EQUATION_FUNCTIONS = {**VALUE_FUNCTIONS, **OPERATOR_FUNCTIONS, **NOISE}


@dataclass(frozen=True)
class Texts:
    """The texts of an equation, as expressions by operators along the axes."""

    equation: Equation
    axes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names that they may use."""
        e = self.equation
        return [*e.unknowns, *e.parameters, *e.define, *e.arrays, *self.axes, "t"]

    @cached_property
    def constants(self) -> frozenset[str]:
        """Names of what does not change in space."""
        return constants(self._given, {*self.equation.parameters, "t"})

    @cached_property
    def _given(self) -> Expressions:
        """The definitions, with derivatives of constants yet."""
        return {name: self._read(text, f"define.{name}") for name, text in self.equation.define.items()}

    def defines(self) -> Expressions:
        """The definitions."""
        return {name: settled(e, self.constants) for name, e in self._given.items()}

    def outputs(self, role: str, acceleration: bool) -> Expressions:
        """Rates of the unknowns (of u from ``u``; of u and u_t from ``u_tt``, or u_tt alone), residuals or iterates."""
        e = self.equation
        if e.group != GROUPS[role]:
            raise CaseError(f"{e.group}: the equation gives no {role}; that takes [{GROUPS[role]}]")
        if role != "rate":
            texts = e.solve if role == "residual" else e.iterate
            return {name: self.read(texts[name], f"{e.group}.{name}") for name in e.fields}
        keys = {name: e.rate_key(name) for name in e.fields}
        rates = {name: self.read(e.evolve[key], f"evolve.{key}") for name, key in keys.items()}
        if e.time_order == 1 or acceleration:
            return rates
        return {name: symbol(f"{name}_t") for name in e.fields} | {f"{name}_t": r for name, r in rates.items()}

    def key(self, output: str) -> str:
        """The key of the text that gives an output of a stage, or the table."""
        e = self.equation
        if output in e.define:
            return f"define.{output}"
        rates = {name: e.rate_key(name) for name in e.fields} if e.evolve else dict.fromkeys(e.fields)
        found = [f"{e.group}.{key or name}" for name, key in rates.items() if output in (name, f"{name}_t")]
        return found[0] if found else e.group

    def read(self, text: str, key: str) -> sympy.Expr:
        """The expression of a text by operators along the axes, settled."""
        return settled(self._read(text, key), self.constants)

    def _read(self, text: str, key: str) -> sympy.Expr:
        if key.startswith("solve."):
            left, right = parse_equation(text, self.names, functions=EQUATION_FUNCTIONS, key=key)
            return self._expanded(right, text, key) - self._expanded(left, text, key)
        functions = {**EQUATION_FUNCTIONS, **NEXT} if self.equation.iterate else EQUATION_FUNCTIONS
        return self._expanded(parse(text, self.names, functions=functions, key=key), text, key)

    def settled(self, e: sympy.Expr, text: str, key: str) -> sympy.Expr:
        """An expression of a text by operators along the axes, without derivatives of what does not change in space."""
        return settled(self._expanded(e, text, key), self.constants)

    def _expanded(self, e: sympy.Expr, text: str, key: str) -> sympy.Expr:
        """By operators along the axes, and with noise as a coefficient field, or `white` where it changes in time."""
        parts = list(sympy.preorder_traversal(e))
        made = {s: symbol(f"noise_{s.args[0]}") for s in parts if name_of(s) == "noise"}
        made |= {s: white(int(s.args[0])) for s in parts if name_of(s) == "noise_each_step"}
        e = e.xreplace(made)
        return expand(e, self.axes, Source(text, key))


def with_next(outputs: Expressions, defines: Expressions, taken: Sequence[str]) -> tuple[Expressions, Expressions]:
    """Outputs and definitions of a map, with next(u) as the name of a definition of its own."""
    calls = {s.args[0] for e in (*outputs.values(), *defines.values()) for s in e.atoms(following)}
    found = sorted(calls, key=str)
    wrong = [s for s in found if not (s.is_Symbol and s.name in outputs)]
    if wrong:
        raise CaseError(f"iterate: next(...) takes the name of a field of [iterate], and not {str(wrong[0])[:40]}")
    names = {s: symbol(f"next_{s.name}") for s in found}
    if clash := [name.name for name in names.values() if name.name in taken]:
        raise CaseError(f"iterate: '{clash[0]}' is the name of a next iterate; choose another")
    known = {following(s): name for s, name in names.items()}
    made = {name: e.xreplace(known) for name, e in outputs.items()}
    more = {name.name: made[s.name] for s, name in names.items()}
    made |= {s.name: name for s, name in names.items()}
    return made, {name: e.xreplace(known) for name, e in defines.items()} | more
