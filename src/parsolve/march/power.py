"""The largest rate of a discretised equation by a short power iteration on its Jacobian at the initial state.

J v ~ (f(u + e v) - f(u))/e, v <- J v/max|J v|: von Mises & Pollaczek-Geiringer, ZAMM 9 (1929) 152.  Norms are
maxima and the first v depends on the global cell alone, so the result has the same bits on any number of ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.stages.operator import Exchanges, Update
from parsolve.stages.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsolve.domain.field import Field
    from parsolve.march.stepper import Workspace
    from parsolve.stages.operator import State

ITERATIONS = 24


def largest_rate(work: Workspace, state: State, first: Callable[[Field], np.ndarray]) -> float:
    """Estimate of the largest |eigenvalue|, from below; NaN if it cannot be estimated; collective.

    Args:
        work: makes the fields and evaluations.
        state: the initial state, left as it was.
        first: values in [-1, 1] of the first v on the owned cells of a field.
    """
    from mpi4py import MPI

    trial, out = work.fields(work.unknowns), work.fields(work.unknowns)
    comm, exchanges = work.subdomain.comm, Exchanges()
    evaluate = Plain([Update(work.operator, trial, out, work.others(), (trial,), (0.0,))], [], exchanges)

    def largest(values: list[np.ndarray]) -> float:
        return float(comm.allreduce(max(float(np.abs(v).max(initial=0.0)) for v in values), op=MPI.MAX))

    def rate(step: float, direction: list[np.ndarray]) -> list[np.ndarray]:
        for name, d in zip(trial, direction, strict=True):
            trial[name].owned[...] = state[name].owned + step * d
        evaluate([0.0], [1.0])
        return [out[name].owned.astype(np.float64) for name in trial]

    v = [first(trial[name]) for name in trial]
    size = max(1.0, largest([state[name].owned for name in trial]))
    step = size * float(np.sqrt(np.finfo(np.dtype(work.dtype)).eps))
    base, sizes = rate(0.0, v), []
    for _ in range(ITERATIONS):
        w = [(b - a) / step for a, b in zip(base, rate(step, v), strict=True)]
        norm = largest(w)
        if not 0 < norm < np.inf:
            break
        sizes.append(norm)
        v = [part / norm for part in w]
    exchanges.free()
    if not sizes:
        wrong = comm.allreduce(not all(np.isfinite(b).all() for b in base), op=MPI.LOR)
        return float("nan") if wrong else 0.0
    return float(np.exp(np.mean(np.log(sizes[-4:]))))  # a complex pair makes single norms go up and down
