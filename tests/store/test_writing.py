"""Small files are written whole or not at all, and only where a file may be."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from parsolve.errors import ParsolveError, StorageError
from parsolve.store.writing import refuse_inputs, refuse_name, write_whole


def test_a_file_is_new_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert write_whole(path, b"one", force=False) == path
    with pytest.raises(StorageError, match="a: exists already; use -o for another name or --force"):
        write_whole(path, b"two", force=False)
    assert path.read_bytes() == b"one"
    write_whole(path, b"two", force=True)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_is_taken_where_a_name_is(tmp_path: Path) -> None:
    (tmp_path / "a-2.png").symlink_to("nowhere")
    (tmp_path / "a-4.png").mkdir()
    taken = [write_whole(tmp_path / "a.png", bytes([i]), number=True).name for i in range(3)]
    assert taken == ["a.png", "a-3.png", "a-5.png"]
    assert [(tmp_path / name).read_bytes() for name in taken] == [b"\0", b"\1", b"\2"]
    assert write_whole(tmp_path / "a.png", b"new", number=True, force=True).name == "a.png"


def test_links_are_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    test_a_file_is_new_or_replaced(tmp_path)


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None, replace: bool
) -> None:
    path = tmp_path / "a"
    if old is not None:
        path.write_bytes(old)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ParsolveError, match=r"a: (cannot write it: File too large|exists already)"):
            write_whole(path, bytes(5000), force=replace)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_but_regular_files_is_replaced(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, said in {
        "link": "is a link, to 'file'",
        "dangling": "is a link",
        "folder": "is a directory",
        "pipe": "is a device, pipe or socket",
    }.items():
        with pytest.raises(StorageError, match=said):
            write_whole(tmp_path / name, b"new", force=replace)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "file", "folder", "link", "pipe"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is a directory"),
        (".", "is a directory"),
        ("..", "is a directory"),
        ("/", "is a directory"),
        ("a\0b", "control characters"),
        ("a\nb", "control characters"),
        ("a" * 256, "too long"),
        ("é" * 127, "too long"),
        ("b/" * 3000 + "a", "too long"),
        ("nowhere/a", "directory '.*nowhere' does not exist; create it or use another -o"),
        ("file/a", "directory '.*file' is no directory; use another -o"),
    ],
)
def test_what_cannot_be_a_name_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    with pytest.raises(StorageError, match=said) as caught:
        refuse_name(Path(name))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_input_is_an_input_under_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a")
    path.write_text("mine")
    Path("hard").hardlink_to(path)
    Path("soft").symlink_to(path)
    for name in ("a", "hard", "soft", tmp_path / "a", "../" + tmp_path.name + "/a"):
        with pytest.raises(StorageError, match="is read here"):
            refuse_inputs(Path(name), [Path("missing"), path])
        with pytest.raises(StorageError):
            write_whole(Path(name), b"new", force=True, inputs=[path])
    refuse_inputs(Path("b"), [path])
    assert path.read_text() == "mine"
