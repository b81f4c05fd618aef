"""Equations for Devito, which writes and compiles C with OpenMP and tunes its blocks on the first march."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from devito import Eq, Grid, Operator, TimeFunction, configuration, finite_differences

if TYPE_CHECKING:
    from peer import Array, Problem

configuration["log-level"] = "ERROR"
configuration["language"] = "openmp"
finite_differences.finite_difference._PRECISION = 17  # digits of weights; with Devito's own 9, fields differ by 1e-8


class Stepper:
    """March by Devito."""

    def __init__(self, problem: Problem) -> None:
        p, initial = problem.parameters, problem.fields["u"]
        extent = tuple(h * (n - 1) for h, n in zip(problem.spacing, initial.shape, strict=True))
        self.grid = Grid(shape=initial.shape, extent=extent, dtype=initial.dtype.type)
        self.time, dt = 1, self.grid.stepping_dim.spacing
        self.options: dict[str, Any] = {"autotune": "aggressive"}
        self.field = u = self.function(problem, "u", 2 if problem.name == "wave" else 1)
        if problem.name == "wave":
            equations = [Eq(u.forward, 2 * u - u.backward + dt**2 * p["c"] ** 2 * u.laplace)]
        elif problem.name == "heat":
            equations = [Eq(u.forward, u + dt * p["D"] * u.laplace)]
        else:
            v = self.function(problem, "v", 1)
            equations = [
                Eq(u.forward, u + dt * (p["Du"] * u.laplace - u * v**2 + p["F"] * (1 - u))),
                Eq(v.forward, v + dt * (p["Dv"] * v.laplace + u * v**2 - (p["F"] + p["k"]) * v)),
            ]
        self.operator = Operator(equations, subs={**self.grid.spacing_map, dt: problem.dt}, opt="advanced")

    def function(self, problem: Problem, name: str, time_order: int) -> Any:
        """A field with its initial values at time 1, those before at time 0, and ghosts."""
        function = TimeFunction(name=name, grid=self.grid, time_order=time_order, space_order=problem.order)
        function.data_with_halo[:] = problem.fields[name].flat[0]
        function.data[1] = problem.fields[name]
        if time_order == 2:
            function.data[0] = problem.fields["u_before"]
        return function

    def march(self, steps: int) -> None:
        """March some steps onwards."""
        first, self.time = self.time, self.time + steps
        self.operator.apply(time_m=first, time_M=self.time - 1, **self.options)
        if "autotune" in self.options:
            self.options = self.operator._state["autotuning"][-1].get("tuned", {})  # block sizes

    def u(self) -> Array:
        """The field u now, without ghosts."""
        return np.array(self.field.data[self.time % self.field.data.shape[0]])
