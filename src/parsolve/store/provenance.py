"""Where a result comes from: everything needed to tell, and to repeat, how it was made."""

from __future__ import annotations

import json
import math
import platform
import sys
import uuid
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import h5py

from parsolve.errors import on_root
from parsolve.kernels.library import describe
from parsolve.store.files import is_file
from parsolve.store.hashes import block_hashes, text_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mpi4py import MPI

    from parsolve.case import Case

SPENT = "marching"
PACKAGES = ("parsolve", "numpy", "scipy", "h5py", "mpi4py", "sympy")


def provenance(case: Case, comm: MPI.Intracomm, run: str | None = None) -> dict[str, str]:
    """Texts by name: resolved case, its files, command line, versions, ranks, hosts, compiled library; collective.

    Args:
        case: what is solved.
        comm: its ranks.
        run: the name of the run that goes on; by default a new one that no other has.

    Raises:
        StorageError: a file cannot be read.
    """
    from mpi4py import MPI

    hosts = sorted(set(comm.allgather(MPI.Get_processor_name())))
    texts = {
        "title": case.title,
        "case": case.to_toml(),
        "inputs": json.dumps({str(path.resolve()): digest for path, digest in _hashes(comm, case.inputs)}),
        "run": run or on_root(comm, lambda: uuid.uuid4().hex),
        "command": " ".join(sys.argv),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ranks": str(comm.size),
        "hosts": json.dumps(hosts),
        **_of_process(),
    }
    return {name: storable(text) for name, text in texts.items()}


def spent_text(spent: tuple[float, int]) -> dict[str, str]:
    """The text by its name of seconds of marching, and the steps that took them; none of none."""
    return {SPENT: json.dumps({"seconds": round(spent[0], 6), "steps": spent[1]})} if spent[1] else {}


def spent_of(texts: Mapping[str, str]) -> tuple[float, int] | None:
    """The seconds of marching, and the steps that took them, as texts say them; None if they do not."""
    try:
        said = json.loads(texts[SPENT])
        seconds, steps = float(said["seconds"]), int(said["steps"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    return (seconds, steps) if 0 < seconds < math.inf and steps > 0 else None


@cache
def _of_process() -> dict[str, str]:
    """What does not change as long as the process lives: versions of packages and libraries."""
    from mpi4py import MPI

    versions = {name: _version(name) for name in PACKAGES}
    return {
        "parsolve": versions["parsolve"],
        "versions": json.dumps(versions | {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}),
        "mpi": " ".join(MPI.Get_library_version().replace("\0", "").split())[:200],
        "kernels": json.dumps(describe()),
    }


def _hashes(comm: MPI.Intracomm, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each file that is there with a hash of all of it; collective."""
    for path in paths:
        size = on_root(comm, lambda path=path: path.stat().st_size if is_file(path) else None)  # type: ignore[misc]
        if size is not None:
            yield path, text_hash("".join(block_hashes(comm, path, {"": (0, size)}, "")[""]))


def storable(text: str) -> str:
    """The text as HDF5 can hold it: zero bytes, and what is no Unicode (as in names of files), as escapes."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _version(name: str) -> str:
    loaded = getattr(sys.modules.get(name), "__version__", "")  # a look into a file less
    try:
        return loaded or version(name)
    except PackageNotFoundError:
        return "not installed"
