"""Statistics in time at each cell: means, variances, covariances and extrema of expressions, over a window.

Samples are taken on a schedule; each stands for the time since the one before. Means and squares of deviations are
updated (West, "Updating mean and variance estimates", CACM 22 (1979) 532), which loses no digits where the deviations
are small. In float32 what a sample adds is soon less than the rounding of what is there, so that beside each of them
the rest is kept that it was rounded by. What is kept of them is part of a checkpoint.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import slabs
from parsolve.march.schedule import EverySteps, EveryTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from parsolve.domain.field import Field
    from parsolve.march.schedule import Clock, When
    from parsolve.march.stepper import Workspace
    from parsolve.problem.problem import Problem
    from parsolve.stages.operator import State

    Part = tuple[slice, ...]  # of the owned cells


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
        summed = [*self._means, *(name for name, a in self._averages.items() if a.kind not in ("min", "max"))]
        self._rests = work.fields(summed if problem.dtype == "float32" else (), of="rest of ")
        self._length, self._last = 0.0, -inf

    def _names(self) -> list[str]:
        """Of the means that variances and covariances need."""
        return [
            f"{name}.{n}" for name, a in self._averages.items() if "variance" in a.kind for n in range(len(a.texts))
        ]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Over the owned cells, what it remembers."""
        kept = {f"average {name}": f.owned for name, f in {**self.fields, **self._means}.items()}
        return kept | {f"rest of average {name}": f.owned for name, f in self._rests.items()}

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
            given = [values[f"{name}.{n}"] for n in range(len(average.texts))]
            for first, shape in slabs(given[0].subdomain.shape):  # no second array of their size is needed
                part = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
                with np.errstate(over="ignore", invalid="ignore"):  # what has no value shows it
                    self._update(name, average.kind, part, [f.owned[part] for f in given], share, is_first)

    def _update(
        self, name: str, kind: str, part: Part, given: list[NDArray[Any]], share: float, is_first: bool
    ) -> None:
        """``given``: values of a part of the owned cells; ``share``: what the sample is of the whole length."""
        kept, (f, *_) = self.fields[name], given
        if "variance" in kind:
            means = [self._means[f"{name}.{n}"] for n in range(len(given))]
            before = [values - self._value(mean, part) for values, mean in zip(given, means, strict=True)]
            for mean, deviation, values in zip(means, before, given, strict=True):
                self._set(mean, part, values if is_first else self._value(mean, part) + deviation * share)
            product = before[0] * (given[-1] - self._value(means[-1], part))
            summed = np.zeros_like(f) if is_first else self._value(kept, part) * (1 - share) + product * share
            self._set(kept, part, summed)
        elif is_first:
            self._set(kept, part, f)
        elif kind == "mean":
            self._set(kept, part, self._value(kept, part) + (f - self._value(kept, part)) * share)
        else:
            (np.minimum if kind == "min" else np.maximum)(kept.owned[part], f, out=kept.owned[part])

    def _value(self, f: Field, part: Part) -> NDArray[Any]:
        """What is kept in a part of a field, with the rest."""
        rest, values = self._rests.get(f.name), f.owned[part]
        return values if rest is None else values.astype(np.float64) + rest.owned[part]

    def _set(self, f: Field, part: Part, values: NDArray[Any]) -> None:
        """Keep these values in a part of a field, and the rest that they are rounded by."""
        f.owned[part] = values
        if f.name in self._rests:
            self._rests[f.name].owned[part] = values - f.owned[part]
