"""`watch`: it shows what there is of a run until that is over, and Ctrl-C is no failure."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.cli import watch
from parsolve.cli.watch import BLOCKS, series_lines, sparkline
from parsolve.store.series import Coordinate, Series, SeriesFile
from parsolve.store.status import Status, write_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

import numpy as np


def status(state: Any = "running", step: int = 3) -> Status:
    return Status(
        state=state, updated=time.time(), host="h", process=1, at=(step, 0.5), dt=0.1, steps_per_s=2.0,
        seconds_left=9.0, frames=1, last_frame=(0, 0.0), last_checkpoint=None,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "r.h5.frames"
    folder.mkdir()
    write_status(folder, status())
    lines = SeriesFile(folder, ["mass", "peak"])
    lines.begin()
    for n in range(3):
        lines.add(n, 0.1 * n, [1.0, n if n != 1 else math.nan])
    return folder


@pytest.mark.parametrize("seed", range(8))
def test_a_sparkline_has_a_letter_for_each_part_and_keeps_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.sort(random.normal(size=random.integers(1, 100))) * 10.0 ** random.integers(-300, 300)
    line = sparkline(values.tolist(), 20)
    assert len(line) == min(20, len(values))
    assert list(line) == sorted(line)
    if len(values) > 1:
        assert (line[0], line[-1]) == (BLOCKS[0], BLOCKS[-1])


def test_what_is_not_finite_is_blank() -> None:
    assert sparkline([math.nan, 0.0, math.inf, 1.0], 9) == " ▁ █"
    assert sparkline([-1e308, 1e308], 9) == "▁█"
    assert (sparkline([], 9), sparkline([math.nan], 9), sparkline([2.0, 2.0], 9)) == ("", " ", "▁▁")


def test_names_of_a_foreign_file_are_no_commands_of_a_terminal() -> None:
    bad = Series("\x1b[2J", np.arange(1), np.zeros(1), np.ones(1), "\x07")
    assert all(line.isprintable() for line in series_lines([bad]))


def test_of_several_numbers_the_last_are_shown() -> None:
    values = np.array([[0.0, 1.0], [2.0, 1.0]])
    cells = Series("h", np.arange(2), np.arange(2.0), values, coordinate=Coordinate("bin", np.arange(2.0)))
    assert series_lines([cells])[0].split() == ["h", "█▁", "2", "numbers", "1", "to", "2"]


def test_one_look_shows_status_and_measures(call: Callable[..., tuple[int, str, str]], run: Path) -> None:
    for name in (run.name, "r.h5"):
        code, out, err = call("watch", name, "--once")
        assert (code, err) == (0, "")
        assert "step 3, t = 0.5" in out
        assert out.splitlines()[-1].split() == ["peak", "▁", "█", "2", "0", "to", "2"]
    code, _, err = call("watch", "none.h5", "--once")
    assert code == 5
    assert "no status of a run" in err


def test_it_ends_with_the_run(
    call: Callable[..., tuple[int, str, str]], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) == 2:
            (run / "status.json").rename(run / "away")  # as where it is replaced
        if len(looks) == 3:
            write_status(run, status("done", 9))

    monkeypatch.setattr(watch.time, "sleep", sleep)
    code, out, _ = call("watch", "r.h5")
    assert (code, len(looks)) == (0, 3)
    assert [line.split("  ")[:2] for line in out.splitlines()] == [["running", "step 3"], ["done", "step 9"]]


def test_on_a_terminal_it_is_shown_in_place_until_ctrl_c(
    call: Callable[..., tuple[int, str, str]], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(watch.sys.stdout, "isatty", lambda: True, raising=False)
    code, out, err = call("watch", "r.h5")
    assert (code, err, out.count("\x1b[7F\x1b[J")) == (0, "", 1)
