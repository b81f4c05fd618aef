"""Statistics in time at each cell: means, variances, covariances and extrema of expressions, over a window.

Samples are taken on a schedule; each stands for the time since the one before. Means and squares of deviations are
updated (West, "Updating mean and variance estimates", CACM 22 (1979) 532), which loses no digits where the deviations
are small. What is kept of them is part of a checkpoint.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.march.schedule import EverySteps, EveryTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from parsolve.domain.field import Field
    from parsolve.march.schedule import Clock, When
    from parsolve.march.stepper import Workspace
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State


class Averages:
    """The statistics of a case, up to the last sample; before the window of the last sample alone.

    Args:
        problem: whose they are.
        work: makes the fields.
        sample: gives the values that they are of, at a state and time; collective.
    """

    def __init__(self, problem: Problem, work: Workspace, sample: Callable[[State, float], State]) -> None:
        self._averages, self._sample, said = problem.case.averages, sample, problem.case.average
        given = {key: value for key, value in said.items() if isinstance(value, float | int)}
        every, end = given.get("every"), problem.case.time.end or inf
        self.when: When = EveryTime(every, end) if every else EverySteps(int(given.get("every_steps", 1)))
        self._begin = given.get("from", 0.0)
        self.fields: dict[str, Field] = work.fields(tuple(self._averages))
        self._means = work.fields(self._names())
        self._length, self._last = 0.0, -inf

    def _names(self) -> list[str]:
        """Of the means that variances and covariances need."""
        return [
            f"{name}.{n}" for name, a in self._averages.items() if "variance" in a.kind for n in range(len(a.texts))
        ]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Over the owned cells, what it remembers."""
        return {f"average {name}": f.owned for name, f in {**self.fields, **self._means}.items()}

    def numbers(self) -> dict[str, Any]:
        """The rest that it remembers, as JSON takes it."""
        return {"length": self._length, "last": self._last if self._last > -inf else None}

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Remember that."""
        last = numbers["last"]
        self._length, self._last = numbers["length"], -inf if last is None else last

    def take(self, clock: Clock, state: State) -> None:
        """Take a sample; collective."""
        if not self._averages or clock.time == self._last:
            return
        values = self._sample(state, clock.time)
        is_first = clock.time <= self._begin or self._last < self._begin
        weight = 0.0 if is_first else clock.time - self._last
        self._length = 0.0 if is_first else self._length + weight
        self._last = clock.time
        share = weight / self._length if self._length else 1.0
        for name, average in self._averages.items():
            given = [values[f"{name}.{n}"].owned for n in range(len(average.texts))]
            self._update(name, average.kind, given, share, is_first)

    def _update(self, name: str, kind: str, given: list[NDArray[Any]], share: float, is_first: bool) -> None:
        """``share``: what the sample is of the whole length."""
        kept, (f, *_) = self.fields[name].owned, given
        real = f.dtype.type
        if "variance" in kind:
            means = [self._means[f"{name}.{n}"].owned for n in range(len(given))]
            before = [values - mean for values, mean in zip(given, means, strict=True)]
            for mean, deviation in zip(means, before, strict=True):
                mean += deviation * real(1.0 if is_first else share)
            product = before[0] * (given[-1] - means[-1])
            kept[...] = 0 if is_first else kept * real(1 - share) + product * real(share)
        elif is_first:
            kept[...] = f
        elif kind == "mean":
            kept += (f - kept) * real(share)
        else:
            (np.minimum if kind == "min" else np.maximum)(kept, f, out=kept)
