"""The rows of a slice: what is whole is kept whatever happened to the file, and becomes a result of the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve.domain.grid import Grid
from parsolve.domain.picked import Picked
from parsolve.errors import StorageError
from parsolve.store.layout import Content, FieldInfo
from parsolve.store.packing import Packing, write_packed
from parsolve.store.result import open_result
from parsolve.store.rows import RowFile, publish, rows_in
from parsolve.store.verify import verify

GRID = Picked.at(Grid(("x", "y"), (1, 6, 8), (0, 0, 0), (1, 0.1, 0.3), (True, False, False)), {"y": 0.25}, {"x": 3})
FIELDS = (FieldInfo("u", "temperature", "K"), FieldInfo("v", "speed", "m/s"))


def row_file(folder, run="r1", fields=FIELDS):
    said = {"run": run, "slice": GRID.text, "title": "a plate"}
    return RowFile(folder, "mid", Content(GRID, fields, np.dtype("f8"), said, (FieldInfo("x", "width", "m"),)))


def values(step):
    return [np.full((1, 1, 3), 10.0 * step), np.arange(3.0).reshape(1, 1, 3) + step]


def written(folder, steps=(0, 2, 4, 6)):
    rows = row_file(folder)
    rows.begin()
    for step in steps:
        rows.add(step, step / 10, values(step))
    rows.keep()
    return rows


def content(path):
    with open_result(path) as result:
        fields = {name: [result.read(name, n).tolist() for n in range(len(result.times))] for name in result.fields}
        assert result.axes == ("x",)
        assert result.file["x"][...].tobytes() == GRID.coordinates("x").tobytes()
        assert (result.units("u"), result.units("x")) == ("K", "m")
        return result.steps.tolist(), result.times.tolist(), fields


def test_they_become_a_result_that_is_whole(tmp_path, solo):
    publish(solo, written(tmp_path), tmp_path / "a.mid.h5")
    steps, times, fields = content(tmp_path / "a.mid.h5")
    assert steps == [0, 2, 4, 6]
    assert times == [0, 0.2, 0.4, 0.6]
    assert fields == {"u": [[10.0 * s] * 3 for s in steps], "v": [[s, s + 1.0, s + 2.0] for s in steps]}
    assert verify(solo, [tmp_path / "a.mid.h5"]).damaged == []


def test_a_file_that_was_left_becomes_the_same_result(tmp_path, solo):
    publish(solo, written(tmp_path), tmp_path / "a.h5")
    (path,) = rows_in(tmp_path).values()
    publish(solo, RowFile.of(path), tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_rows_behind_the_step_are_dropped_and_those_that_were_cut(tmp_path, solo):
    for step, cut, last in ((4, 0, 4), (5, 0, 4), (9, 0, 6), (9, 1, 4), (9, 10, 4)):
        rows = written(tmp_path)
        data = rows.path.read_bytes()
        rows.path.write_bytes(data[: len(data) - cut] + b"x" * (cut == 10))
        assert rows.go_on(step, tmp_path / "none") == (last, last / 10)
        rows.add(7, 0.7, values(7))
        publish(solo, rows, tmp_path / "a.h5", force=True)
        assert content(tmp_path / "a.h5")[0] == [*range(0, last + 1, 2), 7]


def test_damage_before_the_step_is_told_and_behind_it_dropped(tmp_path):
    rows = written(tmp_path)
    data = bytearray(rows.path.read_bytes())
    size = (len(data) - len(data.splitlines(keepends=True)[0])) // 4
    data[-2 * size - 30] ^= 1  # in the second row
    rows.path.write_bytes(data)
    assert rows.path.stat().st_size > 4 * size
    assert rows.go_on(1, tmp_path / "none")[0] == 0
    rows.path.write_bytes(data)
    with pytest.raises(StorageError, match="row 1 is damaged"):
        rows.go_on(6, tmp_path / "none")
    rows = written(tmp_path)
    data = bytearray(rows.path.read_bytes())
    data[-3 * size + 5] = 1  # of its step, which is then behind all
    rows.path.write_bytes(data)
    with pytest.raises(StorageError, match="row 1 is damaged"):
        rows.go_on(6, tmp_path / "none")


def test_a_row_that_is_damaged_meanwhile_is_told(tmp_path, solo):
    """And of a file that was left the rows before it are a result."""
    rows = written(tmp_path)
    data = bytearray(rows.path.read_bytes())
    size = (len(data) - len(data.splitlines(keepends=True)[0])) // 4
    data[-2 * size - 30] ^= 1
    rows.path.write_bytes(data)
    with pytest.raises(StorageError, match="row 1 is damaged"):
        publish(solo, rows, tmp_path / "a.h5")
    left = RowFile.of(rows.path)
    assert left.doubt.endswith("row 1 is damaged")
    assert publish(solo, left, tmp_path / "a.h5") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", rows.path.name]


def test_without_the_file_they_are_those_of_the_result(tmp_path, solo):
    rows = written(tmp_path)
    publish(solo, rows, tmp_path / "a.h5")
    rows.path.unlink()
    assert rows.go_on(4, tmp_path / "a.h5") == (4, 0.4)
    publish(solo, rows, tmp_path / "b.h5")
    assert content(tmp_path / "b.h5")[0] == [0, 2, 4]
    rows.path.unlink()
    with pytest.raises(StorageError, match="is missing"):
        rows.go_on(4, tmp_path / "none")


def test_a_damaged_result_is_not_gone_on_with(tmp_path, solo):
    rows = written(tmp_path)
    publish(solo, rows, tmp_path / "a.h5")
    rows.path.unlink()
    data = bytearray((tmp_path / "a.h5").read_bytes())
    at = data.index(values(2)[0].tobytes())
    data[at] ^= 1
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(StorageError, match="damaged"):
        rows.go_on(4, tmp_path / "a.h5")


def test_rows_of_another_run_or_other_fields_are_not_gone_on_with(tmp_path):
    written(tmp_path)
    with pytest.raises(StorageError, match="another run"):
        row_file(tmp_path, run="r2").go_on(4, tmp_path / "none")
    with pytest.raises(StorageError, match="other cells or fields"):
        row_file(tmp_path, fields=FIELDS[::-1]).go_on(4, tmp_path / "none")
    data = (tmp_path / "slice.mid.rows").read_bytes()
    for damaged in (b"nothing\n", b"", b"\xff", b"{}\n", data.replace(b"temperature", b"temperaturf")):
        (tmp_path / "slice.mid.rows").write_bytes(damaged)
        with pytest.raises(StorageError, match="is damaged, or no file of a slice"):
            row_file(tmp_path).go_on(4, tmp_path / "none")


def test_what_has_the_name_stays(tmp_path, solo):
    rows = written(tmp_path)
    (tmp_path / "a.h5").write_text("mine")
    for force in (False, True):
        with pytest.raises(StorageError, match="something of this name"):
            publish(solo, rows, tmp_path / "a.h5", force=force)
    assert (tmp_path / "a.h5").read_text() == "mine"


def test_what_is_packed_of_it_stays_where_it_was(tmp_path, solo):
    """At the place of the axis that it lacks, and at the centres of the whole grid."""
    publish(solo, written(tmp_path), tmp_path / "a.mid.h5")
    with open_result(tmp_path / "a.mid.h5") as result:
        write_packed(solo, tmp_path / "b.h5", result.content(), result.moments(), Packing("gzip"))
    content(tmp_path / "b.h5")
    for path in (tmp_path / "a.mid.h5", tmp_path / "b.h5"):
        with open_result(path) as result:
            assert result.file["VTKHDF"].attrs["Origin"].tolist() == list(GRID.lower[::-1])
            assert result.file["VTKHDF"].attrs["Spacing"].tolist() == list(GRID.spacing[::-1])
            assert (result.grid.lower, result.grid.spacing) == (GRID.lower, GRID.spacing)
