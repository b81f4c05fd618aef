"""Programs evaluated on periodic arrays, by NumPy or compiled, without a grid and its fields."""

from __future__ import annotations

import ctypes
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.equations.codegen import program_text
from parsolve.equations.equation import Equation, Parameter, field_of
from parsolve.equations.operators import AXES, spacing
from parsolve.equations.reference import NumpyKernel
from parsolve.equations.values import evaluate
from parsolve.kernels.jit import PREAMBLE, load
from parsolve.kernels.library import MAX_COEFFICIENTS, Args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsolve.equations.program import Program, Stage
    from parsolve.kernels.library import Library

Arrays = dict[str, np.ndarray]


class Bench:
    """Evaluates programs on arrays (z, y, x) that are periodic along all axes that have more than one cell.

    An update kernel gives ``terms`` (zero where none is given) plus ``scale`` times its value.
    """

    def __init__(self, h: Mapping[str, float], *, scale: float = 1.0, **parameters: float) -> None:
        self.scale = scale
        self.h = {"x": 1.0, "y": 1.0, "z": 1.0, **h}
        self.parameters = {**parameters, **{spacing(a).name: s for a, s in self.h.items()}}

    def __call__(
        self,
        program: Program,
        fields: Arrays,
        *,
        compiled: bool = False,
        terms: Arrays | None = None,
        time: float = 0.0,
    ) -> Arrays:
        """The outputs of the last stage."""
        shape = next(iter(fields.values())).shape
        dtype = next(iter(fields.values())).dtype
        library = load(None, PREAMBLE + program_text(program), dtype.name) if compiled else None
        known, integrals = dict(fields), dict[int, float]()
        for stage in program.stages:
            args = self._args(stage, shape, integrals, time)
            made = self._launch(stage, args, known, shape, dtype, library, terms or {})
            if stage.integral is not None:
                factor = 1 / prod(shape) if stage.is_mean else prod(h for a, h in self.h.items() if a in program.axes)
                integrals[stage.integral] = float(np.sum(made[stage.outputs[0]])) * factor
            elif stage is program.rate:
                return made
            known |= made
        raise AssertionError

    def _args(self, stage: Stage, shape: tuple[int, ...], integrals: Mapping[int, float], time: float) -> Args:
        args = Args(terms=1, scale=self.scale, time=time)
        args.lo[:], args.hi[:], args.period[:] = (0, 0, 0), shape, shape
        args.spacing[:] = [self.h[a] for a in AXES]
        args.weight[0] = 1.0
        for n, e in enumerate(stage.coefficients):
            args.coefficient[n] = float(evaluate(e, self.parameters))  # type: ignore[arg-type]
        for n, value in integrals.items():
            args.coefficient[MAX_COEFFICIENTS - 1 - n] = value
        return args

    def _launch(
        self,
        stage: Stage,
        args: Args,
        known: Arrays,
        shape: tuple[int, ...],
        dtype: np.dtype,
        library: Library | None,
        terms: Arrays,
    ) -> Arrays:
        g = tuple(stage.radius if n > 1 else 0 for n in shape)
        zero = np.zeros(shape, dtype)
        inputs = [known[name] for name in stage.inputs]
        given = [terms.get(name, zero) for name in stage.outputs]
        arrays = [np.pad(a, [(n, n) for n in g], mode="wrap") for a in (*inputs, *([zero] * len(given)), *given)]
        args.stride[:] = [s // dtype.itemsize for s in arrays[0].strides]
        if library is None:
            assert NumpyKernel(stage).launch(args, arrays, g) == 0  # type: ignore[arg-type]
        else:
            first = sum(n * s for n, s in zip(g, args.stride, strict=True)) * dtype.itemsize
            args.field[: len(arrays)] = [a.ctypes.data + first for a in arrays]
            assert library.function(stage.name, dtype.name)(ctypes.byref(args)) == 0
        inner = tuple(slice(n, n + m) for n, m in zip(g, shape, strict=True))
        outputs = arrays[len(inputs) : len(inputs) + len(given)]
        return {name: a[inner].copy() for name, a in zip(stage.outputs, outputs, strict=True)}


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    """Programs on periodic arrays."""
    return Bench


def equation(
    texts: Mapping[str, str], group: str = "evolve", parameters: Mapping[str, float] | None = None, **more: Any
) -> Equation:
    """An equation of the fields of its texts."""
    given = {name: Parameter(value, "1", "constant") for name, value in (parameters or {}).items()}
    fields = {field_of(name): "field" for name in texts}
    return Equation("test", "a test", fields, given, source="test", **{group: texts}, **more)


@pytest.fixture(name="equation")
def _equation() -> Any:
    """Makes equations of texts."""
    return equation
