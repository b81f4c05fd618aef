"""What a case asks for: its grid, its equation discretised, its scheme and its conditions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.boundary import MIRROR, Condition
from parsolve.domain.closure import CLOSURE_ORDER, closure_base
from parsolve.equations.balance import even
from parsolve.problem.dependence import Dependence
from parsolve.store.frames import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.case import Case
    from parsolve.domain.boundary import Wall
    from parsolve.domain.grid import Grid
    from parsolve.equations.equation import Equation
    from parsolve.equations.measures import Measures
    from parsolve.equations.program import Program
    from parsolve.march.tableaus import Scheme
    from parsolve.problem.slicing import Slicing
    from parsolve.store.course import Course


@dataclass(frozen=True)
class Problem:
    """What a case asks for, before anything is allocated or split.

    Attributes:
        program: the equation, discretised.
        parameters: all constants of the equation.
        conditions: boundary conditions by field and side.
        measures: what is measured.
        derived: what gives the fields that are written and not marched; None if there are none.
        averaged: what gives the values of which statistics in time are taken; None likewise.
        courses: the coefficient fields that a file gives at several times.
        slices: what is written of some of the cells.
    """

    case: Case
    grid: Grid
    equation: Equation
    program: Program
    scheme: Scheme
    parameters: Mapping[str, float]
    conditions: Mapping[str, Mapping[str, Condition]]
    measures: Measures | None = None
    derived: Program | None = None
    averaged: Program | None = None
    courses: Mapping[str, Course] = field(default_factory=dict)
    slices: tuple[Slicing, ...] = ()

    @property
    def looks(self) -> list[Program]:
        """The programs of what is made of the state for those who look at it."""
        measured = self.measures.program if self.measures else None
        sliced = (one.program for one in self.slices)
        return [program for program in (measured, self.derived, self.averaged, *sliced) if program]

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """The coefficient fields that are read, and noise."""
        return tuple(dict.fromkeys(name for program in (self.program, *self.looks) for name in program.arrays))

    @cached_property
    def ghost(self) -> int:
        """Depth of the ghost cells."""
        return max(program.ghost for program in (self.program, *self.looks))

    @cached_property
    def radius(self) -> int:
        """Depth of the physical ghosts."""
        return max(program.radius for program in (self.program, *self.looks))

    @cached_property
    def depends(self) -> Dependence:
        """What the longest stable step depends on."""
        return Dependence.of(self.program)

    @cached_property
    def even(self) -> frozenset[str]:
        """The coefficient fields that are mirrored where all unknowns are."""
        return even(self.program)

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self.case.run.precision)

    @property
    def velocities(self) -> tuple[str, ...]:
        """Initial velocities that a scheme for u_tt needs beside its unknowns."""
        second = self.scheme.derivative == 2
        return tuple(f"{name}_t" for name in self.equation.fields if second)

    @property
    def is_adaptive(self) -> bool:
        """Whether the error is estimated and the step adapted to it."""
        return self.case.time.tolerance is not None

    @property
    def recorded(self) -> list[FieldInfo]:
        """What the result says of each field that it holds."""
        chosen = dict(self.case.output.chosen)
        return self.described(chosen or dict.fromkeys((*self.program.unknowns, *self.case.averages), ""))

    def described(self, chosen: Mapping[str, str]) -> list[FieldInfo]:
        """What a result says of fields, by their names and the expressions that make them."""
        known = self.equation.fields
        texts = {name: name for name in [*self.program.unknowns, *self.equation.arrays]} | {**self.equation.define}
        texts |= {f"{name}_t": f"rate of {meaning}" for name, meaning in known.items()} | {**known}
        texts |= {name: f"{said.kind} of {', '.join(said.texts)}" for name, said in self.case.averages.items()}
        return [self._info(name, chosen[name] or texts.get(name, name)) for name in chosen]

    @property
    def measured(self) -> list[FieldInfo]:
        """What the result says of each measure."""
        return [self._info(name, measure.of) for name, measure in self.case.measures.items()]

    @property
    def dimensions(self) -> list[FieldInfo]:
        """What the result says of the time and the axes."""
        return [self._info(name, name) for name in ("time", *self.grid.names)]

    def _info(self, name: str, long_name: str) -> FieldInfo:
        said = self.case.meaning(name)
        return FieldInfo(name, said.name or long_name, said.unit)

    @property
    def carried(self) -> int:
        """Fields that hold the state between steps."""
        return len(self.program.unknowns) * (2 if self.is_adaptive else self.scheme.derivative)

    @property
    def remembered(self) -> int:
        """Fields that averages are kept in between samples, with those of what they are rounded by."""
        summed, parts = {"mean": 1, "variance": 2, "covariance": 3}, 1 + (self.dtype == np.float32)
        return sum(parts * summed[a.kind] if a.kind in summed else 1 for a in self.case.averages.values())

    @property
    def field_count(self) -> int:
        """Fields that a march holds: registers and rates of the unknowns, intermediate and coefficient fields."""
        registers = self.scheme.registers(self.is_adaptive) + 2 * self.is_adaptive
        made = sum(len(program.defines) for program in (self.program, *self.looks))
        derived = sum(len(program.unknowns) for program in (self.derived, self.averaged) if program)
        kept = self.remembered + len(self.arrays) + 2 * len(self.courses)
        return registers * len(self.program.unknowns) + made + derived + kept

    @property
    def can_fuse(self) -> bool:
        """Whether the stages can run tile by tile: compiled, without sums over the grid.

        Coefficients that a file gives at several times are those of one time in the whole of a pass.

        Walls that depend on fields are found of the whole state, once a stage.

        Beyond the end of an anti-periodic axis the unknowns change their sign, which not every field made of them does.
        """
        sums = any(stage.integral is not None for stage in self.program.stages)
        odd = not any(self.grid.anti) or not self.program.defines
        moving = any(name in self.courses for name in self.program.arrays)
        return self.case.run.device == "cpu" and not sums and odd and not moving and not self.walls

    @property
    def walls(self) -> list[Wall]:
        """The walls that depend on fields."""
        given = (c.wall for sides in self.conditions.values() for c in sides.values())
        return list(dict.fromkeys(wall for wall in given if wall is not None))

    @property
    def closure(self) -> int:
        """Most owned cells that a boundary condition reads."""
        return self._closure(self.program.radius)

    @property
    def least_cells(self) -> int:
        """Cells that there must be between two sides; a mirror is itself mirrored where there are fewer than ghosts."""
        return self._closure(min(self.radius, 1 if self.case.run.order == 2 else CLOSURE_ORDER))

    def is_mirror(self, side: str) -> bool:
        """Whether every field is mirrored at a side, so that coefficients are too and what flows there is zero."""
        return all(sides[side].mirrors for sides in self.conditions.values() if side in sides)

    def _closure(self, depth: int) -> int:
        given = [c for sides in self.conditions.values() for c in sides.values()]
        base = closure_base(self.case.run.order)
        beside = [base + 1 for wall in self.walls if wall.reads]  # of the cells that fields go on from
        return max(*beside, *(c.closure(base, depth) for c in (MIRROR, *given)), 1)
