"""A march that goes on from a checkpoint with its values alone: on other cells, in another precision, by another scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve import make_case
from parsolve.__main__ import main
from parsolve.case import Case
from parsolve.errors import CaseError, NumericalError
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

RATES = {"u": "0.1*laplace(u) + sin(9*t)*u - u**3", "v": "20*(u - v)"}
TIME = {"end": 0.2, "dt": 2e-3}
KEPT = {"every_steps": 50}


def begun(lab: Any, comm: MPI.Intracomm, folder: Path) -> dict[str, Any]:
    """The tables of a case that has run to the middle of its time, into `half.h5`."""
    case = lab.case(RATES, 12, 10, periodic="y", time=TIME, checkpoint=KEPT)
    case["initial"] = {"u": "0.5 + 0.3*cos(pi*x)*sin(2*pi*y)", "v": "x"}
    run(Case.from_dict(case | {"time": case["time"] | {"end": 0.1}}), comm, folder / "half.h5")
    return case


def resampled(comm: MPI.Intracomm, folder: Path, *overrides: str) -> tuple[list[float], dict[str, np.ndarray]]:
    """Times of the frames, and values of the first and last, of a run that goes on from there."""
    found = look_for(comm, folder / "half.h5")
    assert found is not None
    case = found.case(["time.end=0.2", *overrides], resample=True)
    out = folder / "on.h5"
    run(case, comm, out, force=True, since=found.since, resample=True)
    with open_result(out) as result:
        values = {f"{name} {n}": result.read(name, n) for name in result.fields for n in (0, -1)}
        return result.times.tolist(), values


@pytest.mark.mpi
def test_of_equal_steps_the_values_are_all_that_a_march_is(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    """So with the same numerics these are the bits of one that never stopped."""
    case = begun(lab, comm, shared_tmp)
    run(Case.from_dict(case), comm, shared_tmp / "whole.h5")
    times, values = resampled(comm, shared_tmp)
    assert times == [0.1, 0.2]
    with open_result(shared_tmp / "whole.h5") as whole:
        for name in whole.fields:
            assert np.array_equal(values[f"{name} -1"], whole.read(name, -1))


@pytest.mark.mpi
@pytest.mark.parametrize("change", ["grid.x.cells=24", "grid.y.cells=5", "grid.x.cells=17"])
def test_it_begins_with_the_same_bits_on_any_ranks(
    lab: Any, comm: MPI.Intracomm, solo: MPI.Intracomm, shared_tmp: Path, change: str
) -> None:
    begun(lab, comm, shared_tmp)
    _, together = resampled(comm, shared_tmp, change)
    if comm.rank == 0:
        _, alone = resampled(solo, shared_tmp, change)
        assert all(np.array_equal(together[name], alone[name]) for name in alone)
    comm.Barrier()


def test_on_finer_cells_it_goes_on_to_nearly_the_same(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    case = begun(lab, solo, tmp_path)
    fine = case | {"grid": {name: axis | {"cells": 2 * axis["cells"]} for name, axis in case["grid"].items()}}
    run(Case.from_dict(fine), solo, tmp_path / "fine.h5")
    with open_result(tmp_path / "half.h5") as half, open_result(tmp_path / "fine.h5") as whole:
        first, last = half.read("u", -1), whole.read("u", -1)
    _, values = resampled(solo, tmp_path, "grid.x.cells=24", "grid.y.cells=20")
    assert values["u 0"].mean() == pytest.approx(first.mean(), rel=1e-14)
    assert np.abs(values["u -1"] - last).max() < 0.03 * np.abs(last).max()


@pytest.mark.parametrize("scheme", ["euler", "bs23", "dp45"])
def test_other_schemes_and_adaptive_steps_begin_there(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, scheme: str
) -> None:
    """At its time, not at 0: the rates here change with it."""
    run(Case.from_dict(begun(lab, solo, tmp_path)), solo, tmp_path / "whole.h5")
    step = "time.dt=2e-4" if scheme == "euler" else "time.tolerance=1e-7"
    times, values = resampled(solo, tmp_path, f"time.scheme={scheme}", step)
    assert times == [0.1, 0.2]
    with open_result(tmp_path / "whole.h5") as whole:
        for name in whole.fields:
            assert np.allclose(values[f"{name} -1"], whole.read(name, -1), rtol=2e-3, atol=2e-3)


def test_in_another_precision_it_begins_with_the_rounded_values(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    begun(lab, solo, tmp_path)
    with open_result(tmp_path / "half.h5") as half:
        first = half.read("u", -1)
    _, values = resampled(solo, tmp_path, "run.precision=float32")
    assert np.array_equal(values["u 0"], first.astype(np.float32))


def test_a_step_that_follows_the_solution_is_found_there(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    case = lab.case({"u": "dxx(u**3) + u"}, 16, time={"end": 0.1}, checkpoint=KEPT)
    run(Case.from_dict(case), solo, tmp_path / "half.h5")
    run(Case.from_dict(case | {"time": {"end": 0.2}}), solo, tmp_path / "whole.h5")
    _, values = resampled(solo, tmp_path)
    with open_result(tmp_path / "whole.h5") as whole:
        assert np.allclose(values["u -1"], whole.read("u", -1), rtol=1e-6)
    resampled(solo, tmp_path, "grid.x.cells=48")  # with a shorter one


@pytest.mark.parametrize(
    ("change", "text"),
    [("grid.x.range=[0,2]", "grid.x.range"), ("parameters.k=2", "parameters.k"), ("initial.u=0", "initial.u")],
)
def test_another_problem_is_refused(lab: Any, solo: MPI.Intracomm, tmp_path: Path, change: str, text: str) -> None:
    begun(lab, solo, tmp_path)
    found = look_for(solo, tmp_path / "half.h5")
    assert found is not None
    with pytest.raises(CaseError, match=text):
        found.case([change], resample=True)
    with pytest.raises(CaseError, match=r"grid\.x\.cells.*--resample"):
        found.case(["grid.x.cells=24"])


def test_two_states_cannot_be_had_from_one(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    case = lab.case("wave", 16, time={"end": 0.1, "scheme": "leapfrog"}, checkpoint={"every_steps": 2})
    run(Case.from_dict(case), solo, tmp_path / "half.h5")
    for change, text in (("grid.x.cells=32", "velocity"), ("time.scheme=rk4", "u_t")):
        with pytest.raises(CaseError, match=text):
            resampled(solo, tmp_path, change)


def test_the_command_needs_a_place_of_its_own(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begun(lab, solo, tmp_path)
    words = ["restart", str(tmp_path / "half.h5"), "--resample", "--set", "grid.x.cells=24", "--set", "time.end=0.12"]
    assert main(words) == 2
    assert "-o OTHER.h5" in capfd.readouterr().err
    assert main([*words, "-o", str(tmp_path / "on.h5"), "-q"]) == 0
    with open_result(tmp_path / "on.h5") as result:
        assert result.grid.shape == (10, 24)
        assert result.times.tolist() == [0.1, 0.12]


def test_initial_arrays_from_python_are_not_needed_but_others_are(solo: MPI.Intracomm, tmp_path: Path) -> None:
    base = {"grid": {"x": {"cells": 8, "range": [0.0, 1.0]}}, "evolve": {"u": "k*dxx(u)"}, "time": TIME,
            "checkpoint": KEPT}  # fmt: skip
    ones, once = np.arange(8.0), {"parameters": {"k": 1.0}}
    run(make_case(base, initial={"u": ones}, **once), solo, tmp_path / "half.h5")
    _, values = resampled(solo, tmp_path, "time.end=0.4", "grid.x.cells=16")
    assert values["u 0"].mean() == pytest.approx(3.5)
    run(make_case(base, initial={"u": ones}, fields={"k": ones / 9}), solo, tmp_path / "half.h5", True)
    with pytest.raises(CaseError, match="arrays given from Python"):
        resampled(solo, tmp_path, "grid.x.cells=16")


def test_values_that_the_precision_does_not_hold_are_told(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    case = lab.case({"u": "-u"}, 4, time=TIME, checkpoint=KEPT) | {"initial": {"u": "1e300*x"}}
    run(Case.from_dict(case), solo, tmp_path / "half.h5")
    with pytest.raises(NumericalError, match=r"check \[initial\] and run\.precision"):
        resampled(solo, tmp_path, "run.precision=float32", "time.end=0.4")
