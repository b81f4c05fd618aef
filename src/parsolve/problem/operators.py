"""A program on a grid as an operator of the engine: kernels, and the values of their constants."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.closure import closure_base
from parsolve.domain.grid import AXES
from parsolve.equations.operators import spacing
from parsolve.equations.values import evaluate
from parsolve.errors import CaseError
from parsolve.stages.operator import Operator, StageKernel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import sympy

    from parsolve.case import Case
    from parsolve.domain.boundary import Conditions
    from parsolve.domain.grid import Grid
    from parsolve.equations.program import Program, Stage
    from parsolve.kernels.library import Kernel


def operator_of(
    program: Program,
    grid: Grid,
    parameters: Mapping[str, float],
    conditions: Conditions,
    kernel_of: Callable[[Stage], Kernel],
) -> Operator:
    """A program of any role with its kernels and constants; ``conditions`` by field and side.

    Raises:
        CaseError: a field lives at the faces of an axis that is not periodic, where boundary values are those of cells.
    """
    for name, axis in program.at.items():
        if not grid.periodic[AXES.index(axis)]:
            raise CaseError(f"{name}: fields at faces along {axis} need a periodic axis")

    def kernel(stage: Stage) -> StageKernel:
        return StageKernel(
            kernel_of(stage), stage.inputs, stage.outputs, coefficients(stage, grid, parameters), stage.radius,
            stage.updates,
            reach=program.reach[stage.outputs[0]] if stage in program.defines else 0,
            integral=stage.integral,
            factor=1 / grid.size if stage.is_mean else prod(grid.spacing),
            timed=any(op.name == "time" for op in stage.operations),
            noisy=stage.is_noisy,
        )  # fmt: skip

    walls = [c.wall for n in program.exchanged for c in conditions.get(n, {}).values() if c.wall is not None]
    exchanged = dict.fromkeys((*program.exchanged, *(name for wall in walls for name in (*wall.fields, *wall.reads))))
    return Operator(
        tuple(kernel(stage) for stage in program.defines),
        tuple(kernel(stage) for stage in program.kernels[len(program.defines) :]),
        tuple(exchanged), program.ghost, program.radius, closure_base(program.order), program.has_corners, conditions,
    )  # fmt: skip


def coefficients(stage: Stage, grid: Grid, parameters: Mapping[str, float]) -> tuple[float, ...]:
    """Values of the constants that a stage's kernel takes."""
    given = tuple((name, value, repr(value)) for name, value in parameters.items())  # 0.0 is -0.0, but for the text
    return _values(stage.coefficients, grid.spacing, given)


@lru_cache(maxsize=64)  # of a few problems: a march asks again and again
def _values(
    formulas: tuple[sympy.Expr, ...], spacings: tuple[float, ...], parameters: tuple[tuple[str, float, str], ...]
) -> tuple[float, ...]:
    values = {name: value for name, value, _ in parameters}
    values |= {spacing(axis).name: h for axis, h in zip(AXES, spacings, strict=True)}
    return tuple(float(evaluate(e, values)) for e in formulas)


def refuse_overflow(case: Case, grid: Grid, program: Program, parameters: Mapping[str, float]) -> None:
    """Refuse constants of a program that the type of the fields does not hold.

    Raises:
        CaseError: there is one.
    """
    most = float(np.finfo(case.run.precision).max)
    for stage in program.stages:
        for formula, value in zip(stage.coefficients, coefficients(stage, grid, parameters), strict=True):
            if not abs(value) <= most:
                used = sorted({s.name for s in formula.free_symbols} & parameters.keys())
                key = f"parameters.{used[0]}" if used else case.law
                said = str(formula).replace("spacing.", "d")
                text = f"the coefficient {said} is {value:.3g}, beyond {case.run.precision}: choose other units"
                raise case.error(key, text)
