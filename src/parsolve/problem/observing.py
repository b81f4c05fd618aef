"""What is measured while a march goes on, kept as time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.errors import StorageError, agreed, on_root
from parsolve.march.march import Event
from parsolve.march.schedule import Clock, Either
from parsolve.problem.several import coordinates_of
from parsolve.problem.stopping import Rules, single
from parsolve.problem.times import is_short, schedule_of
from parsolve.store.series import SeriesFile, series_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from parsolve.march.schedule import When
    from parsolve.problem.prepare import Prepared
    from parsolve.stages.operator import State
    from parsolve.store.series import Series


class Observer:
    """Measures a march on the schedules of its case, and looks at the rules that end it; collective.

    Args:
        march: what is observed.
        folder: where the time series are kept while it goes on.

    Attributes:
        rules: that may end it.
        last: the measures that were taken last, those that are one number.
    """

    def __init__(self, march: Prepared, folder: Path) -> None:
        self._march, self._case, self.rules = march, march.problem.case, Rules(march)
        self.last: dict[str, float] = {}
        self._has_measured = False
        measures, own = self._case.measures, [n for n in self._case.measures if self._case.has_own_schedule(n)]
        groups = [[n for n in measures if n not in own], *([n] for n in own)]
        several = coordinates_of(march.problem.measures, march.problem.grid, march.problem.parameters)
        self._files: list[tuple[SeriesFile, When, list[str]]] = [
            (SeriesFile(folder, names, names[0] in own, several), schedule_of(march.problem, measures[names[0]]), names)
            for names in groups
            if names
        ]
        self._written = [-1] * len(self._files)  # step of the last line of each
        self._folder = folder

    @property
    def events(self) -> list[Event]:
        """Those of the march, to come before checkpoints."""
        found = [Event(Either([when for _, when, _ in self._files]), self._measure)] if self._files else []
        return [*found, *self.rules.events]

    def begin(self, clock: Clock, before: Callable[[], list[Series]] | None, frames: Sequence[int] = ()) -> None:
        """Measure for the first time; or go on with the lines up to here, or the series of ``before``; collective.

        Args:
            clock: where the march begins.
            before: the series of the result that is replaced, if it goes on.
            frames: steps of those that are there.

        Raises:
            ParsolveError: the lines of before are missing, or the disk failed; the same on all ranks.
        """

        def prepared() -> None:
            older = before() if before and any(not file.path.exists() for file, _, _ in self._files) else []
            for file, _, names in self._files:
                if before is None:
                    file.begin()
                    continue
                step, time = file.go_on(clock.step, older)
                measure = self._case.measures[names[0]]
                if is_short(self._march.problem, measure, Clock(step, time), clock, frames):
                    lines = f"its lines up to step {clock.step} are not all there"
                    raise StorageError(f"{file.path}: {lines}; put them back, or give another -o")

        if self._files:
            on_root(self._march.comm, prepared)
        self.rules.judge_again(clock, any(when.is_due(clock) for _, when, _ in self._files))  # it may be a checkpoint
        if before is None:
            self._add(clock, self._march.state, [True] * len(self._files))
        elif self._files:
            self._written = on_root(self._march.comm, self._last_steps)

    def keep(self) -> None:
        """Bring the lines so far to the disk, as a checkpoint relies on them; collective."""

        def kept() -> None:
            for file, _, _ in self._files:
                file.keep()

        if self._files:
            on_root(self._march.comm, kept)

    def finish(self, clock: Clock) -> None:
        """Measure where the march ended; collective."""
        self._add(clock, self._march.state, [step != clock.step for step in self._written])
        if self._files and not self._has_measured:  # as it went on from here
            self.last = single(self._march.looking.measure(self._march.state, clock.time))

    def _last_steps(self) -> list[int]:
        steps = {series.name: series.steps for series in series_of(self._folder)}
        return [int(steps[names[0]][-1]) if len(steps[names[0]]) else -1 for _, _, names in self._files]

    def _measure(self, clock: Clock, state: State) -> None:
        self._add(clock, state, [when.is_due(clock) for _, when, _ in self._files])

    def _add(self, clock: Clock, state: State, due: list[bool]) -> None:
        """Measure, add a line to the files that are due, and look at the rule on measures."""
        if not any(due):
            return
        march, values = self._march, self._march.looking.measure(state, clock.time)
        self.last, self._has_measured = single(values), True
        with agreed(march.comm):
            for n, (file, _, names) in enumerate(self._files):
                if due[n] and self._written[n] != clock.step:
                    self._written[n] = clock.step
                    if march.comm.rank == 0:
                        file.add(clock.step, clock.time, [values[name] for name in names])
        for name, value in values.items():
            text = f"measure.{name}: has no value"
            if not np.isfinite(value).all() and not any(known.startswith(text) for known in march.warnings):
                what = np.ravel(value)[0]
                march.warnings.append(f"{text} at step {clock.step}, t = {clock.time:.6g} ({what})")
        if self._case.shown:
            march.history.note("  ".join(f"{name} {self.last[name]:.6g}" for name in self._case.shown))
        self.rules.judge_measures(clock, self.last)
