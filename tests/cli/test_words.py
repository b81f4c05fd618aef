"""Options are numbers, counts and names, or are refused with what is expected; what is shown is plain."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsolve.cli.words import count, file_name, number, seconds, steps_text, tolerance

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = [
    "1",
    "-1",
    "0",
    "-0",
    "1.5",
    "1e-3",
    "-1e308",
    "1e999",
    "nan",
    "inf",
    "-inf",
    "",
    " ",
    "x",
    "0x10",
    "9" * 5000,
    "1_0",
    "\u0661",
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:12])
@pytest.mark.parametrize(
    ("kind", "accepts"),
    [
        (number, lambda value: math.isfinite(value)),
        (tolerance, lambda value: 0 <= value < math.inf),
        (seconds, lambda value: 0 < value < math.inf),
        (count, lambda value: value >= 1),
    ],
)
def test_an_option_is_what_it_should_be_or_refused(
    kind: Callable[[str], float], accepts: Callable[[float], bool], text: str
) -> None:
    try:
        value: float = int(text) if kind is count else float(text)
        good = accepts(value)
    except ValueError:
        good = False
    if good:
        assert kind(text) == value
    else:
        with pytest.raises(ArgumentTypeError, match="expected a"):
            kind(text)


@pytest.mark.parametrize("text", ["a", " ", "a b", "/x/y.h5", "-", "\udcff"])
def test_a_name_is_a_path(text: str) -> None:
    assert file_name(text) == Path(text)


@pytest.mark.parametrize("text", ["", "\0", "a\0b"])
def test_what_no_path_can_be_is_no_name(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected the name of a file"):
        file_name(text)


def test_steps_are_told_as_far_as_they_are_known() -> None:
    assert steps_text(7, changes=False) == "7 steps"
    assert steps_text(7, changes=True).startswith("about 7 steps")
    assert steps_text(None, changes=True) == "adapted to the tolerance"
