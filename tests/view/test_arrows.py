"""Vectors over maps: seen, of two fields that are there, and where there is a map of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from parsolve.errors import CaseError
from parsolve.view.plot import draw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("shape", [(30, 40), (2, 2), (4, 5, 6), (3, 900)])
@pytest.mark.parametrize("option", ["vectors", "streamlines"])
def test_vectors_are_seen_though_a_value_is_missing(make: Callable[..., Path], shape: Any, option: str) -> None:
    path = make("r.h5", *shape, bad=1)
    plain = draw(path, times=[0.25, 0.5]).read_bytes()
    assert draw(path, times=[0.25, 0.5], **{option: "u,v"}).read_bytes() != plain


@pytest.mark.parametrize(
    ("shape", "wish", "message"),
    [
        ((4, 4), {"vectors": "u"}, "two fields are due"),
        ((4, 4), {"vectors": "u,w"}, "no field 'w'"),
        ((4, 4), {"vectors": "u,v", "streamlines": "u,v"}, "one of them"),
        ((4, 4), {"vectors": "u,v", "lines": ["y=0.5"]}, "needs a picture with two axes"),
        ((4,), {"streamlines": "u,v"}, "needs a picture with two axes"),
        ((1, 4), {"streamlines": "u,v"}, "at least two cells"),
    ],
)
def test_what_has_no_vectors_is_told(make: Callable[..., Path], shape: Any, wish: Any, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        draw(make("r.h5", *shape, frames=1), **wish)
