"""`slurm` prints the script of a case or a sweep, from what is asked for and what is proposed, or gives it to sbatch."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsolve.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = ("--set", "grid.x.cells=16", "--set", "grid.y.cells=16", "--set", "time.steps=10")
ASKED = ("--ranks", "2", "--time", "60", "--memory", "200")


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Exit code, output and errors of `slurm`, where there is no Slurm but what a test makes."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(path) if (path := tmp_path / "bin" / name).exists() else None)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["slurm", *words])
        return code, *capfd.readouterr()

    return run


def stub(name: str, body: str) -> None:
    path = Path("bin") / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def test_what_is_not_asked_for_is_proposed_and_told(said: Callable[..., tuple[int, str, str]]) -> None:
    code, out, told = said("gray-scott", *SMALL)
    assert code == 0
    assert "#SBATCH --ntasks=1\n" in out
    assert "#SBATCH --time=11\n" in out
    assert '-o "$result" --resume --set grid.x.cells=16' in out
    assert "planned: 1 ranks" in told
    assert "10 steps at" in told
    assert subprocess.run(["bash", "-n"], input=out, text=True, check=False).returncode == 0


def test_what_is_asked_for_is_not_tried(said: Callable[..., tuple[int, str, str]]) -> None:
    code, out, told = said("gray-scott", *ASKED, "--nodes", "2", "--partition", "main", "--mail", "a@b.c")
    assert (code, told) == (0, "")
    lines = set(out.splitlines())
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=1", "#SBATCH --mem-per-cpu=200M"} <= lines
    assert {"#SBATCH --partition=main", "#SBATCH --mail-user=a@b.c", "#SBATCH --mail-type=END,FAIL"} <= lines


def test_sbatch_gets_the_script_and_its_answer_is_told(said: Callable[..., tuple[int, str, str]]) -> None:
    stub("sbatch", 'cat > got; echo "$@" > words; echo Submitted batch job 12')
    assert said("gray-scott", *ASKED, "--submit")[:2] == (0, "Submitted batch job 12\n")
    script = Path("got").read_text()
    assert script.startswith("#!/bin/bash\n#SBATCH --job-name=gray-scott\n")
    assert Path("words").read_text() == "\n"
    said("gray-scott", *ASKED, "--test-only")
    assert Path("words").read_text() == "--test-only\n"
    stub("sbatch", "echo no such partition >&2; exit 1")
    code, _, told = said("gray-scott", *ASKED, "--submit")
    assert (code, told) == (3, "parsolve: error: sbatch refuses it: no such partition\n")


@pytest.mark.parametrize(("words", "code", "text"), [
    (("gray-scott", *ASKED, "--submit"), 3, "no sbatch on PATH; print the script without --submit"),
    (("grey-scott", *ASKED), 2, "did you mean 'gray-scott'"),
    (("gray-scott", *ASKED, "--set", "time.stepz=1"), 2, "unknown key"),
    (("gray-scott", *ASKED, "--set", "time.steps={task}"), 2, "is for array jobs"),
    (("gray-scott", *ASKED, "--set", "parameters.ZZ=1"), 2, "parameters.ZZ"),
    (("gray-scott", *ASKED, "--array", "x"), 2, "expected indices as 0-9"),
    (("gray-scott", *ASKED, "--gpus", "-1"), 2, "expected a whole number >= 0"),
    (("gray-scott", *ASKED, "--submit", "--test-only"), 2, "not allowed with"),
    (("gray-scott", *ASKED, "--partition", "a b"), 2, "--partition 'a b'"),
    (("study.toml", *ASKED, "--array", "0-3"), 2, "leave --set and --array out"),
    (("study.toml", *ASKED, "--set", "time.steps=1"), 2, "leave --set and --array out"),
])  # fmt: skip
def test_what_is_wrong_is_told_and_nothing_printed(
    said: Callable[..., tuple[int, str, str]], words: tuple[str, ...], code: int, text: str
) -> None:
    Path("study.toml").write_text('case = "gray-scott"\n[vary]\nparameters.F = [0.03, 0.04]\n')
    found, out, told = said(*words)
    assert (found, out) == (code, "")
    assert text in told


def test_a_sweep_is_one_job_of_all_its_members(said: Callable[..., tuple[int, str, str]]) -> None:
    Path("study.toml").write_text(
        'case = "gray-scott"\nranks = 2\n[set]\ntime.steps = 10\n[vary]\nparameters.F = [0.03, 0.04, 0.05]\n'
    )
    code, out, told = said("study.toml")
    assert code == 0
    assert "#SBATCH --ntasks=6\n" in out
    assert 'sweep study.toml -o "$result" --resume\n' in out
    assert "result=study\n" in out
    assert "planned: 6 ranks" in told


def test_gpus_are_asked_for_with_a_warning(said: Callable[..., tuple[int, str, str]]) -> None:
    code, out, told = said("gray-scott", *ASKED, "--gpus", "2")
    assert code == 0
    assert "#SBATCH --gpus-per-node=2\n" in out
    assert "stay idle" in told


def test_names_that_begin_with_a_dash_or_hold_the_index(said: Callable[..., tuple[int, str, str]]) -> None:
    case = 'equation = "heat"\n[grid.x]\ncells = 8\nrange = [0, 1]\n[initial]\nu = "x"\n[time]\nsteps = 2\n'
    for name in ("-a.toml", "case-0.toml"):
        Path(name).write_text(case)
    assert 'run ./-a.toml -o "$result"' in said("./-a.toml", *ASKED)[1]
    code, out, told = said("case-{task}.toml", *ASKED, "--array", "0-3")
    assert (code, told) == (0, "")
    assert 'run case-"${SLURM_ARRAY_TASK_ID}".toml' in out
