"""What is made of the state of a march for those who look at it: measures, and fields that are written alone."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from parsolve.domain.reduce import Sums, bound_extrema, over_owned, root_of, rounded
from parsolve.equations.shared import library_of, measures_for
from parsolve.equations.values import evaluate
from parsolve.errors import CaseError
from parsolve.kernels.library import SUM_FRACTION
from parsolve.problem.averaging import Averages
from parsolve.problem.kernels import made_kernels
from parsolve.problem.operators import operator_of
from parsolve.problem.probe import probes_of
from parsolve.problem.several import several_of
from parsolve.problem.walls import Walls
from parsolve.stages.operator import Update
from parsolve.stages.plain import Plain
from parsolve.stages.sampling import Look, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from parsolve.domain.field import Field
    from parsolve.equations.measures import Measures, Reduction
    from parsolve.equations.program import Program
    from parsolve.kernels.library import Args, Extrema
    from parsolve.march.stepper import Workspace
    from parsolve.problem.probe import Probe
    from parsolve.problem.problem import Problem
    from parsolve.problem.several import Histogram, Spectrum
    from parsolve.problem.slicing import Slicing
    from parsolve.stages.operator import Operator, State

    Measured = float | NDArray[np.float64]

SUMS = {"integral": ("sum",), "mean": ("sum",), "std": ("sum", "dot"), "norm": ("dot",), "count": ("sum",)}
SIGNS = {"min": -1.0, "max": 1.0, "at_min": -1.0, "at_max": 1.0}


class Looking:
    """Looks at the states of a march; collective.

    Nothing is overwritten that the march needs, so that it goes on with the same bits.

    Args:
        problem: whose measures and derived fields are looked at.
        work: makes fields.
        walls: what boundaries impose.
    """

    def __init__(self, problem: Problem, work: Workspace, walls: Walls) -> None:
        self._problem, self._work, self._walls = problem, work, walls
        # By the state, of which there are a few registers; of slices by their names too.
        self._samplings: dict[int, tuple[Sampling, Reducing, dict[str, Histogram | Spectrum]]] = {}
        self._shown: dict[tuple[str, int], Sampling] = {}
        self._derivations: dict[tuple[int, int], Plain] = {}
        measured = problem.measures.program if problem.measures else None
        self._measured, made, sampled = map(self._prepared, (measured, problem.derived, problem.averaged))
        self._sliced = {one.name: self._prepared(one.program) for one in problem.slices}
        names = [program.unknowns if program else () for program in (problem.derived, problem.averaged)]
        self._made = [(made, work.fields(names[0])), (sampled, work.fields(names[1]))]
        self.averages = Averages(problem, work, lambda state, time: self._values(1, state, time))

    def _prepared(self, program: Program | None) -> tuple[Operator, State] | None:
        """The operator of a program, and the fields that it reads beside the state."""
        problem, work = self._problem, self._work
        if program is None:
            return None
        text = library_of(program)
        kernel_of = made_kernels(problem.case.run, text, work.subdomain.comm)
        operator = operator_of(program, problem.grid, problem.parameters, self._walls.conditions, kernel_of)
        return operator, {**work.arrays, **work.fields(operator.intermediate)}

    def derived(self, state: State, time: float) -> State:
        """The state, and the fields that are made of it, until the next call; collective."""
        return {**state, **self._values(0, state, time), **self.averages.fields}

    def _values(self, which: int, state: State, time: float) -> State:
        """What a program makes of the state; the first gives fields that are written, the second those averaged."""
        prepared, out = self._made[which]
        if prepared is None:
            return {}
        operator, others = prepared
        key = which, id(next(iter(state.values())))
        if key not in self._derivations:
            update = Update(operator, state, out, others)
            self._derivations[key] = Plain([update], [], self._work.exchanges)
        self._derivations[key]([time], [1.0])
        return out

    def measure(self, state: State, time: float) -> dict[str, Measured]:
        """The measures by name, the same on all ranks; not a number where one has no value; collective.

        Raises:
            ResourceError: no memory for a field on one rank, where there is a spectrum; the same on all ranks.
        """
        measures = self._problem.measures
        assert measures is not None
        parameters, comm = self._problem.parameters, self._work.subdomain.comm
        first = next(iter(state.values()))
        if id(first) not in self._samplings:
            self._samplings[id(first)] = self._bound(measures, state, first)
        sampling, reducing, several = self._samplings[id(first)]
        reducing.begin()
        for one in several.values():
            one.begin()
        sampling(time)
        results = reducing.results()
        values = _evaluated(measures, results, {**parameters, "t": time}) if comm.rank == 0 else {}
        numbers = values if comm.size == 1 else dict(comm.bcast(values))
        return {**numbers, **{name: one.values() for name, one in several.items()}}

    def _bound(
        self, measures: Measures, state: State, first: Field
    ) -> tuple[Sampling, Reducing, dict[str, Histogram | Spectrum]]:
        """What takes measures of a state, bound to its fields."""
        grid, parameters = self._problem.grid, self._problem.parameters
        operator, others = self._measured or (None, {})
        reducing = Reducing(measures.reductions, first, probes_of(measures, grid, parameters))
        several = several_of(measures, parameters, first)

        def bind(there: State) -> list[Look]:
            args = {name: over_owned(f) for name, f in there.items()}
            more = [Look((one.of,), one.bound(there[one.of], args[one.of])) for one in several.values()]
            return [*reducing.bound(there, args), *more]

        shown = [name for name in state if name in measures.values]
        return Sampling(operator, state, others, shown, self._work.exchanges, bind), reducing, several

    def show(self, slicing: Slicing, state: State, time: float, bind: Callable[[State], Sequence[Look]]) -> None:
        """Show the fields of a slice, in all parts that have some of its cells, to what ``bind`` gives; collective."""
        key = slicing.name, id(next(iter(state.values())))
        if key not in self._shown:
            operator, others = self._sliced[slicing.name] or (None, {})
            others = {**others, **self.averages.fields}
            shown = [name for name in slicing.chosen if name in state or name in self.averages.fields]
            self._shown[key] = Sampling(
                operator, state, others, shown, self._work.exchanges, bind,
                lambda part: not slicing.cells.box(part.start, part.stop).is_empty,
            )  # fmt: skip
        self._shown[key](time)


def _evaluated(measures: Measures, results: list[float], known: dict[str, float]) -> dict[str, float]:
    """The measures, of the results of their reductions."""
    environment = known | {f"reduction.{n}": value for n, value in enumerate(results)}
    return {name: float(np.float64(evaluate(e, environment))) for name, e in measures.results.items()}


class Reducing:
    """Reductions of values that come part by part, with bits that do not depend on the parts.

    Args:
        reductions: what is made of them.
        like: a field of the whole subdomain.
        probes: the places of those at a point.
    """

    def __init__(self, reductions: tuple[Reduction, ...], like: Field, probes: Mapping[Reduction, Probe]) -> None:
        self._reductions, self._like, self._probes = reductions, like, probes
        grid = like.subdomain.grid
        self._cells, self._volume = grid.size, math.prod(grid.spacing)
        wanted = ((kind, r.of) for r in reductions for kind in SUMS.get(r.kind, ()))
        self._places = {key: n for n, key in enumerate(dict.fromkeys(wanted))}
        self._sums = Sums(len(self._places))
        ranged = dict.fromkeys(r.of for r in reductions if r.kind in SIGNS)
        self._extrema: dict[str, list[tuple[Field, Extrema]]] = {name: [] for name in ranged}  # of each part
        self._found: dict[Reduction, Place] = {}
        self.begin()

    def begin(self) -> None:
        """Begin anew."""
        self._sums.begin()
        self._found = {r: Place(-math.inf, 0, math.nan) for r in self._reductions if r.at}

    def bound(self, there: State, args: Mapping[str, Args]) -> list[Look]:
        """What takes the values of a part, by name, of arguments of reductions of each."""
        looks = [
            Look((name,), self._sums.bound(n, kind, there[name], args[name]))
            for (kind, name), n in self._places.items()
        ]
        own = {}
        for name, found in self._extrema.items():
            find, own[name] = bound_extrema(there[name], args[name])
            looks.append(Look((name,), find))
            found.append((there[name], own[name]))
        looks += [Look((r.of,), look) for r, probe in self._probes.items() for look in probe.bound(there[r.of])]
        places = [(r, partial(self._place, r, there[r.of], there[r.at], own[r.of])) for r in self._found]
        return [*looks, *(Look((r.of, r.at), place) for r, place in places)]

    def _place(self, r: Reduction, of: Field, at: Field, own: Extrema) -> None:
        """Look for the place of a part, if it has a better value than those before: the first of its cells."""
        value = own.maximum if SIGNS[r.kind] > 0 else own.minimum
        if own.bad[0] == of.subdomain.shape[0] and SIGNS[r.kind] * value > self._found[r].size:
            place = np.unravel_index(int((of.owned == value).argmax()), of.owned.shape)
            cell = [int(p) + s for p, s in zip(place, of.subdomain.start, strict=True)]
            index = int(np.ravel_multi_index(cell, of.subdomain.grid.cells))
            self._found[r] = Place(SIGNS[r.kind] * value, index, float(at.owned[place]))

    def results(self) -> list[float]:
        """The result of each reduction over all ranks; not a number where a value is not finite; collective."""
        from mpi4py import MPI

        comm = self._like.subdomain.comm
        totals = self._sums.totals(self._like) if self._places else []
        ranges = np.array([_range(found) for found in self._extrema.values()])  # -min, max, is one not finite
        if self._extrema:
            comm.Allreduce(MPI.IN_PLACE, ranges, op=MPI.MAX)
        self._ranges = dict(zip(self._extrema, ranges.tolist(), strict=True))
        for probe in self._probes.values():
            probe.share(comm)
        for others in comm.allgather(list(self._found.values())) if self._found and comm.size > 1 else ():
            self._found = {r: _better(own, one) for (r, own), one in zip(self._found.items(), others, strict=True)}
        return [self._result(r, totals) for r in self._reductions]

    def _result(self, r: Reduction, totals: list[int | None]) -> float:
        if r.point:
            return self._probes[r].value
        if r.kind in SIGNS:
            low, high, is_bad = self._ranges[r.of]
            if r.at:
                return math.nan if is_bad else self._found[r].there
            return math.nan if is_bad else 0.0 - low if r.kind == "min" else 0.0 + high
        sums = [totals[self._places[kind, r.of]] for kind in SUMS[r.kind]]
        if r.kind == "norm":
            return math.sqrt(self._volume) * root_of(sums[0])
        if r.kind == "std":
            return _deviation(sums[0], sums[1], self._cells)
        total = rounded(sums[0], self._cells if r.kind == "mean" else 1)
        return self._volume * total if r.kind == "integral" else total


class Place(NamedTuple):
    """Where a value is largest or smallest: its size (above or below zero), the first such cell, what is there."""

    size: float
    cell: int
    there: float


def _better(a: Place, b: Place) -> Place:
    """The one of two places with the larger size, or the first of its cells."""
    return max(a, b, key=lambda one: (one.size, -one.cell))


def _range(found: list[tuple[Field, Extrema]]) -> tuple[float, float, float]:
    """The smallest value of parts with the other sign, the largest, and whether one is not finite."""
    is_bad = any(own.bad[0] < f.subdomain.shape[0] for f, own in found)
    return -min(own.minimum for _, own in found), max(own.maximum for _, own in found), float(is_bad)


def _deviation(total: int | None, squares: int | None, cells: int) -> float:
    """The root of the mean of (u - mean)^2, from the exact sums of u and u^2."""
    if total is None or squares is None:
        return math.nan
    return root_of(((cells * squares << SUM_FRACTION) - total * total) >> SUM_FRACTION) / cells


def looking_at(problem: Problem, work: Workspace, text: str) -> Looking:
    """What looks at one measure, named "measure", of a march that is under way; collective.

    Raises:
        CaseError: the text is wrong, or reads what the march does not have.
    """
    axes, marched = problem.grid.names, problem.program.unknowns
    measures = measures_for(problem.equation, axes, problem.case.run.order, {"measure": text}, marched)
    program, sub, plain = measures.program, work.subdomain, msgspec.structs.replace(problem.case, average={}, slices={})
    depth = min(n for n, there in zip(sub.ghosts, sub.grid.present, strict=True) if there)
    unread = sorted({*program.arrays} - work.arrays.keys()) if program else []
    if unread or (program is not None and program.ghost > depth):
        what = "farther neighbours than the equation does"
        if unread:
            what = f"{unread[0] if unread[0] in problem.case.fields else 'noise'}, and the equation does not"
        raise CaseError(f"measure: '{text}' reads {what}; put it into [measure] of the case")
    alone = replace(problem, measures=measures, derived=None, averaged=None, slices=(), case=plain)
    return Looking(alone, work, Walls(problem))
