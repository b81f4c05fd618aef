"""What a case says of walls that depend on the state: read, and brought to a u + b du/dn = v where a law is linear."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy

from parsolve.equations.functions import where
from parsolve.equations.levels import symbol
from parsolve.equations.operators import INTEGRALS, has_operator, name_of
from parsolve.equations.parse import parse
from parsolve.equations.texts import Texts
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.case import Case, SideCondition
    from parsolve.domain.grid import Grid
    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program

    Parts = tuple[sympy.Expr, sympy.Expr, sympy.Expr]

WORD = re.compile(r"[A-Za-z_]\w*")
FASTEST = 0.5  # of the slope between face and cells: as much as what a wall imposes may grow with its own value
ZERO, ONE = sympy.S.Zero, sympy.S.One


@dataclass(frozen=True)
class Law:
    """A u + B du/dn = V at a side, of the values there; of a curvature A = B = 0.

    Attributes:
        key: of the case.
        parts: A, B and V.
        names: of the fields that they depend on.
        least: what the derivative of A u + B du/dn - V by u must be more than, over the slope of du/dn; None: not zero.
    """

    key: str
    parts: Parts
    names: frozenset[str]
    least: float | None = None

    def solved(self, name: str) -> Parts | None:
        """a, b and v without fields of the same law a u + b du/dn = v; None: it is not linear, or names another."""
        if not self.names <= {name}:
            return None
        a, b, value = self.parts
        found = _split(value, name)
        if found is None or symbol(name) in a.free_symbols | b.free_symbols:
            return None
        return a - found[1], b, found[0]


def law_of(
    case: Case, grid: Grid, place: tuple[str, str], condition: SideCondition, parameters: Mapping[str, float],
    equation: Equation, program: Program,
) -> Law | None:  # fmt: skip
    """What a condition says of values at a field's side; None: it names no field, nor what is made of fields.

    Raises:
        CaseError: an expression is wrong, or what it names has no value at a wall.
    """
    name, side = place
    key = f"boundary.{name}.{side}"
    texts: dict[str, object] = {f"{key}.{n}": getattr(condition, n) for n in ("dirichlet", "neumann", "curvature")}
    texts |= {f"{key}.outflow": condition.outflow}
    texts |= {f"{key}.robin[{n}]": v for n, v in enumerate(condition.robin or ())}
    fields, made = program.unknowns, {*equation.define, *equation.arrays}
    symbols = [*grid.names, "t", *parameters, *fields, *made]
    words = {word for given in texts.values() if isinstance(given, str) for word in WORD.findall(given)}
    if condition.outflow is None and not words & {*fields, *made}:
        return None
    meanings = _meanings(case, grid, parameters, equation) if words & made else {}
    found: dict[str, sympy.Expr] = {}
    for at, given in texts.items():
        if isinstance(given, str | float | int):
            value = parse(given, symbols, key=at) if isinstance(given, str) else _number(float(given))
            found[at.rpartition(".")[2]] = _expanded(value, meanings, at)
    names = frozenset(s.name for e in found.values() for s in e.free_symbols) & {*fields}
    law = _law(case, key, name, condition, found, names, equation, program)
    _check(case, grid, law, name, program)
    return law


def _number(given: float) -> sympy.Expr:
    """A number; to SymPy a Float is equal to no integer, not even to 0."""
    return sympy.Integer(int(given)) if given.is_integer() else sympy.Float(given)


def _meanings(
    case: Case, grid: Grid, parameters: Mapping[str, float], equation: Equation
) -> dict[str, sympy.Expr | str]:
    """What definitions and coefficient fields stand for at a wall, by name; of those that have no value there, why."""
    texts, found = Texts(equation, tuple(grid.names)), dict[str, sympy.Expr | str]()
    for name, e in texts.defines().items() if equation.define else ():
        parts = {name_of(part) for part in sympy.preorder_traversal(e)}
        is_noisy = not {s.name for s in e.free_symbols} <= {*texts.names}
        kinds = {"derivatives": has_operator(e), "an integral": bool(parts & INTEGRALS), "noise": is_noisy}
        found[name] = next((f"it holds {kind}" for kind, is_there in kinds.items() if is_there), e)
    for name in equation.arrays:
        given = case.fields.get(name)
        if isinstance(given, str):
            found[name] = parse(given, [*grid.names, *parameters], key=f"fields.{name}")
        elif isinstance(given, float | int):
            found[name] = _number(float(given))
        else:
            found[name] = "it is given at cells alone"
    return found


def _expanded(e: sympy.Expr, meanings: Mapping[str, sympy.Expr | str], key: str) -> sympy.Expr:
    """An expression with what its names stand for in their place.

    Raises:
        CaseError: one of them has no value at a wall.
    """
    while pending := [s for s in e.free_symbols if s.name in meanings]:
        for s in pending:
            if isinstance(reason := meanings[s.name], str):
                raise CaseError(f"{key}: '{s.name}' has no value at a wall: {reason}")
        e = e.xreplace({s: meanings[s.name] for s in pending})
    return e


def _law(
    case: Case, key: str, name: str, condition: SideCondition, found: Mapping[str, sympy.Expr], names: frozenset[str],
    equation: Equation, program: Program,
) -> Law:  # fmt: skip
    if condition.outflow is not None:
        if equation.time_order != 2:
            carried = "for u_t give { curvature = 0.0 }, which lets out what the equation carries"
            own = f"or, at order 2, {{ dirichlet = 'w' }} with evolve.w = '2*c/h*({name} - w)' (h the width of a cell)"
            raise CaseError(f"{key}.outflow: is for fields of u_tt; {carried}, {own}")
        if f"{name}_t" not in program.unknowns:
            raise CaseError(f"{key}.outflow: takes {name}_t, which is marched by schemes such as 'rk4' alone")
        speed = found["outflow"]
        if speed.is_Number and speed <= 0:
            raise CaseError(f"{key}.outflow: is the speed outwards, above 0, not {float(speed):g}")
        rate = symbol(f"{name}_t")
        return Law(f"{key}.outflow", (ZERO, speed, -rate), names | {rate.name}, 0.0)
    if condition.curvature is not None:
        if names:
            raise CaseError(f"{key}.curvature: cannot depend on fields; dirichlet, neumann and robin can")
        return Law(f"{key}.curvature", (ZERO, ZERO, found["curvature"]), names)
    if condition.robin is not None:
        a, b, value = (found[f"robin[{n}]"] for n in range(3))
        return Law(f"{key}.robin", (a, b, value), names)
    if condition.dirichlet is not None:
        return Law(f"{key}.dirichlet", (ONE, ZERO, found["dirichlet"]), names)
    return Law(f"{key}.neumann", (ZERO, ONE, found["neumann"]), names, FASTEST)


def _check(case: Case, grid: Grid, law: Law, name: str, program: Program) -> None:
    """Refuse what a law cannot be of."""
    if name not in program.unknowns:
        raise CaseError(f"{law.key}: '{name}' is made of the fields, and its walls cannot depend on them")
    for other in (name, *sorted(law.names)):
        if other in program.at:
            raise CaseError(f"{law.key}: '{other}' lives at faces, so that it has no value at this wall")
    if any(grid.anti):
        raise CaseError(f"{law.key}: a wall that depends on fields goes with no anti-periodic axis")
    if any(type(f).__name__ == "noise" for e in law.parts for f in e.atoms(sympy.Function)):
        raise CaseError(f"{law.key}: there is no noise at a wall that depends on fields")


def _split(e: sympy.Expr, name: str) -> tuple[sympy.Expr, sympy.Expr] | None:
    """First and second of e = first + second*u, both without u; None where it is not written so."""
    u = symbol(name)
    if u not in e.free_symbols:
        return e, ZERO
    if e == u:
        return ZERO, ONE
    if e.is_Mul:
        holding = [s for s in e.args if u in s.free_symbols]
        found = _split(holding[0], name) if len(holding) == 1 else None
        factor = sympy.Mul(*(s for s in e.args if s not in holding))
        return found and (factor * found[0], factor * found[1])
    if e.is_Add or (name_of(e) == "where" and u not in e.args[0].free_symbols):
        parts = [_split(s, name) for s in (e.args if e.is_Add else e.args[1:])]
        held = [part for part in parts if part is not None]
        if len(held) < len(parts):
            return None
        first, second = ([part[i] for part in held] for i in (0, 1))
        if e.is_Add:
            return sympy.Add(*first), sympy.Add(*second)
        return where(e.args[0], *first), where(e.args[0], *second)
    return None
