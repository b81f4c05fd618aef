"""The value at a point: linear between the centres of the cells around it; near a wall by those of the last two."""

from __future__ import annotations

import itertools
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.equations.measures import symbol_of
from parsolve.equations.values import evaluate
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mpi4py import MPI

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid
    from parsolve.equations.measures import Measures, Reduction


class Probe:
    """A point of a grid, and the values around it as they become known.

    Args:
        grid: with the point.
        point: its coordinates along x, y, z, as far as the grid has them.

    Raises:
        CaseError: it is outside the grid.
    """

    def __init__(self, grid: Grid, point: Sequence[float]) -> None:
        corners: list[list[tuple[int, float]]] = []  # along z, y, x the cells around it and their weights
        for d, axis in enumerate(AXES):
            if axis not in grid.names:
                corners.append([(0, 1.0)])
                continue
            place, cells = point[grid.names.index(axis)], grid.cells[d]
            at = (place - grid.lower[d]) / grid.spacing[d] - 0.5
            if not -0.5 <= at <= cells - 0.5:
                raise CaseError(f"{axis} = {place:g} of a point is outside the grid")
            wraps = grid.periodic[d] and not grid.anti[d]
            first = floor(at) if wraps else min(max(floor(at), 0), max(cells - 2, 0))
            pair = [(first % cells, 1 - (at - first)), ((first + 1) % cells, at - first)]
            corners.append(pair if cells > 1 else [(0, 1.0)])
        self._cells = [tuple(cell for cell, _ in corner) for corner in itertools.product(*corners)]
        self._weights = [z * y * x for (_, z), (_, y), (_, x) in itertools.product(*corners)]
        self._own = self._values = np.zeros(len(self._cells))

    def bound(self, f: Field) -> list[Callable[[], object]]:
        """What takes the values that a part of a subdomain has; none if it has none."""
        found, sub = [], f.subdomain
        for n, cell in enumerate(self._cells):
            own = [c - s for c, s in zip(cell, sub.start, strict=True)]
            if all(0 <= c < size for c, size in zip(own, sub.shape, strict=True)):
                found.append((n, (own[0], own[1], own[2])))

        def look() -> None:
            for n, place in found:
                self._own[n] = f.owned[place]

        return [look] if found else []

    def share(self, comm: MPI.Intracomm) -> None:
        """Learn the values of other ranks, each of which one rank alone has; collective."""
        self._values = np.asarray(sum(comm.allgather(self._own))) if comm.size > 1 else self._own

    @property
    def value(self) -> float:
        """The value at the point."""
        return float(sum(weight * value for weight, value in zip(self._weights, self._values.tolist(), strict=True)))


def probes_of(measures: Measures, grid: Grid, parameters: Mapping[str, float]) -> dict[Reduction, Probe]:
    """The points of the measures that have one.

    Raises:
        CaseError: one is outside the grid.
    """
    found = {}
    for name, e in measures.results.items():
        for n, r in enumerate(measures.reductions):
            if r.point and symbol_of(n) in e.free_symbols:
                try:
                    found[r] = Probe(grid, [np.asarray(evaluate(p, parameters)).item() for p in r.point])
                except CaseError as error:
                    raise CaseError(f"measure.{name}: {error}") from None
    return found
