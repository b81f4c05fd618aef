"""Single checkpoints of a march, written when the user asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import StorageError, on_root
from parsolve.march.march import check_finite
from parsolve.problem.keeping import checkpoints_of
from parsolve.store.checkpoint import manifests, number_of, read_manifest
from parsolve.store.files import naming
from parsolve.store.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.domain.grid import Triple
    from parsolve.march.schedule import Clock
    from parsolve.problem.prepare import Prepared
    from parsolve.problem.problem import Problem
    from parsolve.store.checkpoint import Checkpoint

ALL = 10**9  # are kept


def save(march: Prepared, clock: Clock, folder: Path, run: str | None, force: bool) -> tuple[Path, str]:
    """Write a checkpoint into a folder, which is made; return its manifest, and the name of the run; collective.

    Args:
        march: what is kept.
        clock: where it is.
        folder: may have earlier ones of the same run.
        run: its name, if it has one.
        force: replace checkpoints of other runs or later steps.

    Raises:
        StorageError, ResourceError: the disk failed or is full, or there are such without ``force``; the same on all
            ranks.
        NumericalError: a value is not finite.
    """
    comm = march.comm
    check_finite(march.state, clock, march.control.dt, march.walls.error)
    known = provenance(march.problem.case, comm, run)
    others = on_root(comm, lambda: _make_folder(folder, known["run"], clock.step, force))
    files, sub = checkpoints_of(march, folder, known, ALL), next(iter(march.state.values())).subdomain
    files.begin(clock.time, clock.step, sub, march.arrays, number_of(march.numbers()), [], True, march.history.spent)
    manifest = folder / f"checkpoint-{clock.step:09d}.json"
    on_root(comm, lambda: _remove(others, manifest))
    return manifest, known["run"]


def kept_values(since: Checkpoint, problem: Problem, name: str, first: Triple, shape: Triple) -> NDArray[Any]:
    """The values of a checkpoint; zeros of what is not in it, as velocities that y_-1 stands for."""
    if name not in since.regions:
        return np.zeros(shape)
    box = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
    with naming(since.file, "read it"):
        return since.array(name, problem.dtype, problem.grid.cells)[box]


def _make_folder(folder: Path, run: str, step: int, force: bool) -> list[Path]:
    """Make a folder for checkpoints of a run; return the manifests there that would be gone on from in its place.

    Raises:
        StorageError: it cannot be made; without ``force`` there are such.
    """
    with naming(folder, "make this folder"):
        folder.mkdir(exist_ok=True)
    others = []
    for manifest in manifests(folder):
        try:
            there = read_manifest(manifest)
            why = "of another run" if there.run != run else f"of a later step than {step}" if there.step > step else ""
        except StorageError:
            why = "damaged"
        if why and not force:
            raise StorageError(f"{manifest}: is {why}; force=True replaces it, or give another folder")
        others += [manifest] * bool(why)
    return others


def _remove(others: Sequence[Path], but: Path) -> None:
    """Remove checkpoints, manifests first, but for one."""
    for manifest in others:
        if manifest != but:
            with naming(manifest, "remove it"):
                manifest.unlink(missing_ok=True)
                manifest.with_suffix(".h5").unlink(missing_ok=True)
