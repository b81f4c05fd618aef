"""Figures: texts as they are and within the figure, and pictures that replace nothing unasked."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.errors import StorageError
from parsolve.view.figures import blank, fitted, plain, save

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("seed", range(12))
def test_every_text_fits_and_is_no_mathematics(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    letters = [*"abc WWiiil$_^{}\\%#&", "$x_", "é"]
    text = "".join(random.choice(letters, random.integers(1, 400)))
    figure = blank(figsize=(random.uniform(2.5, 9.0), 3.0))
    words = fitted(figure, text, figure.get_figwidth())
    title = figure.suptitle(words["text"], fontsize=words["fontsize"])
    figure.draw_without_rendering()
    extent = title.get_window_extent()
    assert figure.bbox.x0 <= extent.x0 <= extent.x1 <= figure.bbox.x1
    assert save(figure, tmp_path / "a.png").stat().st_size > 1000
    assert title.get_text().count("\n") < 4


@pytest.mark.parametrize("text", ["a", "$", "$$", r"\$", "$x_{$", r"100\% $5 and $6"])
def test_dollars_are_dollars(text: str) -> None:
    figure = blank()
    shown, mathematics = figure.suptitle(plain(text))._preprocess_math(plain(text))
    assert (shown, bool(mathematics)) == (text, False)


def test_a_picture_replaces_nothing_unless_told_to(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    figure = blank(figsize=(1, 1))
    with pytest.raises(StorageError, match=r"a\.png: exists"):
        save(figure, path)
    assert [save(figure, path, number=True).name for _ in range(3)] == ["a-2.png", "a-3.png", "a-4.png"]
    assert path.read_text() == "mine"
    assert save(figure, path, force=True) == path
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_leaves_no_file(tmp_path: Path) -> None:
    figure = blank(figsize=(1, 1))
    figure.suptitle("$x_{$")
    for name in ("a.png", "a.docx"):
        with pytest.raises(StorageError, match=name):
            save(figure, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_of_matplotlib_are_told() -> None:
    code = "from parsolve.view.figures import blank; from parsolve.errors import SetupError\ntry: blank()\nexcept SetupError as e: print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MPLBACKEND": "nosuch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("matplotlib cannot be loaded: ")
    assert "nosuch" in done.stdout


def test_a_letter_that_the_font_lacks_is_told_once(tmp_path: Path) -> None:
    figure = blank()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        words = fitted(figure, "\u70ed " * 50, 3.0)
    assert not told
    figure.suptitle(words["text"])
    with pytest.warns(UserWarning, match="missing from font"):
        save(figure, tmp_path / "a.png")


@pytest.mark.parametrize(("suffix", "head"), [("pdf", b"%PDF"), ("SVG", b"<?xml"), ("png", b"\x89PNG")])
def test_the_same_figure_is_the_same_file_in_every_format(tmp_path: Path, suffix: str, head: bytes) -> None:
    def drawn(n: int) -> bytes:
        figure = blank(figsize=(2, 2))
        figure.add_subplot().imshow(np.eye(3))
        return save(figure, tmp_path / f"{n}.{suffix}").read_bytes()

    one, two = map(drawn, range(2))
    assert one == two
    assert one.startswith(head)
