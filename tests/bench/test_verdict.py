"""The words say what the figures do."""

from __future__ import annotations

import re

import pytest

from parsolve.bench.contest import ONE, Contest, Row, Work
from parsolve.bench.verdict import verdict


def row(work: Work, engine: str, rate: float, workers: int = 2, startup: float = 0.0) -> Row:
    return Row(work, engine, workers, 40, startup, 40 / rate, rate, rate / 10, rate / 10 / workers)


def said(*rows: Row, marching: float = 0.5) -> list[str]:
    """The words for rows beside one worker, whose rate is 10 of each work."""
    every = [row("many", ONE, 10.0, 1), row("large", ONE, 10.0, 1), *rows]
    return verdict(Contest("heat3d", "float64", 8, 64, 960, 1000, marching, every, [], []))


def test_who_is_first_won() -> None:
    many, large = said(
        row("many", "threads", 12.0), row("many", "processes", 19.0, startup=2.0), row("large", "threads", 16.0),
        row("large", "ranks", 12.0), marching=0.6,
    )  # fmt: skip
    assert many.startswith("many small cases: processes won, 1.90 times as fast as one worker; threads (1.20)")
    assert "Python, which is 40 % of a case" in many
    # 43 cases: 2 s + 43 / 19 < 43 / 10, and not with 42.
    assert many.endswith("the start of processes (2.0 s) pays from 43 cases on")
    assert large.startswith("one large case: threads won, 1.60 times as fast as one worker; a step takes 2.5 ms")
    assert large.endswith("4 ms by one worker: 0.5 ms are lost to waiting for each other and for shared memory")


def test_of_those_that_are_level_the_first_to_start_is_named() -> None:
    many, _ = said(row("many", "dask", 19.0, startup=6.0), row("many", "ranks", 18.9, startup=0.5))
    assert "dask and ranks are level, 1.90 times as fast as one worker, and ranks start first" in many
    assert "each of its workers does 94 % of what one does alone" in many


def test_a_case_that_fits_the_caches_of_all_goes_faster_than_its_share() -> None:
    _, large = said(row("large", "ranks", 25.0))
    assert large.endswith("1.6 ms, and 4 ms by one worker: less than its share, as a part fits the caches better")


@pytest.mark.parametrize("rate", [4.0, 10.2])
def test_where_nothing_is_faster_no_one_won(rate: float) -> None:
    for line in said(row("many", "threads", rate), row("large", "threads", rate)):
        assert re.search(r"no engine was clearly faster than one worker: 2 workers \(threads\) did [01]\.\d\d", line)
    for line in said(row("many", "threads", rate, 1)):
        assert "there is one core" in line


def test_more_than_all_workers_can_do_is_no_figure_to_trust() -> None:
    many, _ = said(row("many", "ranks", 25.0), row("many", "threads", 12.0))
    assert "2 workers cannot do 2.50 times the work of one: the speed of the machine changed meanwhile" in many
