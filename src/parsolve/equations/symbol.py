"""Eigenvalues of an equation linearised about constant states: the Fourier symbol of its stencils.

A field perturbed by exp(i (m theta)) at cell m makes a derivative a multiplication by its symbol; the rest is the chain
rule, carried along as (value, tangents) through the arithmetic of the stages, for all states and waves at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.equations.operations import BOOLEAN, NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from parsolve.equations.program import Program, Stage
    from parsolve.equations.tape import Offset

SAMPLES = (0.0, 0.03, 0.12, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # wave numbers in units of pi / h
COARSE = (0.0, 0.25, 0.5, 0.7, 1.0)  # a part of them
FEW = (0.0, 0.5, 1.0)  # those of systems of many fields
MOST_STATES, LEAST_STATES = 64, 2
WORK = 3e7  # most cubes of the number of unknowns, for about a second
Ranges = Mapping[str, Sequence[float]]  # of each name the ends of its values, or of t the times to look at


@dataclass(frozen=True)
class _Dual:
    """Values by state, and their derivatives by the amplitude of each unknown, of shape (states, waves); or none."""

    value: np.ndarray
    tangent: Mapping[int, np.ndarray] = field(default_factory=dict)


def eigenvalues(
    program: Program, coefficients: Mapping[str, Sequence[float]], ranges: Ranges, volume: float = 1.0,
    samples: Sequence[float] = SAMPLES,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Eigenvalues of all sampled waves and states, and the rate at which uniform states oscillate or grow.

    Args:
        program: the discretised equation.
        coefficients: values of the constants of each stage, by the stage's name.
        ranges: smallest and largest value of each unknown and coefficient field, of x, y, z, and times; the states
            looked at are corners, edges and middles of this box.
        volume: of the domain, for integrals.
        samples: wave numbers along an axis, 0 first; they have both signs where the sign matters.  Of many unknowns
            only three are looked at, and fewer states.

    Returns:
        Eigenvalues of shape (states, waves, unknowns), the wave of number 0 first; and the rate.  Where a constant is
        not finite, or at no state all derivatives of rates are, both are infinite.
    """
    cube, axes = len(program.unknowns) ** 3, len(program.axes)
    samples = samples if cube * 8 * len(samples) ** axes <= WORK else FEW
    states = _states(program, ranges, min(MOST_STATES, max(LEAST_STATES, int(WORK / (cube * len(samples) ** axes)))))
    waves = np.array(list(itertools.product(*[samples] * len(program.axes)))) * np.pi
    matrix, _ = _matrix(program, coefficients, states, waves, volume)
    if np.any(matrix.imag):  # one wave and its opposite are conjugate, so that one axis keeps its sign
        for signs in itertools.product((1, -1), repeat=len(program.axes) - 1):
            if -1 in signs:
                turned = waves[(waves > 0).all(axis=1)] * (1, *signs)
                more, _ = _matrix(program, coefficients, states, turned, volume)
                matrix = np.concatenate([matrix, more], axis=1)
    constants = [value for stage in program.stages for value in coefficients[stage.name]]
    if not (np.isfinite(constants).all() and np.isfinite(matrix).all(axis=(1, 2, 3)).any()):
        return np.full((1, 1, len(program.unknowns)), complex(np.inf)), np.inf
    finite = np.nan_to_num(matrix if np.any(matrix.imag) else matrix.real, nan=0.0, posinf=0.0, neginf=0.0)
    values = (finite[..., 0] if finite.shape[-1] == 1 else np.linalg.eigvals(finite)).astype(complex)
    uniform = values[:, 0, :]
    return values, float(max(np.abs(uniform.imag).max(initial=0.0), uniform.real.max(initial=0.0), 0.0))


def time_scale(
    program: Program,
    coefficients: Mapping[str, Sequence[float]],
    ranges: Ranges,
    times: np.ndarray,
    volume: float = 1.0,
) -> float:
    """How long what is written with t takes to change: its range over its steepest slope, the least of all parts.

    The parts are rates of uniform states and derivatives of rates by waves; infinity where nothing changes.

    ``times`` are looked at, increasing; the other arguments are those of ``eigenvalues``.
    """
    fixed = {name: values for name, values in ranges.items() if name != "t"}
    states = _states(program, fixed, most=8)
    count, scale = len(states[""]), np.inf
    waves = np.array(list(itertools.product((0.0, 0.4, 1.0), repeat=len(program.axes)))) * np.pi
    for n in range(count):
        state = {name: np.full(len(times), column[n]) for name, column in states.items()} | {"t": times}
        matrix, rates = _matrix(program, coefficients, state, waves, volume)
        parts = np.concatenate([matrix.reshape(len(times), -1), rates.T], axis=1)
        parts = np.nan_to_num(parts, nan=0.0, posinf=0.0, neginf=0.0)
        change = np.abs(parts - parts[0]).max(axis=0)
        slope = (np.abs(np.diff(parts, axis=0)) / np.diff(times)[:, None]).max(axis=0, initial=0.0)
        moving = change > 1e-9 * np.abs(parts).max(axis=0)
        scale = min(scale, float((change[moving] / slope[moving]).min(initial=np.inf)))
    return scale


def _states(program: Program, ranges: Ranges, most: int = MOST_STATES) -> dict[str, np.ndarray]:
    """Corners, edges and middles of the box of ranges, or so many chosen at random, both extremes among them."""
    names = sorted(_variables(program) & set(ranges))
    choices = []
    for name in names:
        low, high = min(ranges[name]), max(ranges[name])
        choices.append(sorted(set(ranges[name]) if name == "t" else {low, 0.5 * (low + high), high}))
    chosen: Iterable[tuple[float, ...]] = itertools.product(*choices)
    if math.prod(len(c) for c in choices) > most:
        picks = np.random.default_rng(0).integers(0, [len(c) for c in choices], (most, len(choices)))
        picks[0], picks[1] = 0, -1
        chosen = (tuple(c[i] for c, i in zip(choices, row, strict=True)) for row in picks)
    rows = list(chosen)
    table = np.array(rows, dtype=float).reshape(len(rows), len(names))
    return {name: table[:, i] for i, name in enumerate(names)} | {"": np.zeros(len(table))}


def _variables(program: Program) -> set[str]:
    names = {name for stage in program.stages for name in stage.inputs}
    for op in (op for stage in program.stages for op in stage.operations):
        if op.name == "coordinate":
            names.add("zyx"[op.data[0]])
        elif op.name == "time":
            names.add("t")
    return names


def _matrix(
    program: Program, coefficients: Mapping[str, Sequence[float]], states: Mapping[str, np.ndarray], waves: np.ndarray,
    volume: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Derivatives of the rates by the amplitudes, shape (states, waves, rates, unknowns), and rates (rates, states)."""
    theta = np.zeros((len(waves), 3))
    theta[:, [("z", "y", "x").index(axis) for axis in program.axes]] = waves
    with np.errstate(all="ignore"):
        rates = _rates(program, coefficients, states, theta, volume)
    matrix = np.zeros((len(states[""]), len(waves), len(rates), len(program.unknowns)), complex)
    for i, r in enumerate(rates):
        for j, derivative in r.tangent.items():
            matrix[:, :, i, j] = derivative
    return matrix, np.array([r.value for r in rates])


def _rates(
    program: Program, coefficients: Mapping[str, Sequence[float]], states: Mapping[str, np.ndarray], theta: np.ndarray,
    volume: float,
) -> list[_Dual]:  # fmt: skip
    unknowns, zero = program.unknowns, states[""]
    one = np.ones((len(zero), len(theta)), complex)
    fields = {name: _Dual(states.get(name, zero)) for name in (*program.arrays, "x", "y", "z", "t")}
    fields |= {name: _Dual(states.get(name, zero), {i: one}) for i, name in enumerate(unknowns)}
    for stage in program.defines:
        (value,) = _linearise(stage, coefficients[stage.name], fields, theta)
        if stage.integral is not None:  # no wave but the constant changes it
            weight = np.where(theta.any(axis=1), 0.0, 1.0 if stage.is_mean else volume)
            changes = {i: weight * derivative for i, derivative in value.tangent.items()}
            value = _Dual(value.value * (1.0 if stage.is_mean else volume), changes)
            fields[f"integral {stage.integral}"] = value
        fields[stage.outputs[0]] = value
    return _linearise(program.rate, coefficients[program.rate.name], fields, theta)


def _linearise(
    stage: Stage, coefficients: Sequence[float], fields: Mapping[str, _Dual], theta: np.ndarray
) -> list[_Dual]:
    count = len(next(iter(fields.values())).value)
    turns: dict[Offset, np.ndarray] = {}

    def load(data: tuple[int, Offset]) -> _Dual:
        f, offset = fields[stage.inputs[data[0]]], data[1]
        if offset not in turns:
            turns[offset] = np.exp(1j * (theta @ np.array(offset)))
        return _Dual(f.value, {i: derivative * turns[offset] for i, derivative in f.tangent.items()})

    def constant(number: float) -> _Dual:
        return _Dual(np.full(count, float(number)))

    leaves: dict[str, Callable[[Any], _Dual]] = {
        "load": load,
        "constant": constant,
        "coefficient": lambda n: constant(coefficients[n]),
        "coordinate": lambda data: fields["zyx"[data[0]]],
        "time": lambda _: fields["t"],
        "integral": lambda n: fields[f"integral {n}"],
        "white": lambda _: constant(0.0),  # its mean
    }
    return stage.evaluate(leaves, _apply)


def _apply(name: str, arguments: Sequence[_Dual]) -> _Dual:
    """A function of duals: exact rules for arithmetic, central differences for the other functions."""
    values = [a.value for a in arguments]
    value = np.asarray(NUMPY[name](*values), dtype=float)
    tangent: dict[int, np.ndarray] = {}
    for n, argument in enumerate(arguments):
        if argument.tangent and name not in BOOLEAN:
            factor = _partial(name, n, values, value)
            for i, derivative in argument.tangent.items():
                change = derivative if isinstance(factor, float) and factor == 1 else factor * derivative
                tangent[i] = tangent[i] + change if i in tangent else change
    return _Dual(value, tangent)


def _partial(name: str, n: int, at: Sequence[np.ndarray], value: np.ndarray) -> np.ndarray | float:
    """The derivative by argument n, to be multiplied with waves: by state, 0 where there is none, or a number."""
    if name in ("add", "sub", "neg") or (name == "fma" and n == 2):
        return -1.0 if name == "neg" or (name == "sub" and n == 1) else 1.0
    if name == "select":
        partial = np.where(at[0], n == 1, n == 2).astype(float)
    elif name in ("mul", "fma"):
        partial = at[1 - n]
    elif name == "div":
        partial = -value / at[1] if n else 1.0 / at[1]
    else:
        h = 1e-6 * np.maximum(1.0, np.abs(at[n]))
        up, down = ([*at[:n], at[n] + d, *at[n + 1 :]] for d in (h, -h))
        partial = (NUMPY[name](*up) - NUMPY[name](*down)) / (2 * h)
    return np.where(np.isfinite(partial), partial, 0.0)[:, None]
