"""What is typed wrong is refused with the nearest right thing, exit code 2 and no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG = {
    ("rnu",): "unknown command 'rnu'; did you mean 'run'?",
    ("case.toml",): "did you mean 'run case.toml'?",
    ("heat",): "did you mean 'run heat'?",
    ("frobnicate",): "unknown command 'frobnicate'; valid: run, check",
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
def test_wrong_words(call: Callable[..., tuple[int, str, str]], argv: tuple[str, ...]) -> None:
    code, out, err = call(*argv)
    assert code == 2
    assert out == ""
    assert err.startswith("parsolve: error: ")
    assert WRONG[argv] in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [("info", "a.h5"), ("plot", "a.h5"), ("compare", "a.h5", "b.h5")])
def test_missing_results(call: Callable[..., tuple[int, str, str]], command: tuple[str, ...]) -> None:
    code, _, err = call(*command)
    assert code == 5
    assert "a.h5" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "check", "list", "new", "info", "plot", "compare", "doctor"])
def test_each_help_ends_with_an_example(
    call: Callable[..., tuple[int, str, str]], capfd: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(command, "--help")
    assert caught.value.code == 0
    last = capfd.readouterr().out.strip().splitlines()[-2:]
    assert last[0] == "example:"
    assert f"python -m parsolve {command}" in last[1]
