"""The peers of benchmarks/ march the problem of the benchmark: their field is ours, or they are no peers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.bench.checkout import load_peers

if TYPE_CHECKING:
    from mpi4py import MPI

OPTIONS: dict[str, Any] = {"precision": "float64", "seconds": 0.02, "threads": 1, "names": ("numpy",)}


@pytest.fixture
def peers(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module benchmarks/peers.py of this checkout, as if all peers were installed."""
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    return load_peers(comm)


@pytest.mark.parametrize("name", ["heat3d", "wave3d", "gray-scott", "gray-scott3d"])
def test_numpy_computes_our_field(peers: Any, comm: MPI.Intracomm, name: str) -> None:
    """Of a size at which the initial values are nearly constant at the ends, as the peers take them."""
    (peer,) = peers.run_peers(name, comm, size=48, **OPTIONS)
    assert peer.problem == ""
    assert peer.difference < 1e-9
    assert peer.updates_per_s > 0


WRONG = {
    "computes another field": """
p = np.load(sys.argv[2])
np.save(sys.argv[3], p["u"] + 0.5)
print(json.dumps({"version": "1", "updates_per_s": 1.0}))
""",
    "out of order": "sys.exit('out of order')",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_no_peer(peers: Any, comm: MPI.Intracomm, shared_tmp: Path, words: str) -> None:
    peers.SCRIPT = shared_tmp / "peer.py"
    if comm.rank == 0:
        peers.SCRIPT.write_text("import json, sys\nimport numpy as np\n" + WRONG[words])
    (peer,) = peers.run_peers("heat3d", comm, size=16, **OPTIONS)
    assert words in peer.problem


def test_a_peer_that_is_not_installed(peers: Any, comm: MPI.Intracomm) -> None:
    peers.find_spec = lambda name: None
    assert peers.missing() == ["devito", "numba", "numpy"]
    (peer,) = peers.run_peers("heat3d", comm, size=16, **OPTIONS)
    assert peer.problem == "not installed: pip install 'parsolve[bench]'"
