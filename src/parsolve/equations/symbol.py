"""Eigenvalues of an equation linearised about constant states: the Fourier symbol of its stencils.

A field perturbed by exp(i (m theta)) at cell m makes a derivative a multiplication by its symbol; the rest is the chain
rule, carried along as (value, tangents) through the arithmetic of the stages.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsolve.equations.reference import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parsolve.equations.program import Program, Stage

SAMPLES = (0.0, 0.03, 0.12, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # wave numbers in units of pi / h
MOST_STATES = 128


@dataclass(frozen=True)
class _Dual:
    """A value and its derivatives by the amplitude of each unknown, at every wave number: shape (unknowns, waves)."""

    value: float
    tangent: np.ndarray


def eigenvalues(
    program: Program,
    coefficients: Mapping[str, Sequence[float]],
    ranges: Mapping[str, tuple[float, float]],
    volume: float = 1.0,
) -> tuple[np.ndarray, float]:
    """Eigenvalues of all sampled waves and states, and the rate at which uniform states oscillate or grow.

    Args:
        program: the discretised equation.
        coefficients: values of the constants of each stage, by the stage's name.
        ranges: smallest and largest value of each unknown and coefficient field, of x, y, z and t; the states looked
            at are corners, edges and middles of this box.
        volume: of the domain, for integrals.
    """
    waves = np.array(list(itertools.product(*[SAMPLES] * len(program.axes)))) * np.pi
    theta = np.zeros((len(waves), 3))
    theta[:, [("z", "y", "x").index(axis) for axis in program.axes]] = waves
    values = np.array(  # states, waves, unknowns
        [_matrix_eigenvalues(program, coefficients, state, theta, volume) for state in _states(program, ranges)]
    )
    uniform = values[:, 0, :]
    slow = float(max(np.abs(uniform.imag).max(initial=0.0), uniform.real.max(initial=0.0), 0.0))
    return values, slow


def _states(program: Program, ranges: Mapping[str, tuple[float, float]]) -> list[dict[str, float]]:
    """Corners, edges and middles of the box of ranges, or as many as MOST_STATES of them chosen at random."""
    names = sorted(_variables(program) & set(ranges))
    choices = [sorted({low, 0.5 * (low + high), high}) for low, high in (ranges[name] for name in names)]
    total = math.prod(len(c) for c in choices)
    chosen: Iterable[tuple[float, ...]] = itertools.product(*choices)
    if total > MOST_STATES:
        picks = np.random.default_rng(0).integers(0, [len(c) for c in choices], (MOST_STATES, len(choices)))
        chosen = (tuple(c[i] for c, i in zip(choices, row, strict=True)) for row in picks)
    return [dict(zip(names, state, strict=True)) for state in chosen]


def _variables(program: Program) -> set[str]:
    names = {name for stage in program.stages for name in stage.inputs}
    for op in (op for stage in program.stages for op in stage.operations):
        if op.name == "coordinate":
            names.add("zyx"[op.data[0]])
        elif op.name == "time":
            names.add("t")
    return names


def _matrix_eigenvalues(
    program: Program,
    coefficients: Mapping[str, Sequence[float]],
    state: Mapping[str, float],
    theta: np.ndarray,
    volume: float,
) -> np.ndarray:
    unknowns = program.unknowns
    identity = np.eye(len(unknowns), dtype=complex)
    fields = {
        name: _Dual(state.get(name, 0.0), np.repeat(identity[i][:, None], len(theta), axis=1))
        for i, name in enumerate(unknowns)
    }
    still = np.zeros_like(next(iter(fields.values())).tangent)
    fields |= {name: _Dual(state.get(name, 0.0), still) for name in (*program.arrays, "x", "y", "z", "t")}
    for stage in program.defines:
        (value,) = _linearise(stage, coefficients[stage.name], fields, theta)
        if stage.integral is not None:  # no wave but the constant changes it
            value = _Dual(value.value * (1.0 if stage.is_mean else volume), still)
            fields[f"integral {stage.integral}"] = value
        fields[stage.outputs[0]] = value
    rates = _linearise(program.rate, coefficients[program.rate.name], fields, theta)
    matrix = np.array([rate.tangent for rate in rates])  # rates, unknowns, waves
    matrix = np.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
    return np.linalg.eigvals(np.moveaxis(matrix, 2, 0))


def _linearise(
    stage: Stage, coefficients: Sequence[float], fields: Mapping[str, _Dual], theta: np.ndarray
) -> list[_Dual]:
    zero = np.zeros_like(next(iter(fields.values())).tangent)
    values: list[_Dual] = []
    for op in stage.operations:
        if op.name == "load":
            index, offset = op.data
            f = fields[stage.inputs[index]]
            values.append(_Dual(f.value, f.tangent * np.exp(1j * (theta @ np.array(offset)))))
        elif op.name == "coordinate":
            values.append(fields["zyx"[op.data[0]]])
        elif op.name == "time":
            values.append(fields["t"])
        elif op.name == "integral":
            values.append(fields[f"integral {op.data}"])
        elif op.name in ("constant", "coefficient"):
            number = op.data if op.name == "constant" else coefficients[op.data]
            values.append(_Dual(float(number), zero))
        else:
            values.append(_apply(op.name, [values[a] for a in op.arguments]))
    return [values[n] for n in stage.results]


def _apply(name: str, arguments: Sequence[_Dual]) -> _Dual:
    """A function of duals: exact rules for arithmetic, central differences for the other functions."""
    with np.errstate(all="ignore"):
        function = FUNCTIONS[name]
        value = float(function(*(a.value for a in arguments)))
        tangent = np.zeros_like(arguments[0].tangent)
        for i, partial in enumerate(_partials(name, function, [a.value for a in arguments], value)):
            if np.isfinite(partial):
                tangent = tangent + partial * arguments[i].tangent
    return _Dual(value, tangent)


def _partials(name: str, function: Callable[..., np.ndarray], at: Sequence[float], value: float) -> list[float]:
    if name in ("lt", "le", "eq", "ne", "and", "or", "not"):
        return [0.0 for _ in at]
    if name == "select":
        return [0.0, float(bool(at[0])), float(not at[0])]
    simple = {"add": [1.0, 1.0], "sub": [1.0, -1.0], "neg": [-1.0]}
    if name in simple:
        return simple[name]
    if name == "mul":
        return [at[1], at[0]]
    if name == "div":
        return [float(np.divide(1.0, at[1])), float(np.divide(-value, at[1]))]
    partials = []
    for i, s in enumerate(at):
        h = 1e-6 * max(1.0, abs(s))
        up, down = ([*at[:i], s + d, *at[i + 1 :]] for d in (h, -h))
        partials.append(float((function(*up) - function(*down)) / (2 * h)))
    return partials
