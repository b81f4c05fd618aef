"""Going on from a checkpoint: which one, of which case, and where the result then lies."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.case import Case
from parsolve.case.march import NUMERICS, changed, is_array, text_of
from parsolve.case.origin import Origin
from parsolve.case.tables import flat, override, parse
from parsolve.errors import CaseError, StorageError, agreed, on_root
from parsolve.problem.keeping import refuse_changed_inputs
from parsolve.store.checkpoint import MANIFEST, Checkpoint, find, manifests
from parsolve.store.files import is_result
from parsolve.store.places import find_folder, reopen
from parsolve.store.provenance import provenance
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.store.places import Places

JOB = ("run.processes", "run.threads", "run.pipeline", "run.walltime", "run.watchdog", "run.require_compiled")


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from, the result of its run, and what was wrong with newer ones."""

    since: Checkpoint
    result: Path
    warnings: list[str]

    def case(self, overrides: Sequence[str] = (), resample: bool = False) -> Case:
        """Return its case, with keys overridden; to ``resample`` also those of the numerics.

        Raises:
            CaseError: an override is wrong, or the case is not wholly in the checkpoint.
        """
        name = str(self.since.manifest)
        data = parse(name, self.since.case)
        for field, value in data.get("initial", {}).items():
            if resample and is_array(value):  # not needed: it begins with the values of the checkpoint
                data["initial"][field] = {"file": str(self.since.file.absolute()), "dataset": field}
        if self.since.has_arrays and any(map(is_array, flat(data).values())):
            raise CaseError(
                f"{self.since.manifest}: its case has arrays given from Python, which are not in it; go on from Python "
                "with solve(case, out, resume=True)"
            )
        keys = [override(data, text) for text in overrides]
        case = Case.from_dict(data, Origin(name, "", tuple(keys)))
        self.check(case, resample)
        return case

    def check(self, case: Case, resample: bool = False) -> None:
        """Refuse a case whose march is not that of the checkpoint.

        Raises:
            CaseError: a key differs.
        """
        key = changed(self.since.case, text_of(case), resample)
        if key is not None:
            way = "" if resample or key not in NUMERICS else "restart with --resample -o OTHER.h5, or "
            raise case.error(
                key, f"is not that of the run of '{self.since.manifest}', so it cannot go on; {way}begin another run "
                f"with the values of a result by [initial] from = '{self.result}'"
            )  # fmt: skip

    def reopen(self) -> Places:
        """Claim the places of its run, for another to go on there; for one rank.

        Raises:
            StorageError: another run writes there.
        """
        return reopen(self.result, self.since.manifest.parent)


def is_complete(comm: MPI.Intracomm, path: Path, case: Case) -> bool:
    """Whether there is a complete result of this very case and of the same input files; collective."""

    def said() -> dict[str, str]:
        if not is_result(path):
            return {}
        with open_result(path) as result:
            return dict(result.provenance)

    before = on_root(comm, said)
    if not before:
        return False
    now = provenance(case, comm)
    return before.get("inputs") == now["inputs"] and _march(before.get("case", "")) == _march(now["case"])


def _march(text: str) -> dict[str, object]:
    """The keys of a case but those of the job."""
    with suppress(CaseError):
        return {key: value for key, value in flat(parse("case", text)).items() if not key.startswith(JOB)}
    return {}


def checkpoint_of(comm: MPI.Intracomm, path: Path, given: Case | None = None) -> tuple[Checkpoint, Case]:
    """Return a checkpoint to go on from as it was, and its case; collective.

    Args:
        comm: the ranks that go on.
        path: a manifest, a folder of checkpoints of which the newest whole one is taken, or the name of a result.
        given: the case, where that of the checkpoint has arrays that are not in it.

    Raises:
        StorageError: there is no checkpoint that is whole.
        CaseError: the case is another, or an input file has changed.
    """
    found = look_for(comm, path, is_any=True)
    if found is None:
        since, doubts = find(comm, path)
        if since is None:
            raise StorageError(f"{path}: no checkpoint that is whole" + "".join(f"; {doubt}" for doubt in doubts))
        found = Found(since, path, doubts)
    if given is not None:
        with agreed(comm):
            found.check(given)
    # Initial values that were arrays are those of the checkpoint itself: none are needed.
    case = given or on_root(comm, lambda: found.case(resample=True))
    hashes = json.loads(provenance(case, comm)["inputs"])
    with agreed(comm):
        hashes.pop(str(found.since.file.resolve()), None)
        refuse_changed_inputs(found.since, {"inputs": json.dumps(hashes)})
    return found.since, case


def look_for(comm: MPI.Intracomm, path: Path, is_any: bool = False) -> Found | None:
    """Return the newest whole checkpoint of a run, by the name of its result or of its folder; collective.

    Or, if ``is_any`` may be taken, the one of which the manifest is named; None if there is none at all.

    Raises:
        StorageError: there are some, and all are damaged.
    """
    folder, result = on_root(comm, lambda: find_folder(path, manifests))
    if is_any and MANIFEST.fullmatch(path.name):
        folder, result = path, find_folder(path.absolute().parent, manifests)[1]
    if folder is None:
        return None
    since, doubts = find(comm, folder)
    if since is None:
        advice = f"`gather {result}` makes a result of its frames; with --force in place of --resume a run begins anew"
        raise StorageError(f"{path}: no checkpoint is whole: {'; '.join(doubts)}; {advice}")
    return Found(since, result, [f"{text}; an older checkpoint is taken" for text in doubts])
