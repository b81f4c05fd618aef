"""The commands on many files: what they print, how they end, and that they go on where they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from parsolve.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CASE = """
[grid]
x = { cells = 16, range = [0.0, 1.0], periodic = true }
[parameters]
D = 1.0
[evolve]
u = "D*laplace(u)"
[initial]
u = "sin(2*pi*x)"
[time]
steps = 2
dt = 1e-5
"""
Said = tuple[int, str, str]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*words: str) -> Said:
        code = main(list(words))
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def study(said: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heat.toml").write_text(CASE)
    (tmp_path / "study").mkdir()
    for d in (1, 2, 3):
        assert said("run", "heat.toml", "-q", "--set", f"parameters.D={d}", "-o", f"study/{d}.h5")[0] == 0
    return tmp_path / "study"


def break_one(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_results_are_found(study: Path, said: Callable[..., Said]) -> None:
    assert said("find", "study", "--where", "parameters.D > 1", "--where", "fields=u")[:2] == (
        0,
        "study/2.h5\nstudy/3.h5\n",
    )
    assert said("find", "study", "--where", "parameters.D > 9")[:2] == (0, "")
    code, out, err = said("find", "study", "--where", "parameter.D > 1")
    assert (code, out) == (2, "")
    assert "did you mean 'parameters.D'" in err
    found = json.loads(said("find", "study", "--where", "parameters.D=2", "--json")[1])
    assert [one["found"]["matches"] for one in found["files"]] == [False, True, False]


def test_statistics_are_shown_and_the_rest_goes_on(study: Path, said: Callable[..., Said]) -> None:
    break_one(study / "2.h5")
    code, out, err = said("stats", "study")
    assert code == 5
    assert err.count("study/2.h5") == 1
    assert [line.split()[0] for line in out.splitlines()] == ["file", "study/1.h5", "study/3.h5"]
    code, out, err = said("stats", "study", "--json")
    found = json.loads(out)
    assert (found["done"], found["failed"], found["skipped"], found["operation"]) == (2, 1, 0, "stats")
    assert found["bytes"] == (study / "1.h5").stat().st_size + (study / "3.h5").stat().st_size


def test_it_goes_on_where_it_was(study: Path, said: Callable[..., Said]) -> None:
    words = ("repack", "study", "--into", "packed", "--record", "done.jsonl", "--json")
    good = (study / "2.h5").read_bytes()
    break_one(study / "2.h5")
    assert said(*words)[0] == 5
    assert said(*words)[0] == 5  # the record is there
    (study / "2.h5").write_bytes(good)
    code, out, _ = said(*words, "--resume")
    found = json.loads(out)
    assert (code, found["done"], found["skipped"], found["failed"]) == (0, 1, 2, 0)
    assert said("compare", "packed/study/2.h5", "study/2.h5")[0] == 0
    code, out, _ = said(*words, "--resume")
    assert (code, json.loads(out)["skipped"]) == (0, 3)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["convert", "study"], 2, "--to"),
        (["convert", "study", "--to", "hdf"], 2, "hdf5"),
        (["repack", "study"], 2, "--into"),
        (["repack", "study", "--into", "p", "--level", "10"], 2, "0 to 9 for gzip"),
        (["repack", "study", "--into", "p", "--compression", "none", "--level", "1"], 2, "--level"),
        (["repack", "study", "--into", "p", "--chunks", "x"], 2, "x=64"),
        (["repack", "study", "--into", "p", "--chunks", "y=3"], 5, "no axis 'y'"),
        (["stats", "study", "--resume"], 2, "--record"),
        (["stats", "study", "--record", "nowhere/a"], 5, "nowhere"),
        (["stats", "nothing"], 5, "nothing"),
        (["find", "study", "--where", "x ~ 2"], 2, "--where"),
        (["find", "study", "--where", "parameters.D > high"], 2, "'parameters.D' is a number, and 'high' is a text"),
        (["convert", "study/1.h5", "--to", "hdf5"], 5, "is read here"),
        (["repack", "study", "--into", "study/packed"], 5, "is in a folder that is read"),
        (["convert", "heat.toml", "--to", "csv"], 5, "heat.toml"),
        (["stats", "study", "--workers", "0"], 2, "--workers"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_lost(
    study: Path, said: Callable[..., Said], words: list[str], code: int, text: str
) -> None:
    before = {path: path.read_bytes() for path in study.parent.rglob("*") if path.is_file()}
    ended, _, err = said(*words)
    assert ended == code, err
    assert text in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in study.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("to", ["netcdf", "zarr", "npz", "csv", "xdmf", "vtkhdf"])
def test_all_formats_have_their_suffix(study: Path, said: Callable[..., Said], to: str) -> None:
    suffix = {"netcdf": ".nc"}.get(to, f".{to}")
    code, out, _ = said("convert", "study", "--to", to, "--into", "out")
    assert code == 0
    assert out.startswith("3 of 3 files")
    assert sorted(path.name for path in (study.parent / "out" / "study").iterdir()) == [
        f"{n}{suffix}" for n in (1, 2, 3)
    ]


def test_processes_do_the_same(study: Path, said: Callable[..., Said]) -> None:
    one: Any = json.loads(said("stats", "study", "--json")[1])
    two = json.loads(said("stats", "study", "--json", "--workers", "2")[1])
    assert [file["found"] for file in one["files"]] == [file["found"] for file in two["files"]]
