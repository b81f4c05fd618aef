"""A simulation marches as a run does, and after a change as a run that begins there."""

from __future__ import annotations

import copy
import os
import pickle
import runpy
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpi4py import MPI

import parsolve
from parsolve import Simulation, make_case
from parsolve.domain.redistribute import allgather
from parsolve.errors import CaseError, NumericalError, SetupError, StorageError
from parsolve.kernels import jit
from parsolve.problem.keeping import Stopped
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Iterator

REACTION = {"u": "D*laplace(u) - u**3", "v": "20*(u - v)"}
ADAPTIVE = {"scheme": "bs23", "tolerance": 1e-5, "end": 0.05}


def whole(sim: Simulation, name: str = "u") -> np.ndarray:
    """A field of all ranks, on every rank."""
    f = sim._live.march.state[name]
    return allgather(f.owned, f.subdomain)


def states(sim: Simulation) -> list[np.ndarray]:
    return [whole(sim, name) for name in sim.fields]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def case(lab: Any, kind: str) -> parsolve.Case:
    tables = {
        "frames": lab.case("heat", 24, 20, time={"end": 0.01}, output={"every": 0.0013}),
        "measured": lab.case("heat", 24, time={"end": 0.01}, measure={"m": "max(u)", "every": 0.003}),
        "steps": lab.case("gray-scott", 24, 20, time={"steps": 21, "scheme": "euler"}, output={"every_steps": 5}),
        "adaptive": lab.case(REACTION, 14, 12, time=ADAPTIVE, parameters={"D": 0.1}, output={"every": 0.02}),
        "follows": lab.case({"u": "dxx(u**3) + u"}, 16, time={"end": 0.03}, run={"check_every": 7}),
    }
    return make_case(tables[kind])


@pytest.mark.parametrize("kind", ["frames", "measured", "steps", "adaptive", "follows"])
def test_it_marches_as_a_run_does(lab: Any, comm: MPI.Intracomm, shared_tmp: Path, kind: str) -> None:
    """Whatever pieces the steps are taken in, and whoever looks on."""
    given = case(lab, kind)
    summary = parsolve.solve(given, shared_tmp / "u.h5", comm)
    with parsolve.open_result(shared_tmp / "u.h5") as result:
        last = [result.read(name, -1) for name in result.fields]
    with Simulation(given, comm) as sim:
        looks: list[int] = []
        sim.every(4, lambda sim: looks.append(sim.steps + 0 * sim.u.size))
        assert [sim.step(), sim.step(2)] == [1, 2]
        assert (sim.steps, sim.is_over) == (3, False)
        sim.run()
        assert (sim.steps, sim.time, sim.is_over) == (summary.steps, summary.time, True)
        assert looks == list(range(4, sim.steps + 1, 4))
        assert same(states(sim), last)
        assert sim.warnings == summary.warnings
        with pytest.raises(CaseError, match="step: the case is over at t = "):
            sim.step()


def test_arrays_are_the_fields_themselves_until_the_next_step(lab: Any, comm: MPI.Intracomm) -> None:
    with Simulation(make_case(lab.case("heat", 12, 10, time={"steps": 9})), comm) as sim:
        before, u = sim.gather("u"), sim.u
        assert (before is None) == (comm.rank > 0)
        assert np.shares_memory(u, sim._live.march.state["u"].array)
        assert u is sim["u"]
        if comm.rank == 0 and before is not None:
            assert before.shape == (10, 12)
            assert np.array_equal(before[sim.owned], u)
        kept = u.copy()
        sim.step()
        assert not u.flags.writeable
        assert not np.array_equal(sim.u, kept)


def changed(sim: Simulation, how: str, values: np.ndarray) -> None:
    """Give u the same values in one of the ways to do it."""
    if how == "written":
        sim.u[...] = values[sim.owned]
    elif how == "assigned":
        sim.u = values[sim.owned]
    else:
        sim.set("u", values)


@pytest.mark.parametrize(
    ("how", "time"), [("written", {"scheme": "euler"}), ("assigned", {"scheme": "rk4"}), ("set", ADAPTIVE)]
)
def test_after_a_change_it_is_a_run_that_begins_there(
    lab: Any, comm: MPI.Intracomm, time: dict[str, Any], how: str
) -> None:
    """Of values, of parameters, and of both; to the bit."""
    goal = {"steps": 40} if "end" not in time else {}
    tables = lab.case(REACTION, 14, 12, parameters={"D": 0.1}, time=time | goal)
    values = np.random.default_rng(3).random((12, 14))
    with Simulation(make_case(tables), comm) as sim:
        sim.step(7)
        v = whole(sim, "v")
        changed(sim, how, values)
        sim.parameters["D"] = 0.02
        assert same([whole(sim)], [values])
        sim.step(5)
        fresh = make_case(tables, parameters={"D": 0.02}, initial={"u": values, "v": v})
        with Simulation(fresh, comm) as other:
            other.step(5)
            assert same(states(sim), states(other))
            assert sim.dt == other.dt
        sim.parameters["D"] = 0.3
        begin = states(sim)
        sim.step(5)
        with Simulation(
            make_case(tables, parameters={"D": 0.3}, initial=dict(zip("uv", begin, strict=True))), comm
        ) as other:
            other.step(5)
            assert same(states(sim), states(other))


def test_one_rank_may_write_alone(lab: Any, comm: MPI.Intracomm) -> None:
    """All find out; adaptive steps do not go on with the rates of other values."""
    tables = lab.case(REACTION, 14, 12, parameters={"D": 0.1}, time=ADAPTIVE)
    with Simulation(make_case(tables), comm) as sim:
        sim.step(3)
        if comm.rank == comm.size - 1:
            sim.u[0] = 1.5
            sim.u *= 0.9
        begin = states(sim)
        sim.step(3)
        with Simulation(make_case(tables, initial=dict(zip("uv", begin, strict=True))), comm) as other:
            other.step(3)
            assert same(states(sim), states(other))


def test_to_look_changes_nothing_and_nothing_is_compiled_again(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = case(lab, "adaptive")
    with Simulation(given) as sim, Simulation(given) as other:
        monkeypatch.setattr(jit, "compile_text", lambda *_: pytest.fail("compiled"))
        march = sim._live.march
        for _ in range(3):
            assert sim.u.sum() > 0
            sim.parameters["D"] = sim.parameters["D"]
            sim.step()
        assert sim._live.march is march
        other.step(3)
        assert same(states(sim), states(other))
        sim.parameters["D"] = 0.2
        sim.step()
        assert sim._live.march is not march


def test_waves_keep_their_velocity(lab: Any, comm: MPI.Intracomm) -> None:
    tables = lab.case({"u_tt": "a"}, 8, parameters={"a": 3.0}, initial={"u": 1.0, "u_t": 2.0},
                      time={"end": 2.0, "scheme": "leapfrog", "dt": 0.125})  # fmt: skip
    with Simulation(make_case(tables), comm) as sim:
        sim.u = 0.5
        sim.run(until=1.0)  # 0.5 + 2 t + 1.5 t^2, exactly
        assert np.all(sim.u == 4.0)
        sim.u[...] = 10.0
        sim.parameters["a"] = -4.0
        sim.run()
        assert np.all(sim.u == 10.0 + (2.0 + 3.0) - 2.0)


def test_the_step_is_found_again(lab: Any) -> None:
    with Simulation(case(lab, "follows")) as sim:
        sim.step(2)
        before = sim.dt
        sim.set("u", "2 + x + t - t")
        sim.step()
        assert sim.dt < before / 4
    given = make_case(lab.case("heat", 16, parameters={"D": 0.1}, time={"steps": 9, "dt": 0.01, "unstable": "refuse"}))
    with Simulation(given) as sim:
        sim.step()
        sim.parameters["D"] = 10.0
        with pytest.raises(CaseError, match=r"time\.dt: short waves grow"):
            sim.step()
        assert sim.steps == 1
        sim.parameters["D"] = 0.1
        assert sim.step(2) == 2


def test_wrong_numbers_are_told_and_can_be_set_right(lab: Any, comm: MPI.Intracomm) -> None:
    with Simulation(case(lab, "steps"), comm) as sim:
        sim.step()
        if comm.rank == comm.size - 1:
            sim.u[0, 0] = np.nan
        with pytest.raises(NumericalError, match="not finite: check"):
            sim.step()
        sim.set("u", "1 + 0.1*x")
        sim.step()
    with (
        Simulation(make_case(lab.case("allen-cahn", 12, time={"steps": 400, "dt": 1.0})), comm) as sim,
        pytest.raises(NumericalError, match=r"step \d+, t = .*; try a smaller time.dt"),
    ):
        sim.step(60)


def test_times_are_met_and_calls_may_change_it(lab: Any, comm: MPI.Intracomm) -> None:
    with Simulation(make_case(lab.case("heat", 24, 20, time={"end": 0.01})), comm) as sim:
        calls: list[Any] = []
        sim.at((time for time in (0.003, 0.01)), lambda sim: calls.append(sim.time))
        sim.every(10**6, lambda sim: calls.append("never"))

        def half(sim: Simulation) -> None:
            sim.u *= 0.5
            sim.parameters["D"] = 2.0

        sim.at(0.005, half)
        sim.run(until=0.0049)
        most, steps = whole(sim).max(), sim.steps
        sim.run(0.0051)
        assert whole(sim).max() < 0.6 * most
        assert sim.steps > steps + 1
        assert sim.time == 0.0051
        sim.run()
        assert calls == [0.003, 0.01]
        assert sim.case.parameters["D"] == 2.0


def test_times_that_rounding_alone_tells_apart_are_one(lab: Any) -> None:
    """Or there would be a step between them of 1e-17, which leapfrog, for one, does not survive."""
    tables = lab.case("wave", 16, time={"end": 1.0, "scheme": "leapfrog"}, output={"every": 0.1})
    with Simulation(make_case(tables)) as whole, Simulation(make_case(tables)) as sim:
        whole.run()
        times: list[float] = []
        sim.at(np.arange(1, 11) * 0.1, lambda sim: times.append(sim.time))
        sim.run(until=0.1 + 0.2)
        assert sim.time == 0.3
        sim.run(until=0.1 + 0.2)
        sim.at(0.7 + 1e-16, lambda sim: times.append(sim.time))
        sim.run(until=0.1 * 7)
        sim.run()
        assert times == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7, 0.8, 0.9, 1.0]
        assert sim.steps == whole.steps
        assert same(states(sim), states(whole))


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped)])
def test_a_signal_ends_the_march_between_steps(
    lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BaseException]
) -> None:
    """On all ranks, whichever it reached; what goes on from there has the bits of a march that was left alone."""
    given = make_case(lab.case("gray-scott", 24, 20, time={"steps": 60}))
    sent = False

    def send(step: int, time: float, dt: float) -> None:
        nonlocal sent
        if comm.rank == comm.size - 1 and step >= 7 and not sent:
            sent = True
            os.kill(os.getpid(), number)

    with Simulation(given, comm) as whole, Simulation(given, comm) as sim:
        whole.run()
        update = sim._live.march.history.update
        monkeypatch.setattr(sim._live.march.history, "update", lambda *now: [update(*now), send(*now)])
        with pytest.raises(kind, match=r"stopped at step \d+, t = .*, as SIG"):
            sim.run()
        assert 7 <= sim.steps < 60
        sim.run()
        assert same(states(sim), states(whole))


def test_values_within_a_step_are_not_given_out(lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with Simulation(case(lab, "steps"), comm) as sim:
        sim.step()
        monkeypatch.setattr(sim._live.march.steps.stepper, "turn", fail)
        with pytest.raises(KeyboardInterrupt):
            sim.step()
        for ask in (lambda: sim.u, sim.step, lambda: sim.gather("u"), sim.to_xarray):
            with pytest.raises(CaseError, match="interrupted within a step"):
                ask()


def test_it_marches_with_numpy_and_with_threads(lab: Any) -> None:
    found = []
    for run_table in ({}, {"device": "numpy"}, {"threads": 2}):
        with Simulation(make_case(lab.case("gray-scott", 24, 20, time={"steps": 9}, run=run_table))) as sim:
            sim.step(3)
            sim.u *= 1.1
            sim.run()
            found.append(states(sim))
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_what_a_call_raises_is_raised_by_all(lab: Any, comm: MPI.Intracomm) -> None:
    class Enough(Exception):
        """That of a user."""

    def one(sim: Simulation) -> None:
        if sim.steps == 4 and comm.rank == comm.size - 1:
            raise KeyError("mine")

    def all_of_them(sim: Simulation) -> None:
        if sim.steps == 8:
            raise Enough

    with Simulation(make_case(lab.case("heat", 12, 10, time={"steps": 20})), comm) as sim:
        sim.every(2, one)
        sim.every(2, all_of_them)
        several = pytest.raises(
            CaseError, match=rf"one, called at step 4.*KeyError on rank {comm.size - 1} alone: 'mine'"
        )
        with pytest.raises(KeyError, match="mine") if comm.size == 1 else several:
            sim.run()
        with pytest.raises(Enough):
            sim.run()
        assert sim.steps == 8
        sim.every(1, lambda sim: sim.step())
        with pytest.raises(CaseError, match="cannot march itself"):
            sim.run()
    for end in (SystemExit, KeyboardInterrupt):

        def stop(sim: Simulation, end: type[BaseException] = end) -> None:
            if comm.rank == comm.size - 1:
                raise end

        with Simulation(make_case(lab.case("heat", 12, 10, time={"steps": 20})), comm) as sim:
            sim.every(3, stop)
            with pytest.raises(end if comm.size == 1 else CaseError, match=None if comm.size == 1 else end.__name__):
                sim.run()
    with Simulation(make_case(lab.case("heat", 12, 10, time={"steps": 20})), comm) as sim:
        sim.every(3, lambda sim: sim.close())
        with pytest.raises(CaseError, match="the simulation is closed"):
            sim.run()


KEPT = {
    "euler": {"scheme": "euler", "steps": 40},
    "rk4": {"scheme": "rk4", "steps": 40},
    "bs23": ADAPTIVE,
    "leapfrog": {"scheme": "leapfrog", "steps": 40},
    "auto": {"end": 0.03},
}


@pytest.mark.parametrize("kind", KEPT)
def test_march_is_march_and_restart(lab: Any, comm: MPI.Intracomm, shared_tmp: Path, kind: str) -> None:
    """Also after changes of values and parameters, also of a case whose initial values were an array."""
    laws: dict[str, Any] = {"leapfrog": {"u_tt": "D*laplace(u) - u**3"}, "auto": {"u": "D*dxx(u**3) + u*cos(9*t)"}}
    values = 0.5 + 0.3 * np.random.default_rng(3).random((12, 14))
    tables = lab.case(laws.get(kind, REACTION), 14, 12, time=KEPT[kind], parameters={"D": 0.1}, initial={"u": values})
    with Simulation(make_case(tables), comm) as sim:
        sim.step(3)
        sim.u *= 1.25
        sim.parameters["D"] = 0.2
        sim.step(4)
        manifest = sim.checkpoint(shared_tmp / kind)
        sim.step(3)
        last, where = states(sim), (sim.steps, sim.time, sim.dt, sim.warnings)
        sim.checkpoint(shared_tmp / kind)
        end = None
        if kind != "auto":
            sim.run()
            end = states(sim)
    for path in (manifest, shared_tmp / kind):
        with Simulation.restart(path, comm) as again:
            assert again.parameters["D"] == 0.2
            if path == manifest:
                assert again.steps == 7
                again.step(3)
            assert same(states(again), last)
            assert (again.steps, again.time, again.dt, again.warnings) == where
            if end is not None:
                again.run()
                assert same(states(again), end)


def test_what_else_goes_on_from_a_checkpoint(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    """A run from that of a simulation, a simulation from that of a run, and one from that of a restarted one."""
    tables = lab.case(REACTION, 14, 12, parameters={"D": 0.1}, time=ADAPTIVE, checkpoint={"every_steps": 4})
    given = make_case(tables)
    with Simulation(given, comm) as sim:
        sim.step(3)
        sim.set("u", "0.5 + 0.1*sin(7*x)")
        sim.step(2)
        manifest = sim.checkpoint(shared_tmp / "a")
        sim.run()
        last = states(sim)
    found = look_for(comm, manifest, is_any=True)
    assert found is not None
    run(found.case(), comm, shared_tmp / "b.h5", since=found.since)
    with parsolve.open_result(shared_tmp / "b.h5") as result:
        assert same([result.read(name, -1) for name in result.fields], last)
    with Simulation.restart(shared_tmp / "b.h5", comm, case=given) as sim:
        assert sim.steps > 5
        sim.run()
        assert same(states(sim), last)
    with Simulation.restart(manifest, comm) as sim:
        sim.step()
        sim.checkpoint(shared_tmp / "a")
    with Simulation.restart(manifest, comm) as sim:
        with pytest.raises(StorageError, match="is of a later step than 5"):
            sim.checkpoint(shared_tmp / "a")
        assert sim.steps == 5
        comm.barrier()
        sim.checkpoint(shared_tmp / "a", force=True)
        assert sorted(path.name for path in (shared_tmp / "a").iterdir()) == [
            "checkpoint-000000005.h5", "checkpoint-000000005.json",
        ]  # fmt: skip
    with Simulation(given, comm) as sim, pytest.raises(StorageError, match="is of another run"):
        sim.checkpoint(shared_tmp / "a")
    with pytest.raises(StorageError, match="no checkpoint that is whole"):
        Simulation.restart(shared_tmp / "nothing", comm)
    with pytest.raises(CaseError, match=r"run.order.*is not that of the run"):
        Simulation.restart(manifest, comm, case=make_case(given, run={"order": 4}))


def test_arrays_that_no_checkpoint_has_are_given_again(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    k = 1 + np.random.default_rng(3).random((12, 14))
    given = make_case(lab.case({"u": "div(k*grad(u))"}, 14, 12, fields={"k": k}, time={"steps": 9}))
    with Simulation(given, comm) as sim:
        sim.step(2)
        sim.checkpoint(shared_tmp / "a")
        sim.run()
        last = states(sim)
    with pytest.raises(CaseError, match="arrays given from Python"):
        Simulation.restart(shared_tmp / "a", comm)
    with Simulation.restart(shared_tmp / "a", comm, case=given) as sim:
        sim.run()
        assert same(states(sim), last)


def test_a_state_is_written_as_a_result(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    with Simulation(case(lab, "steps"), comm) as sim:
        sim.step(3)
        assert sim.write(shared_tmp / "u.h5") == shared_tmp / "u.h5"
        with pytest.raises(StorageError, match="exists already"):
            sim.write(shared_tmp / "u.h5")
        sim.write(shared_tmp / "u.h5", force=True)
        with parsolve.open_result(shared_tmp / "u.h5") as result:
            assert (result.times.tolist(), result.steps.tolist()) == ([sim.time], [3])
            assert same([result.read(name, 0) for name in result.fields], states(sim))
        comm.barrier()


def test_it_is_taken_over_by_xarray_and_shown_in_a_notebook(lab: Any, comm: MPI.Intracomm) -> None:
    tables = lab.case(
        "gray-scott", 14, 12, time={"steps": 9}, title="Spots & <more>", units={"u": "mol", "x": "m", "time": "s"},
        output={"fields": ["v", "w = u + v"]},
    )  # fmt: skip
    with Simulation(make_case(tables), comm) as sim:
        sim.step(2)
        data, v, u = sim.to_xarray(), whole(sim, "v"), whole(sim, "u")
        assert (data is None) == (comm.rank > 0)
        if data is not None:
            assert data.v.dims == ("y", "x")
            assert np.array_equal(data.v, v)
            assert np.array_equal(data.w, u + v)
            assert (float(data.time), int(data.step), data.x.units, data.v.units) == (sim.time, 2, "m", "1")
            assert data.v.sel(x=0.0, y=1.0, method="nearest") == v[-1, 0]
        for name in (None, "u", "w"):
            figure = sim.plot(name)
            assert (figure is None) == (comm.rank > 0)
            if figure is not None:
                shown = {"u": u, "w": u + v}.get(str(name), v)
                assert np.array_equal(figure.axes[0].images[0].get_array(), shown)
                assert "t = " in figure.get_suptitle()
        with pytest.raises(CaseError, match="there is no field 'q'"):
            sim.plot("q")
        with pytest.raises(CaseError, match="no axis 'z' to cut"):
            sim.plot(slice="z=0")
        page = sim._repr_html_()
        assert "<b>Spots &amp; &lt;more&gt;</b>" in page
        assert "\\partial_t u = Du \\nabla^2{\\left(u \\right)}" in page
        assert "x: 14 cells in [0, 1]; y: 12 cells in [0, 1]" in page
        assert "step 2, t = " in page
        assert f"<b>u{f' on rank {comm.rank}' if comm.size > 1 else ''}</b>" in page
        assert f"{sim.u.min():.6g} to {sim.u.max():.6g}" in page
    assert sim._repr_html_() == "<Simulation, closed>"


async def not_awaited(sim: Simulation) -> None:
    """It would be a coroutine that nobody awaits."""


def not_iterated(sim: Simulation) -> Iterator[None]:
    """It would be a generator of which nobody takes anything."""
    yield


def test_a_text_is_no_list_of_times(lab: Any) -> None:
    """Of one for each letter."""
    with (
        Simulation(make_case(lab.case("heat", 12, time={"end": 20.0, "dt": 1e-3}))) as sim,
        pytest.raises(CaseError, match=r"at: expected times after now, 0, .* got '12'"),
    ):
        sim.at("12", print)  # type: ignore[arg-type]


WRONG: list[tuple[Any, str]] = [
    (lambda sim: sim.step(0), "step: expected a number of steps, got 0"),
    (
        lambda sim: sim.run(until=9.0),
        "run: expected a time from now, 0, to the end of the case, 0.01, got until = 9",
    ),
    (lambda sim: sim.run(until=np.inf), "run: expected a time from now, 0, .* got until = inf"),
    (lambda sim: sim.at(np.inf, print), "at: expected times after now"),
    (lambda sim: sim.plot(slice=3), "plot: expected a slice such as 'z=0.5', got 3"),
    (lambda sim: Simulation.restart("none", sim.comm, case="heat"), "Simulation.restart: expected a case"),
    (lambda sim: sim.at([0.0, 0.005], print), "at: expected times after now"),
    (lambda sim: sim.at(0.005, None), "at: expected times after now"),
    (lambda sim: sim.every(3, "f"), "every: expected a number of steps and a function"),
    (lambda sim: sim.set("w", 1), "no field 'w' is marched"),
    (lambda sim: sim.set("u", "sin(q)"), "u: .*'q'"),
    (lambda sim: sim.set("u", "log(-x)"), "u: the value is"),
    (lambda sim: sim.set("u", np.ones(3)), r"u: the array has shape \(3,\), the grid is"),
    (lambda sim: setattr(sim, "u", np.ones(3)), r"u: the array has shape \(3,\), and rank 0 owns"),
    (lambda sim: setattr(sim, "u", "x"), "u: expected real numbers"),
    (lambda sim: setattr(sim, "u", np.ma.masked_all((20, 24))), "u: expected real numbers, none of them masked"),
    (
        lambda sim: setattr(sim, "u", [[1], [2, 3]] if sim.comm.rank == sim.comm.size - 1 else 1.0),
        "u: expected a number or an array of numbers: ",
    ),
    (lambda sim: sim.at(10**400, print), "at: expected times after now, 0, .* got 1000"),
    (lambda sim: sim.at("0.005", print), "at: expected times after now, 0, .* got '0.005'"),
    (lambda sim: sim.at(np.ma.masked_less([1e-3, 2e-3], 2e-3), print), "at: expected times after now, 0, "),
    (lambda sim: sim.every(1, not_awaited), "every: .*not_awaited.* does nothing when it is called; "),
    (lambda sim: sim.at(0.005, not_iterated), "at: .*not_iterated.* does nothing when it is called; "),
    (lambda sim: sim.plot(["u"]), "there is no field .*; fields: u"),
    (lambda sim: sim.checkpoint("a\0b"), "checkpoint: there is a zero byte"),
    (lambda sim: sim.parameters.update(E=1), "parameters.E: there is no such parameter"),
    (lambda sim: sim.parameters.update(D="a"), "parameters.D: expected a number, got 'a'"),
    (lambda sim: sim.parameters.update(D=np.inf), "parameters.D: expected a number, got inf"),
]


def test_what_is_wrong_is_told_and_nothing_is_changed(lab: Any, comm: MPI.Intracomm) -> None:
    with Simulation(make_case(lab.case("heat", 24, 20, time={"end": 0.01})), comm) as sim:
        before = states(sim)
        for ask, words in WRONG:
            with pytest.raises(CaseError, match=words):
                ask(sim)
            assert same(states(sim), before)
        sim.step()


@pytest.mark.parametrize("name", ["steps", "when", "steady"])
def test_a_rule_ends_a_simulation_where_it_ends_a_run(
    lab: Any, comm: MPI.Intracomm, shared_tmp: Path, name: str
) -> None:
    """With the same reason and bits, however it is marched there; another call goes on."""
    stop = {"steps": {"steps": 7}, "when": {"when": "top < 0.995 and step > 3"}, "steady": {"steady": 90.0}}[name]
    given = make_case(
        lab.case("heat", 24, 20, time={"steps": 40}, initial={"u": "1 + 0.1*sin(2*pi*x)"}, stop=stop,
                 run={"check_every": 8}, measure={"top": "max(u) - 0.1", "every_steps": 3},
                 slices={"often": {"x": 0.5, "every_steps": 1}})
    )  # fmt: skip
    found = parsolve.solve(given, shared_tmp / "a.h5", comm)
    assert 3 < found.steps < 40
    for march in (Simulation.run, lambda sim: [sim.step(2) for _ in range(20) if not sim.is_over]):
        with Simulation(given, comm) as sim, open_result(shared_tmp / "a.h5") as result:
            march(sim)  # type: ignore[operator]
            assert (sim.stopped, sim.steps, sim.time, sim.is_over) == (found.stopped, found.steps, found.time, True)
            assert result.read("u", -1)[sim.owned].tobytes() == sim.u.tobytes()
            sim.step()
            assert sim.steps == found.steps + 1
    with Simulation(
        make_case(lab.case("heat", 9, time={"steps": 4}, stop={"steps": 4, "walltime": "1h"})), comm
    ) as sim:
        sim.run()
        assert (sim.stopped, sim.is_over) == ("", True)


def test_time_of_a_simulation_is_that_of_its_marching(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = lab.case("heat", 12, time={"steps": 90}, stop={"walltime": "4s"}, run={"check_every": 1})
    with Simulation(make_case(given)) as sim:
        now = [0.0]
        monkeypatch.setattr("parsolve.problem.live.monotonic", lambda: now[0])
        monkeypatch.setattr("parsolve.problem.stopping.monotonic", lambda: now[0])
        sim.every(1, lambda sim: now.__setitem__(0, now[0] + 50))  # between parts of the march
        sim.step(5)
        assert sim.stopped == ""
        sim._live._spent = 5.0
        sim.run()
        assert (sim.steps, sim.stopped) == (6, "its time of 4s was over")


def test_names_that_are_not_there(lab: Any) -> None:
    with Simulation(case(lab, "steps")) as sim:
        assert (sim.fields, set(sim.parameters)) == (("u", "v"), {"Du", "Dv", "F", "k"})
        with pytest.raises(AttributeError, match="has no 'w'"):
            sim.w  # noqa: B018
        with pytest.raises(AttributeError, match=r"sim.parameters\['F'\] = "):
            sim.F = 1.0
        with pytest.raises(AttributeError, match="no field 'time'"):
            sim.time = 1.0
        with pytest.raises(KeyError):
            sim["w"]
        with pytest.raises(TypeError, match="cannot be removed"):
            del sim.parameters["F"]
        assert "u, v on 24 (x) x 20 (y) cells, step 0, t = 0, dt = " in repr(sim)
    assert repr(sim) == "<Simulation, closed>"
    sim.close()
    with pytest.raises(CaseError, match="the simulation is closed"):
        sim.step()


@pytest.mark.mpi(min_size=2)
def test_ranks_that_ask_for_different_things_are_told(lab: Any, comm: MPI.Intracomm) -> None:
    given, calls = make_case(lab.case("heat", 24, 20, time={"steps": 20})), list[int]()
    with Simulation(given, comm) as sim:
        with pytest.raises(CaseError, match="the ranks differ: step on rank 1 is not that of rank 0"):
            sim.step(1 + comm.rank)
        with pytest.raises(CaseError, match="until on rank 1"):
            sim.run(until=1e-6 * (1 + comm.rank))
        with pytest.raises(CaseError, match="every on rank 1"):
            sim.every(1 + comm.rank, lambda sim: calls.append(sim.steps))
        with pytest.raises(CaseError, match="at on rank 1"):
            sim.at(1e-6 * (1 + comm.rank), lambda sim: calls.append(sim.steps))
        with pytest.raises(CaseError, match="u on rank 1"):
            sim.set("u", np.full((20, 24), 1.0 + comm.rank))
        with pytest.raises(CaseError, match="folder on rank 1"):
            sim.checkpoint(f"kept-{comm.rank}")
        with pytest.raises(CaseError, match=r"parameters\.D on rank 1 is not that of rank 0"):
            sim.parameters["D"] = 1.0 + comm.rank
        with pytest.raises(CaseError, match="measure on rank 1 is not that of rank 0"):
            sim.measure("max(u)" if comm.rank else "mean(u)")
        sim.run()
        assert calls == []
    with pytest.raises(CaseError, match=r"the ranks differ: time\.steps on rank 1"):
        Simulation(make_case(given, time={"steps": 20 + comm.rank}), comm)


def test_a_communicator_that_is_gone_is_told(lab: Any, comm: MPI.Intracomm) -> None:
    gone = comm.Dup()
    gone.Free()
    with pytest.raises(CaseError, match="Simulation: comm is a communicator, such as"):
        Simulation(make_case(lab.case("heat", 9)), gone)


def test_a_copy_is_refused(lab: Any) -> None:
    """It would free the fields of the other."""
    with Simulation(make_case(lab.case("heat", 9, time={"steps": 2}))) as sim:
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled; write a checkpoint"):
                duplicate(sim)
        sim.step()


HUNG = """
import time, parsolve.watchdog as dog
from parsolve import Simulation, make_case
dog.GRACE = 0.1
grid, run = {"x": {"cells": 9, "range": (0, 1)}}, {"watchdog": "1s"}
case = make_case(equation="heat", grid=grid, initial={"u": 1.0}, time={"steps": 2}, run=run)
with Simulation(case) as sim:
    sim.every(1, lambda sim: time.sleep(60))
    sim.run()
"""


def test_a_call_that_hangs_is_ended_by_the_watchdog() -> None:
    done = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=30, check=False)
    assert "nothing went forward for 1 s (run.watchdog), it is in" in done.stderr


def test_a_launcher_asks_for_a_communicator(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "2")
    with pytest.raises(SetupError, match=r"started 4 processes, and Simulation\(...\) was not told"):
        Simulation(case(lab, "steps"))
    with pytest.raises(CaseError, match="Simulation: expected a case"):
        Simulation("heat", MPI.COMM_SELF)  # type: ignore[arg-type]


def test_a_bar_shows_the_way(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tqdm, where it is installed; a stand-in here."""
    told: list[Any] = []

    class Bar:
        def __init__(self, total: float, unit: str) -> None:
            told.append((total, unit, []))

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, more: float) -> None:
            told[-1][-1].append(more)

    for kind, total in (("steps", 21), ("frames", 0.01)):
        monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
        with Simulation(case(lab, kind)) as sim:
            sim.run(progress=True)
        assert told[-1][0] == total
        assert sum(told[-1][2]) == pytest.approx(total)
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        with Simulation(case(lab, kind)) as sim:
            sim.run(progress=True)
    assert len(told) == 2


@pytest.mark.costly
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system does not tell what a process has")
def test_many_leave_nothing(lab: Any, comm: MPI.Intracomm) -> None:
    growth = runpy.run_path(str(Path(__file__).parent / "test_growth.py"))
    given = [case(lab, "steps"), case(lab, "adaptive"), make_case(lab.case("wave", 14, 12, time={"steps": 9}))]
    before: dict[str, int] = {}
    for n in range(60):
        if n == 30:
            before = growth["held"](comm)
        with Simulation(given[n % 3], comm) as sim:
            sim.step(2)
            sim.u = 0.5
            sim.step(2)
    after = growth["held"](comm)
    growth["check"]({key: after[key] - before[key] for key in before})


def test_it_measures_what_a_case_would(lab: Any, comm: MPI.Intracomm) -> None:
    with Simulation(case(lab, "frames"), comm) as sim:
        sim.step(3)
        u = sim.gather("u")
        expected = comm.bcast(None if u is None else [float(u.max()), float((u**2).mean())])
        assert [sim.measure("max(u)"), sim.measure("mean(u**2)")] == pytest.approx(expected, rel=1e-14)
        for text in ("u", "max(w)", 3):
            with pytest.raises(CaseError, match="measure"):
                sim.measure(text)  # type: ignore[arg-type]
        sim.step(2)
        assert sim.measure("max(u)") < expected[0]


def test_a_measure_is_of_the_values_and_parameters_of_now(lab: Any, comm: MPI.Intracomm) -> None:
    given = make_case(lab.case({"u": "D*laplace(u)"}, 16, parameters={"D": 0.5}, initial={"u": "x"}, time={"end": 1.0}))
    text = "D*max(u**2)"
    with Simulation(given, comm) as sim:
        before = sim.measure(text)
        sim.parameters["D"] = 1.0
        assert sim.measure(text) == 2 * before
        sim.u = 3.0
        assert sim.measure(text) == 9.0
        sim.step()
        assert sim.measure(text) == 9.0
        sim.u = 2.0
        sim.step()
        assert sim.measure(text) == 4.0
