"""What is wrong in an equation is named: the key, the text with a caret, the nearest known name; and no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.__main__ import main
from parsolve.case import Case
from parsolve.domain.launch import PREFIXES
from parsolve.errors import CaseError, SetupError
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Lab

LINE = {"x": {"cells": 16, "range": [0.0, 1.0], "periodic": True}}
PLANE = LINE | {"y": LINE["x"]}
CLOSED = {"x": {"cells": 16, "range": [0.0, 1.0]}}


def message(**tables: Any) -> str:
    """What is said of a case; u = laplace(u) on a square unless told otherwise."""
    evolve = tables.get("evolve", {"u": "laplace(u)"})
    initial = {key.removesuffix("_tt"): 1.0 for key in evolve}
    case = {"grid": PLANE, "evolve": evolve, "initial": initial, "time": {"steps": 1, "dt": 1e-4}} | tables
    with pytest.raises(CaseError) as caught:
        pose(Case.from_dict(case))
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words", "caret"),
    [
        ("laplce(u)", "unknown function 'laplce'; did you mean 'laplace'?", "laplce"),
        ("laplace(u) + Dv*u", "unknown name 'Dv'; did you mean 'D'?", "Dv"),
        ("laplace(w)", "unknown name 'w'", "w"),
        ("u*ln(u)", "unknown function 'ln'; did you mean 'log'?", "ln"),
        ("u + laplacian(u)", "did you mean 'laplace'?", "laplacian"),
        ("laplace(u, u)", "'laplace' does not take 2 arguments; write laplace(u)", "laplace"),
        ("u - dot(grad(u))", "write dot(a, b)", "dot"),
        ("1 + atan2(u)", "write atan2(b, a)", "atan2"),
        ("D u", "unexpected 'u' after a complete expression", "u"),
        ("u*(1 - u", "this parenthesis is never closed", "(1"),
        ("2u", "write 2*u", "u"),
        ("u^2", "powers are written **", "^"),
        ("u = 1", "compare with ==", "="),
        ("u < 1", "where(condition, a, b)", "<"),
        ("where(u, 1, 0)", "must be a comparison", "u,"),
        ("z*u", "no axis z in this case (axes here: x, y)", "z"),
        ("laplace", "write laplace(u)", "laplace"),
        ("D*u/0", "division by zero", "0"),
        ("noise(u)", "the seed must be a whole number", "noise"),
        ("grad(u)", "grad(...) is a vector, and a number is due here", "grad"),
        ("1 + sin(grad(u))", "grad(...) is a vector, and a number is due here", "grad"),
        ("u*vector(1, 2)", "vector(...) is a vector, and a number is due here", "vector"),
        ("D*div(u)", "div takes a vector, such as grad(u) or vector(...), and not u", "div"),
        ("dot(u, grad(u))", "dot takes a vector", "dot"),
        ("-advect(u, u)", "advect takes a vector", "advect"),
        ("-upwind(vector(1), u)", "vector(...) has 1 components, the grid has 2 axes", "vector"),
        ("u + harmonic(u)", "harmonic(k) can stand only in div(harmonic(k)*grad(u))", "harmonic"),
    ],
)  # fmt: skip
def test_an_error_has_the_key_the_text_and_a_caret(text: str, words: str, caret: str) -> None:
    said = message(evolve={"u": text}, parameters={"D": 1.0})
    first, shown, arrow = said.splitlines()
    assert "evolve.u: " in first
    assert words in first
    assert shown == f"    {text}"
    assert arrow.index("^") - 4 == (text.rindex(caret) if caret == "u" else text.index(caret))


@pytest.mark.parametrize("table", ["define", "fields"])
def test_an_error_elsewhere_has_its_own_key(table: str) -> None:
    assert f"{table}.k: unknown name 'uu'" in message(evolve={"u": "k*u"}, **{table: {"k": "2*uu + t"}})


@pytest.mark.parametrize("table", ["parameters", "define", "fields", "evolve"])
@pytest.mark.parametrize(
    "name", ["x", "t", "pi", "laplace", "where", "integral", "2k", "my name", "_k", "k" * 33, "noise_1", "mean_2"]
)
def test_names_that_cannot_be(table: str, name: str) -> None:
    tables: dict[str, Any] = {"evolve": {"u": "laplace(u)"}}
    tables[table] = {name: 1.0 if table == "parameters" else "1"}
    said = message(**tables)
    assert f"{table}.{name}: " in said
    assert "name" in said


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"parameters": {"u": 1.0}}, "parameters.u: there is a 'u' in [evolve] already"),
        ({"define": {"D": "1"}, "parameters": {"D": 1.0}}, "define.D: there is a 'D' in [parameters] already"),
        ({"define": {"k": "1"}, "fields": {"k": "t"}}, "fields.k: there is a 'k' in [define] already"),
        ({"fields": {"u": "x"}}, "fields.u: there is a 'u' in [evolve] already"),
        ({"evolve": {"u_tt": "u"}, "fields": {"u_t": "x"}}, "fields.u_t: there is a 'u_t' in [evolve] already"),
        ({"define": {"rate": "u"}}, "define.rate: 'rate' is a name of the language"),
        ({"evolve": {"u": "u", "v_tt": "u"}}, "evolve.u: v_tt gives a second time derivative, so all must; write u_tt"),
        ({"define": {"a": "b + u", "b": "laplace(a)"}, "evolve": {"u": "a"}}, "define.a: it is defined by itself"),
        ({"define": {"a": "a"}}, "define.a: it is defined by itself"),
        ({"equation": "heat"}, "evolve: the case has equation = 'heat' already"),
        ({"boundary": {"v": {"xmin": {"dirichlet": 0.0}}}, "grid": CLOSED}, "boundary.v: [evolve] has no such field"),
        ({"boundary": {"u": {"xmin": {"neumann": "yy"}}}, "grid": CLOSED}, "xmin.neumann: unknown name 'yy'"),
        ({"boundary": {"u": {"xmin": {"neumann": "u*w"}}}, "grid": CLOSED}, "boundary.u.xmin.neumann: unknown name 'w'"),
        ({"initial": {"u": 1.0, "v": 1.0}}, "initial.v: [evolve] has no such field"),
        ({"initial": {"u": 1.0, "from": "a.h5"}}, "initial.from: nothing is taken from it beside initial.u"),
        ({"time": {"steps": 1, "scheme": "leapfrog"}}, "leapfrog is for equations that give u_tt"),
        (
            {"evolve": {"u_tt": "laplace(u) - u_t"}, "time": {"steps": 1, "scheme": "leapfrog"}},
            "leapfrog needs rates without u_t; use scheme = 'rk4'",
        ),
    ],
)  # fmt: skip
def test_contradictions(tables: dict[str, Any], words: str) -> None:
    initial = {"initial": {"u": 1.0}} if tables.get("define") else {}
    said = message(**initial | tables)
    assert words in said


def test_a_stencil_wider_than_the_grid(lab: Lab) -> None:
    case = {
        "grid": {"x": {"cells": 3, "range": [0.0, 1.0]}},
        "evolve": {"u": "laplace(u)"},
        "initial": {"u": 1.0},
        "time": {"steps": 1, "dt": 1e-4},
        "run": {"order": 8, "device": "numpy"},
    }
    with pytest.raises(CaseError, match=r"grid\.x\.cells: .* needs at least 4 cells; use order = 2"):
        lab.solve(case)


def test_a_periodic_axis_thinner_than_the_stencil_is_its_own_neighbour(lab: Lab) -> None:
    """Three cells repeated are a grid of twelve: the same numbers."""
    short = {"cells": 3, "range": [0.0, 0.25], "periodic": True}
    long = {"cells": 12, "range": [0.0, 1.0], "periodic": True}
    place = "floor(12*x) - 3*floor(4*x + 1e-9)"
    case = {
        "evolve": {"u": "dx(dxx(u)) + div((1 + u**2)*grad(u))"},
        "initial": {"u": f"where({place} == 0, 1, 0) + where({place} == 1, 0.5, 0)"},
        "time": {"steps": 1, "dt": 1e-6},
        "run": {"order": 8, "device": "numpy"},
    }
    one = lab.solve({**case, "grid": {"x": short}}).fields["u"]
    four = lab.solve({**case, "grid": {"x": long}}).fields["u"]
    assert np.array_equal(np.tile(one, 4), four)


def test_too_many_constants_or_fields_are_refused(lab: Lab) -> None:
    names = [f"p{i}" for i in range(140)]
    case = {
        "grid": LINE,
        "evolve": {"u": " + ".join(f"{name}*u**{i % 9}" for i, name in enumerate(names))},
        "parameters": dict.fromkeys(names, 1.0),
        "initial": {"u": 0.1},
        "time": {"steps": 1, "dt": 1e-4},
        "run": {"device": "numpy"},
    }
    with pytest.raises(CaseError, match="constants"):
        lab.solve(case)


# without a compiler

CASE = """
[grid]
x = { cells = 16, range = [0.0, 1.0], periodic = true }
[evolve]
u = "laplace(u) - u**3"
[initial]
u = "noise(seed=1)"
[time]
steps = 3
dt = 1e-4
"""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CC", "/nonexistent")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "case.toml").write_text(CASE)


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_numpy_gives_the_same_bits(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = tomllib.loads(CASE)
    with pytest.warns(UserWarning, match=r"CC=/nonexistent: no such program.*10 to 100 times slower"):
        slow = lab.solve(tables).fields["u"]
    monkeypatch.delenv("CC")
    assert slow.tobytes() == lab.solve(tables).fields["u"].tobytes()


@pytest.mark.usefixtures("no_compiler")
def test_a_catalogue_equation_needs_no_compiler(lab: Lab) -> None:
    lab.solve(lab.case("heat", 8))


@pytest.mark.usefixtures("no_compiler")
def test_require_compiled_fails_without_a_compiler(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError, match="no C compiler"):
        lab.solve(tomllib.loads(CASE) | {"run": {"require_compiled": True}})
    assert main(["run", "case.toml", "-q", "--set", "run.require_compiled=true"]) == 3
    assert "no C compiler: CC=/nonexistent: no such program" in capfd.readouterr().err


@pytest.mark.usefixtures("no_compiler")
def test_the_command_line_warns_and_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    run = [sys.executable, "-m", "parsolve", "run", "case.toml", "-q"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert line.startswith("parsolve: warning: no C compiler: CC=/nonexistent: no such program; ")
    assert line.endswith("10 to 100 times slower")


@pytest.mark.usefixtures("no_compiler")
def test_compile_fails_without_a_compiler(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "case.toml"]) == 3
    assert "no C compiler" in capfd.readouterr().err
