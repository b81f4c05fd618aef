"""Where a result comes from: everything needed to tell, and to repeat, how it was made."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import h5py

from parsolve.kernels.library import describe

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.case import Case

PACKAGES = ("parsolve", "numpy", "scipy", "h5py", "mpi4py", "sympy")


def provenance(case: Case, comm: MPI.Intracomm) -> dict[str, str]:
    """Texts by name: resolved case, command line, versions, ranks, hosts, compiled library; collective."""
    from mpi4py import MPI

    hosts = sorted(set(comm.allgather(MPI.Get_processor_name())))
    versions = {name: _version(name) for name in PACKAGES}
    versions |= {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    texts = {
        "title": case.title,
        "parsolve": versions["parsolve"],
        "case": case.to_toml(),
        "command": " ".join(sys.argv),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": json.dumps(versions),
        "mpi": " ".join(MPI.Get_library_version().replace("\0", "").split())[:200],
        "ranks": str(comm.size),
        "hosts": json.dumps(hosts),
        "kernels": json.dumps(describe()),
    }
    return {name: _storable(text) for name, text in texts.items()}


def _storable(text: str) -> str:
    """The text as HDF5 can hold it: zero bytes, and what is no Unicode (as in names of files), as escapes."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _version(name: str) -> str:
    loaded = getattr(sys.modules.get(name), "__version__", "")  # a look into a file less
    try:
        return loaded or version(name)
    except PackageNotFoundError:
        return "not installed"
