"""What is typed wrong is refused with the nearest right thing, exit code 2 and no traceback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsolve.cli.parser import build, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str, str]]

NO_TEXT = "caf\udce9"  # as Python gives the bytes of another coding
WRONG = {
    ("rnu",): "unknown command 'rnu'; did you mean 'run'?",
    ("case.toml",): "did you mean 'run case.toml'?",
    ("heat",): "did you mean 'run heat'?",
    ("frobnicate",): "unknown command 'frobnicate'; valid: run, restart, check, status",
    ("--jsn",): "unknown option '--jsn'",
    ("run",): "required: CASE",
    ("run", "heat", "--jsn"): "unknown option '--jsn'; did you mean '--json'?",
    ("-q", "run", "heat"): "unknown option '-q'; write it after 'run'",
    ("run", "heat", "extra"): "unknown argument 'extra'",
    ("run", "haet"): "haet: no such file and no packaged case of that name; did you mean 'heat'?",
    ("run", "missing.toml"): "missing.toml: no such file",
    ("run", "heat", "--set", "grid.x.cell=3"): "unknown key 'grid.x.cell'; did you mean 'cells'?",
    ("run", "heat", "--set", "grid.x.cells"): "--set grid.x.cells: expected key=value",
    ("check", "heat", "--ranks", "0"): "--ranks: expected a whole number >= 1, got '0'",
    ("check", "heat", "--set", "time.end=0"): "time.end: expected a number > 0, got 0",
    ("list", "case"): "unknown kind 'case'; did you mean 'cases'?",
    ("new", "heet"): "no packaged case 'heet'; did you mean 'heat'?",
    ("compare", "a.h5"): "required: B.h5",
    ("compare", "a.h5", "b.h5", "--rtol", "x"): "--rtol: expected a number >= 0, got 'x'",
}


@pytest.mark.parametrize("argv", WRONG, ids=" ".join)
def test_wrong_words(call: Call, argv: tuple[str, ...]) -> None:
    code, out, err = call(*argv)
    assert code == 2
    assert out == ""
    assert err.startswith("parsolve: error: ")
    assert WRONG[argv] in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [("info", "a.h5"), ("plot", "a.h5"), ("compare", "a.h5", "b.h5")])
def test_missing_results(call: Call, command: tuple[str, ...]) -> None:
    code, _, err = call(*command)
    assert code == 5
    assert "a.h5" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", build()[1])
def test_each_help_returns_and_ends_with_an_example(call: Call, command: str) -> None:
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    last = out.strip().splitlines()[-2:]
    assert last[0] == "example:"
    assert f"python -m parsolve {command}" in last[1]


def test_help_is_an_answer_as_others_are(call: Call) -> None:
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert "exit codes:" in out
    assert call("rnu", "--help")[0] == 2


@pytest.mark.parametrize(
    "argv",
    [
        (NO_TEXT,),
        ("run", NO_TEXT),
        ("run", "heat", f"--{NO_TEXT}"),
        ("run", "heat", "--set", f"{NO_TEXT}=1"),
        ("run", "heat", "--set", f"initial.u={NO_TEXT}"),
        ("list", NO_TEXT),
        ("new", NO_TEXT),
        ("info", NO_TEXT),
        ("compare", NO_TEXT, NO_TEXT),
    ],
    ids=ascii,
)
def test_bytes_that_are_no_text_are_told_as_escapes(call: Call, argv: tuple[str, ...]) -> None:
    code, out, err = call(*argv)
    assert code in (2, 5)
    assert out == ""
    assert err.startswith("parsolve: error: ")
    assert "Traceback" not in err
    assert list(Path().iterdir()) == []


def test_bytes_that_are_no_text_may_name_a_result(call: Call) -> None:
    name = f"{NO_TEXT}.h5"
    assert call("run", "heat", "--set", "time.steps=1", "-o", name, "-q") == (0, "", "")
    assert call("compare", name, name)[0] == 0
    assert call("info", name)[0] == 0
    assert [path.name for path in Path().iterdir()] == [name]


@pytest.mark.parametrize(
    "argv",
    [
        ("run", ""),
        ("check", ""),
        ("eq", ""),
        ("info", ""),
        ("plot", ""),
        ("compare", "", ""),
        ("run", "heat", "-o", ""),
        ("new", "heat", "-o", ""),
        ("plot", "a.h5", "-o", ""),
    ],
)
def test_an_empty_word_names_no_file(call: Call, argv: tuple[str, ...]) -> None:
    code, out, err = call(*argv)
    assert (code, out) == (2, "")
    assert "expected the name of a file, got ''" in err
    assert err.count("\n") == 1


MANY = 5000


@pytest.mark.parametrize(
    "argv",
    [
        ("run", "heat", "--set", "a." * MANY + "b=1"),
        ("run", "heat", "--set", "a" * MANY + "=1"),
        ("run", "heat", "--set", "grid.x.cells=" + "9" * MANY),
        ("run", "heat", "--set", "parameters.D=" + "9" * MANY),
        ("run", "heat", "--set", "initial.u=" + "9" * MANY),
        ("run", "heat", "--set", "grid.x=" + "[" * MANY + "]" * MANY),
        ("run", "heat", "--set", "grid.x=" + "{a=" * MANY + "1" + "}" * MANY),
        ("run", "heat", "--set", "grid.x.cells=1" + "0" * 21),
        ("run", "heat", "--set", "grid.x.range=[-1e308,1e308]"),
        ("run", "heat", "--set", "grid.x.range=[0,1e-320]"),
        ("run", "heat", "--set", "grid.x.range=[0,1e200]"),
        ("run", "heat", "--set", "grid.x.cells=1" + "0" * 400),
        ("run", "heat", "--set", "parameters.D=1" + "0" * 400),
        ("run", "heat", "--set", "output.every_steps=1" + "0" * 400),
        ("run", "heat", "--set", "time.end=1e300"),
        ("run", "heat", "--set", "time.steps=1" + "0" * 30),
        ("run", "heat", "--set", "output.every=1e-300"),
        ("run", "heat", "--set", "time.dt=1e-300", "--set", "time.steps=1e300"),
        ("check", "heat", "--ranks", "9" * MANY),
        ("bench", "--size", "9" * MANY),
        ("plot", "a.h5", "--time", "nan"),
        ("plot", "a.h5", "--vmin", "1e999"),
        ("compare", "a.h5", "b.h5", "--rtol", "nan"),
        ("compare", "a.h5", "b.h5", "--atol", "-1"),
        ("run", "a" * MANY),
        ("x" * MANY,),
        ("run", "heat", "--" + "x" * MANY),
    ],
    ids=lambda argv: " ".join(argv)[:50],
)
def test_absurd_words_are_refused_in_few(call: Call, argv: tuple[str, ...]) -> None:
    code, out, err = call(*argv)
    assert code in (2, 5)
    assert out == ""
    assert err.startswith("parsolve: error: ")
    assert "Traceback" not in err
    assert max(map(len, err.splitlines())) < 1100
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("text", ["-1", "-0.5", "-.5", "-1e-3", "-1E+300", "-1.5e3"])
def test_negative_numbers_are_no_options(text: str) -> None:
    args = parse(["plot", "a.h5", "--vmin", text, "--time", text])
    assert args.vmin == args.time == float(text)
