"""The largest rate of a discretised equation by power iteration on its Jacobian at a state.

J v ~ (f(u + e v) - f(u))/e, v <- J v/max|J v|: von Mises & Pollaczek-Geiringer, ZAMM 9 (1929) 152.  Norms are
maxima and the first v depends on the global cell alone, so the result has the same bits on any number of ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.stages.operator import Exchanges, Update
from parsolve.stages.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsolve.domain.field import Field
    from parsolve.march.stepper import Workspace
    from parsolve.stages.operator import State

FIRST, AGAIN = 24, 6  # iterations from any direction, and from that of a state before


class PowerIteration:
    """Estimates the largest |eigenvalue|, from below; each time from the direction that it found last.

    Args:
        work: makes the fields and evaluations.
        first: gives the owned cells of a field values in [-1, 1], the first direction.
    """

    def __init__(self, work: Workspace, first: Callable[[Field], None]) -> None:
        self._trial, self._out = work.fields(work.unknowns), work.fields(work.unknowns)
        self._exchanges, self._comm = Exchanges(), work.subdomain.comm
        update = Update(work.operator, self._trial, self._out, work.others(), (self._trial,), (0.0,))
        self._evaluate = Plain([update], [], self._exchanges)
        for f in self._trial.values():
            first(f)
        self._direction = [f.owned.copy() for f in self._trial.values()]
        self._base = [np.empty_like(v) for v in self._direction]
        self._step = float(np.sqrt(np.finfo(np.dtype(work.dtype)).eps))
        self._iterations = FIRST

    def __call__(self, state: State, time: float) -> float:
        """The rate at a state, NaN if it cannot be estimated; collective."""
        step = self._step * max(1.0, self._largest([f.owned for f in state.values()]))
        sizes: list[float] = []
        for b, w in zip(self._base, self._values(state, time, 0.0), strict=True):
            b[...] = w
        for _ in range(self._iterations):
            for v, w, b in zip(self._direction, self._values(state, time, step), self._base, strict=True):
                with np.errstate(all="ignore"):
                    np.subtract(w, b, out=v)  # in place here and below: no arrays come and go
                    v /= step
            norm = self._largest(self._direction)
            if not 0 < norm < np.inf:
                break
            sizes.append(norm)
            for v in self._direction:
                v /= norm
        self._iterations = AGAIN
        if not sizes:
            return 0.0 if np.isfinite(self._largest(self._base)) else float("nan")
        return float(np.exp(np.mean(np.log(sizes[-4:]))))  # a complex pair makes norms go up and down

    @property
    def directions(self) -> dict[str, np.ndarray]:
        """By name of the unknown what the next estimate begins with, over the owned cells."""
        return dict(zip(self._trial, self._direction, strict=True))

    def free(self) -> None:
        """Free the messages; collective."""
        self._exchanges.free()

    def _largest(self, values: Sequence[np.ndarray]) -> float:
        from mpi4py import MPI

        largest = max(float(max(v.max(initial=0.0), -v.min(initial=0.0))) for v in values)
        return float(self._comm.allreduce(largest, op=MPI.MAX))

    def _values(self, state: State, time: float, step: float) -> list[np.ndarray]:
        """f(u + step v)."""
        for (name, f), d in zip(self._trial.items(), self._direction, strict=True):
            if step:
                np.multiply(d, f.dtype.type(step), out=f.owned)
                f.owned += state[name].owned
            else:
                f.owned[...] = state[name].owned
        self._evaluate([time], [1.0])
        return [f.owned for f in self._out.values()]
