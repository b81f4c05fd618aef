"""What the documents say is so: their cases run, their snippets work, and they name every key and option."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec
import pytest

from parsolve.__main__ import main
from parsolve.case import Axis, Case, Checkpoint, Meaning, Output, Run, SideCondition, Time
from parsolve.case.schema import Average, Measure, StopRules
from parsolve.cli.parser import build
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.functions import OPERATOR_FUNCTIONS, VALUE_FUNCTIONS
from parsolve.march.tableaus import SCHEMES
from parsolve.problem.plan import Plan
from parsolve.problem.summary import Summary
from parsolve.simulation import Simulation

if TYPE_CHECKING:
    from argparse import ArgumentParser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CASE = (ROOT / "docs/case.md").read_text("utf-8")
COMMANDS = (ROOT / "docs/commands.md").read_text("utf-8")
RESULTS = (ROOT / "docs/results.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def words(text: str) -> set[str]:
    """Every word that stands in code marks."""
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[\w-]+", code)}


@pytest.fixture
def plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's case in an empty folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plate.toml"
    path.write_text(blocks(README, "toml")[0], "utf-8")
    return path


def test_the_case_of_the_readme_and_what_is_said_of_its_result(plate: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "plate.toml", "-q"]) == 0, capfd.readouterr().err
    snippets = blocks(RESULTS, "python")
    assert len(snippets) == 2
    for snippet in snippets:
        exec(compile(snippet, "docs/results.md", "exec"), {})
    assert "D = 0.1" in capfd.readouterr().out  # the case out of the provenance


def test_the_snippets_for_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for snippet in blocks((ROOT / "docs/python.md").read_text("utf-8"), "python"):
        exec(compile(snippet, "docs/python.md", "exec"), names)
    assert "(32, 64)" in capsys.readouterr().out


def test_every_name_of_a_simulation_is_documented() -> None:
    names = {name for name in dir(Simulation) if not name.startswith("_")}
    assert not names - words((ROOT / "docs/python.md").read_text("utf-8"))


def test_the_equation_of_the_readme(plate: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text, own, looks = blocks(README, "toml")
    text = text.replace('equation = "heat"\n', "").replace("[parameters]\nD = 0.1\n", own)
    plate.write_text(text + looks, "utf-8")
    assert main(["run", "plate.toml", "-q", "--set", "time.steps=5"]) == 0, capfd.readouterr().err


@pytest.mark.parametrize(
    "kind", [Case, Axis, SideCondition, Meaning, Time, Output, Measure, Average, StopRules, Run, Checkpoint]
)
def test_every_key_of_the_case_is_documented(kind: type[msgspec.Struct]) -> None:
    keys = {field.name for field in msgspec.structs.fields(kind)} - {"origin"}
    assert not keys - words(CASE)


def test_every_choice_and_default_of_the_case_is_documented() -> None:
    for kind, key in ((Run, "order"), (Run, "precision"), (Run, "device")):
        field = next(field for field in msgspec.structs.fields(kind) if field.name == key)
        row = next(line for line in CASE.splitlines() if line.startswith(f"| `{key}`"))
        choices = get_args(get_type_hints(kind)[key])
        assert choices
        assert all(str(choice) in row for choice in choices)
        assert str(field.default) in row.split("|")[3]


def test_every_function_equation_and_scheme_is_documented() -> None:
    assert not {*VALUE_FUNCTIONS, *OPERATOR_FUNCTIONS} - words(CASE)
    assert not {*CATALOGUE, *SCHEMES} - words(README)


def test_every_command_and_option_is_documented() -> None:
    whole, commands = build()
    named = words(COMMANDS)
    assert not set(commands) - named
    parsers: list[ArgumentParser] = [whole, *commands.values()]
    options = {text for parser in parsers for action in parser._actions for text in action.option_strings}
    missing = {text for text in options - {"-h", "--help"} if text not in COMMANDS}
    assert not missing


@pytest.mark.parametrize("kind", [Summary, Plan])
def test_every_key_of_the_json_is_documented(kind: type) -> None:
    assert not {field.name for field in fields(kind)} - words(COMMANDS)


def test_links_lead_somewhere() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text("utf-8")):
            assert (ROOT / target).exists(), f"{name}: {target}"
