"""A result gives back what was written, and says what is wrong with a file that is none."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.errors import CaseError, StorageError
from parsolve.store.compare import compare
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("shape", [(13,), (9, 8), (8, 7, 6), (8, 1, 6)])
def test_fields_grid_and_provenance_come_back_exactly(alone: Any, tmp_path: Path, shape: tuple[int, ...]) -> None:
    grid = alone.result(tmp_path / "r.h5", *shape)
    with open_result(tmp_path / "r.h5") as result:
        assert result.fields == ("u", "v")
        assert result.grid == grid
        assert result.axes == grid.names[::-1]
        assert result.provenance["case"] == "a = 1\n"
        assert result.units("u") == "K"
        assert result.long_name("u") == "temperature"


def test_a_part_is_read_by_index(alone: Any, tmp_path: Path) -> None:
    grid = alone.result(tmp_path / "r.h5", 8, 7, 6)
    whole = alone.values(grid, "v", 2)
    with open_result(tmp_path / "r.h5") as result:
        np.testing.assert_array_equal(result.read("v", -1, np.s_[2:5, 3, ::2]), whole[2:5, 3, ::2])
        np.testing.assert_array_equal(result.read("v", 2, 4), whole[4])


@pytest.mark.parametrize(
    ("field", "time", "message"),
    [("U", 0, r"no field 'U'; did you mean 'u'\?"), ("u", 3, "there are 3 times")],
)
def test_what_is_not_there_is_named(alone: Any, tmp_path: Path, field: str, time: int, message: str) -> None:
    alone.result(tmp_path / "r.h5", 9, 8)
    with open_result(tmp_path / "r.h5") as result, pytest.raises(CaseError, match=message):
        result.read(field, time)


def test_a_file_that_is_no_result_is_refused_by_name(alone: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    with pytest.raises(StorageError, match=r"r\.h5: no such file"), open_result(path):
        pass
    path.write_text("hello")
    with pytest.raises(StorageError, match=r"r\.h5: not a readable HDF5 file"), open_result(path):
        pass
    with h5py.File(path, "w") as file:
        file["u"] = np.zeros((3, 4))
    with pytest.raises(StorageError, match=r"r\.h5: not a complete result"), open_result(path):
        pass


@pytest.mark.parametrize("part", [0.2, 0.6, 0.99])
def test_a_truncated_file_is_refused(alone: Any, tmp_path: Path, part: float) -> None:
    path = tmp_path / "r.h5"
    alone.result(path, 40, 30)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(StorageError, match=r"r\.h5: not a "), open_result(path):
        pass


@pytest.mark.parametrize("shape", [(13,), (9, 8), (8, 7, 6)])
def test_frames_and_their_folder_are_results(alone: Any, tmp_path: Path, shape: tuple[int, ...]) -> None:
    grid = alone.result(tmp_path / "r.h5", *shape, keep_frames=True)
    folder = tmp_path / "r.h5.frames"
    (folder / ".000000077.h5.partial").write_text("half a frame")
    (folder / "thesis.tex").write_text("mine")
    frames = [folder / f"{10 * i:09d}.h5" for i in range(3)]
    for path, shown in ((folder, [0, 1, 2]), *((frame, [i]) for i, frame in enumerate(frames))):
        with open_result(path) as result, open_result(tmp_path / "r.h5") as whole:
            assert result.times.tolist() == [i / 2 for i in shown]
            assert result.steps.tolist() == [10 * i for i in shown]
            assert (result.grid, result.fields, result.provenance) == (whole.grid, whole.fields, whole.provenance)
            assert (result.units("u"), result.long_name("u"), result.path) == ("K", "temperature", path)
            assert result.doubt(*(("u", place) for place in range(len(shown)))) == ""
            for place, i in enumerate(shown):
                np.testing.assert_array_equal(result.read("v", place), alone.values(grid, "v", i))
    assert compare(folder, tmp_path / "r.h5").equal
    assert not compare(frames[0], frames[1]).equal


def test_a_folder_that_is_not_of_one_run_is_refused(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alone.result(tmp_path / "r.h5", 9, 8, keep_frames=True)
    alone.result(tmp_path / "other.h5", 8, 8, keep_frames=True)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "."):
        with pytest.raises(StorageError, match="is a folder without complete frames"), open_result(name):
            pass
    frames = tmp_path / "r.h5.frames"
    for content in ((tmp_path / "other.h5.frames/000000010.h5").read_bytes(), b"", b"hello"):
        (frames / "000000010.h5").write_bytes(content)
        with pytest.raises(StorageError, match=r"000000010\.h5: not a "), open_result(frames):
            pass


def _text(file: h5py.File) -> None:
    del file["time"]
    file["time"] = ["now"] * 3


def _no_place(file: h5py.File) -> None:
    del file["time"]
    file["time"] = h5py.Empty("f8")


def _elsewhere(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "f8", external=[("/etc/passwd", 0, 8 * int(np.prod(shape)))])

    return change


def _itself(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(file["u"].shape, "f8")
    layout[...] = h5py.VirtualSource(".", "u", file["u"].shape)
    del file["u"]
    file.create_virtual_dataset("u", layout)


def _loop(file: h5py.File) -> None:
    del file["u"]
    file["u"], file["w"] = h5py.SoftLink("/w"), h5py.SoftLink("/u")


def _bare(file: h5py.File) -> None:
    del file["x"].attrs["spacing"]


def _flat(file: h5py.File) -> None:
    file["x"].attrs["spacing"] = 0.0


def _late(file: h5py.File) -> None:
    file["time"][1] = np.nan


def _shorter(file: h5py.File) -> None:
    del file["step"]
    file["step"] = [1]


@pytest.mark.parametrize(
    "change",
    [
        _text,
        _no_place,
        _elsewhere("u"),
        _elsewhere("time"),
        _elsewhere("x"),
        _itself,
        _loop,
        _bare,
        _flat,
        _late,
        _shorter,
    ],
)
def test_a_result_that_was_tampered_with_is_refused_in_one_line(
    alone: Any, tmp_path: Path, change: Callable[[h5py.File], None]
) -> None:
    path = tmp_path / "r.h5"
    alone.result(path, 9, 8)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(StorageError, match=r"r\.h5: ") as caught, open_result(path):
        pass
    assert "\n" not in str(caught.value)


def test_damage_anywhere_gives_one_error_or_the_values(alone: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    alone.result(path, 5, 4)
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for _ in range(12):  # many more: faults.hostile
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=9):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        with suppress(StorageError), open_result(path) as result:
            for field in result.fields:
                result.read(field, -1)
