"""`bench`: figures that fit together, scaling tables, and what it says of peers that are not there."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsolve.bench import checkout

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


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "0"), ("--size", "-1"), ("--threads", "0"), ("--threads", "x"), ("--seconds", "nan"),
        ("--seconds", "inf"), ("--seconds", "-1"), ("--seconds", "x"), ("--peers", "--scaling"),
    ],
)  # fmt: skip
def test_wrong_options_are_told(call: Callable[..., tuple[int, str, str]], options: tuple[str, ...]) -> None:
    code, _, err = call("bench", "heat3d", *options)
    assert code == 2
    assert err.count("parsolve: error: argument --") == 1


@pytest.mark.parametrize("options", [(), ("--scaling",)])
def test_an_unknown_benchmark_is_told(call: Callable[..., tuple[int, str, str]], options: tuple[str, ...]) -> None:
    code, _, err = call("bench", "heat3", *options)
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


def test_what_some_ranks_cannot_measure_all_say_once(shell: Shell) -> None:
    done = shell("-m", "parsolve", "bench", "heat3d", "--size", "1", "--seconds", "0.02", "--scaling", ranks=3)
    assert done.returncode == 3
    assert done.stderr.count("parsolve: error: 2 ranks for 1 x 1 x 1 cells") == 1
    assert "alone" not in done.stderr


def test_scaling_to_where_nothing_can_be_written(call: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = call("bench", "heat3d", *SMALL, "--scaling", "-o", "no/such/folder/mine")
    assert code == 5
    assert "no/such/folder' does not exist" in err


def test_scaling_without_matplotlib_is_told_before_it_measures(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr("parsolve.bench.scaling.measure_scaling", None)
    code, _, err = call("bench", "heat3d", "--scaling")
    assert code == 3
    assert 'pip install "parsolve[plot]"' in err
    assert list(Path().iterdir()) == []


# A checkout whose peers march nothing: {absent} are not installed.
PEERS = """
from dataclasses import dataclass
PEERS = ("devito", "numba", "numpy")
INSTALL = "not installed: pip install 'parsolve[bench]'"
@dataclass
class Peer:
    name: str
    version: str = "1.0"
    updates_per_s: float = 1.0
    difference: float = 0.0
    problem: str = ""
def missing():
    return {absent}
def run_peers(name, comm, **options):
    return comm.bcast([Peer(name, problem=INSTALL if name in missing() else "") for name in PEERS])
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for a checkout, which this source is not in."""
    monkeypatch.setattr(checkout, "__file__", "/nowhere/src/parsolve/bench/checkout.py")
    monkeypatch.setattr("parsolve.bench.measure.REPEATS", 1)
    (tmp_path / "benchmarks").mkdir()
    return tmp_path / "benchmarks"


def test_peers_of_the_checkout_stand_beside_ours(call: Callable[..., tuple[int, str, str]], folder: Path) -> None:
    (folder / "peers.py").write_text(PEERS.format(absent=[]))
    code, out, err = call("bench", "heat3d", *SMALL, "--peers")
    assert (code, err) == (0, "")
    assert all(f"{name} 1.0" in out for name in ("devito", "numba", "numpy"))
    code, out, _ = call("bench", "heat3d", *SMALL, "--peers", "--json")
    assert [peer["name"] for peer in json.loads(out)["peers"]] == ["devito", "numba", "numpy"]


def test_a_peer_that_is_not_installed_is_told_and_the_others_march(
    call: Callable[..., tuple[int, str, str]], folder: Path
) -> None:
    (folder / "peers.py").write_text(PEERS.format(absent=["devito"]))
    code, out, err = call("bench", "heat3d", *SMALL, "--peers")
    assert code == 0
    assert err == "parsolve: warning: devito is not installed: pip install 'parsolve[bench]'\n"
    assert "numba 1.0" in out


WITHOUT = {
    "no checkout": (
        None,
        "there is no benchmarks/peers.py in /nowhere or {folder}; run it in the folder of a checkout",
    ),
    "no packages": (PEERS.format(absent=["devito", "numba"]), "devito and numba are not installed: pip install"),
    "another version": ("from parsolve.bench.measure import gone", "is not of this version of parsolve"),
}


@pytest.mark.parametrize("what", WITHOUT)
def test_what_peers_need_is_told_before_anything_is_measured(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, folder: Path, what: str
) -> None:
    text, words = WITHOUT[what]
    if text is not None:
        (folder / "peers.py").write_text(text)
    monkeypatch.setattr("parsolve.bench.measure.measure_speed", None)
    code, out, err = call("bench", "heat3d", "--peers")
    assert (code, out) == (3, "")
    assert words.format(folder=folder.parent) in err


def test_all_ranks_say_once_that_there_is_no_checkout(shell: Shell) -> None:
    patch = "import sys, parsolve.bench.checkout as c, parsolve.__main__ as m; c.__file__ = '/a/b/c/d/e'; sys.exit(m.main(sys.argv[1:]))"
    done = shell("-c", patch, "bench", "--peers", ranks=2)
    assert done.returncode == 3
    assert done.stderr.count("parsolve: error: bench --peers runs scripts") == 1
