"""Values of fields and walls that a file gives at several times."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.case import Case
from parsolve.errors import CaseError, ParsolveError
from parsolve.problem.plan import check
from parsolve.simulation import Simulation
from parsolve.store.source import look_at

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

TIMES = np.array([0.0, 0.25, 0.7, 1.0])
CELLS = 12
HEAT, FORCED = {"u": "0.1*laplace(u)"}, {"u": "0.1*laplace(u) + w"}


def write(path: Path) -> None:
    """A file of each kind, linear in time."""
    y, x = ((np.arange(CELLS) + 0.5) / CELLS)[:, None], (np.arange(CELLS) + 0.5) / CELLS
    with h5py.File(path / "wind.h5", "w") as file:
        file["time"] = TIMES
        file["w"] = np.multiply.outer(1 + TIMES, x + 0 * y)
        file["side"] = np.multiply.outer(1 + TIMES, y[:, 0])
        file["series/time"], file["series/rain"] = TIMES, 1 + TIMES
    (path / "rain.csv").write_text("".join(["time,value\n", *(f"{t!r},{1 + t!r}\n" for t in TIMES.tolist())]))
    np.save(path / "rain.npy", np.stack([TIMES, 1 + TIMES], axis=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files."""
    write(tmp_path)
    return tmp_path


@pytest.fixture
def shared(comm: MPI.Intracomm, tmp_path: Path) -> Path:
    """One of all ranks."""
    path: Path = comm.bcast(tmp_path)
    if comm.rank == 0:
        write(path)
    comm.Barrier()
    return path


def tables(lab: Any, equation: dict[str, str], wall: Any = 0.0, **more: Any) -> dict[str, Any]:
    """A plate with a wall that heats it."""
    sides = {"xmin": {"dirichlet": wall}, "ymax": {"neumann": 0.5}}
    time = more.pop("time", {"end": 1.0, "dt": 0.01})
    case: dict[str, Any] = lab.case(
        equation, CELLS, CELLS, periodic=False, boundary={"u": sides}, time=time, initial={"u": "x*y"}, **more
    )
    return case


def moving(folder: Path, name: str, dataset: str | None = None, word: Any = "linear") -> dict[str, Any]:
    given = {"file": str(folder / name), "time": word}
    return given | ({"dataset": dataset} if dataset else {})


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("name", "dataset", "text"),
    [("rain.csv", None, "1 + t"), ("rain.npy", None, "1 + t"), ("wind.h5", "series/rain", "1 + t"),
     ("wind.h5", "side", "(1 + t)*y")],
)  # fmt: skip
def test_a_wall_of_a_file_is_that_of_an_expression(
    lab: Any, comm: MPI.Intracomm, shared: Path, name: str, dataset: str | None, text: str
) -> None:
    """A series that is linear in time to rounding; the same bits in passes, step by step, and on one rank."""
    wall = moving(shared, name, dataset)
    found = lab.solve(tables(lab, HEAT, wall), comm).frames[-1]["u"]
    np.testing.assert_allclose(found, lab.solve(tables(lab, HEAT, text), comm).frames[-1]["u"], rtol=1e-12, atol=1e-13)
    for pipeline in ("off", {"steps": 2}):
        other = lab.solve(tables(lab, HEAT, wall, run={"pipeline": pipeline}), comm if pipeline == "off" else None)
        np.testing.assert_array_equal(other.frames[-1]["u"], found)


@pytest.mark.mpi
@pytest.mark.parametrize(("name", "dataset", "text"), [("wind.h5", "w", "(1 + t)*x"), ("rain.csv", None, "1 + t")])
def test_a_forcing_of_a_file_is_that_of_an_expression(
    lab: Any, comm: MPI.Intracomm, shared: Path, name: str, dataset: str | None, text: str
) -> None:
    """It is only added, so that it does not restrict the step; the sum grows as by its integral."""
    forced = {"fields": {"w": moving(shared, name, dataset)}}
    solution = lab.solve(tables(lab, FORCED, **forced), comm)
    expected = lab.solve(tables(lab, FORCED, fields={"w": text}), comm).frames[-1]["u"]
    np.testing.assert_allclose(solution.frames[-1]["u"], expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(lab.solve(tables(lab, FORCED, **forced)).frames[-1]["u"], solution.frames[-1]["u"])
    auto = {"time": {"end": 1.0}}
    steps = [lab.solve(tables(lab, e, **m, **auto), comm).dt for e, m in ((FORCED, forced), (HEAT, {}))]
    assert steps[0] == steps[1]
    alone = lab.case({"u": "laplace(u) + w"}, CELLS, CELLS, periodic=False, time={"end": 1.0}, **forced)
    first, last = (frame["u"].mean() for frame in (lambda s: (s.frames[0], s.frames[-1]))(lab.solve(alone, comm)))
    assert last - first == pytest.approx(1.5 * (0.5 if dataset else 1.0), rel=1e-12)


@pytest.mark.mpi
def test_the_previous_value_stays(lab: Any, comm: MPI.Intracomm, shared: Path) -> None:
    """Until the next one; steps of Euler that end there have the sum of the values."""
    given = {"fields": {"w": moving(shared, "rain.csv", word="previous")}, "time": {"end": 1.0, "dt": 0.05}}
    given["time"]["scheme"] = "euler"
    case = lab.case({"u": "w"}, CELLS, periodic=False, initial={"u": 0.0}, **given)
    expected = float(np.diff(TIMES) @ (1 + TIMES[:-1]))
    np.testing.assert_allclose(lab.solve(case, comm).frames[-1]["u"], expected, rtol=1e-12)


@pytest.mark.mpi
@pytest.mark.parametrize("where", ["wall", "field"])
def test_what_is_not_covered_is_refused(lab: Any, comm: MPI.Intracomm, shared: Path, where: str) -> None:
    """At the start where the end is known, else at a step; the same on all ranks, with both spans."""

    def case(**time: Any) -> dict[str, Any]:
        given = moving(shared, "rain.csv")
        found = tables(lab, HEAT, given) if where == "wall" else tables(lab, FORCED, fields={"w": given})
        return found | {"time": time}

    with pytest.raises(CaseError, match=r"rain.csv: has values from t = 0 to 1, not for t = 0 to 1\.5"):
        lab.pose(case(end=1.5))
    with pytest.raises(ParsolveError, match=r"rain.csv: has values from t = 0 to 1, not for t = 1\.\d+") as caught:
        lab.solve(case(steps=2000), comm)
    assert caught.value.ranks == comm.size
    assert len(set(comm.allgather(str(caught.value)))) == 1


@pytest.mark.parametrize("equation", [HEAT, {"u": "0.1*div((1 + u**2)*grad(u))"}], ids=["linear", "not linear"])
def test_a_file_to_the_last_step_is_enough(lab: Any, tmp_path: Path, equation: dict[str, str]) -> None:
    """Where the end depends on steps, and these on the solution."""
    end = 100.0
    for _ in range(2):
        (tmp_path / "wall.csv").write_text(f"time,value\n0,1\n{end!r},{1 + end!r}\n")
        end = lab.solve(tables(lab, equation, moving(tmp_path, "wall.csv"), time={"steps": 30})).result.time


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("rate", "name", "text", "order"),
    [("div(w*grad(u))", "rain.csv", "(1 + t)", 4), ("laplace(u) - w*dx(u)", "wind.h5", "(1 + t)*x", 2),
     ("w*laplace(u) - w*u**3", "wind.h5", "(1 + t)*x", 4)],
)  # fmt: skip
def test_a_coefficient_of_a_file_is_that_of_an_expression(
    lab: Any, comm: MPI.Intracomm, shared: Path, rate: str, name: str, text: str, order: int
) -> None:
    """In fluxes, beside derivatives and beside unknowns; with steps of their own, and the same bits on one rank."""
    given = {"w": moving(shared, name, "w" if name == "wind.h5" else None)}
    time: dict[str, Any] = {"time": {"end": 1.0, "dt": 5e-4}, "run": {"order": order}}
    found = lab.solve(tables(lab, {"u": rate}, fields=given, **time), comm).frames[-1]["u"]
    np.testing.assert_array_equal(lab.solve(tables(lab, {"u": rate}, fields=given, **time)).frames[-1]["u"], found)
    expected = lab.solve(tables(lab, {"u": rate.replace("w", text)}, **time), comm).frames[-1]["u"]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.mpi
def test_the_step_is_stable_for_all_frames_of_a_coefficient(lab: Any, comm: MPI.Intracomm, shared: Path) -> None:
    """It is that of the largest values within the march, whenever they come; a plan knows it too."""
    heat, later = {"u": "0.1*w*laplace(u)"}, {"time": {"end": 0.7}}
    given = {"fields": {"w": moving(shared, "rain.csv")}}
    found, least, most = (
        lab.solve(tables(lab, heat, **fields, **later), comm)
        for fields in (given, {"fields": {"w": 1.0}}, {"fields": {"w": 1.7}})
    )
    assert found.dt == most.dt < 0.7 * least.dt
    assert check(Case.from_dict(tables(lab, heat, **given, **later)), 1).dt == found.dt
    assert np.abs(found.frames[-1]["u"]).max() <= 1.01
    with pytest.raises(CaseError, match=r"time\.dt: short waves grow"):
        lab.solve(tables(lab, heat, **given, time={"end": 0.7, "dt": 0.98 * least.dt, "unstable": "refuse"}), comm)


def test_several_times_are_for_coefficients_and_walls(lab: Any, folder: Path) -> None:
    """An initial value is of one."""
    case = tables(lab, HEAT) | {"initial": {"u": moving(folder, "wind.h5", "w")}}
    with pytest.raises(CaseError, match=r"initial\.u: time = 'linear' is for \[fields\] and walls"):
        check(lab.pose(case).case, 1)


HOSTILE = {
    "no.csv": None, "empty.csv": "", "one.csv": "time,value\n0,1\n", "words.csv": "time,value\n0,a\n1,2\n",
    "short.csv": "time,value\n0\n1,2\n", "head.csv": "t,v\n0,1\n1,2\n", "two.csv": "time,a,b\n0,1,2\n1,2,3\n",
    "back.csv": "time,value\n0,1\n1,2\n0.5,3\n", "same.csv": "time,value\n0,1\n0,2\n", "nan.csv": "time,value\n0,nan\n1,2\n",
    "late.csv": "time,value\n0.5,1\n2,2\n", "a.txt": "time,value\n0,1\n1,2\n", "bytes.csv": b"time,\xff\n0,1\n1,2\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_series_that_is_wrong_is_refused(lab: Any, folder: Path, name: str) -> None:
    """With key and file."""
    content = HOSTILE[name]
    if content is not None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for case in (
        tables(lab, HEAT, moving(folder, name)),
        tables(lab, FORCED, fields={"w": moving(folder, name)}),
    ):
        with pytest.raises(CaseError, match=r"(boundary\.u\.xmin\.dirichlet|fields\.w): .*" + name):
            lab.pose(case)


@pytest.mark.parametrize("wrong", ["dataset", "shape", "time", "nan", "word", "array", "npy"])
def test_frames_that_are_wrong_are_refused(lab: Any, folder: Path, wrong: str) -> None:
    """With key and file, before the first step."""
    dataset, word = "w", "linear"
    with h5py.File(folder / "wind.h5", "a") as file:
        file["other"] = np.ones((4, CELLS, CELLS + 1))
        if wrong == "time":
            file["time"][2] = 0.1
        if wrong == "nan":
            file["w"][0, 3, 4] = np.nan
    dataset = {"dataset": "nothing", "shape": "other"}.get(wrong, "w")
    given: Any = moving(folder, "wind.h5", dataset, "cubic" if wrong == "word" else word)
    if wrong == "npy":
        np.save(folder / "bad.npy", np.ones((4, 3)))
        given = moving(folder, "bad.npy")
    if wrong == "array":
        given["array"] = 3
    with pytest.raises(CaseError, match=r"fields\.w.*") as caught:
        check(Case.from_dict(tables(lab, FORCED, fields={"w": given})), 1)
    assert wrong in ("word", "array") or str(folder) in str(caught.value)


def test_it_goes_on_from_a_checkpoint_with_the_same_bits(lab: Any, folder: Path) -> None:
    """Between two times of the files, of which no state is kept; with other files it does not."""
    wall, forcing = moving(folder, "wind.h5", "side"), moving(folder, "wind.h5", "w")
    case = Case.from_dict(tables(lab, {"u": "0.1*laplace(u) - u**2 + w"}, wall, fields={"w": forcing}))
    with Simulation(case) as whole:
        whole.step(33)
        saved = whole.checkpoint(folder / "kept")
        whole.run()
        expected = whole.u.copy()
    with Simulation.restart(saved) as other:
        other.run()
        np.testing.assert_array_equal(other.u, expected)
    with h5py.File(folder / "wind.h5", "a") as file:
        file["w"][3, 0, 0] = 9.0
    with pytest.raises(CaseError, match=r"wind\.h5: is not as it was"):
        Simulation.restart(saved)


def test_the_files_are_inputs(lab: Any, folder: Path) -> None:
    """So that they are hashed, and a run does not go on with others."""
    case = Case.from_dict(tables(lab, FORCED, moving(folder, "rain.csv"), fields={"w": moving(folder, "wind.h5", "w")}))
    assert {path.name for path in case.inputs} == {"rain.csv", "wind.h5"}
    look_at(case.files)
    again = Case.from_dict(tomllib.loads(case.to_toml()))
    assert again.fields == case.fields
    assert again.boundary == case.boundary


@pytest.mark.parametrize(("end", "coarse"), [(0.2, False), (1.0, True)])
def test_a_coefficient_that_jumps_beside_a_slope_later_is_closed_for_that(
    lab: Any, tmp_path: Path, end: float, coarse: bool
) -> None:
    """If that is within the march; no polynomial holds over a jump."""
    with h5py.File(tmp_path / "layers.h5", "w") as file:
        file["time"], file["k"] = [0.0, 0.3, 1.0], np.ones((3, CELLS))
        file["k"][2, 0] = 9.0
    given = {"fields": {"k": moving(tmp_path, "layers.h5", "k")}, "boundary": {"u": {"xmin": {"neumann": 1.0}}}}
    case = lab.case({"u": "div(k*grad(u))"}, CELLS, periodic=False, time={"end": end}, run={"order": 4}, **given)
    assert lab.pose(case).conditions["u"]["xmin"].coarse is coarse


@pytest.mark.parametrize("rate", ["0.1*w*laplace(u)", "0.1*w*laplace(u) - u**3"], ids=["linear", "not linear"])
def test_a_longer_march_takes_the_steps_of_what_comes_then(lab: Any, tmp_path: Path, rate: str) -> None:
    """Though it goes on from one that ended before."""
    (tmp_path / "w.csv").write_text("time,value\n0,1\n1,1\n1.2,60\n3,60\n")
    tables = lab.case(
        {"u": rate}, 24, fields={"w": moving(tmp_path, "w.csv")}, time={"end": 1.0},
        initial={"u": "sin(2*pi*x) + 1e-3*noise(seed=1)"},
    )  # fmt: skip
    longer = Case.from_dict(tables | {"time": {**tables["time"], "end": 2.0}})
    with Simulation(Case.from_dict(tables)) as first:
        first.run()
        saved = first.checkpoint(tmp_path / "kept")
    with Simulation.restart(saved, case=longer) as other, Simulation(longer) as straight:
        other.run()
        straight.run()
        assert other.dt == pytest.approx(straight.dt, rel=0.1)
        np.testing.assert_allclose(other.u, straight.u, atol=1e-6)


@pytest.mark.parametrize("rate", ["-w*u", "w - u"])
def test_what_changes_between_two_steps_is_followed(lab: Any, tmp_path: Path, rate: str) -> None:
    """A series that goes up and down, as an expression of t would be: integrated to a thousandth."""
    times = np.arange(61) * 0.05
    (tmp_path / "w.csv").write_text(
        "time,value\n" + "".join(f"{t!r},{n % 2 * 2}\n" for n, t in enumerate(times.tolist()))
    )
    case = lab.case({"u": rate}, 4, fields={"w": moving(tmp_path, "w.csv")}, time={"end": 3.0}, initial={"u": 1.0})
    assert lab.solve(case).frames[-1]["u"].mean() == pytest.approx(np.exp(-3) if rate == "-w*u" else 1.0, rel=2e-2)
