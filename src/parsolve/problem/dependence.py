"""What the longest stable step of an equation depends on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from parsolve.equations.linearise import tangent
from parsolve.equations.shared import MOST

if TYPE_CHECKING:
    from parsolve.equations.program import Program


@dataclass(frozen=True)
class Dependence:
    """What the Jacobian depends on: the solution, at neighbours of a cell within a stage too, and the time."""

    state: bool
    neighbours: bool
    time: bool

    @classmethod
    @lru_cache(maxsize=MOST)
    def of(cls, program: Program) -> Dependence:
        """That of a program."""
        derived = tangent(program)
        kept = {name for stage in derived.stages if stage.name in _names(program) for name in stage.outputs}
        read = [pair for stage in derived.stages for pair in zip(stage.inputs, stage.radii, strict=True)]
        of_state = kept | set(derived.about)
        operations = [op.name for stage in derived.stages for op in stage.operations]
        near = any(radius and name in of_state for name, radius in read)
        return cls(bool(derived.about) or "integral" in operations, near, "time" in operations)


def _names(program: Program) -> set[str]:
    return {stage.name for stage in program.defines if stage.integral is None}
