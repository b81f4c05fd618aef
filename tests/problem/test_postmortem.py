"""Of a march whose numbers went wrong the last state, what is around the first bad cell, and its steps are kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.case import Case
from parsolve.errors import NumericalError
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.checkpoint import manifests
from parsolve.store.places import FAILED
from parsolve.store.result import open_result
from parsolve.store.status import read_status
from parsolve.store.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


def blowing_up(lab: Any, **more: Any) -> Case:
    """A case that is infinite at one cell, 9 in x and 2 in y, from t = 0.05 on."""
    case = lab.case(
        {"u": "u**2*k", "v": "laplace(v)"}, 12, 10, time={"steps": 40, "dt": 4e-3, "unstable": "allow"},
        fields={"k": "where(abs(x - 9.5/12) < 0.02, 1, 0)*where(abs(y - 0.25) < 0.02, 1, 0)"},
        output={"every_steps": 4}, checkpoint={"every_steps": 8}, initial={"u": 20.0, "v": "x + y"},
    )  # fmt: skip
    return Case.from_dict(case | more)


@pytest.mark.mpi
def test_what_failed_is_kept_with_its_surroundings(lab: Any, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    with pytest.raises(NumericalError, match=r"u is .* at cell x = 9, y = 2.*failed\.h5"):
        run(blowing_up(lab), comm, shared_tmp / "a.h5")
    folder = shared_tmp / "a.h5.frames"
    story = json.loads((folder / FAILED[1]).read_text())
    around = story["around"]
    assert around["field"] == "u"
    assert around["cell"] == {"x": 9, "y": 2}
    assert around["first cell of the values"] == {"x": 6, "y": 0}
    near = np.array(around["values"]["u"], float)
    assert near.shape == (6, 6)
    assert np.argwhere(~np.isfinite(near)).tolist() == [[2, 3]]
    assert story["changes of dt (step, time, dt)"][0][2] == 4e-3
    with open_result(folder / FAILED[0]) as result:
        assert result.steps.tolist() == [story["step"]]
        assert np.argwhere(~np.isfinite(result.read("u", 0))).tolist() == [[2, 9]]
        assert np.array_equal(result.read("v", 0)[0:6, 6:12], around["values"]["v"])
    assert verify(comm, [folder / FAILED[0]]).whole
    assert read_status(shared_tmp / "a.h5").state == "failed"


def test_the_checkpoints_before_stay_and_can_be_gone_on_from(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    case = blowing_up(lab)
    with pytest.raises(NumericalError):
        run(case, solo, tmp_path / "a.h5")
    folder = tmp_path / "a.h5.frames"
    kept = manifests(folder)
    found = look_for(solo, tmp_path / "a.h5")
    assert found is not None
    shorter = found.case([f"time.steps={found.since.step + 1}"])
    run(shorter, solo, found.result, since=found.since, reopen=found.reopen)
    assert set(kept) <= {*manifests(folder), *kept}
    assert not any((folder / name).exists() for name in FAILED)
    assert read_status(tmp_path / "a.h5").state == "done"


def test_a_run_that_ends_well_leaves_none(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    with pytest.raises(NumericalError):
        run(blowing_up(lab), solo, tmp_path / "a.h5")
    run(blowing_up(lab, evolve={"u": "k", "v": "0"}), solo, tmp_path / "a.h5", force=True)
    assert not list(tmp_path.rglob("failed*"))
