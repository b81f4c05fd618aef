"""`run` and `check` from the outside: results, names, the summary, and wrong input on several ranks."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pytest

from parsolve.case.tables import packaged

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str, str]]
    Shell = Callable[..., subprocess.CompletedProcess[str]]

SMALL = ("--set", "grid.x.cells=16", "--set", "grid.y.cells=12", "--set", "time.steps=3")


def test_run_twice_works_twice_and_is_the_same(call: Call) -> None:
    code, out, err = call("run", "gray-scott", *SMALL)
    assert code == 0, err
    for words in (
        "Gray-Scott",
        "16 x 12 (x, y)",
        "field u",
        "min",
        "mean",
        "gray-scott.h5",
        "parsolve plot gray-scott.h5",
    ):
        assert words in out
    code, out, err = call("run", "gray-scott", *SMALL, "--json")
    assert code == 0
    summary = json.loads(out.splitlines()[-1])
    assert {"steps", "cells", "seconds", "updates_per_s", "fields", "result"} <= set(summary)
    assert (summary["steps"], summary["cells"], summary["result"]) == (3, 192, "gray-scott-2.h5")
    assert set(summary["fields"]) == {"u", "v"}
    assert set(summary["fields"]["u"]) == {"min", "max", "mean"}
    assert out.count("\n") == 1
    assert "Gray-Scott" in err
    code, out, _ = call("compare", "gray-scott.h5", "gray-scott-2.h5")
    assert code == 0
    assert out.startswith("same")
    code, out, _ = call("compare", "gray-scott.h5", "gray-scott-2.h5", "--json")
    assert json.loads(out)["equal"] is True


def test_warnings_are_told_and_stand_in_the_json(call: Call) -> None:
    words = ("advection-diffusion", "--set", "time.end=1e-3", "--set", "parameters.D=1e-4", "--json")
    for command in ("check", "run"):
        code, out, err = call(command, *words)
        assert code == 0
        (first, second) = json.loads(out.splitlines()[-1])["warnings"]
        assert f"parsolve: warning: {first}" in err
        assert f"parsolve: warning: {second}" in err
        assert "cell Peclet number" in first
    assert call("run", *words, "-q")[2] == ""


def test_a_step_that_is_too_long_is_refused_or_if_allowed_told(call: Call) -> None:
    """By check as by run; finite values that no rate allows stand among the warnings of the run."""
    words = ("heat", "--set", "time.dt=0.06", "--set", "time.end=0.9", "--json")
    for command in ("check", "run"):
        code, _, err = call(command, *words)
        assert code == 2
        assert "time.dt: short waves grow in steps of 0.06" in err
    code, out, err = call("run", *words, "--set", "time.unstable=allow", "-o", "a.h5")
    assert code == 0
    said = json.loads(out.splitlines()[-1])["warnings"]
    assert any("u: values grew from" in text and "far more than the rates" in text for text in said)
    assert all(f"parsolve: warning: {text}" in err for text in said)


@pytest.mark.parametrize(
    ("words", "changes", "text"),
    [
        (("heat",), False, " steps\n"),
        (("cahn-hilliard",), True, "about "),
        (("gray-scott", "--set", "time.scheme=dp45", "--set", "time.tolerance=1e-4"), True, "adapted to the tolerance"),
    ],
)
def test_steps_that_change_are_told(call: Call, words: tuple[str, ...], changes: bool, text: str) -> None:
    code, out, err = call("check", *words)
    assert (code, err) == (0, "")
    line = next(line for line in out.splitlines(keepends=True) if line.split()[0] == "step")
    assert text in line
    assert ("first dt" in line) == changes
    plan = json.loads(call("check", *words, "--json")[1])
    assert plan["changes"] == changes
    end = f"time.end={2 * plan['dt']!r}"
    summary = json.loads(call("run", *words, "--set", end, "--json", "-q")[1])
    assert summary["changes"] == changes
    assert ("first dt" in call("run", *words, "--set", end)[1]) == changes


def test_an_existing_result_is_kept_without_force(call: Call) -> None:
    assert call("run", "gray-scott", *SMALL, "-o", "a.h5", "-q") == (0, "", "")
    before = Path("a.h5").read_bytes()
    code, _, err = call("run", "gray-scott", *SMALL, "-o", "a.h5")
    assert code == 5
    assert "a.h5" in err
    assert "--force" in err
    assert Path("a.h5").read_bytes() == before
    assert call("run", "gray-scott", *SMALL, "-o", "a.h5", "--force", "-q")[0] == 0


@pytest.mark.parametrize("name", ["my results/a b.h5", "$(a).h5", "it's.h5"])
def test_what_is_shown_can_be_typed(call: Call, name: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    out = call("run", "gray-scott", *SMALL, "-o", name)[1]
    line = next(line for line in out.splitlines() if "look at it" in line)
    assert shlex.split(line)[-1] == name
    assert shlex.split(call("new", "heat", "-o", f"{name}.toml")[1].splitlines()[-1])[-1] == f"{name}.toml"


def test_without_a_name_results_are_numbered_or_with_force_replaced(call: Call) -> None:
    for result in ("gray-scott.h5", "gray-scott-2.h5"):
        assert call("run", "gray-scott", *SMALL, "-q") == (0, "", "")
        assert Path(result).is_file()
    assert call("run", "gray-scott", *SMALL, "-q", "--force") == (0, "", "")
    assert sorted(map(str, Path().iterdir())) == ["gray-scott-2.h5", "gray-scott.h5"]


def test_units_of_the_case_stand_in_the_result(call: Call) -> None:
    units = ("units.x=um", "units.time=h", "units.u.unit=mol/L", "units.u.name=concentration")
    words = [word for text in units for word in ("--set", text)]
    assert call("run", "gray-scott", *SMALL, *words, "-o", "a.h5", "-q") == (0, "", "")
    facts = json.loads(call("info", "a.h5", "--json")[1])
    assert facts["units"] == {"time": "h", "x": "um", "y": "1", "u": "mol/L", "v": "1"}
    assert facts["long_names"]["u"] == "concentration"
    assert facts["long_names"]["x"] == "x"
    out = call("info", "a.h5")[1]
    assert "time (h); x (um); u, concentration (mol/L); v, " in out
    assert "[units.u]" in facts["provenance"]["case"]
    for wrong, said in (
        ("units.w=K", "units.w: no such field, axis or measure"),
        ("units.z=K", "units.z: no such field, axis or measure"),
        ("units.u=1", "expected text or a table such as { unit ="),
        ("units.u.units=K", "did you mean 'unit'?"),
    ):
        code, _, err = call("run", "gray-scott", *SMALL, "--set", wrong)
        assert code == 2
        assert said in err


def test_what_a_run_reads_is_never_replaced(call: Call) -> None:
    assert call("new", "heat", "-o", "a.toml")[0] == 0
    few = ("--set", "time.steps=1")
    assert call("run", "a.toml", *few, "-o", "b.h5", "-q")[0] == 0
    from_b = ("--set", "initial.u.file=b.h5")
    for words in (("-o", "a.toml", *few), ("-o", "b.h5", *few, *from_b)):
        before = {path: path.read_bytes() for path in Path().iterdir()}
        code, _, err = call("run", "a.toml", *words, "--force")
        assert code == 5
        assert "is read here" in err
        assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_info_plot_and_a_difference(call: Call) -> None:
    assert call("run", "gray-scott", *SMALL, "-o", "a.h5", "-q")[0] == 0
    assert call("run", "gray-scott", *SMALL, "--set", "parameters.F=0.05", "-o", "b.h5", "-q")[0] == 0
    code, out, _ = call("compare", "a.h5", "b.h5")
    assert code == 1
    assert "field 'u'" in out
    assert call("compare", "a.h5", "b.h5", "--atol", "1")[0] == 0
    Path("c.h5").write_text("no result")
    assert call("compare", "a.h5", "c.h5")[0] == call("compare", "c.h5", "a.h5")[0] == 5
    code, out, _ = call("info", "a.h5")
    assert code == 0
    assert "16 x 12 (x, y)" in out
    code, out, _ = call("info", "a.h5", "--json")
    facts = json.loads(out)
    assert facts["grid"] == {"x": 16, "y": 12}
    assert facts["fields"] == ["u", "v"]
    assert facts["steps"] == [0, 3]
    pytest.importorskip("matplotlib")
    code, out, _ = call("plot", "a.h5", "--field", "v", "--sheet")
    assert code == 0
    assert Path(out.strip()).suffix == ".png"
    assert Path(out.strip()).stat().st_size > 1000
    code, _, err = call("plot", "a.h5", "--field", "w")
    assert code == 2
    assert "'w'" in err


def test_slices_are_named_and_rows_that_were_left_are_told(call: Call) -> None:
    cut = ("--set", "slices.mid.y=0.5", "--set", "slices.mid.every_steps=1", "--set", "output.keep_frames=true")
    code, out, _ = call("run", "gray-scott", *SMALL, *cut, "-o", "a.h5", "--json")
    assert json.loads(out)["slices"] == {"mid": {"result": "a.mid.h5", "frames": 4}}
    assert call("status", "a.h5")[1].splitlines()[-1].split() == ["slice", "mid", "4", "rows"]
    frames = Path("a.h5.frames")
    assert "slice mid  4 rows, t = 0 to " in call("info", str(frames))[1]
    rows = frames / "slice.mid.rows"
    data = bytearray(rows.read_bytes())
    data[-300] ^= 1  # in the third row, of 288 bytes
    rows.write_bytes(data)
    assert json.loads(call("info", str(frames), "--json")[1])["slices"]["mid"]["steps"] == [0, 1]
    code, out, err = call("gather", "a.h5", "-o", "b.h5")
    assert (code, "row 2 is damaged, and those behind it" in err) == (5, True)
    assert "slice mid  b.mid.h5, 2 frames" in out
    rows.write_bytes(data[: data.index(b"\n") + 100])
    code, out, err = call("gather", "a.h5", "-o", "c.h5")
    assert (code, "has no whole row" in err, "c.mid.h5" in out) == (5, True, False)
    assert call("info", "c.h5")[0] == 0
    rows.write_bytes(b"none\n")
    assert "0 rows; a.h5.frames/slice.mid.rows: is damaged" in call("info", str(frames))[1]
    assert "rows: is damaged" in call("gather", "a.h5", "-o", "d.h5")[2]


@pytest.mark.parametrize("suffix", ["vtkhdf", "nc"])
def test_a_result_may_have_the_suffix_that_other_programs_know(call: Call, suffix: str) -> None:
    for name in ("a.h5", f"a.{suffix}"):
        assert call("run", "gray-scott", *SMALL, "-o", name, "-q") == (0, "", "")
    assert call("compare", "a.h5", f"a.{suffix}")[0] == 0
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(f"a.{suffix}", engine="h5netcdf") as data:
        assert data.u.shape == (2, 12, 16)


@pytest.mark.parametrize("name", packaged())
def test_packaged_cases_check_and_march(call: Call, name: str) -> None:
    code, out, err = call("check", name, "--ranks", "2", "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["dt"] > 0
    assert plan["frames"] > 2
    code, out, err = call("check", name)
    assert "valid" in out
    short = f"time.end={2 * plan['dt']!r}" if plan["steps"] is None else "time.steps=2"
    code, out, err = call("run", name, "--set", short, "-o", "out.h5", "-q", "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] >= 2


WRONG = {
    "parameters.Du=1": (2, "parameters.Du: "),
    "initial.w=1": (2, "initial.w"),
    "initial.u=sin(x": (2, "initial.u"),
    "initial.u=sni(x)": (2, "'sin'"),
    "initial.u.file=missing.npy": (2, "missing.npy"),
    "boundary.w.xmin.dirichlet=1": (2, "boundary.w"),
    "boundary.u.xmin.dirichlet=q": (2, "boundary.u.xmin"),
    "equation=haet": (2, "did you mean 'heat'?"),
    "time.scheme=rk5": (2, "did you mean 'rk4'?"),
    "output.fields=['w']": (2, "output.fields"),
    "run.processes.x=3": (3, "processes"),
}


@pytest.mark.parametrize("override", WRONG)
def test_what_the_equation_does_not_know_is_refused(call: Call, override: str) -> None:
    code, out, err = call("run", "heat", "--set", "time.steps=1", "--set", override)
    assert err.startswith("parsolve: error: ")
    assert WRONG[override][1] in err
    assert code == WRONG[override][0]
    assert "Traceback" not in err
    assert out == ""
    assert list(Path().iterdir()) == []


def test_wrong_input_under_mpi_is_told_once(shell: Shell, tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((36, 36, 48), "f8")
    layout[...] = h5py.VirtualSource("nowhere.h5", "u", (36, 36, 48))
    with h5py.File(tmp_path / "zeros.h5", "w") as file:
        file.create_virtual_dataset("u", layout)
    for words, code, text in (
        (["run", "nosuch"], 2, "nosuch: no such file"),
        (["run", "heat", "--set", "initial.u=sni(x)"], 2, "'sin'"),
        (["run", "heat", "-o", "no/such/place.h5"], 5, "no/such"),
        (["run", "heat", "--set", "initial.u.file=zeros.h5"], 2, "its source 'nowhere.h5' is missing"),
    ):
        done = shell("-m", "parsolve", *words, ranks=2)
        lines = [line for line in done.stderr.splitlines() if line.startswith("parsolve: error")]
        assert len(lines) == 1
        assert text in lines[0]
        assert "Traceback" not in done.stderr
        assert done.returncode == code


def test_default_case_under_mpi(shell: Shell) -> None:
    done = shell("-m", "parsolve", "run", "gray-scott", "--json", "--set", "time.steps=20", ranks=3)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["result"] == "gray-scott.h5"
    assert "100 %" in done.stderr


def test_a_picture_of_a_run_is_there_and_changes_no_bit(call: Call) -> None:
    pytest.importorskip("matplotlib")
    assert call("run", "gray-scott", *SMALL, "-q", "-o", "a.h5")[0] == 0
    assert call("run", "gray-scott", *SMALL, "-q", "-o", "b.h5", "--live") == (0, "", "")
    assert call("compare", "a.h5", "b.h5")[0] == 0
    assert Path("b.live.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = call("run", "--live", "gray-scott")
    assert code == 2
    assert "expected a name that ends with .png, got 'gray-scott'" in err
