"""What stands beside the sources and is not installed: the peers of a benchmark."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.errors import SetupError, agreed, on_root

if TYPE_CHECKING:
    from mpi4py import MPI


def load_peers(comm: MPI.Intracomm) -> Any:
    """Return the module benchmarks/peers.py of a checkout: that of these sources, or the current folder; collective.

    Raises:
        SetupError: there is none, or but one of the peers is installed.
    """
    path = on_root(comm, lambda: find_peers(Path(__file__).parents[3], Path.cwd()))
    with agreed(comm):
        peers = _load("parsolve_peers", path)
        missing = peers.missing() if comm.rank == 0 else []
        if len(missing) >= len(peers.PEERS) - 1:
            raise SetupError(f"bench --peers: {' and '.join(missing)} are {peers.INSTALL}")
    for name in missing:
        print(f"parsolve: warning: {name} is {peers.INSTALL}", file=sys.stderr, flush=True)
    return peers


def find_peers(*roots: Path) -> Path:
    """Return the benchmarks/peers.py of the first folder that has it.

    Raises:
        SetupError: none has.
    """
    for root in roots:
        if (root / "benchmarks" / "peers.py").is_file():
            return root / "benchmarks" / "peers.py"
    raise SetupError(
        f"bench --peers runs scripts of parsolve's sources, and there is no benchmarks/peers.py in "
        f"{' or '.join(map(str, dict.fromkeys(roots)))}; run it in the folder of a checkout"
    )


def _load(name: str, path: Path) -> Any:
    """Return the module of a file; what it defines can be pickled."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise SetupError(f"{path} is not of this version of parsolve: {error}") from None
    return module
