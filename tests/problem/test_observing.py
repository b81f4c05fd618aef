"""Time series of a run: laws of its equation, without gap or double however it was stopped; rules that end it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from parsolve import make_case, solve
from parsolve.errors import CaseError, NumericalError, StorageError
from parsolve.problem import observing
from parsolve.problem.measuring import Looking
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.compare import compare
from parsolve.store.gather import gather
from parsolve.store.result import open_result

ROUND = {"x": {"cells": 24, "range": [0, 1], "periodic": True}, "y": {"cells": 16, "range": [0, 1], "periodic": True}}
HEAT = {
    "evolve": {"u": "0.1*laplace(u)"}, "grid": ROUND, "initial": {"u": "1 + sin(2*pi*x)*cos(2*pi*y)"},
    "time": {"steps": 40}, "measure": {"every_steps": 6, "mass": "integral(u)", "top": "max(u)"},
}  # fmt: skip
SEVERAL = {
    "cells": "histogram(u, from=0, to=2, bins=5)", "waves": {"of": "spectrum(u - 1)", "every_steps": 8},
}  # fmt: skip


def series_of(path):
    with open_result(path) as result:
        return {s.name: s for s in result.series}


def bits(path):
    return {n: (s.steps.tolist(), s.times.tobytes(), s.columns, s.values.tobytes()) for n, s in series_of(path).items()}


def test_they_are_taken_at_the_start_on_their_schedules_and_at_the_end(comm, shared_tmp):
    own = {"front": {"of": "max(where(u > 1.5, x, -1))", "every_steps": 15}}
    case = make_case(HEAT, measure={**HEAT["measure"], **own}, units={"mass": {"unit": "kg", "name": "mass in all"}})
    solve(case, shared_tmp / "a.h5", comm)
    found = series_of(shared_tmp / "a.h5")
    assert found["mass"].steps.tolist() == [0, 6, 12, 18, 24, 30, 36, 40]
    assert found["front"].steps.tolist() == [0, 15, 30, 40]
    assert (found["mass"].units, found["mass"].long_name, found["top"].long_name) == ("kg", "mass in all", "max(u)")


def test_measuring_changes_no_bit_of_the_fields(comm, shared_tmp):
    for name, measure in (("with", HEAT["measure"]), ("without", {})):
        solve(make_case({**HEAT, "measure": measure}), shared_tmp / name, comm)
    with open_result(shared_tmp / "with") as a, open_result(shared_tmp / "without") as b:
        assert a.read("u", -1).tobytes() == b.read("u", -1).tobytes()


def test_ranks_and_passes_change_no_bit_of_a_series(comm, solo, shared_tmp, tmp_path):
    solve(make_case(HEAT, measure=SEVERAL), shared_tmp / "all.h5", comm)
    solve(make_case(HEAT, measure=SEVERAL, run={"pipeline": "off"}), tmp_path / "one.h5", solo)
    assert bits(shared_tmp / "all.h5") == bits(tmp_path / "one.h5")


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("stop", [3, 12, 31])
def test_a_run_that_was_stopped_and_goes_on_has_neither_gap_nor_double(comm, shared_tmp, kept, stop, monkeypatch):
    """As if it was killed behind a checkpoint: lines were written that are taken again."""
    tables = {**HEAT, "output": {"every_steps": 9, "keep_frames": kept}, "checkpoint": {"every_steps": 4}}
    tables["measure"] = HEAT["measure"] | SEVERAL
    solve(make_case(tables), shared_tmp / "whole.h5", comm)
    add = observing.Observer._add

    def failing(self, clock, state, due):
        add(self, clock, state, due)
        if clock.step >= stop:
            raise NumericalError("it ends here")

    with monkeypatch.context() as patch:
        patch.setattr(observing.Observer, "_add", failing)
        with pytest.raises(NumericalError, match="ends here"):
            solve(make_case(tables), shared_tmp / "parts.h5", comm)
    solve(make_case(tables), shared_tmp / "parts.h5", comm, resume=True)
    assert bits(shared_tmp / "whole.h5") == bits(shared_tmp / "parts.h5")


@pytest.mark.parametrize(("name", "lines"), [("series.top", 1), ("series.top", 4), ("series", 3)])
def test_a_run_whose_lines_are_not_all_there_is_not_gone_on_with(comm, shared_tmp, name, lines):
    """As in a copy of its folder that was made while it went on; there may be frames of several schedules."""
    tables = {**HEAT, "output": {"keep_frames": True, "every_steps": 20}, "checkpoint": {"every_steps": 10}}
    tables["measure"] = {"mass": "integral(u)", "top": {"of": "max(u)", "every_steps": 6}}
    solve(make_case(tables), shared_tmp / "a.h5", comm)
    solve(make_case(tables, time={"steps": 50}, output={"every_steps": 7}), shared_tmp / "a.h5", comm, resume=True)
    if comm.rank == 0:
        path = shared_tmp / f"a.h5.frames/{name}.csv"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    comm.barrier()
    with pytest.raises(StorageError, match=rf"{name}\.csv: its lines up to step 50 are not all there"):
        solve(make_case(tables, time={"steps": 60}), shared_tmp / "a.h5", comm, resume=True)


def test_a_result_without_kept_frames_gives_its_series_to_a_longer_run(solo, tmp_path):
    tables = {**HEAT, "checkpoint": {"every_steps": 4}, "measure": HEAT["measure"] | SEVERAL}
    solve(make_case(tables), tmp_path / "a.h5", solo)
    solve(make_case(tables, time={"steps": 50}), tmp_path / "a.h5", solo, resume=True)
    assert series_of(tmp_path / "a.h5")["top"].steps.tolist() == [0, 6, 12, 18, 24, 30, 36, 40, 42, 48, 50]


def test_what_is_conserved_stays_and_energies_fall(solo, tmp_path):
    """Sums move by rounding alone; the energy of waves by that of the scheme; Swift-Hohenberg's never grows."""
    solve(make_case(HEAT), tmp_path / "heat.h5", solo)
    mass = series_of(tmp_path / "heat.h5")["mass"].values
    assert abs(mass - mass[0]).max() <= 1e-15 * math.sqrt(40)
    wave = make_case(
        evolve={"u_tt": "laplace(u)"}, grid=ROUND, initial={"u": "sin(2*pi*x)", "u_t": "0"},
        time={"end": 1.0, "scheme": "rk4"},
        measure={"every_steps": 5, "energy": "integral(u_t**2 + dot(grad(u), grad(u)))/2"},
    )  # fmt: skip
    solve(wave, tmp_path / "wave.h5", solo)
    energy = series_of(tmp_path / "wave.h5")["energy"].values
    assert np.ptp(energy) <= 0.02 * energy[0]
    swift = make_case(
        equation="swift-hohenberg", grid={"x": {"cells": 64, "range": [0, 40], "periodic": True}},
        initial={"u": "0.1*noise(seed=1)"}, time={"end": 5.0},
        measure={"every_steps": 20, "free": "integral(-0.1*u**2/2 + (u + laplace(u))**2/2 + u**4/4)"},
        parameters={"r": 0.1},
    )  # fmt: skip
    solve(swift, tmp_path / "swift.h5", solo)
    free = series_of(tmp_path / "swift.h5")["free"].values
    assert len(free) > 5
    assert (np.diff(free) <= 0).all()


def test_rules_end_a_run_with_their_reason_and_its_last_frame(comm, shared_tmp):
    rules = {
        "steps": ({"steps": 7}, 7), "when": ({"when": "top < 1.9 and step > 3"}, None), "steady": ({"steady": 2.0}, None),
    }  # fmt: skip
    for name, (rule, step) in rules.items():
        case = make_case(HEAT, stop=rule, time={"steps": 4000}, run={"check_every": 8})
        done = solve(case, shared_tmp / name, comm)
        assert done.stopped
        assert done.steps < 4000
        assert done.measures["top"] == series_of(shared_tmp / name)["top"].values[-1]
        assert step in (None, done.steps)
        with open_result(shared_tmp / name) as result:
            assert result.steps[-1] == done.steps == {s.name: s for s in result.series}["top"].steps[-1]


@pytest.mark.parametrize(
    "stop",
    [
        {"steps": 9}, {"when": "step >= 12"}, {"steady": 1e9}, {"steps": 12, "when": "step >= 12"},
        {"steps": 8, "steady": 1e9}, {"steady": 1e9, "when": "step >= 8"}, {"when": "step >= 9", "steps": 9},
    ],
    ids=lambda stop: "-".join(stop),
)  # fmt: skip
def test_a_run_that_a_rule_has_ended_is_not_gone_on_with(comm, shared_tmp, stop):
    tables = {**HEAT, "checkpoint": {"every_steps": 4}, "run": {"check_every": 8}, "stop": stop}
    first = solve(make_case(tables), shared_tmp / "a.h5", comm)
    before = bits(shared_tmp / "a.h5")
    again = solve(make_case(tables), shared_tmp / "a.h5", comm, resume=True)
    assert (again.steps, again.stopped) == (first.steps, first.stopped) != (40, "")
    assert bits(shared_tmp / "a.h5") == before
    found = look_for(comm, shared_tmp / "a.h5")
    assert found is not None
    apart = run(make_case(tables), comm, shared_tmp / "b.h5", since=found.since)
    assert (apart.steps, apart.stopped) == (first.steps, first.stopped)


def test_a_rule_that_held_where_a_run_ended_does_not_end_a_longer_one_that_does_not_look_there(comm, shared_tmp):
    tables = {**HEAT, "checkpoint": {"every_steps": 4}, "stop": {"when": "step == 40"}}
    solve(make_case(tables), shared_tmp / "a.h5", comm)
    again = solve(make_case(tables, time={"steps": 44}), shared_tmp / "a.h5", comm, resume=True)
    assert (again.steps, again.stopped) == (44, "")


def test_where_a_run_ended_measures_of_several_numbers_are_taken_once(solo, tmp_path, monkeypatch):
    measured, taken = Looking.measure, []
    monkeypatch.setattr(Looking, "measure", lambda *a: taken.append(a[-1]) or measured(*a))
    solve(make_case({**HEAT, "measure": {"every_steps": 20, **SEVERAL}}), tmp_path / "a.h5", solo)
    assert len(taken) == len({*taken}) == 7  # steps 0, 8, 16, 20, 24, 32, 40


def test_a_rule_that_holds_at_the_end_alone_leaves_the_run_finished(comm, shared_tmp):
    for name, rule in (("when", {"when": "step >= 40"}), ("steps", {"steps": 40}), ("steady", {"steady": 1e-9})):
        assert not solve(make_case(HEAT, stop=rule), shared_tmp / name, comm).stopped


def test_a_field_made_of_others_is_written_with_its_values(comm, shared_tmp):
    fields = ["u", "g", "speed = sqrt(dx(u)**2 + dy(u)**2)"]
    solve(make_case(HEAT, define={"g": "dx(u)"}, output={"fields": fields}), shared_tmp / "a.h5", comm)
    with open_result(shared_tmp / "a.h5") as result:
        u, h = result.read("u", -1), result.grid.spacing
        gx, gy = ((np.roll(u, -1, d) - np.roll(u, 1, d)) / (2 * h[d + 1]) for d in (1, 0))
        assert result.fields == ("u", "g", "speed")
        assert result.read("g", -1) == pytest.approx(gx, abs=1e-13)
        assert result.read("speed", -1) == pytest.approx(np.hypot(gx, gy), abs=1e-13)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"measure": {"u": "integral(u)"}}, "measure.u"),
        ({"measure": {"a_time": "integral(u)"}}, "measure.a_time"),
        ({"measure": {"a": 3.0}}, "measure.a"),
        ({"measure": {"a": "max(u)", "every": 0.0}}, "measure.every: is a time > 0"),
        ({"measure": {"a": "at(u, 0.5, 2.0)"}}, r"measure\.a: y = 2"),
        ({"measure": {"a": {"of": "max(u)", "every": 1.0, "every_steps": 3}}}, "measure.a"),
        ({"measure": {"show": ["b"], "a": "max(u)"}}, "measure.show"),
        ({"measure": {"a": "5"}}, r"measure\.a: '5' is made of no values of cells"),
        ({"measure": {"a": "t + pi"}}, r"measure\.a: 't \+ pi' is made of no values of cells"),
        ({"measure": {"a": "noise(seed=1)*max(u)"}}, r"measure\.a: .* one at each cell: take integral\(noise"),
        ({"measure": {"a": "at(u, noise(seed=1), 0.5)"}}, r"measure\.a: a point is given by numbers or parameters"),
        ({"measure": {"a": "histogram(u, noise(seed=1), 2, 3)"}}, r"measure\.a: 'from' and 'to' of a histogram are"),
        ({"stop": {"when": "noise(seed=1) > top"}}, r"stop\.when: unknown function 'noise'"),
        ({"stop": {"when": "top"}}, r"stop\.when: is no condition"),
        ({"stop": {"when": "bottom > 1"}}, "stop.when"),
        ({"stop": {"when": "top > 0 and"}}, r"stop\.when: the expression ends too early\n    top > 0 and\n"),
        ({"stop": {"walltime": "soon"}}, "stop.walltime"),
        ({"output": {"fields": ["u", "u = dx(u)"]}}, "output.fields"),
        ({"output": {"fields": ["w = dx(v)"]}}, "output.fields"),
        ({"units": {"tip": "kg"}}, "units.tip"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_its_key(solo, tmp_path, tables, message):
    with pytest.raises(CaseError, match=message):
        solve(make_case(HEAT, **tables), tmp_path / "a.h5", solo)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_is_gathered_with_its_series_and_results_that_measured_otherwise_differ(
    solo, tmp_path, monkeypatch
):
    tables = {**HEAT, "output": {"every_steps": 9}, "units": {"mass": "kg"}}
    add = observing.Observer._add

    def failing(self, clock, state, due):
        add(self, clock, state, due)
        if clock.step >= 20:
            raise NumericalError("it ends here")

    with monkeypatch.context() as patch:
        patch.setattr(observing.Observer, "_add", failing)
        with pytest.raises(NumericalError):
            solve(make_case(tables), tmp_path / "a.h5", solo)
    gather(solo, tmp_path / "a.h5")
    mass, top = (series_of(tmp_path / "a.h5")[name] for name in ("mass", "top"))
    assert (mass.steps.tolist(), mass.units, top.long_name) == ([0, 6, 12, 18, 24], "kg", "max(u)")
    for name, text in (("b.h5", "max(u)"), ("c.h5", "min(u)")):
        solve(make_case(tables, measure={"every_steps": 6, "mass": "integral(u)", "top": text}), tmp_path / name, solo)
    assert not compare(tmp_path / "b.h5", tmp_path / "c.h5").equal
    assert "series 'top': value 0" in "".join(compare(tmp_path / "b.h5", tmp_path / "c.h5").lines)
