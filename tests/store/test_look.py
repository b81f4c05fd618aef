"""What HDF5 would fill with zeros, take from elsewhere or crash on is refused before it is read."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.errors import StorageError
from parsolve.store import look as module
from parsolve.store.files import open_read
from parsolve.store.look import look, refuse_borrowed, refuse_empty

if TYPE_CHECKING:
    from pathlib import Path

CELLS = 8


def show(path: Path, *sources: str, cells: int = CELLS, part: slice = np.s_[:]) -> Path:
    """A file whose u shows that of other files, one after the other."""
    layout = h5py.VirtualLayout((len(sources) * CELLS,), "f8")
    for place, source in enumerate(sources):
        layout[place * CELLS : (place + 1) * CELLS] = h5py.VirtualSource(source, "u", (cells,))[part]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("u", layout)
    return path


def refused(path: Path) -> str:
    """Why u of a file is refused; empty if it is not."""
    look(path)
    with open_read(path) as file:
        try:
            refuse_borrowed(file["u"])
        except StorageError as error:
            return str(error)
    return ""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["u"] = np.arange(float(CELLS))
    return tmp_path / "source.h5"


def test_values_that_are_there_may_be_shown_from_anywhere(source: Path, tmp_path: Path) -> None:
    assert refused(source) == ""
    assert refused(show(tmp_path / "relative.h5", "source.h5")) == ""
    assert refused(show(tmp_path / "absolute.h5", str(source), str(source))) == ""
    assert refused(show(tmp_path / "part.h5", str(source), part=np.s_[:CELLS])) == ""
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["v"] = np.arange(float(CELLS))
        layout = h5py.VirtualLayout((CELLS,), "f8")
        layout[:] = h5py.VirtualSource(file["v"])
        file.create_virtual_dataset("u", layout)
    assert refused(tmp_path / "own.h5") == ""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link.h5").symlink_to(tmp_path / "relative.h5")
    assert refused(tmp_path / "elsewhere/link.h5") == ""


def test_what_shows_less_than_it_says_is_refused(source: Path, tmp_path: Path) -> None:
    assert "source 'nowhere.h5' is missing" in refused(show(tmp_path / "a.h5", "source.h5", "nowhere.h5"))
    assert "shows more of 'u'" in refused(show(tmp_path / "b.h5", "source.h5", cells=2 * CELLS, part=np.s_[CELLS:]))
    with h5py.File(source, "r+") as file:
        file.move("u", "v")
    assert "has no data set 'u'" in refused(show(tmp_path / "c.h5", "source.h5"))
    source.write_bytes(source.read_bytes()[:100])
    assert "not a readable HDF5 file" in refused(show(tmp_path / "d.h5", "source.h5"))


def test_a_source_that_goes_away_is_noticed(source: Path, tmp_path: Path) -> None:
    path = show(tmp_path / "a.h5", "source.h5")
    assert refused(path) == ""
    source.unlink()
    path.touch()
    assert "is missing" in refused(path)


@pytest.mark.parametrize("length", [1, 2, 3, 20])
def test_what_shows_itself_is_refused(tmp_path: Path, length: int) -> None:
    for i in range(length):
        show(tmp_path / f"{i}.h5", f"{(i + 1) % length}.h5")
    assert "shows itself" in refused(tmp_path / "0.h5")


def test_raw_bytes_of_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"root:x:0:0:" * 10)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("u", (CELLS,), "f8", external=[(str(tmp_path / "secret"), 0, 64)])
    assert "has its values in other files, the first is" in refused(tmp_path / "a.h5")
    assert "has its values in other files, the first is" in refused(show(tmp_path / "b.h5", "a.h5"))


@pytest.mark.parametrize("name", ["self", "external", "huge", "text", "loop", "garbage", "good"])
def test_the_child_survives_what_can_be_survived_and_starts_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "a.h5"
    show(path, "a.h5")
    if name != "self":
        with h5py.File(path, "w") as file:
            file["links/up"] = file["/"]
            if name == "external":
                file.create_dataset("u", (CELLS,), "f8", external=[("/etc/passwd", 0, 64)])
            elif name == "huge":
                file.create_dataset("u", (10**15,), "f8", chunks=(1000,))
            elif name == "text":
                file["u"] = ["a"] * 10
            elif name == "loop":
                file["u"], file["v"] = h5py.SoftLink("/v"), h5py.SoftLink("/u")
            else:
                file["u"] = np.zeros(CELLS)
    if name == "garbage":
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 10)
    look(path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a child of a child"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "refuse_borrowed", lambda *_: pytest.fail("may start children"))
        try:
            module._try_all(path)
        except (OSError, StorageError):
            assert name == "garbage"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            subprocess.CompletedProcess([], -signal.SIGSEGV),
            r"a\.h5: HDF5 cannot read this file \(a trial ended with SIGSEGV",
        ),
        (subprocess.CompletedProcess([], -signal.SIGXCPU), r"a\.h5: HDF5 does not come to an end"),
        (subprocess.TimeoutExpired([], 1), r"a\.h5: HDF5 does not come to an end"),
        (subprocess.CompletedProcess([], 1), None),
    ],
)
def test_a_file_that_the_child_does_not_survive_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Any, said: str | None
) -> None:
    def run(*_: Any, **__: Any) -> Any:
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(subprocess, "run", run)
    source.rename(tmp_path / "a.h5")
    if said is None:
        look(tmp_path / "a.h5")
        return
    with pytest.raises(StorageError, match=said):
        look(tmp_path / "a.h5")


def test_the_child_ends_by_itself_or_by_its_limits(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "h5py"
    endless.mkdir()
    (endless / "__init__.py").write_text("while True: pass")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_PATIENCE", 1.0)
    with pytest.raises(StorageError, match="does not come to an end"):
        look(source)


def test_a_child_is_started_once_and_not_for_results(
    alone: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        started.append(command[3:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    alone.result(tmp_path / "r.h5", 5)
    other = tmp_path / "other.h5"
    other.write_bytes(source.read_bytes())
    for _ in range(2):
        look(tmp_path / "r.h5", source, tmp_path / "missing.h5", other)
    assert started == [[str(source), str(other)]]
    monkeypatch.setattr(sys, "executable", "")
    other.touch()
    look(other)
    assert len(started) == 1


def test_more_is_not_unpacked_than_there_is(tmp_path: Path) -> None:
    """Neither of values that were never written, nor in chunks of which a corner is held."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        whole = file.create_dataset("whole", data=np.ones((3, 5)), chunks=(1, 5), compression="gzip")
        never = file.create_dataset("never", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")
        never[0, 0] = 1.0
        wide = file.create_dataset("wide", (3, 5), "f8", maxshape=(None, None), chunks=(3000, 3000))
        cells = {"maxshape": (None, None), "chunks": (3000, 3000), "compression": "gzip", "compression_opts": 9}
        corner = file.create_dataset("corner", (3, 5), "f8", **cells)
        corner[0, 0] = 1.0
        refuse_empty(whole)
        for dataset, text in [(never, "is to have"), (wide, "is to have"), (corner, "in chunks of 72000000")]:
            with pytest.raises(StorageError, match=f"a.h5: '/{dataset.name[1:]}'.*{text}"):
                refuse_empty(dataset)
