"""What an equation is: fields, parameters and rates, with no grid and no MPI."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def field_of(key: str) -> str:
    """The field whose rate a key of ``[evolve]`` gives: u of u, u_t and u_tt."""
    return key.removesuffix("_tt") if key.endswith("_tt") else key.removesuffix("_t")


@dataclass(frozen=True)
class Parameter:
    """A constant of an equation: default value, unit and meaning."""

    default: float
    unit: str
    meaning: str


@dataclass(frozen=True)
class Equation:
    """A system of equations in the equation language: of evolution, in space, or a map.

    Attributes:
        name: as in the case file, for example ``gray-scott``.
        formula: one line for people.
        fields: unknowns, name to meaning.
        parameters: constants with defaults.
        evolve: ``u`` or ``u_t`` to the text of du/dt, or ``u_tt`` to the text of the second time derivative.
        solve: ``u`` to the equation that u solves: ``left = right``, or an expression that is to be zero.
        iterate: ``u`` to the text of the next iterate; names are those of this one, ``next(u)`` of the next.
        define: named intermediate expressions that the texts may use.
        range: values that a field is expected to take, for the automatic time step.
        arrays: coefficient fields, constant in time.
        source: where the equation comes from.
    """

    name: str
    formula: str
    fields: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    evolve: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    solve: Mapping[str, str] = field(default_factory=dict)
    iterate: Mapping[str, str] = field(default_factory=dict)
    define: Mapping[str, str] = field(default_factory=dict)
    arrays: tuple[str, ...] = ()
    range: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def time_order(self) -> int:
        """2 if the equation gives second time derivatives (``u_tt``), else 1."""
        return 2 if self.evolve and all(key.endswith("_tt") for key in self.evolve) else 1

    def rate_key(self, name: str) -> str:
        """The key of ``evolve`` that gives the rate of a field: u, u_t or u_tt."""
        return next(key for key in self.evolve if field_of(key) == name)

    @property
    def group(self) -> str:
        """The table of the case that holds its texts: evolve, solve or iterate."""
        return "solve" if self.solve else "iterate" if self.iterate else "evolve"

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Fields of the first-order system: u, v, ... and, for u_tt, also the velocities u_t, ..."""
        names = tuple(self.fields)
        return names if self.time_order == 1 else names + tuple(f"{name}_t" for name in names)

    @property
    def key(self) -> tuple[object, ...]:
        """All that its programs depend on: texts and names, without the values of parameters."""
        tables = (self.fields, self.evolve, self.solve, self.iterate, self.define)
        return (self.name, *(tuple(table.items()) for table in tables), tuple(self.parameters), self.arrays)
