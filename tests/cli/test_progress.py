"""The progress line says the truth, seldom, and costs nothing."""

from __future__ import annotations

import io
from time import perf_counter

import pytest

from parsolve.cli import progress
from parsolve.cli.progress import ProgressLine, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line() -> None:
    shown = ProgressLine(io.StringIO())
    shown.start(10.0, None, 1000)
    for step in range(1, 51):
        shown.update(step, 0.1 * step, 0.1)
    assert shown.line(2.0) == ("step 50  t 5/10  dt 0.1  50 %  25 steps/s  2.5e+04 cells/s  ETA 2 s")
    shown.start(None, 200, 1000)
    shown.update(50, 5.0, 0.1)
    assert shown.line(1.0).startswith("step 50/200  t 5  dt 0.1  ")


def test_a_log_gets_few_lines_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "perf_counter", lambda: clock[0])
    log = io.StringIO()
    shown = ProgressLine(log)
    shown.start(100.0, None, 10)
    for step in range(1, 101):
        clock[0] += 0.5
        shown.update(step, float(step), 1.0)
    shown.finish()
    lines = log.getvalue().splitlines()
    assert 4 <= len(lines) <= 6
    assert lines[-1].startswith("step 100  t 100/100")
    assert "100 %" in lines[-1]


def test_a_terminal_gets_one_line_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "perf_counter", lambda: clock[0])
    terminal = Terminal()
    shown = ProgressLine(terminal)
    shown.start(None, 20, 10)
    for step in range(1, 21):
        clock[0] += 0.5
        shown.update(step, float(step), 1.0)
    shown.finish()
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().count("\r") > 10


def test_silence() -> None:
    shown = ProgressLine(None)
    shown.start(None, 3, 10)
    shown.update(1, 1.0, 1.0)
    shown.finish()


def test_an_update_costs_less_than_a_microsecond() -> None:
    shown = ProgressLine(io.StringIO())
    shown.start(1e9, None, 10)
    best = 1.0
    for _ in range(5):
        began = perf_counter()
        for step in range(20000):
            shown.update(step, 1.0, 1.0)
        best = min(best, (perf_counter() - began) / 20000)
    assert best < 1e-6


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1:01"), (3725, "1:02:05")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
