"""`status.json` says how members stand now, also while rank 0 is within one of them."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.ensemble.members import Sweep
from parsolve.ensemble.standing import Record, Standing, known, write

if TYPE_CHECKING:
    from pathlib import Path


def test_the_status_follows_while_nobody_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsolve.ensemble.standing.OFTEN", 0.01)
    monkeypatch.setattr("parsolve.ensemble.standing.PART", 0.0)
    found = Sweep("study", tmp_path, {}, ({"a": 1}, {"a": 2}, {"a": 3}), 1, False)
    records, future = [Record("done"), Record(), Record()], Future[Record]()

    def said() -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((tmp_path / "status.json").read_text())
        return answer

    def wait_for(state: dict[str, str]) -> None:
        end = time.monotonic() + 60
        while said()["members"] != state:
            assert time.monotonic() < end
            time.sleep(0.005)

    with Standing(found, tmp_path, records) as standing:
        assert said()["members"] == {"0": "done", "1": "waiting", "2": "waiting"}
        standing.begun[future] = 1
        future.set_running_or_notify_cancel()
        wait_for({"0": "done", "1": "running", "2": "waiting"})
        assert said()["running"] == 1
        records[1] = Record("failed")
        del standing.begun[future]
        wait_for({"0": "done", "1": "failed", "2": "waiting"})
        first = said()["updated"]
        while said()["updated"] == first:  # it tells that it lives
            time.sleep(0.005)
        standing.begun[future] = 2
    assert said()["members"] == {"0": "done", "1": "failed", "2": "waiting"}


@pytest.mark.parametrize(("code", "stays"), [(2, True), (4, True), (1, False), (3, False), (5, False), (6, False)])
def test_what_failed_by_itself_is_known(tmp_path: Path, code: int, stays: bool) -> None:
    values = {"a": 1}
    write(tmp_path / "member.json", {"values": values, **vars(Record("failed", code, "why", 1.5))})
    assert known(tmp_path, values) == (Record("failed", code, "why", 1.5) if stays else Record())
    assert known(tmp_path, values, retry=True) == Record()
    assert known(tmp_path, {"a": 2}) == Record()
