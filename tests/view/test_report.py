"""Pages about results: whole, by themselves, and whatever a result says is text in them."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from parsolve.errors import CaseError, StorageError
from parsolve.view.report import equation_of, write_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("matplotlib")


def tags_of(page: str) -> set[str]:
    found = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)

    Reader().feed(page)
    return found


@pytest.mark.parametrize("shape", [(1,), (4, 5), (1, 1), (3, 4, 5)])
def test_a_page_is_by_itself_and_what_the_result_says_is_text(
    make: Callable[..., Path], shape: tuple[int, ...]
) -> None:
    page = write_report(make("r.h5", *shape, bad=1)).read_text()
    assert "A &lt;b&gt;$test&lt;/b&gt; &amp; more" in page
    assert "speed &lt;x&gt;" in page
    assert not {"b", "x", "script", "link"} & tags_of(page)
    assert page.count('src="data:image/png;base64,') == 2
    assert not re.search(r"(src|href)=.?(?!data:)\w+:", page)


def test_letters_have_one_size_in_all_pictures(make: Callable[..., Path]) -> None:
    page = write_report(make("r.h5", 4, 5, frames=2)).read_text()
    for width, data in re.findall(r'<img [^>]*width="(\d+)" src="data:image/png;base64,([^"]*)"', page):
        pixels = int.from_bytes(b64decode(data)[16:20])  # at 150 an inch
        assert int(width) == pytest.approx(pixels * 96 / 150, abs=1)


def test_a_page_replaces_nothing_unless_told_to(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make("r.h5", 4, frames=1)
    assert [write_report(path).name for _ in range(2)] == ["r.html", "r-2.html"]
    with pytest.raises(StorageError, match="exists already"):
        write_report(path, tmp_path / "r.html")
    with pytest.raises(CaseError, match=r"name it \.html"):
        write_report(path, path, force=True)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ('equation = "heat"\n[parameters]\nD = 0.1', r"heat: u_t = .*\n\nD = 0\.1"),
        ('[evolve]\nu = "v"\nv_t = "-u"', "u_t = v\nv_t = -u"),
        ('evolve = 3\nequation = ["a"]', "not in the result"),
        ("<no TOML", "not in the result"),
    ],
)
def test_the_equation_is_that_of_the_case(case: str, text: str) -> None:
    assert re.fullmatch(text, equation_of(case))
