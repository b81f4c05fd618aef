"""How long a run has marched stays known: in its result, over restarts, and where only frames are left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from parsolve.case import Case
from parsolve.errors import NumericalError
from parsolve.problem import observing
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store.checkpoint import manifests, read_manifest
from parsolve.store.compare import compare
from parsolve.store.gather import gather
from parsolve.store.provenance import spent_of, spent_text
from parsolve.store.result import open_result
from parsolve.view.report import page_of

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI


def spent(path: Path) -> tuple[float, int]:
    with open_result(path) as result:
        found = spent_of(result.provenance)
    assert found is not None
    return found


@pytest.mark.parametrize("keep_frames", [False, True])
def test_a_result_has_the_seconds_and_steps_of_all_its_parts(
    lab: Any, comm: MPI.Intracomm, shared_tmp: Path, keep_frames: bool
) -> None:
    """And is the same as another that took longer."""
    output = {"every_steps": 6, "keep_frames": keep_frames}
    tables = lab.case("heat", 24, 20, time={"steps": 12}, output=output, checkpoint={"every_steps": 5})
    path = shared_tmp / "a.h5"
    first = run(Case.from_dict(tables), comm, path)
    seconds, steps = spent(path)
    assert steps == 12
    if comm.rank == 0:
        assert seconds == pytest.approx(first.seconds, abs=1e-6)
        last = read_manifest(manifests(path.with_name("a.h5.frames"))[1])
        assert last.spent[1] == 10
        assert 0 < last.spent[0] <= first.seconds
    for more, known in ((18, 12), (24, 18)):
        found = look_for(comm, path)
        assert found is not None
        case = Case.from_dict(tables | {"time": {"steps": more}})
        part = run(case, comm, path, since=found.since, reopen=found.reopen)
        assert spent(path)[1] == more
        if comm.rank == 0:
            assert found.since.spent[1] == known
            assert spent(path)[0] == pytest.approx(found.since.spent[0] + part.seconds, abs=2e-6)
    run(case, comm, shared_tmp / "b.h5")
    assert spent(shared_tmp / "b.h5") != spent(path)
    assert compare(shared_tmp / "b.h5", path).equal


def test_what_is_gathered_of_a_run_that_failed_has_those_that_it_said(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = observing.Observer._add

    def failing(self: Any, clock: Any, state: Any, due: Any) -> None:
        add(self, clock, state, due)
        if clock.step >= 9:
            raise NumericalError("it ends here")

    monkeypatch.setattr(observing.Observer, "_add", failing)
    measure = {"top": "max(u)", "every_steps": 3}
    tables = lab.case("heat", 24, 20, time={"steps": 12}, output={"every_steps": 3}, measure=measure)
    with pytest.raises(NumericalError):
        run(Case.from_dict(tables), solo, tmp_path / "a.h5")
    pytest.importorskip("matplotlib")
    with open_result(tmp_path / "a.h5.frames") as result:
        assert "s of marching for 9 steps" in page_of(result)
    gather(solo, tmp_path / "a.h5")
    assert spent(tmp_path / "a.h5")[1] == 9
    with open_result(tmp_path / "a.h5") as result:
        assert "s of marching for 9 steps" in page_of(result)


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "{}", '{"seconds": 1}', '{"seconds": "a", "steps": 1}', '{"seconds": 0, "steps": 1}',
             '{"seconds": 1e999, "steps": 1}', '{"seconds": NaN, "steps": 1}', '{"seconds": 1, "steps": 1e999}',
             '{"seconds": 1, "steps": -1}', "[" * 100000]
)  # fmt: skip
def test_what_is_not_said_is_not_known(text: str) -> None:
    assert spent_of({"marching": text}) is None
    assert spent_of({}) is None
    assert spent_of(spent_text((1.5, 3))) == (1.5, 3)
    assert spent_text((0.0, 0)) == {}
