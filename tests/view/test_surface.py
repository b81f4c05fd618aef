"""Surfaces: by pyvista where it is there, with a word where it is not or where there is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.errors import CaseError, SetupError
from parsolve.view.plot import draw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_without_pyvista_it_is_named(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(SetupError, match="pip install pyvista"):
        draw(make("r.h5", 4, 4, 4), isosurface=0.5)


@pytest.mark.parametrize(
    ("shape", "wish", "message"),
    [
        ((4, 4), {}, "three axes"),
        ((4, 4, 4), {"sheet": True}, "goes with --field and --time alone"),
        ((4, 4, 4), {"out": "a.pdf"}, r"as \.png alone"),
    ],
)
def test_what_has_no_surface_is_told(make: Callable[..., Path], shape: Any, wish: Any, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        draw(make("r.h5", *shape, frames=1), isosurface=0.5, **wish)
