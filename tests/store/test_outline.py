"""A frame written from the outline is, to the byte, what would be laid out anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.store.layout import Content, FieldInfo, lay_out
from parsolve.store.outline import Outline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shape", [(5,), (300, 40), (3, 4, 5)])
@pytest.mark.parametrize("names", ["u", "uvw", "abcdefghijklmn"])
def test_all_but_the_values_is_as_laid_out(alone: Any, tmp_path: Path, shape: tuple[int, ...], names: str) -> None:
    infos = tuple(FieldInfo(name, f"field {name}", "K") for name in names)
    content = Content(alone.grid(*shape), infos, np.dtype("f4"), {"title": "a" * 5000, "case": "b" * 70000})
    outline = Outline.of(content)
    for time, step in ((0.0, 0), (1 / 3, 7), (1e300, 2**60)):
        outline.write(tmp_path / "frame", time, step)
        (tmp_path / "anew").unlink(missing_ok=True)
        lay_out(tmp_path / "anew", replace(content, times=(time,), steps=(step,)))
        size = content.grid.size * 4
        texts = [bytearray((tmp_path / name).read_bytes()) for name in ("frame", "anew")]
        for text in texts:
            for offset in outline.table.values.values():
                text[offset : offset + size] = bytes(size)
        assert texts[0] == texts[1]
    assert (tmp_path / "frame").stat().st_size < len(names) * (size + 4096) + 300_000
