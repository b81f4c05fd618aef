"""What is written of some cells alone: slices, each with its fields and its schedule, in a small result of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.field import Box
from parsolve.domain.picked import Picked
from parsolve.domain.redistribute import NOTHING, Redistribution, boxes
from parsolve.equations.shared import derived_for
from parsolve.equations.user import NAME, RESERVED
from parsolve.errors import CaseError, StorageError, agreed, on_root
from parsolve.march.march import Event
from parsolve.march.schedule import Clock, Either
from parsolve.problem.times import is_short, schedule_of
from parsolve.stages.sampling import Look
from parsolve.store.layout import RESERVED as STORED
from parsolve.store.layout import Content
from parsolve.store.rows import RowFile, publish, title_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from parsolve.case import Case
    from parsolve.domain.grid import Grid, Subdomain
    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program
    from parsolve.march.schedule import When
    from parsolve.problem.prepare import Prepared
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State
    from parsolve.store.packing import Packing
    from parsolve.store.places import Places


@dataclass(frozen=True)
class Slicing:
    """A slice as a case asks for it.

    Attributes:
        cells: where it is.
        chosen: its fields in order, and of those that are made for it the expression; else an empty text.
        program: what makes those that are not marched; None if there are none.
    """

    name: str
    cells: Picked
    chosen: Mapping[str, str]
    program: Program | None


def slicings(case: Case, grid: Grid, equation: Equation, marched: tuple[str, ...]) -> tuple[Slicing, ...]:
    """The slices of a case.

    Raises:
        CaseError: a place has no cell or is a single point, or a field is none.
    """
    found = []
    for name, said in case.slices.items():
        key = f"slices.{name}"
        strides = said.stride if isinstance(said.stride, dict) else dict.fromkeys(grid.names, said.stride)
        try:
            cells = Picked.at(grid, said.places, strides)
        except CaseError as error:
            raise CaseError(f"{key}.{error}") from None
        if not cells.names:
            raise case.error(key, 'is a single point: give [measure] NAME = "at(u, ...)" for it, or leave an axis out')
        chosen = said.chosen or case.output.chosen
        program = chosen_program(case, grid, equation, marched, f"{key}.fields", chosen)
        fields = dict(chosen) or dict.fromkeys((*marched, *case.averages), "")
        found.append(Slicing(name, cells, fields, program))
    return tuple(found)


def chosen_program(
    case: Case, grid: Grid, equation: Equation, marched: tuple[str, ...], key: str, chosen: Sequence[tuple[str, str]]
) -> Program | None:
    """What makes those of some fields that are not marched, by name and expression; None if all are.

    Raises:
        CaseError: a text is wrong, or a name is taken; under this key.
    """
    averages, made = case.averages, dict[str, str]()
    known = (*equation.unknowns, *equation.parameters, *equation.define, *equation.arrays)
    fields = {*known, *averages, *RESERVED}
    for place, (name, text) in enumerate(chosen):
        if name in [other for other, _ in chosen[:place]]:
            raise case.error(key, f"'{name}' is there twice")
        if text and (name in fields or not NAME.fullmatch(name) or name in STORED):
            raise case.error(key, f"'{name}' has a meaning already, or is no name; choose another")
        if not text and name not in (*marched, *equation.define, *equation.arrays, *averages):
            raise case.error(key, f"no field '{name}' is marched", (*marched, *equation.define))
        if text or name not in (*marched, *averages):
            made[name] = text or name
    return derived_for(equation, grid.names, case.run.order, made, marched, f"{key}: ")


class Slicer:
    """Writes the slices of a march on their schedules; collective.

    The values that they have of each rank go to rank 0, which adds them to a file in the folder of the run; at the end
    that becomes a result of its own beside the run's.

    Args:
        march: what is looked at.
        places: of the run.
        known: what the run says of where it comes from.
        packing: of the results; None: their values are as they are.

    Attributes:
        written: of each the result and its frames, once they are results.
    """

    def __init__(
        self, march: Prepared, places: Places, known: Mapping[str, str], packing: Packing | None = None
    ) -> None:
        self._march, self._places, self._packing = march, places, packing
        self.written: dict[str, dict[str, Any]] = {}
        sub = march.steps.stepper.work.subdomain
        self._slices: list[_Slice] = []
        with agreed(march.comm):
            self._slices = [_Slice(march.problem, one, sub, places, known) for one in march.problem.slices]

    @property
    def events(self) -> list[Event]:
        """Those of the march, to come before checkpoints."""
        return [Event(Either([one.when for one in self._slices]), self._cut)] if self._slices else []

    def begin(self, clock: Clock, frames: Sequence[int] | None) -> None:
        """Write the slices for the first time; or go on with what is there up to here; collective.

        Args:
            clock: where the march begins.
            frames: steps of those that are there, if it goes on.

        Raises:
            ParsolveError: what there was before is missing, or the disk failed; the same on all ranks.
        """
        if self._slices:
            steps = on_root(self._march.comm, lambda: [one.begin(clock, frames) for one in self._slices])
            for one, step in zip(self._slices, steps, strict=True):
                one.step = step
        if frames is None:
            self._cut(clock, self._march.state, is_last=True)

    def keep(self) -> None:
        """Bring what is written to the disk, as a checkpoint relies on it; collective."""

        def kept() -> None:
            for one in self._slices:
                one.file.keep()

        if self._slices:
            on_root(self._march.comm, kept)

    def rows(self) -> dict[str, int]:
        """How many rows each has so far; on rank 0."""
        return {one.slicing.name: len(one.file.times) for one in self._slices}

    def finish(self, clock: Clock) -> None:
        """Write the slices where the march ended, and make results of them; collective."""
        self._cut(clock, self._march.state, is_last=True)
        for one in self._slices:
            name, path = one.slicing.name, self._places.slice(one.slicing.name)
            frames = publish(self._march.comm, one.file, path, self._packing, self._places.renews)
            self.written[name] = {"result": str(path), "frames": frames}

    def _cut(self, clock: Clock, state: State, is_last: bool = False) -> None:
        """Add the values of those that are due, or of all, where that has not been done."""
        for one in self._slices:
            if one.step != clock.step and (is_last or one.when.is_due(clock)):
                one.step = clock.step
                values = one.gathered(self._march, clock, state)
                with agreed(self._march.comm):
                    if self._march.comm.rank == 0:
                        one.file.add(clock.step, clock.time, values)


class _Slice:
    """A slice while its march goes on.

    Attributes:
        step: when it was written last; -1 before.
    """

    def __init__(
        self, problem: Problem, slicing: Slicing, sub: Subdomain, places: Places, known: Mapping[str, str]
    ) -> None:
        cells, name = slicing.cells, slicing.name
        self.slicing, self.step = slicing, -1
        self._problem = problem
        self.when: When = schedule_of(problem, problem.case.slices[name])
        said = {**known, "title": title_of(known.get("title", ""), name), "slice": f"{name}: {cells.text}"}
        infos, dimensions = tuple(problem.described(slicing.chosen)), tuple(problem.dimensions)
        self.file = RowFile(places.working, name, Content(cells, infos, problem.dtype, said, dimensions))
        self._result = places.slice(name)
        have = [cells.box(box.lo, box.hi) for box in boxes(sub)]
        self._own = own = have[sub.comm.rank]
        shape = [max(0, b - a) for a, b in zip(own.lo, own.hi, strict=True)]
        self._values = {field: np.zeros(shape, problem.dtype) for field in slicing.chosen}
        whole = Box((0, 0, 0), cells.cells)
        self._moved = Redistribution(sub.comm, have, [whole, *(NOTHING for _ in have[1:])])

    def begin(self, clock: Clock, frames: Sequence[int] | None) -> int:
        """Begin the file, or go on with it after a step; the step that it then ends with; on rank 0.

        Raises:
            StorageError, ResourceError: it lacks something, or the disk failed.
        """
        if frames is None:
            self.file.begin()
            return -1
        step, time = self.file.go_on(clock.step, self._result)
        case = self._problem.case.slices[self.slicing.name]
        if is_short(self._problem, case, Clock(step, time), clock, frames):
            raise StorageError(f"{self.file.path}: ends at step {step}, and goes on from {clock.step}; give another -o")
        return step

    def gathered(self, march: Prepared, clock: Clock, state: State) -> list[NDArray[np.generic]]:
        """The values of its fields in order, on rank 0; collective.

        Raises:
            ResourceError: no memory for them; the same on all ranks.
        """
        march.looking.show(self.slicing, state, clock.time, self._bound)
        return [self._moved(values) for values in self._values.values()]

    def _bound(self, there: State) -> list[Look]:
        """What takes the values of a part."""
        looks, cells = [], self.slicing.cells
        for name, values in self._values.items():
            f = there[name]
            part = cells.box(f.subdomain.start, f.subdomain.stop)
            into = tuple(slice(a - o, b - o) for a, b, o in zip(part.lo, part.hi, self._own.lo, strict=True))
            looks.append(Look((name,), partial(np.copyto, values[into], cells.of_values(f.owned, f.subdomain.start))))
        return looks
