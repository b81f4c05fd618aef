"""`[initial] from`: a run begins with the fields of a result, as if each were named by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tomli_w

from parsolve import make_case
from parsolve.case import Case
from parsolve.errors import CaseError
from parsolve.problem.pose import pose
from parsolve.run import run
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from mpi4py import MPI

RATES = {"u": "laplace(u)", "v": "dx(u) - v"}
SHORT = {"steps": 4, "dt": 1e-5}


def start_of(case: Case, comm: MPI.Intracomm, out: Path) -> dict[str, Any]:
    """The initial values that a run records."""
    run(case, comm, out)
    with open_result(out) as result:
        return {name: result.read(name, 0) for name in result.fields}


@pytest.mark.mpi
def test_all_fields_come_from_a_result(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    """Of its last time, or of that asked for; one that is given by itself is that."""
    old = lab.case(RATES, 9, 8, time=SHORT, output={"every_steps": 2})
    run(Case.from_dict(old), comm, shared_tmp / "old.h5")
    with open_result(shared_tmp / "old.h5") as result:
        held = {(name, n): result.read(name, n) for name in "uv" for n in range(3)}
        middle = float(result.times[1])
    whole = {"file": str(shared_tmp / "old.h5")}
    for n, value, out in ((2, whole["file"], "a.h5"), (1, whole | {"time": middle}, "b.h5")):
        begun = start_of(Case.from_dict(old | {"initial": {"from": value}}), comm, shared_tmp / out)
        assert np.array_equal(begun["u"], held["u", n])
        assert np.array_equal(begun["v"], held["v", n])
    begun = start_of(Case.from_dict(old | {"initial": {"from": whole, "v": 2.0}}), comm, shared_tmp / "c.h5")
    assert np.array_equal(begun["u"], held["u", 2])
    assert (begun["v"] == 2.0).all()


def test_its_name_is_relative_to_the_case_file(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    old = lab.case(RATES, 9, 8, time=SHORT)
    run(Case.from_dict(old), solo, folder / "old.h5")
    (folder / "new.toml").write_text(tomli_w.dumps(old | {"initial": {"from": "old.h5"}}))
    monkeypatch.chdir(tmp_path)
    case = Case.load(folder / "new.toml")
    assert case.files[1:] == [folder / "old.h5"]
    assert Case.from_dict(case.to_dict()).initial == case.initial
    assert start_of(case, solo, tmp_path / "new.h5")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "give its name"),
        (np.ones((8, 9)), "give its name"),
        ({"file": "old.h5", "dataset": "u"}, "each by its name"),
        ({"file": "none.h5"}, "no such file"),
        ({"file": "old.h5", "time": 7.0}, "no frame at time = 7"),
        ({"file": "other.h5"}, "no data set 'v'"),
    ],
)
def test_what_is_no_result_with_these_fields_is_refused(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    old = lab.case(RATES, 9, 8, time=SHORT)
    run(Case.from_dict(old), solo, Path("old.h5"))
    run(Case.from_dict(lab.case({"u": "laplace(u)"}, 9, 8, time=SHORT)), solo, Path("other.h5"))
    with pytest.raises(CaseError, match=f"initial.from.*{text}"):
        run(make_case(old | {"initial": {"from": value}}), solo, Path("new.h5"))
    assert not Path("new.h5").exists()


def test_a_velocity_comes_from_it_too(lab: Any) -> None:
    """It is not taken for zero where the result lacks it."""
    wave = lab.case("wave", 9, 8, time={"steps": 2})
    problem = pose(Case.from_dict(wave | {"initial": {"from": "old.h5"}}))
    assert problem.case.initial_of("u_t")[0] == "initial.from"
