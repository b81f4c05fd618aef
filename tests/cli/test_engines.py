"""`bench --compare-engines`: a table, a figure, a JSON object, and what it says before it measures anything."""

from __future__ import annotations

import csv
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mpi4py import MPI

from parsolve.bench import contest
from parsolve.ensemble import pools

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Shell

    Call = Callable[..., tuple[int, str, str]]

TINY = ("bench", "heat3d", "--compare-engines", "--size", "8", "--seconds", "0.01")


@pytest.fixture
def no_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were no pools but threads."""
    monkeypatch.setattr(contest, "ROUNDS", 1)
    monkeypatch.setattr(pools, "pools", lambda: ({"threads": pools.threads}, {"dask": pools.NO_DASK}))


def test_the_table_is_printed_written_and_drawn(call: Call, no_pools: None) -> None:
    code, out, err = call(*TINY)
    assert (code, err) == (0, "")
    for words in (
        "all engines gave the same bits", "many: cases of 8 cells an axis", "many small cases: ", "one large case: ",
        'many: no dask: not installed: pip install "parsolve[dask]"', "many: no ranks: start it with mpirun -n N",
        "large: no processes: ", "written: heat3d-engines.csv, heat3d-engines.png",
    ):  # fmt: skip
        assert words in out
    with Path("heat3d-engines.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["work"], row["engine"]) for row in rows] == [
        ("many", "one worker"), ("many", "threads"), ("large", "one worker"), ("large", "threads"),
    ]  # fmt: skip
    assert all(float(row["speedup"]) / int(row["workers"]) == pytest.approx(float(row["efficiency"])) for row in rows)
    assert Path("heat3d-engines.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_ranks_processes_and_dask_under_mpirun_in_one_json_object(shell: Shell, tmp_path: Path) -> None:
    done = shell("-m", "parsolve", *TINY, "--json", "-o", "mine", ranks=2)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    threads = ["threads"] * (MPI.Query_thread() == MPI.THREAD_MULTIPLE)  # as it was started here by default
    dask = ["dask"] if find_spec("distributed") else []
    named = [row["engine"] for row in found["rows"] if row["work"] == "many"]
    assert named == ["one worker", *threads, "processes", *dask, "ranks"]
    assert {one["engine"] for one in found["absent"] if one["work"] == "many"} == {"threads", "dask"} - set(named)
    assert [row["engine"] for row in found["rows"] if row["work"] == "large"][-1] == "ranks"
    assert len(found["verdict"]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", "mine.png"}


def test_engines_that_differ_end_with_an_error_on_all_ranks(shell: Shell, tmp_path: Path) -> None:
    patch = (
        "import sys, parsolve.bench.contest as c, parsolve.ensemble.pools as e, parsolve.__main__ as m\n"
        "e.pools = lambda: ({}, {})\n"
        "march = c.march_large\n"
        "c.march_large = lambda *a: march(*a)._replace(digest=str(a[3].size))\n"
        "sys.exit(m.main(sys.argv[1:]))"
    )
    done = shell("-c", patch, *TINY, ranks=2)
    assert done.returncode == 4
    assert (
        done.stderr.count("parsolve: error: the large case ends with other bits by ranks (2) than by one worker (1)")
        == 1
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threads", "2"), "there is no --threads"),
        (("--scaling",), "not allowed with"),
        (("--peers",), "not allowed"),
    ],
)
def test_options_that_do_not_go_together(call: Call, options: tuple[str, ...], words: str) -> None:
    code, out, err = call(*TINY, *options)
    assert (code, out) == (2, "")
    assert words in err


def test_without_matplotlib_it_is_told_before_it_measures(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(contest, "compare_engines", None)
    code, _, err = call(*TINY)
    assert code == 3
    assert 'pip install "parsolve[plot]"' in err
    assert list(Path().iterdir()) == []


def test_an_unknown_benchmark_is_told(call: Call) -> None:
    code, _, err = call("bench", "heat3", "--compare-engines")
    assert code == 2
    assert "unknown benchmark 'heat3'" in err


def test_dask_is_not_loaded_for_the_help(shell: Shell) -> None:
    text = "import sys, parsolve.__main__ as m; m.main(['bench', '--help']); print(sorted({n.partition('.')[0] for n in sys.modules} & {'dask', 'distributed', 'numpy', 'matplotlib', 'multiprocessing'}))"
    done = shell("-c", text)
    assert done.returncode == 0
    assert "--compare-engines" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
