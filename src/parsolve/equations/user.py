"""A user's equation: its names checked, then the same Equation as the catalogue's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parsolve.equations.equation import Equation, Parameter, field_of
from parsolve.equations.functions import NEXT
from parsolve.equations.parse import CONSTANTS, parse
from parsolve.equations.texts import EQUATION_FUNCTIONS
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from parsolve.case import Value

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
MADE = re.compile(r"(noise|integral|mean|intermediate)_[0-9]+")
STAGES = {"rate", "acceleration"}  # which name kernels, as definitions do; those of [evolve]
RESERVED = {"x", "y", "z", "t", *CONSTANTS, *EQUATION_FUNCTIONS}


def user_equation(
    evolve: Mapping[str, str],
    parameters: Mapping[str, float],
    define: Mapping[str, str],
    fields: Mapping[str, Value],
    axes: Collection[str],
    *,
    solve: Mapping[str, str] | None = None,
    iterate: Mapping[str, str] | None = None,
) -> Equation:
    """The equation of the texts of ``[evolve]``, ``[solve]`` or ``[iterate]``, and ``[define]``.

    A coefficient field that changes in time becomes a definition, so that it is computed where it is used.

    Args:
        evolve: du/dt by ``u`` or ``u_t``, or the second time derivative by ``u_tt``; empty for the other two.
        parameters: constants.
        define: named expressions.
        fields: coefficient fields.
        axes: of the grid.
        solve: ``left = right`` by the unknown that it is for.
        iterate: the next iterate of ``u``.

    Raises:
        CaseError: a name that cannot be one, stands for two things, or first and second order mixed.
    """
    _check_rates(evolve)
    texts = evolve or solve or iterate or {}
    unknowns = [field_of(key) if evolve else key for key in texts]
    moving = {name: v for name, v in fields.items() if isinstance(v, str) and _moves(name, v, [*axes, *parameters])}
    equation = Equation(
        name="user",
        formula=",  ".join(
            text if solve else f"{f'next({key})' if iterate else _derivative(key)} = {text}"
            for key, text in texts.items()
        ),
        fields={name: name for name in unknowns},
        parameters={name: Parameter(value, "1", "parameter") for name, value in parameters.items()},
        evolve=evolve,
        source="the case",
        define={**define, **moving},
        arrays=tuple(name for name in fields if name not in moving),
        solve=solve or {},
        iterate=iterate or {},
    )
    _check_names(equation, define, fields)
    return equation


def _derivative(key: str) -> str:
    """What a key of [evolve] gives: u_t of u."""
    return key if key.endswith("_tt") else f"{field_of(key)}_t"


def _check_rates(evolve: Collection[str]) -> None:
    """Refuse two rates of one field, and first beside second time derivatives."""
    keys: dict[str, str] = {}
    for key in evolve:
        if keys.setdefault(field_of(key), key) != key:
            name = field_of(key)
            raise CaseError(
                f"evolve.{key}: evolve.{keys[name]} gives the rate of {name} already; give one of the two, and a "
                f"second time derivative as {name}_tt alone"
            )
    second = [key for key in evolve if key.endswith("_tt")]
    if second and len(second) != len(evolve):
        first = next(key for key in evolve if key not in second)
        raise CaseError(
            f"evolve.{first}: {', '.join(second)} gives a second time derivative, so all must; write "
            f"{field_of(first)}_tt, or all as first-order equations: {field_of(second[0])} = 'v', v = '...' for "
            f"{second[0]} = '...'"
        )


def _check_names(equation: Equation, define: Collection[str], fields: Collection[str]) -> None:
    """Refuse names that cannot be one, or stand for two things."""
    last = {"residual"} if equation.solve else {"map"} if equation.iterate else STAGES
    reserved = RESERVED | set(NEXT) if equation.iterate else RESERVED
    groups = {
        equation.group: equation.unknowns, "parameters": equation.parameters, "define": define, "fields": fields,
    }  # fmt: skip
    taken: dict[str, str] = {}
    keys = {field_of(key): key for key in equation.evolve}
    for group, names in groups.items():
        for name in names:
            key = f"{group}.{keys.get(name, name) if group == 'evolve' else name}"
            if not NAME.fullmatch(name) or MADE.fullmatch(name):
                raise CaseError(
                    f"{key}: not a name that can be used: letters, digits and _, beginning with a letter, "
                    "at most 32, and not one that the solver makes itself (noise_1, integral_1, ...)"
                )
            if name in reserved or (group in ("define", "fields") and name in last):
                raise CaseError(f"{key}: '{name}' is a name of the language; choose another")
            if name in taken:
                raise CaseError(f"{key}: there is a '{name}' in [{taken[name]}] already; choose another name")
            taken[name] = group


def _moves(name: str, text: str, names: Collection[str]) -> bool:
    """Whether the values of a coefficient field change in time."""
    return any(s.name == "t" for s in parse(text, [*names, "t"], key=f"fields.{name}").free_symbols)
