"""One state of a march in the memory of one rank, for what draws it or takes it over."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.redistribute import gather
from parsolve.errors import SetupError
from parsolve.store.layout import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray
    from numpy.typing import NDArray

    from parsolve.domain.grid import Grid
    from parsolve.march.schedule import Clock
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State


@dataclass(frozen=True)
class Snapshot:
    """Whole fields at one time, as a result of one frame has them.

    Attributes:
        values: by the names of the fields, over the axes that there are, slowest first.
        infos: what is known of fields, axes and time, by name.
        grid: of the fields.
        clock: step and time.
        title: of the case.
    """

    values: Mapping[str, NDArray[Any]]
    infos: Mapping[str, FieldInfo]
    grid: Grid
    clock: Clock
    title: str

    @property
    def path(self) -> Path:
        """What it is called in messages."""
        return Path("the simulation")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(self.values)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes, slowest first."""
        return self.grid.names[::-1]

    @property
    def times(self) -> NDArray[np.float64]:
        """The time, as that of the only frame."""
        return np.array([self.clock.time])

    @property
    def provenance(self) -> dict[str, str]:
        """The title."""
        return {"title": self.title}

    def units(self, name: str) -> str:
        """Return the unit of a field, an axis or the time; empty if it has none."""
        units = self._info(name).units
        return "" if units == "1" else units

    def long_name(self, name: str) -> str:
        """Return what a field or an axis means."""
        return self._info(name).long_name

    def to_xarray(self) -> xarray.Dataset:
        """Return the fields with their coordinates and units.

        Raises:
            SetupError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise SetupError("to_xarray needs xarray: pip install xarray") from error

        def said(name: str) -> dict[str, str]:
            return {"long_name": self.long_name(name), "units": self._info(name).units}

        fields = {name: (self.axes, values, said(name)) for name, values in self.values.items()}
        places: dict[str, Any] = {axis: (axis, self.grid.coordinates(axis), said(axis)) for axis in self.axes}
        now = {"time": ((), self.clock.time, said("time")), "step": ((), self.clock.step)}
        return xarray.Dataset(fields, places | now, {"title": self.title})

    def _info(self, name: str) -> FieldInfo:
        return self.infos.get(name, FieldInfo(name, name, "1"))


def snapshot(problem: Problem, clock: Clock, state: State, names: Sequence[str]) -> Snapshot | None:
    """Return some fields of a state, whole, on rank 0, None on the others; collective.

    Raises:
        ResourceError: no memory for them; the same on all ranks.
    """
    found = {name: gather(state[name].owned, state[name].subdomain) for name in names}
    whole = {name: values for name, values in found.items() if values is not None}
    infos = {info.name: info for info in (*problem.recorded, *problem.dimensions)}
    return Snapshot(whole, infos, problem.grid, clock, problem.case.title) if whole else None


def equations_of(problem: Problem) -> list[str]:
    """Return the equations of a problem in LaTeX."""
    import sympy

    texts = []
    for stage in problem.program.stages:
        for name, expression in zip(stage.outputs, stage.expressions, strict=True):
            before = ("\\partial_t^2 " if stage.name.endswith("_acceleration") else "\\partial_t ") * stage.updates
            said = sympy.latex(expression).replace("\\operatorname{laplace}", "\\nabla^2")
            texts.append(f"{before}{sympy.latex(sympy.Symbol(name))} = {said}")
    return texts


def page_of(problem: Problem, where: str, state: State) -> str:
    """Return a card in HTML, as notebooks show it: title, equations, grid, parameters, where it is, ranges of fields.

    Of several ranks the ranges are those of the cells that this one owns.
    """
    comm = next(iter(state.values())).subdomain.comm
    axes = [(name, problem.case.grid[name]) for name in problem.grid.names]
    cells = [f"{name}: {axis.cells} cells in [{axis.range[0]:g}, {axis.range[1]:g}]" for name, axis in axes]
    given = ", ".join(f"{name} = {value:.6g}" for name, value in problem.parameters.items())
    own = f" on rank {comm.rank}" if comm.size > 1 else ""
    ranges = [(f"{name}{own}", f"{f.owned.min():.6g} to {f.owned.max():.6g}") for name, f in state.items()]
    rows = [("grid", "; ".join(cells)), *([("parameters", given)] if given else []), ("state", where), *ranges]
    title = html.escape(problem.case.title or problem.equation.name)
    law = "".join(f"<div>$\\displaystyle {html.escape(text)}$</div>" for text in equations_of(problem))
    table = "".join(
        f'<tr><td style="text-align:left"><b>{html.escape(name)}</b></td>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in rows
    )
    return f"<div><b>{title}</b></div>{law}<table>{table}</table>"
