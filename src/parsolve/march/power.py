"""The largest rate of a discretised equation by a short power iteration on its Jacobian at the initial state.

J v ~ (f(u + e v) - f(u))/e, v <- J v/max|J v|: von Mises & Pollaczek-Geiringer, ZAMM 9 (1929) 152.  Norms are
maxima and the first v depends on the global cell alone, so the result has the same bits on any number of ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.stages.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsolve.domain.field import Field
    from parsolve.march.stepper import Workspace
    from parsolve.stages.evaluation import State

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
    exchange = work.exchange(trial)
    evaluate = Evaluation(work.rates, exchange, work.others(), trial, out, [trial], [0.0])
    evaluate.set_scale(1.0)
    comm = work.subdomain.comm

    def largest(values: list[np.ndarray]) -> float:
        return float(comm.allreduce(max(float(np.abs(v).max(initial=0.0)) for v in values), op=MPI.MAX))

    def rate(step: float, direction: list[np.ndarray]) -> list[np.ndarray]:
        for name, d in zip(trial, direction, strict=True):
            trial[name].owned[...] = state[name].owned + step * d
        evaluate(0.0)
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
    exchange.free()
    if not sizes:
        return 0.0 if all(np.isfinite(b).all() for b in base) else float("nan")
    return float(np.exp(np.mean(np.log(sizes[-4:]))))  # a complex pair makes single norms go up and down
