"""Which intermediate fields change their sign where all unknowns do, as beyond the end of an anti-periodic axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.equations.operations import NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from parsolve.equations.program import Program, Stage

SAMPLES = 64


def odd(program: Program) -> frozenset[str]:
    """The unknowns, and the intermediate fields that are odd functions of them, as it shows at random values.

    What is upwinded by an unknown is none: it is another formula where the unknown has the other sign.
    """
    found = {*program.equation.unknowns}
    for stage in program.defines:
        if stage.integral is None:
            values, turned = (_sample(stage, found, sign) for sign in (1.0, -1.0))
            found |= {
                name
                for name, a, b in zip(stage.outputs, values, turned, strict=True)
                if np.allclose(a, -b, rtol=1e-9, atol=0.0, equal_nan=True)
            }
    return frozenset(found)


def _sample(stage: Stage, turning: Collection[str], sign: float) -> list[np.ndarray]:
    """The results of a stage at random values of all that it reads, those of some fields times the sign."""
    known: dict[tuple[str, Any], np.ndarray] = {}

    def leaf(name: str) -> Callable[[Any], np.ndarray]:
        def value(data: Any) -> np.ndarray:
            turns = name == "load" and stage.inputs[data[0]] in turning
            if (name, data) not in known:
                known[name, data] = np.random.default_rng(len(known)).uniform(-1.0, 1.0, SAMPLES)
            return known[name, data] * (sign if turns else 1.0)

        return value

    leaves: dict[str, Callable[[Any], np.ndarray]] = {
        name: leaf(name) for name in ("load", "coefficient", "coordinate", "time", "integral", "white")
    }
    leaves["constant"] = lambda number: np.full(SAMPLES, float(number))
    with np.errstate(all="ignore"):
        return stage.evaluate(leaves, lambda name, arguments: NUMPY[name](*arguments))
