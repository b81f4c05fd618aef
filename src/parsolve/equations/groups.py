"""Kernels for a part of the outputs each, where one for all would take more arrays than is good, or than it can."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from parsolve.equations.tape import Operation
from parsolve.kernels.library import MAX_COEFFICIENTS, MAX_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsolve.equations.program import Stage

TOGETHER = 64  # arrays that a kernel reads and writes at a good speed


def cuts(stage: Stage, terms: int, integrals: int = 0) -> list[tuple[int, int]]:
    """Ranges of the outputs of a stage that one kernel each gives, in order.

    An output joins the kernel of the one before as long as that is no more than TOGETHER arrays, or, as what many
    rates read is better read once for several, no more than twice those that it reads.

    Args:
        stage: of any number of outputs.
        terms: most terms to which it adds its values.
        integrals: which take the places of constants.
    """
    starts = [0]
    needs = list(_needs(stage))
    for n in range(1, len(needs)):
        arrays, constants = (frozenset[int]().union(*(need[i] for need in needs[starts[-1] : n + 1])) for i in (0, 1))
        read, written = len(arrays), (n + 1 - starts[-1]) * (1 + terms)
        most = min(MAX_FIELDS, max(TOGETHER, 2 * read))
        if read + written > most or len(constants) > MAX_COEFFICIENTS - integrals:
            starts.append(n)
    return list(pairwise([*starts, len(needs)]))


def beyond(stage: Stage, terms: int, integrals: int = 0) -> str:
    """What a stage has more of than a kernel takes; empty if it fits."""
    most, constants = MAX_FIELDS - len(stage.outputs) * (1 + terms), MAX_COEFFICIENTS - integrals
    if len(stage.inputs) > most:
        return f"reads {len(stage.inputs)} fields, and a kernel takes {most}"
    if len(stage.coefficients) > constants:
        return (
            f"has {len(stage.coefficients)} different constants, and a kernel takes {constants}; "
            "write some of them as numbers, or move a part into a coefficient field"
        )
    return ""


def named(stage: Stage) -> list[Operation]:
    """The operations of a stage with the names of the fields that they read, and constants as expressions."""
    made = []
    for op in stage.operations:
        data = op.data
        if op.name == "load":
            data = (stage.inputs[data[0]], data[1])
        elif op.name == "coefficient":
            data = stage.coefficients[data]
        made.append(Operation(op.name, op.arguments, data))
    return made


def _needs(stage: Stage) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
    """Numbers of the inputs and of the constants that each output needs."""
    arrays: list[frozenset[int]] = []
    constants: list[frozenset[int]] = []
    for op in stage.operations:
        own = ({op.data[0]}, ()) if op.name == "load" else ((), {op.data}) if op.name == "coefficient" else ((), ())
        for sets, mine in zip((arrays, constants), own, strict=True):
            sets.append(frozenset(mine).union(*(sets[a] for a in op.arguments)))
    yield from ((arrays[n], constants[n]) for n in stage.results)
