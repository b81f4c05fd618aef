"""The case file: what is valid is kept, what is wrong is named with file, key and nearest choice."""

from __future__ import annotations

import pickle
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.case import Axis, Case, FileValue, PassSettings
from parsolve.case.tables import packaged
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

BASE = """\
title = "t"
equation = "heat"
[grid]
y = { cells = 8, range = [0, 1], periodic = true }
x = { cells = 8, range = [0, 1] }
[initial]
u = { file = "start.npy" }
[boundary.u]
xmin = { dirichlet = 1.0 }
[time]
end = 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "base.toml"
    file.write_text(BASE)
    return file


def test_defaults_order_of_axes_and_files_beside_the_case(path: Path) -> None:
    case = Case.load(path)
    assert list(case.grid) == ["x", "y"]
    assert case.grid["x"] == Axis(cells=8, range=(0.0, 1.0))
    assert (case.time.end, case.time.dt) == (1.0, "auto")
    assert (case.run.order, case.run.processes) == (2, None)
    assert case.initial["u"] == FileValue(file=str(path.parent / "start.npy"))
    assert case.stem == "base"


def test_a_number_of_steps_is_written_as_a_whole_number(path: Path) -> None:
    case = Case.load(path, ["measure.every_steps=10", "average.every_steps=5", 'average.m="u"'])
    assert (case.measure["every_steps"], case.average["every_steps"]) == (10, 5)
    assert "every_steps = 10\n" in case.to_toml()
    assert "every_steps = 5\n" in case.to_toml()


@pytest.mark.parametrize(("key", "due"), [("every", "> 0"), ("every_steps", "> 0"), ("from", ">= 0")])
def test_what_is_wrong_with_the_times_of_averages_is_told(path: Path, key: str, due: str) -> None:
    for value in ("-1", "'2'", *(["0"] if key != "from" else [])):
        with pytest.raises(CaseError, match=f"average.{key}: is a number {due}, and no average can have this name"):
            Case.load(path, [f"average.{key}={value}", 'average.m="u"'])


@pytest.mark.parametrize("name", packaged())
def test_packaged_cases_are_valid_commented_and_survive_writing(name: str) -> None:
    case = Case.load(name)
    assert case.title
    assert "#" in case.origin.text
    again = Case.from_dict(tomllib.loads(case.to_toml()))
    assert again.to_dict() == case.to_dict()


def test_case_travels_between_ranks(path: Path) -> None:
    case = Case.load(path, ["grid.x.cells=9"])
    again = pickle.loads(pickle.dumps(case))
    assert again == case
    assert str(again.error("grid.x.cells", "no")) == "--set grid.x.cells: no"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("grid.x.cells=64", "grid.x.cells", 64),
        ("grid.z={cells=2, range=[-1, 1]}", "grid.z.cells", 2),
        ("title=plain words", "title", "plain words"),
        ('title="3"', "title", "3"),
        ("title=a\nb=3", "title", "a\nb=3"),
        ("initial.u=sin(x)", "initial.u", "sin(x)"),
        ("initial.u.file=other.h5", "initial.u.file", "other.h5"),
        ("boundary.u.xmin.dirichlet.file=left.npy", "boundary.u.xmin", {"dirichlet": {"file": "left.npy"}}),
        ("boundary.u.xmin.neumann=2", "boundary.u.xmin", {"neumann": 2.0}),
        ("time.steps=5", "time.steps", 5),
        ("time.tolerance=1e-6", "time.tolerance", 1e-6),
        ("output.fields=['u']", "output.fields", ["u"]),
        ("run.processes.x=2", "run.processes", {"x": 2}),
    ],
)
def test_overrides(path: Path, override: str, key: str, value: object) -> None:
    found: object = Case.load(path, [override]).to_dict()
    for part in key.split("."):
        assert isinstance(found, dict)
        found = found[part]
    assert found == value


def test_an_override_takes_the_place_of_its_alternative_and_the_last_wins(path: Path) -> None:
    assert Case.load(path, ["time.steps=5"]).time.end is None
    assert Case.load(path, ["time.steps=5", "time.end=3"]).time.end == 3.0


# --set -> what the message must contain
WRONG = {
    "grid.x.cell=3": "unknown key 'grid.x.cell'; did you mean 'cells'?",
    "boundry.u=3": "unknown key 'boundry'; did you mean 'boundary'?",
    "run.devce=cpu": "unknown key 'run.devce'; did you mean 'device'?",
    "grid.q={cells=3, range=[0, 1]}": "unknown key 'grid.q'; valid: x, y, z",
    "grid.x.cells=0": "grid.x.cells: expected a whole number >= 1, got 0",
    "grid.x.cells=1.5": "grid.x.cells: expected a whole number, got 1.5",
    "grid.x.cells=abc": "grid.x.cells: expected a whole number, got 'abc'",
    "grid.x.range=[0, 1, 2]": "grid.x.range: expected a list of length 2",
    "grid.x.range=[0, 'a']": "grid.x.range[1]: expected a number",
    "grid.x.range=[1, 0]": "grid.x.range: must increase",
    "grid.x.range=[-1e308, 1e308]": "grid.x.range: cells of inf cannot be told apart",
    "grid.x.range=[1, 1.0000000000000002]": "grid.x.range: cells of",
    "run.threads=0": "run.threads: expected a whole number >= 1, got 0",
    "grid.x.range=[0, inf]": "grid.x.range[1]: expected a finite number, got inf",
    "grid.x=3": "grid.x: expected a table such as { cells = 64, range = [0.0, 1.0] }, got 3",
    "grid.x={cells=3}": "grid.x.range: missing",
    "grid={}": "grid: axes must be",
    "grid={y={cells=3, range=[0, 1]}}": "grid: axes must be x; x, y; or x, y, z: got y",
    "grid.x.periodic=yes": "grid.x.periodic: expected true or false or anti, got 'yes'",
    "equation=": "equation: missing",
    "equation=3": "equation: expected text, got 3",
    "time.end=-1": "time.end: expected a number > 0, got -1",
    "time.end=nan": "time.end: expected a number > 0, got nan",
    "time={}": "time: missing: give one of end, steps",
    "time={end=1, steps=2}": "time.steps: give one of end, steps, and end is given",
    "time={end=1, dt=0.1, tolerance=1}": "time.dt: give either dt or tolerance",
    "time.dt=aut": "time.dt: expected a number > 0 or auto, got 'aut'; did you mean 'auto'?",
    "time.dt=-1": "time.dt: expected a number > 0 or auto, got -1",
    "time.tolerance=0": "time.tolerance: expected a number > 0, got 0",
    "run.order=3": "run.order: expected 2 or 4 or 6 or 8, got 3",
    "run.precision=flaot32": "did you mean 'float32'?",
    "run.processes=4": "run.processes: expected a table, got 4",
    "run.processes.z=4": "run.processes.z: no such axis in [grid]; valid: x, y",
    "run.processes.x=0": "run.processes.x: expected a whole number >= 1, got 0",
    "boundary.u.ymin.dirichlet=0": "boundary.u.ymin: axis y is periodic",
    "boundary.u.zmin.dirichlet=0": "boundary.u.zmin: the grid has no axis z",
    "boundary.u.left.dirichlet=0": "unknown key 'boundary.u.left'; valid: xmin, xmax",
    "boundary.xmin.dirichlet=0": "boundary.xmin: name the field first, as in boundary.u.xmin",
    "boundary.u.xmax=0": "boundary.u.xmax: expected a table such as { dirichlet = 0.0 }",
    "boundary.u.xmax={}": "boundary.u.xmax: missing: give one of dirichlet, neumann",
    "boundary.u.xmax={dirchlet=0}": "did you mean 'dirichlet'?",
    "boundary.u.xmax={dirichlet=0, neumann=1}": "boundary.u.xmax.neumann: give one of",
    "boundary.u.xmin.robin=[1, 2]": "boundary.u.xmin.robin: expected a list of length 3",
    "boundary.u.xmin.robin=[0, 0, 1]": "boundary.u.xmin.robin: a and b",
    "initial.u={fil='a'}": "unknown key 'initial.u.fil'; did you mean 'file'?",
    "initial.u=[1]": "initial.u: expected a number or text or a table, got [1]",
    "initial.u=true": "initial.u: expected a number or text or a table, got true",
    "run.walltime=soon": "run.walltime: 'soon' is no duration; write it as '30s'",
    "run.watchdog=5": "run.watchdog: expected text, got 5",
    "run.watchdog=5 minutes": "run.watchdog: '5 minutes' is no duration",
    "run.watchdog=0.5s": "run.watchdog: a step, frame or checkpoint may take so long: give 1s or more",
    "output.every=0": "output.every: expected a number > 0, got 0",
    "output={every=1, every_steps=2}": "output.every_steps: give either every or every_steps",
    "output.fields=u": "output.fields: expected a list, got 'u'",
    "parameters.D=abc": "parameters.D: expected a number, got 'abc'",
    "parameters=[1]": "parameters: expected a table, got [1]",
    "parameters={D=inf}": "parameters.D: expected a finite number, got inf",
    "run.pipeline=atuo": "run.pipeline: expected auto or off or a table such as { steps = 8, tile = [1, 32] }, got",
    "run.pipeline={steps=1, tile=[1, 0]}": "run.pipeline.tile[1]: expected a whole number >= 1, got 0",
    "boundary.u.xmin.robin=[1, true, 0]": "boundary.u.xmin.robin[1]: expected a number or text, got true",
    "origin={name='a'}": "unknown key 'origin'",
    "schema=2": "schema: this version of parsolve reads schema 1, not 2",
    "title.x=3": "'title' is a value, not a table",
    "foo": "expected key=value",
    "a..b=3": "expected key=value",
}


@pytest.mark.parametrize("override", WRONG)
def test_what_is_wrong_is_named(path: Path, override: str) -> None:
    with pytest.raises(CaseError) as caught:
        Case.load(path, [override])
    assert WRONG[override] in str(caught.value)
    assert str(caught.value).startswith("--set ")


def test_names_of_tables_in_python_must_be_text() -> None:
    tables = tomllib.loads(BASE)
    for key, wrong in (("case", {1: 2.0}), ("parameters", {"parameters": {1: 2.0}})):
        with pytest.raises(CaseError, match=f"{key}: a name in this table is not text"):
            Case.from_dict(tables | wrong)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("cells = 8, range = [0, 1] }", "cell = 8, range = [0, 1] }", ":5: unknown key 'grid.x.cell'"),
        ("xmin", "ymax", ":9: boundary.u.ymax: axis y is periodic"),
        ("end = 1", "end = -1", ":11: time.end: expected a number > 0"),
        ("[time]", "[tme]", ":10: unknown key 'tme'; did you mean 'time'?"),
        ("[time]\nend = 1", "", ": time: missing"),
        ("end = 1", "end = ", ": not valid TOML"),
        ("end = 1", "end = 1\nend = 2", ": not valid TOML"),
    ],
)
def test_errors_name_file_and_line(path: Path, old: str, new: str, place: str) -> None:
    path.write_text(BASE.replace(old, new))
    with pytest.raises(CaseError) as caught:
        Case.load(path)
    assert str(caught.value).startswith(str(path) + place)


def test_unreadable_and_unknown_files(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\x89HDF\xff\xfe")
    for name, words in {
        str(binary): "not UTF-8",
        str(tmp_path): "cannot be read",
        "gray-scot": "did you mean 'gray-scott'?",
        "nothing/like/it.toml": "no such file",
    }.items():
        with pytest.raises(CaseError, match=words.replace("?", "[?]")) as caught:
            Case.load(name)
        assert str(caught.value).startswith(name)


_PLAIN = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.none())
_DATA = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


_KEYS = (
    "grid grid.x grid.x.range time time.dt boundary boundary.u boundary.u.xmin initial initial.u parameters "
    "output output.fields run run.processes schema title"
)


@given(key=st.sampled_from(_KEYS.split()), value=_DATA)
def test_any_value_is_taken_or_refused_with_a_case_error(key: str, value: object) -> None:
    data = tomllib.loads(BASE)
    table = data
    *parts, last = key.split(".")
    for part in parts:
        table = table.setdefault(part, {})
    table[last] = value
    with suppress(CaseError):
        Case.from_dict(data).to_toml()


def test_a_table_takes_the_place_of_a_value_where_both_may_stand(tmp_path: Path) -> None:
    text = BASE + "[fields]\nk = 1.0\n"
    text = text.replace('equation = "heat"', "", 1)
    (tmp_path / "case.toml").write_text(text)
    sets = ["fields.k.file=k.npy", "evolve.u=k*laplace(u)", "run.pipeline=off", "run.pipeline.steps=4"]
    case = Case.load(tmp_path / "case.toml", sets)
    assert case.fields["k"] == FileValue(file="k.npy")
    assert case.run.pipeline == PassSettings(steps=4)
    assert case.evolve == {"u": "k*laplace(u)"}


@pytest.mark.parametrize(
    "key", ["units.u", "units.x", "units.time", "units.u.unit", "units.u.name", "initial.u.dataset",
            "fields.k.dataset", "boundary.u.xmin.dirichlet.dataset"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["\0", "a\0b", "\udcff"])
def test_what_hdf5_cannot_hold_is_refused_with_its_key(key: str, text: str) -> None:
    *tables, last = key.split(".")
    data: Any = {"file": "a.h5", last: text} if last == "dataset" else {last: text}
    for part in reversed(tables):
        data = {part: data}
    grid = {"x": {"cells": 8, "range": [0, 1]}}
    base = {
        "grid": grid,
        "evolve": {"u": "k*laplace(u)"},
        "initial": {"u": 1},
        "fields": {"k": 1},
        "time": {"steps": 1},
    }
    with pytest.raises(CaseError, match=rf"{key}: there (is a zero byte|are bytes)"):
        Case.from_dict(base | data)
