"""What is asked of a file holds or does not; what a file does not say does not hold."""

from __future__ import annotations

import pytest

from parsolve.ensemble.conditions import Condition
from parsolve.errors import CaseError

FACTS = {"parameters.F": 0.03, "time": 2, "title": "a plate", "fields": ["u", "v"], "grid.x.periodic": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("parameters.F = 0.03", True),
        ("parameters.F=3e-2", True),
        ("parameters.F != 0.03", False),
        ("time >= 2", True),
        ("time > 2.0", False),
        ("time<2.5", True),
        ("time <= 1", False),
        ("title = a plate", True),
        ("title = 'a plate'", True),
        ("title < b", True),
        ("title < 3", False),
        ("fields = v", True),
        ("fields != v", False),
        ("fields != w", True),
        ("fields < w", False),
        ("fields = ['u', 'v']", True),
        ("grid.x.periodic = true", True),
        ("grid.x.periodic < 2", False),
        ("missing = 1", False),
        ("missing != 1", False),
    ],
)
def test_it_holds(text: str, holds: bool) -> None:
    assert Condition.of(text).holds(FACTS) == holds


@pytest.mark.parametrize("text", ["", "time", "= 2", "time =", "time ~ 2", "1 = 1", "a b = 1"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(CaseError, match="--where"):
        Condition.of(text)


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("time >= x", "'time' is a number, and 'x' is a text"),
        ("title > 3", "'title' is a text, and 3 is a number; write title>'\"3\"'"),
        ("title = 5", "'title' is a text, and 5 is a number"),
        ("fields = 3", "'fields' is a list of which one is a text, and 3 is a number"),
        ("fields > u", "'fields' is a list: ask for it with = or !="),
        ("grid.x.periodic = 1", "'grid.x.periodic' is true or false, and 1 is a number"),
        ("grid.x.periodic < true", "'grid.x.periodic' is true or false: ask"),
        ("fields = v", ""), ("time != 3", ""), ("title < b", ""), ("fields = ['u']", ""), ("missing = 1", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(text: str, doubt: str) -> None:
    found = Condition.of(text).doubt(FACTS)
    assert found.startswith(doubt) if doubt else not found
