"""A sweep runs each member once, with the bits of its run alone, and goes on with what is missing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import tomli_w

from parsolve.__main__ import main
from parsolve.ensemble.members import read_sweep
from parsolve.ensemble.standing import Record
from parsolve.ensemble.sweep import exit_code, march_member, sweep
from parsolve.errors import SetupError, StorageError
from parsolve.run import run
from parsolve.store.claims import take
from parsolve.store.compare import compare
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.ensemble.members import Sweep

CASE = {
    "grid": {"x": {"cells": 16, "range": [0.0, 1.0], "periodic": True}},
    "evolve": {"u": "D*dxx(u) + F*u"},
    "parameters": {"D": 1e-3, "F": 0.0},
    "initial": {"u": "sin(2*pi*x)"},
    "time": {"steps": 20, "dt": 1e-2},
    "run": {"device": "numpy"},
}


def study(folder: Path, ranks: int = 1, **tables: Any) -> Sweep:
    (folder / "case.toml").write_text(tomli_w.dumps(CASE))
    vary = {"parameters": {"D": [1e-3, 2e-3, 3e-3], "F": [0.0, 1.0]}}
    (folder / "study.toml").write_text(tomli_w.dumps({"case": "case.toml", "ranks": ranks, "vary": vary} | tables))
    return read_sweep(folder / "study.toml")


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2])
def test_each_member_has_the_bits_of_its_run_alone(comm: MPI.Intracomm, shared_tmp: Path, ranks: int) -> None:
    """On groups of any size; table and stack say what the results say."""
    if comm.rank == 0:
        study(shared_tmp, min(ranks, comm.size), stack=True)
    comm.Barrier()
    found, out = read_sweep(shared_tmp / "study.toml"), shared_tmp / f"out{ranks}"
    records = sweep(found, comm, out)
    assert [record.state for record in records] == ["done"] * 6 * (comm.rank == 0)
    assert exit_code(records) == 0
    run(found.case(3), comm, shared_tmp / "alone.h5")
    assert compare(out / "3/result.h5", shared_tmp / "alone.h5").equal
    with h5py.File(out / "members.h5") as table, h5py.File(out / "stack.h5") as stack:
        assert table["parameters/parameters.D"][...].tolist() == [1e-3, 1e-3, 2e-3, 2e-3, 3e-3, 3e-3]
        assert stack["u"].shape == (6, 16)
        for n, name in enumerate(table["result"].asstr()):
            with open_result(out / name) as result:
                last = result.read("u", -1)
                assert np.array_equal(stack["u"][n], last)
                assert table["fields/u/max"][n] == last.max()
                assert table["steps"][n] == 20
        assert (table["start"][...] > 0).all()
        assert (table["start"][...] + table["marching"][...] <= table["seconds"][...]).all()
    comm.Barrier()


def test_a_member_that_fails_does_not_stop_the_others(solo: MPI.Intracomm, tmp_path: Path) -> None:
    allowed = {"time": {"unstable": "allow"}}
    found = study(tmp_path, vary={"parameters": {"F": [0.0, 1e300, 1.0]}}, stack=True, set=allowed)
    told: list[tuple[int, str]] = []

    def tell(number: int, record: Record, _: int) -> None:
        told.append((number, record.state))

    records = sweep(found, solo, tmp_path / "out", tell=tell)
    assert [record.state for record in records] == ["done", "failed", "done"]
    assert sorted(told) == [(0, "done"), (1, "failed"), (2, "done")]
    assert "u is nan at cell x = 0" in records[1].error
    assert exit_code(records) == records[1].code == 4
    with h5py.File(tmp_path / "out/members.h5") as table, h5py.File(tmp_path / "out/stack.h5") as stack:
        assert table["state"].asstr()[...].tolist() == ["done", "failed", "done"]
        assert np.isnan(table["fields/u/mean"][1])
        assert stack["done"][...].tolist() == [True, False, True]
        assert np.isnan(stack["u"][1]).all()
        assert np.isfinite(stack["u"][2]).all()


def test_what_failed_by_itself_is_run_again_if_that_is_asked_for(solo: MPI.Intracomm, tmp_path: Path) -> None:
    """What failed as the disk was full, or the like, is in any case."""
    found = study(tmp_path, vary={"parameters": {"F": [0.0, 1e300, 1.0]}}, set={"time": {"unstable": "allow"}})
    before = sweep(found, solo, tmp_path / "out")
    paths = [tmp_path / f"out/{n}/member.json" for n in range(3)]
    stamps = [path.stat().st_mtime_ns for path in paths]
    again = sweep(found, solo, tmp_path / "out", resume=True)
    assert [(r.state, r.code, r.error) for r in again] == [(r.state, r.code, r.error) for r in before]
    assert [path.stat().st_mtime_ns for path in paths] == stamps
    said = json.loads(paths[2].read_text())
    paths[2].write_text(json.dumps({**said, "state": "failed", "code": 6, "error": "no space left", "summary": {}}))
    assert [record.state for record in sweep(found, solo, tmp_path / "out", resume=True)] == ["done", "failed", "done"]
    assert [path.stat().st_mtime_ns == stamp for path, stamp in zip(paths, stamps, strict=True)] == [True, True, False]
    sweep(found, solo, tmp_path / "out", retry=True)
    assert [path.stat().st_mtime_ns == stamp for path, stamp in zip(paths, stamps, strict=True)] == [True, False, False]


def test_a_stack_that_cannot_be_leaves_nothing(solo: MPI.Intracomm, tmp_path: Path) -> None:
    found = replace(study(tmp_path, vary={"grid": {"x": {"cells": [16, 32]}}}), stack=True)  # refused where it is read
    with pytest.raises(StorageError, match="has another grid, precision or fields than the first member"):
        sweep(found, solo, tmp_path / "out")
    assert not list(tmp_path.glob("out/.*"))
    with h5py.File(tmp_path / "out/members.h5") as table:
        assert table["state"].asstr()[...].tolist() == ["done", "done"]


def test_the_table_of_a_sweep_that_ends_in_its_midst_is_true(
    solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many had ended: rows say what the members' folders do."""
    monkeypatch.setattr("parsolve.ensemble.sweep.SELDOM", 0.0)
    monkeypatch.setattr("parsolve.ensemble.sweep.PART", 0.0)

    def tell(_: int, __: Record, ended: int) -> None:
        if ended == 4:
            raise StorageError("as if the disk had gone")

    with pytest.raises(StorageError, match="as if"):
        sweep(study(tmp_path), solo, tmp_path / "out", tell=tell)
    with h5py.File(tmp_path / "out/members.h5") as table:
        states, steps = table["state"].asstr()[...].tolist(), table["steps"][...].tolist()
    assert {"done", "waiting"} >= set(states)
    assert all((tmp_path / f"out/{n}/member.json").exists() for n, state in enumerate(states) if state == "done")
    assert [count == 20 for count in steps] == [state == "done" for state in states]


def test_failing_fast_begins_no_other(solo: MPI.Intracomm, tmp_path: Path) -> None:
    found = study(tmp_path, vary={"parameters": {"F": [1e300, *np.linspace(0, 1, 40).tolist()]}})
    records = sweep(found, solo, tmp_path / "out", fail_fast=True)
    assert records[0].state == "failed"
    assert sum(record.state == "waiting" for record in records) > 20
    assert exit_code(records) == 75
    assert exit_code(records, fail_fast=True) == records[0].code != 0


def test_it_goes_on_with_what_is_missing(solo: MPI.Intracomm, tmp_path: Path) -> None:
    """What is done stays as it is; a member without its record, or of other values, is run again."""
    found = study(tmp_path)
    sweep(found, solo, tmp_path / "out")
    with pytest.raises(StorageError, match="exists already; go on with --resume"):
        sweep(found, solo, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/result.h5")}
    whole = (tmp_path / "out/2/result.h5").read_bytes()
    (tmp_path / "out/2/member.json").unlink()
    (tmp_path / "out/4/result.h5").unlink()
    (tmp_path / "out/5/member.json").write_text("{}")
    records = sweep(found, solo, tmp_path / "out", resume=True)
    assert [record.state for record in records] == ["done"] * 6
    again = {path for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert {path.parent.name for path in again} == {"2", "4", "5"}
    assert len((tmp_path / "out/2/result.h5").read_bytes()) == pytest.approx(len(whole), abs=4096)
    other = study(tmp_path, vary={"parameters": {"F": [0.5]}})
    with pytest.raises(StorageError, match="is of another sweep"):
        sweep(other, solo, tmp_path / "out", resume=True)
    (tmp_path / "out/sweep.json").write_text("{")
    with pytest.raises(StorageError, match=r"sweep\.json is missing or damaged"):
        sweep(found, solo, tmp_path / "out", resume=True)


def test_where_time_is_nearly_over_no_member_begins(solo: MPI.Intracomm, tmp_path: Path) -> None:
    """Nor a sweep; and the time is that of all members, not of each."""
    found = study(tmp_path, set={"run": {"walltime": "10s"}})
    with pytest.raises(SetupError, match=r"10 s are left, and no member begins in the last 30; give more time"):
        sweep(found, solo, tmp_path / "out")
    words = (found.tables_of(0), "a", tmp_path / "out/0", found.members[0])
    assert march_member(*words, time.time() + 29, solo).state == "waiting"
    assert march_member(*words, time.time() + 1000, solo).state == "done"


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.long), 2])
def test_killed_and_resumed_it_ends_with_the_same_table(tmp_path: Path, ranks: int) -> None:
    """What was done before is not run again."""
    study(tmp_path, set={"time": {"steps": 1500}, "checkpoint": {"every_steps": 500}})
    launcher = [shutil.which("mpirun") or "mpirun", "-n", str(ranks)] if ranks > 1 else []
    words = [*launcher, sys.executable, "-m", "parsolve", "sweep", "study.toml", "-q"]
    subprocess.run([*words, "-o", "whole"], cwd=tmp_path, check=True)
    process = subprocess.Popen([*words, "-o", "out"], cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("out/*/member.json"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/member.json")}
    assert 2 <= len(done) < 6
    subprocess.run([*words, "-o", "out", "--resume"], cwd=tmp_path, check=True)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    with h5py.File(tmp_path / "whole/members.h5") as a, h5py.File(tmp_path / "out/members.h5") as b:
        for name in ("state", "steps", "time", "fields/u/mean", "fields/u/min", "parameters/parameters.D"):
            assert a[name][...].tolist() == b[name][...].tolist()
    for n in range(6):
        assert compare(tmp_path / f"whole/{n}/result.h5", tmp_path / f"out/{n}/result.h5").equal


def test_status_tells_how_the_members_stand(
    solo: MPI.Intracomm, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = study(tmp_path, vary={"parameters": {"F": [0.0, 1e300, 1.0]}}, set={"time": {"unstable": "allow"}})
    sweep(found, solo, tmp_path / "out")
    assert main(["status", str(tmp_path / "out")]) == 0
    said = capfd.readouterr().out
    assert "done     2: 0, 2" in said
    assert "failed   1: 1" in said
    (tmp_path / "out/status.json").write_text("{")
    assert main(["status", str(tmp_path / "out")]) == 5
    assert "sweep --resume" in capfd.readouterr().err


def test_more_ranks_than_there_are_leave_nothing(solo: MPI.Intracomm, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="study: a member is to have 2 ranks, and there are 1"):
        sweep(study(tmp_path, ranks=2), solo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_process_at_a_time_is_at_a_folder(solo: MPI.Intracomm, tmp_path: Path) -> None:
    found, claim = study(tmp_path), take(tmp_path / "out")
    with pytest.raises(StorageError, match="another run is writing it"):
        sweep(found, solo, tmp_path / "out", resume=True)
    claim.release()
    (tmp_path / "out").mkdir()  # and killed just then
    assert exit_code(sweep(found, solo, tmp_path / "out", resume=True)) == 0


def test_it_does_not_go_on_with_other_inputs(solo: MPI.Intracomm, tmp_path: Path) -> None:
    np.save(tmp_path / "u.npy", np.ones(16))
    found = study(tmp_path, set={"initial": {"u": {"file": "u.npy"}}})
    sweep(found, solo, tmp_path / "out")
    np.save(tmp_path / "u.npy", np.zeros(16))
    with pytest.raises(StorageError, match="another version of this one"):
        sweep(found, solo, tmp_path / "out", resume=True)


def test_once_a_member_is_told_to_stop_no_other_begins(tmp_path: Path) -> None:
    """Not even those that other ranks hold already; what idles is not ended."""
    values = np.linspace(0.0, 1.0, 24).tolist()
    study(tmp_path, vary={"parameters": {"F": values}}, set={"time": {"steps": 20000}})
    words = [sys.executable, "-m", "parsolve", "sweep", "study.toml", "-q", "-o", str(tmp_path / "out")]
    mpirun = [shutil.which("mpirun") or "mpirun", "-n", "2"]
    process = subprocess.Popen([*mpirun, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/result.h5.frames/*.h5")):
        assert time.monotonic() < end
        time.sleep(0.002)
    for entry in Path("/proc").iterdir():  # as Slurm does: to each rank
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else [b""]
            if line[0] == os.fsencode(sys.executable) and os.fsencode(tmp_path / "out") in line:
                os.kill(int(entry.name), signal.SIGUSR1)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 75, told
    said = json.loads((tmp_path / "out/status.json").read_text())
    assert 1 <= said["stopped"] <= 2
    assert said["done"] <= 2
    assert said["waiting"] >= 20


@pytest.mark.parametrize(
    "text", ['{"state": "done", "summary": 7}', '{"state": "done", "summary": {"steps": "x"}}', "[]", "{"]
)
def test_a_damaged_record_or_result_is_made_again(solo: MPI.Intracomm, tmp_path: Path, text: str) -> None:
    found = study(tmp_path)
    sweep(found, solo, tmp_path / "out")
    values = json.loads((tmp_path / "out/1/member.json").read_text())["values"]
    damaged = json.dumps({**json.loads(text), "values": values}) if text.endswith("}") else text
    (tmp_path / "out/1/member.json").write_text(damaged)
    os.truncate(tmp_path / "out/2/result.h5", 100)
    assert exit_code(sweep(found, solo, tmp_path / "out", resume=True)) == 0
    with h5py.File(tmp_path / "out/members.h5") as table:
        assert table["state"].asstr()[...].tolist() == ["done"] * 6


def test_numbers_of_any_size_stand_in_the_table(solo: MPI.Intracomm, tmp_path: Path) -> None:
    found = study(tmp_path, vary={"parameters": {"F": [10**26, 0.0]}, "title": ["a\0b"]})
    sweep(found, solo, tmp_path / "out")
    with h5py.File(tmp_path / "out/members.h5") as table:
        assert table["parameters/parameters.F"].asstr()[0] == str(10**26)
        assert table["parameters/title"].asstr()[0] == "a\\0b"
