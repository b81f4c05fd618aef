"""The text of a case: read as other programs write it, and refused where it is none, whatever it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from parsolve.case import Case
from parsolve.case.tables import packaged
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

MANY = 5000
HEAT = packaged()["heat"]


@pytest.mark.parametrize("name", packaged())
def test_a_mark_before_the_text_and_other_line_ends_change_nothing(tmp_path: Path, name: str) -> None:
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_bytes(packaged()[name].encode())
    marked.write_bytes(b"\xef\xbb\xbf" + packaged()[name].replace("\n", "\r\n").encode())
    assert Case.load(plain).to_tables() == Case.load(marked).to_tables()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "9" * MANY, "not valid TOML: Exceeds the limit .* digits"),
        ("a = " + "[" * MANY + "]" * MANY, "too deep in each other"),
        ("a = " + "[" * 20 + "]" * 20, "too deep in each other"),
        ("a = " + "{a=" * 20 + "1" + "}" * 20, "too deep in each other"),
        ("a." * MANY + "b = 1", "too deep in each other"),
        ("[" + "a." * MANY + "b]", "too deep in each other"),
        ("a = 1\na = 2", "not valid TOML"),
        ("\0", "not valid TOML"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_case_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(text)
    with pytest.raises(CaseError, match=message) as caught:
        Case.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert "set_int_max_str_digits" not in str(caught.value)


@pytest.mark.parametrize("coding", ["utf-16", "utf-32", "latin-1"])
def test_other_codings_are_named(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "case.toml"
    path.write_bytes(f'title = "Wärme"\n{HEAT}'.encode(coding))
    with pytest.raises(CaseError, match="not UTF-8 text"):
        Case.load(path)
