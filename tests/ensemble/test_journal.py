"""What stands in a journal is not done again, unless a file or what was written has changed."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from parsolve.ensemble.journal import Done, Journal, Work
from parsolve.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "a").write_text("aaa")
    (tmp_path / "b").write_text("bb")
    return Work("copy", tmp_path / "a", tmp_path / "b", {"force": False})


@pytest.fixture
def done(work: Work) -> Done:
    return Done(str(work.source), str(work.target), 3, 0.5, found={"bytes": 2})


@pytest.fixture
def path(tmp_path: Path, work: Work, done: Done) -> Path:
    journal = Journal(tmp_path / "j", False)
    journal.note(work, done)
    journal.close()
    return tmp_path / "j"


def test_what_is_done_is_known(path: Path, work: Work, done: Done) -> None:
    with closing(Journal(path, True)) as journal:
        found = journal.find(work)
    assert found is not None
    assert found.skipped
    assert (found.file, found.bytes, found.found) == (done.file, done.bytes, done.found)


@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("how", ["bytes", "time", "gone"])
def test_what_has_changed_is_done_again(path: Path, work: Work, which: str, how: str) -> None:
    file = path.with_name(which)
    if how == "bytes":
        file.write_text("more than it was")
    elif how == "time":
        os.utime(file, (1, 1))
    else:
        file.unlink()
    with closing(Journal(path, True)) as journal:
        assert journal.find(work) is None


def test_another_operation_is_not_done(path: Path, work: Work) -> None:
    with closing(Journal(path, True)) as journal:
        assert journal.find(Work("repack", work.source, work.target, work.options)) is None
        assert journal.find(Work("copy", work.source, work.target, {"packing": 1})) is None
        assert journal.find(Work("copy", work.source, work.target, {"force": True})) is not None


def test_at_any_cut_of_its_end_it_is_gone_on_with(path: Path, work: Work, done: Done) -> None:
    journal = Journal(path, True)
    journal.note(Work("stats", work.source), done)
    journal.close()
    data = path.read_bytes()
    first = data.index(b"\n", data.index(b"\n") + 1) + 1
    for cut in range(first, len(data), 17):
        path.write_bytes(data[:cut])
        journal = Journal(path, True)
        assert journal.find(work) is not None
        assert journal.find(Work("stats", work.source)) is None
        journal.note(Work("stats", work.source), done)
        journal.close()
        assert path.read_bytes() == data


def test_a_line_that_was_changed_is_told(path: Path) -> None:
    data = path.read_bytes()
    for at in range(len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(StorageError, match=r"no record|damaged"):
            Journal(path, True)


@pytest.mark.parametrize("text", ["no newline", '{"key": 1}', "a text\n", '{"key": 1}\nx\n', "[]\n", "\0\n"])
def test_another_file_stays_as_it_is(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(StorageError, match="no record"):
        Journal(path, True)
    assert path.read_text() == text


def test_without_resume_it_is_not_taken(path: Path) -> None:
    with pytest.raises(StorageError, match="--resume"):
        Journal(path, False)
