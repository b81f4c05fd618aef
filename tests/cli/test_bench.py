"""`bench`: figures that fit together, scaling tables, and peers that compute the same field."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsolve import peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Shell

SMALL = ("--size", "16", "--seconds", "0.02")


def test_figures_fit_together(call: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = call("bench", "gray-scott3d", *SMALL, "--precision", "float32", "--threads", "2", "--json")
    m = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (m["cells"], m["precision"], m["ranks"], m["threads"]) == ({"x": 16, "y": 16, "z": 16}, "float32", 1, 2)
    assert m["updates_per_s"] == pytest.approx(m["steps"] * 16**3 / m["seconds"])
    assert m["roofline"] == pytest.approx(m["copy_bandwidth"] / (4 * 4))  # two fields in and out
    assert m["ratio_to_roofline"] == pytest.approx(m["updates_per_s"] / m["roofline"])
    assert m["ratio_to_off"] > 0
    assert m["peers"] == []


def test_an_unknown_benchmark_is_told(call: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = call("bench", "heat3")
    assert code == 2
    assert "unknown benchmark 'heat3'" in err
    assert "heat3d" in err


def test_scaling_writes_a_table_and_a_figure(shell: Shell, tmp_path: Path) -> None:
    done = shell("-m", "parsolve", "bench", "heat3d", *SMALL, "--scaling", "-o", "mine", ranks=2)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "mine.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["kind"], r["ranks"], r["cells"]) for r in rows] == [
        ("strong", "1", "16 x 16 x 16"),
        ("strong", "2", "16 x 16 x 16"),
        ("weak", "1", "16 x 16 x 16"),
        ("weak", "2", "16 x 16 x 32"),
    ]
    assert rows[0]["speedup"] == rows[0]["efficiency"] == "1.0"
    assert float(rows[3]["efficiency"]) == pytest.approx(float(rows[3]["speedup"]) / 2)
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_scaling_to_where_nothing_can_be_written(call: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = call("bench", "heat3d", *SMALL, "--scaling", "-o", "no/such/folder/mine")
    assert code == 5
    assert "cannot be written" in err


def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """A peer that is this text."""
    script = tmp_path / "peer.py"
    script.write_text("import json, sys\nimport numpy as np\n" + text)
    monkeypatch.setattr(peers, "PEERS", ("mine",))
    monkeypatch.setattr(peers, "_script", lambda: script)


def test_a_peer_of_another_field_is_no_peer(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = """
p = np.load(sys.argv[2])
np.save(sys.argv[3], p["u"] + 0.5)
print(json.dumps({"version": "1", "updates_per_s": 1.0}))
"""
    fake(monkeypatch, tmp_path, text)
    code, out, _ = call("bench", "heat3d", *SMALL, "--peers")
    assert code == 0
    assert "computes another field" in out


def test_a_peer_that_is_not_installed(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, tmp_path, "sys.exit(3)")
    code, out, _ = call("bench", "heat3d", *SMALL, "--peers")
    assert code == 0
    assert "not installed: pip install 'parsolve[bench]'" in out


@pytest.mark.parametrize("name", ["heat3d", "wave3d", "gray-scott", "gray-scott3d"])
def test_numpy_computes_our_field(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of a size at which the initial values are nearly constant at the ends, as the peers take them."""
    monkeypatch.setattr(peers, "PEERS", ("numpy",))
    monkeypatch.setattr(peers, "_script", lambda: Path(__file__).parents[2] / "benchmarks" / "peers" / "peer.py")
    code, out, err = call("bench", name, "--size", "48", "--seconds", "0.02", "--peers", "--json")
    assert code == 0, err
    (peer,) = json.loads(out.splitlines()[-1])["peers"]
    assert peer["problem"] == ""
    assert peer["difference"] < 1e-9
    assert peer["updates_per_s"] > 0
