"""Checkpoints cost the march no more than a copy of its state."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from parsolve.case import Case
from parsolve.cli.progress import ProgressLine
from parsolve.resume import look_for
from parsolve.run import run
from parsolve.store import slabs
from parsolve.store.checkpoint import manifests

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from mpi4py import MPI


def test_the_march_goes_on_while_a_checkpoint_is_written(
    lab: Any, solo: MPI.Intracomm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is as slow as twenty steps; the checkpoint is of the state in which it was begun."""
    case = lab.case("gray-scott", 14, 12, time={"steps": 60}, checkpoint={"every_steps": 20})
    plain = {key: value for key, value in case.items() if key != "checkpoint"}
    whole = run(Case.from_dict(plain), solo, tmp_path / "whole.h5").fields
    passed, seen = threading.Event(), []
    write = slabs.write_at

    def slow(*arguments: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            seen.append(passed.wait(20))
        write(*arguments)

    class Steps(ProgressLine):
        def update(self, step: int, time: float, dt: float) -> None:
            if step >= 30 and not passed.is_set():
                assert not seen
                passed.set()

    monkeypatch.setattr(slabs, "write_at", slow)
    done = run(Case.from_dict(case), solo, tmp_path / "a.h5", progress=Steps(None))
    assert all(seen)
    assert seen
    assert done.fields == whole
    for manifest in manifests(tmp_path / "a.h5.frames"):
        found = look_for(solo, manifest, is_any=True)
        assert found is not None
        out = tmp_path / f"{found.since.step}.h5"
        assert run(found.case(), solo, out, since=found.since).fields == whole
