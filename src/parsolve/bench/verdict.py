"""What the figures of a comparison of engines say, in words: who won, and why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from parsolve.bench.contest import ONE

if TYPE_CHECKING:
    from parsolve.bench.contest import Contest, Row, Work

LEVEL = 1.05  # engines whose rates differ by less are level: as much as a rate changes from run to run
MOST = 1.2  # efficiency of small cases, which share nothing: what is above is no figure to trust


def verdict(contest: Contest) -> list[str]:
    """A line for each kind of work."""
    return [f"many small cases: {_many(contest)}", f"one large case: {_large(contest)}"]


def _many(contest: Contest) -> str:
    rows = _rows(contest, "many")
    won, best = _winner(rows)
    if best is rows[ONE]:
        return won
    too_good = max(rows.values(), key=lambda row: row.efficiency)
    if too_good.efficiency > MOST:
        return (f"{won}; but {too_good.workers} workers cannot do {too_good.speedup:.2f} times the work of one: "
                "the speed of the machine changed meanwhile, measure again")  # fmt: skip
    threads, setup = rows.get("threads"), 1 - contest.marching
    if threads is not None and best.rate > LEVEL * threads.rate:
        why = f"threads ({threads.speedup:.2f}) take turns in Python, which is {100 * setup:.0f} % of a case"
    else:
        why = f"each of its workers does {100 * best.efficiency:.0f} % of what one does alone"
    return f"{won}; {why}{_pays(best, rows[ONE])}"


def _pays(best: Row, one: Row) -> str:
    """From how many cases on an engine is done earlier than one worker, its start counted."""
    later = best.startup - one.startup
    if later <= 0:
        return ""
    cases = math.ceil(later / (1 / one.rate - 1 / best.rate))
    return f"; the start of {best.engine} ({best.startup:.1f} s) pays from {cases} cases on"


def _large(contest: Contest) -> str:
    rows = _rows(contest, "large")
    won, best = _winner(rows)
    if best is rows[ONE]:
        return won
    alone, together = (1e3 * row.seconds / contest.large_steps for row in (rows[ONE], best))
    more = together - alone / best.workers
    what = f"a step takes {together:.3g} ms, and {alone:.3g} ms by one worker"
    if more <= 0:
        return f"{won}; {what}: less than its share, as a part fits the caches better"
    return f"{won}; {what}: {more:.2g} ms are lost to waiting for each other and for shared memory"


def _rows(contest: Contest, work: Work) -> dict[str, Row]:
    return {row.engine: row for row in contest.rows if row.work == work}


def _winner(rows: dict[str, Row]) -> tuple[str, Row]:
    """Who won, in words, and its row: of those that are level that which starts first; one worker if none is faster."""
    one, most = rows[ONE], max(rows.values(), key=lambda row: row.rate)
    if most.rate < LEVEL * one.rate:
        others = [row for row in rows.values() if row is not one and row.workers > 1]
        best = max(others, key=lambda row: row.rate, default=None)
        why = (
            f"{best.workers} workers ({best.engine}) did {best.speedup:.2f} times its work"
            if best
            else "there is one core"
        )
        return f"no engine was clearly faster than one worker: {why}", one
    level = [row for row in rows.values() if most.rate < LEVEL * row.rate]
    best = min(level, key=lambda row: row.startup)
    if len(level) == 1:
        return f"{best.engine} won, {best.speedup:.2f} times as fast as one worker", best
    names = " and ".join(row.engine for row in level)
    return f"{names} are level, {most.speedup:.2f} times as fast as one worker, and {best.engine} start first", best
