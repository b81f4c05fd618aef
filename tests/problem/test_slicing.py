"""Slices of a run: the bits of a frame's cells, on any ranks, without gap or double however it was stopped."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve import make_case, solve
from parsolve.errors import CaseError, NumericalError, StorageError
from parsolve.problem import slicing
from parsolve.problem.pose import pose
from parsolve.problem.slicing import Slicer
from parsolve.store.gather import gather
from parsolve.store.result import open_result
from parsolve.store.rows import RowFile
from parsolve.store.verify import verify

CUTS = {
    "mid": {"y": 0.5, "every_steps": 6},
    "box": {"x": [0.2, 0.7], "stride": {"y": 3}, "fields": ["g = dy(u)*t", "u", "top"], "every": 0.02},
    "coarse": {"stride": 5},
}
CASE = {
    "evolve": {"u": "0.1*laplace(u)"},
    "grid": {"x": {"cells": 24, "range": [0, 1], "periodic": True}, "y": {"cells": 16, "range": [0, 1]}},
    "initial": {"u": "1 + sin(2*pi*x)*cos(2*pi*y) + 0.1*x*y"}, "time": {"steps": 40, "dt": 0.001},
    "average": {"every_steps": 1, "top": {"max": "u"}}, "slices": CUTS,
    "output": {"every_steps": 9, "fields": ["u", "v = dx(u)"]},
}  # fmt: skip


def content(path):
    with open_result(path) as result:
        values = {n: [result.read(n, i).tobytes() for i in range(len(result.times))] for n in result.fields}
        return result.steps.tolist(), result.times.tobytes(), values


def contents(path):
    return [content(path.with_name(f"{path.stem}.{name}.h5")) for name in CUTS]


def test_they_have_the_bits_of_the_same_cells_of_frames(comm, shared_tmp, solo, tmp_path):
    """Of frames of every step by another run, on one rank."""
    every = {"every_steps": 1, "fields": ["u", "v = dx(u)", "g = dy(u)*t", "top"]}
    solve(make_case({**CASE, "output": every, "slices": {}}), tmp_path / "all.h5", solo)
    solve(make_case(CASE), shared_tmp / "a.h5", comm)
    index = {"mid": (8, slice(None)), "box": (slice(None, None, 3), slice(5, 17)), "coarse": (slice(0, None, 5),) * 2}
    due = {"mid": [*range(0, 40, 6), 40], "box": [0, 20, 40], "coarse": [*range(0, 40, 9), 40]}
    fields = {"mid": ("u", "v"), "box": ("g", "u", "top"), "coarse": ("u", "v")}
    with open_result(tmp_path / "all.h5") as whole:
        for name in CUTS:
            with open_result(shared_tmp / f"a.{name}.h5") as found:
                assert (found.steps.tolist(), found.fields) == (due[name], fields[name])
                for n, step in enumerate(due[name]):
                    assert found.times[n] == pytest.approx(step / 1000, rel=1e-12)
                    for field in found.fields:
                        there = whole.read(field, step)[index[name]]
                        assert found.read(field, n).tobytes() == np.ascontiguousarray(there).tobytes()
    assert not verify(comm, [shared_tmp / f"a.{name}.h5" for name in CUTS]).damaged
    assert not (shared_tmp / "a.h5.frames").exists()


@pytest.mark.parametrize(
    ("axes", "more", "cuts"),
    [("x", {"run": {"precision": "float32", "order": 8}}, {"a": ({"stride": 3}, np.s_[::3])}),
     ("xyz", {"time": {"end": 0.02, "scheme": "dp45", "tolerance": 1e-6}},
      {"a": ({"z": 0.5}, np.s_[2]), "b": ({"x": [0.5, 1.0], "y": 0.0, "stride": {"z": 2}}, np.s_[::2, 0, 24:])})],
)  # fmt: skip
def test_they_have_the_bits_of_the_frames_beside_them(comm, shared_tmp, axes, more, cuts):
    """In single precision and of high order; with adaptive steps, along an axis that is anti-periodic."""
    kinds = dict(zip(axes, ((48, False), (9, True), (5, "anti")), strict=False))
    grid = {axis: {"cells": n, "range": [0, 1], "periodic": kind} for axis, (n, kind) in kinds.items()}
    values = {"initial": {"u": "cos(2*pi*x)*" + {"x": "1", "xyz": "sin(2*pi*y)*cos(pi*z)"}[axes]}}
    tables = {
        "evolve": CASE["evolve"],
        "grid": grid,
        "time": {"end": 0.02},
        "output": {"every": 0.005},
        **values,
        **more,
    }
    solve(make_case(tables, slices={name: cut for name, (cut, _) in cuts.items()}), shared_tmp / "a.h5", comm)
    with open_result(shared_tmp / "a.h5") as whole:
        for name, (_, index) in cuts.items():
            with open_result(shared_tmp / f"a.{name}.h5") as found:
                assert (found.steps.tolist(), found.times.tolist()) == (whole.steps.tolist(), whole.times.tolist())
                for n in range(5):
                    there = np.ascontiguousarray(whole.read("u", n)[index])
                    assert found.read("u", n).tobytes() == there.tobytes()


def test_they_are_packed_as_the_result_is_and_counted(comm, shared_tmp):
    """To the same bytes on any ranks, and so by ``gather`` of what a run left."""
    for name, output in (("plain", {}), ("kept", {"keep_frames": True}), ("packed", {"compression": "gzip"})):
        summary = solve(make_case(CASE, output=output), shared_tmp / f"{name}.h5", comm)
        assert summary.slices["mid"] == {"result": str(shared_tmp / f"{name}.mid.h5"), "frames": 8}
    assert contents(shared_tmp / "plain.h5") == contents(shared_tmp / "packed.h5")
    assert not [*shared_tmp.glob(".*")]
    found = [shared_tmp / f"packed.{name}.h5" for name in CUTS]
    assert verify(comm, found).whole == [str(path) for path in found]
    for name, packed in (("plain", None), ("packed", "gzip")):
        with open_result(shared_tmp / f"{name}.box.h5") as result:
            assert (result.file["u"].compression, result.file["u"].chunks) == (packed, (1, 6, 12) if packed else None)
    done = gather(comm, shared_tmp / "kept.h5", shared_tmp / "left.h5")
    assert done.slices["box"] == {"result": str(shared_tmp / "left.box.h5"), "frames": 3}
    assert contents(shared_tmp / "plain.h5") == contents(shared_tmp / "left.h5")


def test_those_at_steps_change_no_bit_of_the_fields(comm, shared_tmp):
    cuts = {"mid": CUTS["mid"], "coarse": {"stride": 2, "every_steps": 1, "fields": ["g = dy(u)*t"]}}
    for name, slices in (("with", cuts), ("without", {})):
        solve(make_case({**CASE, "slices": slices}), shared_tmp / name, comm)
    assert content(shared_tmp / "with") == content(shared_tmp / "without")


@pytest.mark.parametrize(("kept", "stop"), [(False, 3), (True, 18), (False, 31)])
def test_a_run_that_was_stopped_and_goes_on_has_neither_gap_nor_double(comm, shared_tmp, kept, stop, monkeypatch):
    """As if it was killed behind a checkpoint: rows were written that are taken again."""
    output = {**CASE["output"], "keep_frames": kept}
    tables = {**CASE, "output": output, "checkpoint": {"every_steps": 4}}
    solve(make_case(tables), shared_tmp / "whole.h5", comm)
    cut = Slicer._cut

    def failing(self, clock, state, is_last=False):
        cut(self, clock, state, is_last)
        if clock.step >= stop:
            raise NumericalError("it ends here")

    with monkeypatch.context() as patch:
        patch.setattr(slicing.Slicer, "_cut", failing)
        with pytest.raises(NumericalError, match="ends here"):
            solve(make_case(tables), shared_tmp / "parts.h5", comm)
    if stop == 31:
        gather(comm, shared_tmp / "parts.h5", shared_tmp / "left.h5")
        assert content(shared_tmp / "left.mid.h5")[0] == [*range(0, 37, 6)]
    solve(make_case(tables), shared_tmp / "parts.h5", comm, resume=True)
    assert contents(shared_tmp / "whole.h5") == contents(shared_tmp / "parts.h5")


def test_a_run_goes_on_with_frames_and_the_slices_with_them_on_another_schedule(solo, tmp_path):
    tables = {**CASE, "checkpoint": {"every_steps": 8}, "slices": {"coarse": CUTS["coarse"]}}
    solve(make_case(tables, time={"steps": 16}), tmp_path / "a.h5", solo)
    for later in (tmp_path / "a.h5.frames").glob("checkpoint-000000016.*"):
        later.unlink()
    solve(make_case(tables, output={"every_steps": 3}), tmp_path / "a.h5", solo, resume=True)
    assert content(tmp_path / "a.coarse.h5")[0] == [0, *range(9, 40, 3), 40]


def test_a_run_whose_rows_beside_its_frames_are_not_all_there_is_not_gone_on_with(comm, shared_tmp):
    """As in a copy of its folder that was made while it went on."""
    tables = {**CASE, "checkpoint": {"every_steps": 8}, "slices": {"coarse": CUTS["coarse"]}}
    tables["output"] = {"every_steps": 9, "keep_frames": True}
    solve(make_case(tables), shared_tmp / "a.h5", comm)
    if comm.rank == 0:
        rows = RowFile.of(shared_tmp / "a.h5.frames/slice.coarse.rows")
        rows.go_on(18, shared_tmp / "none")
    comm.barrier()
    with pytest.raises(StorageError, match=r"coarse\.rows: ends at step 18, and goes on from 40; give another -o"):
        solve(make_case(tables, time={"steps": 50}), shared_tmp / "a.h5", comm, resume=True)


def test_a_result_gives_its_slices_to_a_longer_run(solo, tmp_path):
    tables = {**CASE, "checkpoint": {"every_steps": 4}}
    solve(make_case(tables), tmp_path / "a.h5", solo)
    solve(make_case(tables, time={"steps": 50}), tmp_path / "a.h5", solo, resume=True)
    assert content(tmp_path / "a.mid.h5")[0] == [*range(0, 40, 6), 40, 42, 48, 50]
    (tmp_path / "a.box.h5").unlink()
    with pytest.raises(StorageError, match=r"a\.box\.h5' is missing|is missing, as is .*a\.box\.h5"):
        solve(make_case(tables, time={"steps": 60}), tmp_path / "a.h5", solo, resume=True)


def test_what_has_the_name_of_one_is_replaced_as_the_result_is(comm, shared_tmp):
    case = make_case(CASE)
    solve(case, shared_tmp / "b.h5", comm)
    if comm.rank == 0:
        (shared_tmp / "b.h5").unlink()
    comm.barrier()
    with pytest.raises(StorageError, match=r"b\.mid\.h5: exists already"):
        solve(case, shared_tmp / "b.h5", comm)
    solve(case, shared_tmp / "b.h5", comm, force=True)
    if comm.rank == 0:
        (shared_tmp / "b.box.h5").write_text("mine")
    comm.barrier()
    with pytest.raises(StorageError, match=r"b\.box\.h5: is no result"):
        solve(case, shared_tmp / "b.h5", comm, force=True)
    assert (shared_tmp / "b.box.h5").read_text() == "mine"


def test_none_has_the_name_of_the_folder_of_frames(solo, tmp_path):
    with pytest.raises(StorageError, match=r"/b\.frames: is the folder"):
        solve(make_case(CASE, slices={"frames": {"x": 0.5}}), tmp_path / "b", solo)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("slices", "told"),
    [({"a": {"x": 2.0}}, r"slices\.a\.x: 2 is outside"), ({"a": {"x": [0.5, 3]}}, r"slices\.a\.x: 3 is outside"),
     ({"a": {"x": [0.4, 0.41]}}, r"slices\.a\.x: no centre"), ({"a": {"x": [0.4, 0.4]}}, r"slices\.a\.x: must increase"),
     ({"a": {"x": float("nan")}}, r"slices\.a\.x: nan is outside"), ({"a": {"x": "0.5"}}, r"slices\.a\.x: expected"),
     ({"a": {"z": 0.5}}, r"slices\.a\.z: no such axis"), ({"a": {"stride": 0}}, r"slices\.a\.stride: "),
     ({"a": {"stride": {"z": 2}}}, r"slices\.a\.stride\.z: no such axis"),
     ({"a": {"x": 0.5, "y": 0.5}}, r"slices\.a: is a single point.*\[measure\]"),
     ({"a": {"r": 0.5}}, r"unknown key 'slices\.a\.r'"), ({"a": {"fields": ["q"]}}, r"slices\.a\.fields: no field 'q'"),
     ({"a": {"fields": ["u", "u"]}}, r"slices\.a\.fields: 'u' is there twice"),
     ({"a": {"fields": ["u = dx(u)"]}}, r"slices\.a\.fields: 'u' has a meaning"),
     ({"a": {"fields": ["top = dx(u)"]}}, r"slices\.a\.fields: 'top' has a meaning"),
     ({"a": {"fields": ["d = dx(u)"]}}, r"slices\.a\.fields: 'd' has a meaning"),
     ({"a": {"fields": ["w = dx(q)"]}}, r"slices\.a\.fields: w: "), ({"a": {"fields": []}}, r"slices\.a\.fields: "),
     ({"a": {"every": 0}}, r"slices\.a\.every: "), ({"a b": {}}, r"slices\.a b: becomes part of"),
     ({"../a": {}}, "becomes part of"), ({"a": {"every": 1.0, "every_steps": 2}}, r"slices\.a\.every_steps: give either")],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_key(slices, told):
    with pytest.raises(CaseError, match=told) as error:
        pose(make_case({**CASE, "slices": slices, "define": {"d": "u**2"}}))
    assert str(error.value).count("case: ") <= 1


@pytest.mark.parametrize(("x", "told"), [(2.0, "2 is outside the grid"), (0.5, "is a single point")])
def test_a_point_of_a_line_is_told_as_outside_first(x, told):
    line = {"grid": {"x": CASE["grid"]["x"]}, "evolve": {"u": "0.1*laplace(u)"}, "initial": {"u": "sin(2*pi*x)"}}
    with pytest.raises(CaseError, match=told):
        pose(make_case({**line, "time": {"steps": 1}, "slices": {"a": {"x": x}}}))
