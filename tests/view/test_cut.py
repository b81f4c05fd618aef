"""Cuts: lines in every number of axes, all along one, with an error that shows what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsolve.errors import CaseError
from parsolve.store.result import open_result
from parsolve.view.cut import choose_cut, choose_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_line_takes_all_axes_but_one(make: Callable[..., Path]) -> None:
    with open_result(make("r.h5", 4, 5, 6)) as result:
        first, second = choose_lines(result, ["y=0.5,z=0.1", "z = 0.9 , y=0.5"])
        assert (first.axes, first.note, second.note) == (("x",), "y = 0.5, z = 0.125", "y = 0.5, z = 0.875")
        assert result.read("u", 0, first.index).shape == (6,)
        assert choose_cut(result, "x=0.5,y=0.5").axes == ("z",)


@pytest.mark.parametrize(
    ("shape", "lines", "message"),
    [
        ((4, 5, 6), ["y=0.5"], "leaves x and z.*write e.g. y=0.5,z=0.5"),
        ((4, 6), ["x=0.5", "y=0.5"], "are along x and y"),
        ((4, 6), ["x=0.5,y=0.5"], "leaves no axis.*write e.g. y=0.5"),
        ((4, 6), ["y=0.5,y=0.6"], "y is there twice"),
        ((4, 6), ["y=2"], "y is from 0 to 1"),
        ((4, 6), ["w=2"], "no axis 'w'"),
        ((6,), ["x=0.5"], "leave it out"),
    ],
)
def test_what_is_no_line_is_told(
    make: Callable[..., Path], shape: tuple[int, ...], lines: list[str], message: str
) -> None:
    with open_result(make("r.h5", *shape, frames=1)) as result, pytest.raises(CaseError, match=message):
        choose_lines(result, lines)
