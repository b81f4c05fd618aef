"""Where a run may write: one run a name, numbers given once, and nothing replaced that is not its own kind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from parsolve.errors import StorageError
from parsolve.store.places import claim, command, discard_unfinished, find_folder
from parsolve.store.result import open_result

# A run whose values say which one it was; all begin at about the same time.
RUN = """
import sys, time
from pathlib import Path
from mpi4py import MPI
from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.errors import StorageError
from parsolve.store.frames import FieldInfo, Recorder
path, number, start, options = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
grid = Grid(("x",), (1, 1, 5), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (True, True, True))
field = Field("u", regular(grid, MPI.COMM_SELF, (1, 1, 1), 1), "f8")
field.owned[...] = number
time.sleep(max(0.0, start - time.time()))
try:
    with Recorder(MPI.COMM_SELF, path, grid, [FieldInfo("u", "", "")], "f8", {}, **{o: True for o in options}) as r:
        for step in range(5):
            r.write(float(step), step, [field])
            time.sleep(0.02)
        print(r.finish())
except StorageError as error:
    print(error)
    sys.exit(5)
"""


def rivals(path: Path, count: int, *options: str) -> list[tuple[int, str]]:
    """Exit code and last word of runs into the same name at once."""

    start = str(time.time() + 2.0)
    clean = {key: text for key, text in os.environ.items() if not key.startswith(("PMI", "OMPI", "PMIX"))}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(path), str(i), start, *options],
            stdout=subprocess.PIPE,
            text=True,
            env=clean,
        )
        for i in range(count)
    ]
    said = [run.communicate(timeout=120)[0].strip() for run in runs]
    return [(run.returncode, text) for run, text in zip(runs, said, strict=True)]


def owner(path: Path) -> int:
    """Which run wrote a result, all of it."""
    with open_result(path) as result:
        assert len(result.times) == 5
        values = np.array([result.read("u", i) for i in range(5)])
    assert np.ptp(values) == 0
    return int(values.flat[0])


@pytest.mark.parametrize("options", [(), ("force",), ("keep_frames",), ("force", "keep_frames")])
def test_of_concurrent_runs_into_one_name_one_computes(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "r.h5"
    ended = rivals(path, 4, *options)
    done = [i for i, (code, _) in enumerate(ended) if code == 0]
    assert owner(path) in done
    if "force" not in options:
        assert len(done) == 1
    for code, text in ended:
        assert code == 0 or "another run is writing it" in text or "exists already" in text
    assert not list(tmp_path.glob(".*"))


def test_concurrent_runs_get_numbers_of_their_own(tmp_path: Path) -> None:
    ended = rivals(tmp_path / "r.h5", 4, "number")
    assert sorted(text for _, text in ended) == sorted(
        str(tmp_path / name) for name in ("r.h5", "r-2.h5", "r-3.h5", "r-4.h5")
    )
    for i, (_, text) in enumerate(ended):
        assert owner(tmp_path / text) == i
    assert len(list(tmp_path.iterdir())) == 4


def test_a_number_passes_over_whatever_has_the_name(tmp_path: Path) -> None:
    (tmp_path / "r.h5").write_text("mine")
    (tmp_path / "r-2.h5.frames").mkdir()
    (tmp_path / "r-3.h5").symlink_to("nowhere")
    (tmp_path / "r-4.h5").mkdir()
    places = claim(tmp_path / "r.h5", number=True)
    assert places.result.name == "r-5.h5"
    discard_unfinished(places)
    assert not (tmp_path / "r-5.h5.frames").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_refused_run_leaves_nothing(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["u"] = np.zeros(4)
    (tmp_path / "link.h5").symlink_to("mine.h5")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.h5.frames").symlink_to("folder")
    (tmp_path / "b.h5.frames").write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    for name in ("thesis.tex", "mine.h5", "link.h5", "folder", "pipe", "a.h5", "b.h5", ".", "/", ""):
        with pytest.raises(StorageError, match="-o"):
            claim(tmp_path / name, force=force)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("damage", [lambda text: text, lambda text: text[: len(text) // 2]])
def test_force_replaces_results_whole_or_damaged(alone: Any, tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "r.h5"
    alone.result(path, 64, 64)
    path.write_bytes(damage(path.read_bytes()))
    alone.result(path, 5, force=True)
    with open_result(path) as result:
        assert result.grid.shape == (5,)


@pytest.mark.parametrize("keep_frames", [False, True])
def test_force_replaces_no_input(alone: Any, tmp_path: Path, keep_frames: bool) -> None:
    path = tmp_path / "r.h5"
    alone.result(path, 5, keep_frames=keep_frames)
    inputs = [path, *(tmp_path / "r.h5.frames").glob("*.h5")]
    for file in inputs:
        with pytest.raises(StorageError, match="is read here"):
            claim(path, force=True, inputs=[file])
    discard_unfinished(claim(tmp_path / "other.h5", force=True, inputs=inputs))
    assert not (tmp_path / "other.h5").exists()


def test_what_others_make_meanwhile_is_not_replaced(alone: Any, tmp_path: Path) -> None:
    path, grid = tmp_path / "r.h5", alone.grid(5)
    with alone.recorder(path, grid) as recorder:
        recorder.write(0.0, 0, alone.fields(alone.domain(grid), 0))
        path.write_text("mine")
        with pytest.raises(StorageError, match=r"was made meanwhile; frames are in '.*r\.h5\.frames'"):
            recorder.finish()
    assert path.read_text() == "mine"
    with suppress(StorageError):
        alone.recorder(path, grid)
    assert (tmp_path / "r.h5.frames/000000000.h5").exists()


def test_an_index_that_is_replaced_never_shows_the_frames_of_the_new_run(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any rename, there is the old result, none, or the new one."""
    path = tmp_path / "a.h5"
    alone.result(path, 5, 4, keep_frames=True, names=("u",))
    seen, renamed = [], Path.rename

    def watched(self: Path, target: Path) -> Path:
        done = renamed(self, target)
        if path.exists():
            with open_result(path) as result:
                seen.append(result.fields)
        return done

    monkeypatch.setattr(Path, "rename", watched)
    alone.result(path, 5, 4, keep_frames=True, force=True, names=("v",))
    with open_result(path) as result:
        assert result.fields == ("v",)
    assert ("v",) not in seen[:-1]


@pytest.mark.parametrize(("path", "result"), [
    (".", "here"), ("/", "/"), ("a.h5", "a.h5"), ("a.h5.frames", "a.h5"), ("link.h5", "a.h5"), ("link", "a.h5"),
    ("b.h5.frames.new", "b.h5"),
])  # fmt: skip
def test_a_run_is_found_by_any_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, result: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("a.h5.frames", "b.h5.frames.new"):
        (here / name).mkdir()
    (here / "a.h5").touch()
    (here / "link.h5").symlink_to("a.h5")
    (here / "link").symlink_to("a.h5.frames")
    folder, found = find_folder(Path(path), Path.is_dir)
    assert found.name == result.strip("/")
    assert (folder is not None) == (result not in ("here", "/"))


@pytest.mark.parametrize(("ranks", "path", "text"), [
    (1, "a.h5", "python -m parsolve restart a.h5"), (4, "a b", "mpirun -n 4 python -m parsolve restart 'a b'"),
    (1, "-x", "python -m parsolve restart ./-x"), (1, "$(a)", "python -m parsolve restart '$(a)'"),
])  # fmt: skip
def test_a_command_can_be_pasted(ranks: int, path: str, text: str) -> None:
    assert command(ranks, "restart", Path(path)) == text
