"""A march that goes on from a checkpoint is the march that never stopped: the same bits, on any ranks."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tomli_w

from parsolve.case import Case
from parsolve.domain.processes import factorizations
from parsolve.errors import CaseError, StorageError
from parsolve.march.march import Event
from parsolve.march.schedule import START, Clock, EverySteps
from parsolve.march.tableaus import SCHEMES
from parsolve.problem.layout import decide
from parsolve.problem.pose import pose
from parsolve.problem.prepare import Prepared, prepare
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.checkpoint import manifests, number_of, read_manifest
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

STEPS = 20
FIXED = [name for name, s in SCHEMES.items() if s.derivative == 1]
ADAPTIVE = [name for name, s in SCHEMES.items() if s.derivative == 1 and s.error]
MOVING = {"u": {"xmin": {"dirichlet": "0.3 + 0.1*sin(3*t)"}, "xmax": {"neumann": "0.1*cos(t)"}}}


def cases(lab: Any) -> dict[str, dict[str, Any]]:
    """Of each kind of memory that a march has."""
    found = {f"fixed {s}": lab.case("gray-scott", 14, 12, time={"steps": STEPS, "scheme": s}) for s in FIXED}
    for s in ADAPTIVE:
        time = {"end": 0.05, "scheme": s, "tolerance": 1e-5}
        found[f"adaptive {s}"] = lab.case({"u": "0.1*laplace(u) - u**3", "v": "20*(u - v)"}, 14, 12, time=time)
    found |= {
        "waves": lab.case("wave", 14, 12, time={"steps": STEPS, "scheme": "leapfrog"}),
        "waves of several steps": lab.case(
            {"u_tt": "laplace(u) - u**3"}, 16, time={"end": 1.0, "scheme": "leapfrog"}, output={"every": 0.3}
        ),
        "steps that follow the solution": lab.case({"u": "dxx(u**3) + u"}, 16, time={"end": 0.05}),
        "measured rates": lab.case({"u": "div((1 + u**2)*grad(u)) - u*dx(u)"}, 16, 12, time={"end": 0.02}),
        "rates that change in time": lab.case({"u": "(1 + sin(9*t))*laplace(u) + cos(t)"}, 16, time={"end": 0.02}),
        "frames between steps": lab.case("heat", 16, time={"end": 0.05}, output={"every": 0.007}),
        "walls that move": lab.case({"u": "laplace(u) + mean(u)"}, 14, 12, periodic="y", time={"steps": STEPS},
                                    boundary=MOVING),
        "walls that depend on fields": lab.case(
            {"u": "laplace(u)", "v": "div((1 + u)*grad(v))"}, 14, 12, periodic="y", time={"end": 0.03},
            boundary={"u": {"xmin": {"neumann": "v - u**4"}}, "v": {"xmin": {"neumann": "u - v"}, "xmax": {"dirichlet": "u"}}},
        ),
        "coefficients": lab.case({"u": "div(k*grad(u))"}, 14, 12, fields={"k": "1 + x"}, time={"steps": STEPS}),
        "noise in time": lab.case({"u": "0.1*laplace(u) + u*noise(seed=1, each='step')"}, 14, 12,
                                  time={"steps": STEPS, "scheme": "ssprk22"}),
        "float32": lab.case("gray-scott", 14, 12, time={"steps": STEPS}, run={"precision": "float32"}),
        "steps in passes": lab.case("heat", 96, 80, time={"steps": STEPS, "scheme": "rk4"},
                                    run={"pipeline": {"steps": 4, "tile": [4, 16]}}),
    }  # fmt: skip
    return found


NAMES = [
    *(f"fixed {s}" for s in FIXED), *(f"adaptive {s}" for s in ADAPTIVE), "waves", "waves of several steps",
    "steps that follow the solution", "measured rates", "rates that change in time", "frames between steps",
    "walls that move", "walls that depend on fields", "coefficients", "float32", "steps in passes",
]  # fmt: skip


def solved(tables: dict[str, Any], comm: MPI.Intracomm, out: Path, **more: Any) -> dict[str, Any]:
    """What a run did, with the bytes of the last frame."""
    summary = run(Case.from_dict(tables), comm, out, True, **more)
    with open_result(out) as result:
        last = {name: result.read(name, -1).tobytes() for name in result.fields}
        return {"last": last, "times": result.times.tolist(), "steps": result.steps.tolist(), "end": summary.time}


def test_each_so_many_th_stays_and_can_be_begun_at(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    """Also where the run was stopped in between; its count goes on."""
    kept = {"every_steps": 2, "keep": 2, "keep_every": 3}
    tables = lab.case("gray-scott", 14, 12, time={"steps": 10}, checkpoint=kept, output={"every_steps": 4})
    whole = solved(tables | {"time": tables["time"] | {"steps": STEPS}}, solo, tmp_path / "whole.h5")
    run(Case.from_dict(tables), solo, tmp_path / "a.h5")
    found = look_for(solo, tmp_path / "a.h5")
    assert found is not None
    longer = found.case([f"time.steps={STEPS}"])
    run(longer, solo, found.result, since=found.since, reopen=found.reopen)
    folder = tmp_path / "a.h5.frames"
    assert [int(path.stem[-9:]) for path in manifests(folder)] == [20, 18, 12, 6]
    assert len(list(folder.glob("checkpoint-*.h5"))) == 4
    begun = look_for(solo, folder / "checkpoint-000000006.json", is_any=True)
    assert begun is not None
    assert begun.since.step == 6
    on = solved(begun.case([f"time.steps={STEPS}"]).to_dict(), solo, tmp_path / "b.h5", since=begun.since)
    assert on["steps"] == [6, 8, 12, 16, 20]
    assert on["last"] == whole["last"]


@pytest.mark.parametrize("name", NAMES)
def test_run_is_run_and_restart_at_any_step(lab: Any, solo: MPI.Intracomm, name: str) -> None:
    """All that a march remembers is in its arrays and numbers, and looking at them changes nothing."""
    problem = lab.pose(cases(lab)[name])
    layout = decide(problem, solo)
    kept: list[tuple[Clock, dict[str, np.ndarray], str]] = []

    def marched(events: list[Event], at: Any = None) -> tuple[Any, ...]:
        march, clock, times = prepare(problem, layout, solo), START, []
        try:
            if at is not None:
                clock, arrays, text = at
                march.restore(json.loads(text), lambda own: [v.__setitem__(..., arrays[k]) for k, v in own.items()])
            if events:
                events = [Event(EverySteps(1), lambda clock, _: keep(march, clock))]
            outcome = march.run(lambda clock, _: times.append(clock.time), clock=clock, more=events)
            last = {name: values.tobytes() for name, values in march.arrays.items()}
            return outcome.steps, outcome.time, outcome.rejected, last, march.warnings, times
        finally:
            march.free()

    def keep(march: Prepared, clock: Clock) -> None:
        arrays = {name: values.copy() for name, values in march.arrays.items()}
        kept.append((clock, arrays, json.dumps(number_of(march.numbers()))))

    undisturbed = marched([])
    whole = marched([Event(EverySteps(1), lambda *_: None)])
    assert whole == undisturbed
    assert len(kept) == whole[0] >= 8
    for at in kept[:: max(1, len(kept) // STEPS)]:
        *again, times = marched([], at)
        assert tuple(again) == whole[:-1], at[0]
        assert times == [t for t in whole[-1] if t > at[0].time]


def test_a_stopped_run_goes_on_with_its_frames(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    """Whenever it stopped, and whatever was written since the checkpoint, the result is that of an undisturbed run."""
    tables = lab.case("gray-scott", 14, 12, time={"end": 40.0}, output={"every": 4.0, "keep_frames": True})
    kept = tables | {"checkpoint": {"every_steps": 9, "keep": 10**6}}
    whole = solved(kept, solo, tmp_path / "whole.h5")
    for manifest in manifests(tmp_path / "whole.h5.frames"):
        checkpoint = read_manifest(manifest)
        stopped = tmp_path / "stopped.h5.frames"
        shutil.rmtree(stopped, ignore_errors=True)
        shutil.copytree(tmp_path / "whole.h5.frames", stopped)
        for later in manifests(stopped):
            if read_manifest(later).step > checkpoint.step:
                later.unlink()
        found = look_for(solo, stopped)
        assert found is not None
        assert found.since.step == checkpoint.step
        case = found.case(["output.keep_frames=false"])
        run(case, solo, found.result, since=found.since, reopen=found.reopen)
        with open_result(tmp_path / "whole.h5") as a, open_result(tmp_path / "stopped.h5") as b:
            assert (a.times.tolist(), a.steps.tolist()) == (b.times.tolist(), b.steps.tolist())
            for name in a.fields:
                for n in range(len(a.times)):
                    assert a.read(name, n).tobytes() == b.read(name, n).tobytes()
        (tmp_path / "stopped.h5").unlink()
    assert whole["end"] == 40.0


def test_a_finished_run_is_extended(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    """With all its frames, those too that the result alone still has."""
    tables = lab.case("heat", 16, time={"end": 0.02, "dt": 0.0004}, output={"every": 0.005})
    longer = solved(tables | {"time": tables["time"] | {"end": 0.04}}, solo, tmp_path / "longer.h5")
    solved(tables | {"checkpoint": {"every_steps": 10}}, solo, tmp_path / "short.h5")
    found = look_for(solo, tmp_path / "short.h5")
    assert found is not None
    assert found.since.time == 0.02
    case = found.case(["time.end=0.04"])
    run(case, solo, found.result, since=found.since, reopen=found.reopen)
    with open_result(tmp_path / "short.h5") as result:
        assert result.times.tolist() == longer["times"]
        assert {name: result.read(name, -1).tobytes() for name in result.fields} == longer["last"]


def test_damage_is_found_and_an_older_checkpoint_taken(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    """A bit of any block of the values, of the manifest; a file cut short, swapped, missing."""
    rng = np.random.default_rng(1)
    tables = lab.case("gray-scott", 14, 12, time={"steps": 9}) | {"checkpoint": {"every_steps": 4}}
    solved(tables, solo, tmp_path / "a.h5")
    folder = tmp_path / "a.h5.frames"
    newest, older = (read_manifest(path) for path in manifests(folder))
    assert (newest.step, older.step) == (9, 8)

    def flip(path: Path, low: int, high: int) -> None:
        data = bytearray(path.read_bytes())
        data[int(rng.integers(low, high))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)

    spans = list(newest.regions.values())
    damages = [lambda s=s: flip(newest.file, s[0], sum(s)) for s in spans for _ in range(20)]
    damages += [lambda: flip(newest.manifest, 0, newest.manifest.stat().st_size) for _ in range(40)]
    damages += [lambda n=n: os.truncate(newest.file, int(rng.integers(n))) for n in [sum(spans[-1])] * 10]
    damages += [newest.file.unlink, lambda: shutil.copy(older.file, newest.file),
                lambda: shutil.copy(older.manifest, newest.manifest)]  # fmt: skip
    safe = {path: path.read_bytes() for path in folder.iterdir()}
    for damage in damages:
        damage()
        found = look_for(solo, folder)
        assert found is not None
        assert found.since.step == 8
        assert found.warnings
        assert newest.manifest.stem in found.warnings[0]
        for path, data in safe.items():
            path.write_bytes(data)
    for path in manifests(folder):
        flip(path, 0, path.stat().st_size)
    with pytest.raises(StorageError, match="no checkpoint is whole"):
        look_for(solo, folder)


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("name", ["adaptive bs23", "waves of several steps", "measured rates", "steps in passes"])
def test_it_goes_on_on_any_ranks(
    lab: Any, comm: MPI.Intracomm, solo: MPI.Intracomm, shared_tmp: Path, name: str
) -> None:
    """From one rank to several, from several to one, and from one process grid to another."""
    tables = cases(lab)[name]
    kept = tables | {"checkpoint": {"every_steps": 5, "keep": 10**6}}
    whole: dict[str, Any] = {}
    if comm.rank == 0:
        whole = solved(kept, solo, shared_tmp / "one.h5")
    whole = comm.bcast(whole)
    assert solved(kept, comm, shared_tmp / "many.h5")["last"] == whole["last"]
    problem = pose(Case.from_dict(tables))
    least = max(problem.program.ghost, problem.closure)
    for p in factorizations(comm.size):
        if any(q > 1 and n // q < least for n, q in zip(problem.grid.cells, p, strict=True)):
            continue
        processes = {axis: q for axis, q in zip("zyx", p, strict=True) if axis in problem.grid.names}
        split = tables | {"run": tables.get("run", {}) | {"processes": processes}}
        checkpoint = read_manifest(manifests(shared_tmp / "one.h5.frames")[1])
        assert solved(split, comm, shared_tmp / "again.h5", since=checkpoint)["last"] == whole["last"]
    if comm.rank == 0:
        for manifest in manifests(shared_tmp / "many.h5.frames"):
            checkpoint = read_manifest(manifest)
            assert solved(tables, solo, shared_tmp / "back.h5", since=checkpoint)["last"] == whole["last"]


def test_it_does_not_go_on_with_frames_of_another_run(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    """Nor with the result of another run of the same case; nothing of it is lost."""
    tables = lab.case("heat", 16, time={"steps": 8}, output={"every_steps": 4}, checkpoint={"every_steps": 4})
    kept = tables | {"output": {"every_steps": 4, "keep_frames": True}}
    for name, case in (("a", kept), ("b", kept), ("c", tables), ("d", tables)):
        run(Case.from_dict(case), solo, tmp_path / f"{name}.h5")
    shutil.copy(tmp_path / "b.h5.frames/000000004.h5", tmp_path / "a.h5.frames")
    shutil.copy(tmp_path / "d.h5", tmp_path / "c.h5")
    for name, text in (("a", "not a frame of the same run"), ("c", "c.h5: is of another run than the checkpoint")):
        found = look_for(solo, tmp_path / f"{name}.h5")
        assert found is not None
        before = (tmp_path / f"{name}.h5").read_bytes()
        with pytest.raises(StorageError, match=text):
            run(found.case(["time.steps=12"]), solo, found.result, since=found.since, reopen=found.reopen)
        assert (tmp_path / f"{name}.h5").read_bytes() == before
        assert manifests(tmp_path / f"{name}.h5.frames")[0] == found.since.manifest


@pytest.mark.parametrize("key", ["fields", "initial"])
def test_it_does_not_go_on_with_other_input_files(lab: Any, solo: MPI.Intracomm, tmp_path: Path, key: str) -> None:
    np.save(tmp_path / "k.npy", 1 + np.arange(16.0))
    rates = {"u": "div(k*grad(u))"} if key == "fields" else {"k": "laplace(k)"}
    case = lab.case(rates, 16, time={"steps": 8}, checkpoint={"every_steps": 4})
    case |= {key: {"k": {"file": str(tmp_path / "k.npy")}}}
    run(Case.from_dict(case), solo, tmp_path / "a.h5")
    found = look_for(solo, tmp_path / "a.h5")
    assert found is not None

    def longer() -> None:
        run(found.case(["time.steps=12"]), solo, found.result, since=found.since, reopen=found.reopen)

    np.save(tmp_path / "k.npy", 1 + np.arange(16.0)[::-1])
    with pytest.raises(CaseError, match=r"k\.npy: is not as it was when the run of '.*' began"):
        longer()
    np.save(tmp_path / "k.npy", 1 + np.arange(16.0))
    longer()
    with open_result(tmp_path / "a.h5") as result:
        assert result.steps[-1] == 12


def test_force_does_not_remove_the_checkpoint_that_a_run_begins_from(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path
) -> None:
    tables = lab.case("heat", 16, time={"steps": 8}, checkpoint={"every_steps": 4})
    run(Case.from_dict(tables), solo, tmp_path / "a.h5")
    manifest = manifests(tmp_path / "a.h5.frames")[0]
    before = {path.name: path.read_bytes() for path in manifest.parent.iterdir()}
    found = look_for(solo, manifest, is_any=True)
    assert found is not None
    with pytest.raises(StorageError, match="is read here"):
        run(found.case(["time.steps=12"]), solo, tmp_path / "a.h5", force=True, since=found.since)
    assert {path.name: path.read_bytes() for path in manifest.parent.iterdir()} == before


def test_fields_that_the_frames_lack_are_asked_for_before_the_march(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path
) -> None:
    some = {"every_steps": 4, "fields": ["u"], "keep_frames": True}
    tables = lab.case("gray-scott", 14, 12, time={"steps": 8}, output=some, checkpoint={"every_steps": 4})
    run(Case.from_dict(tables), solo, tmp_path / "a.h5")
    found = look_for(solo, tmp_path / "a.h5")
    assert found is not None
    case = found.case(["time.steps=12", "output.fields=['u', 'v']"])
    with pytest.raises(StorageError, match=r"has no field 'v'; give"):
        run(case, solo, found.result, since=found.since, reopen=found.reopen)


def test_the_way_on_is_told_where_something_is_missing(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    np.save(tmp_path / "u.npy", np.arange(16.0))
    tables = lab.case("heat", 16, time={"steps": 8}, output={"every_steps": 4}, checkpoint={"every_steps": 4})
    tables |= {"initial": {"u": {"file": str(tmp_path / "u.npy")}}}
    run(Case.from_dict(tables), solo, tmp_path / "a.h5")
    found = look_for(solo, tmp_path / "a.h5")
    assert found is not None

    def longer() -> None:
        run(found.case(["time.steps=12"]), solo, found.result, since=found.since, reopen=found.reopen)

    (tmp_path / "a.h5").rename(tmp_path / "b.h5")
    with pytest.raises(StorageError, match="is not there, and has frames of the run; put it back"):
        longer()
    (tmp_path / "b.h5").rename(tmp_path / "a.h5")
    (tmp_path / "u.npy").rename(tmp_path / "v.npy")
    with pytest.raises(CaseError, match=r"u\.npy: is not as it was .* put the file back"):
        longer()
    (tmp_path / "v.npy").rename(tmp_path / "u.npy")
    longer()
    for manifest in manifests(tmp_path / "a.h5.frames"):
        manifest.write_text("null")
    with pytest.raises(StorageError, match=r"no manifest of a checkpoint of this version; .*`gather .*a\.h5` makes"):
        look_for(solo, tmp_path / "a.h5")


def test_it_goes_on_from_any_directory_and_without_the_time_of_its_job(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "u.npy", np.arange(16.0))
    tables = lab.case("heat", 16, time={"steps": 8}, checkpoint={"every_steps": 4}, run={"walltime": "1h"})
    (tmp_path / "a.toml").write_text(tomli_w.dumps(tables | {"initial": {"u": {"file": "u.npy"}}}))
    monkeypatch.chdir(tmp_path)
    run(Case.load("a.toml"), solo, tmp_path / "a.h5")
    monkeypatch.chdir(tmp_path / "sub")
    found = look_for(solo, tmp_path / "a.h5")
    assert found is not None
    found.check(Case.load("../a.toml"))
    assert found.case().run.walltime is None
