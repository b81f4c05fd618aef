"""Batch scripts: as the golden ones, and no text of a user becomes a directive or a command."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest

from parsolve.ensemble.slurm import Job, chosen_mpi, job_name, script, usual_margin
from parsolve.errors import CaseError

SCRIPTS = Path(__file__).parents[2] / "scripts"
ONE = Job("heat", "heat.toml", "heat.h5", 16, "4:00:00", nodes=1, memory=500, partition="main")
GOLDEN = {
    "one-node": ONE,
    "nodes": replace(ONE, ranks=256, nodes=4, threads=2, time="1-00:00:00", account="physics", exclusive=True,
                     modules=("gcc/13.2", "mpich/4.2"), mail="ada@example.org", mpi="pmi2"),
    "gpu": replace(ONE, ranks=4, gpus=4, partition="gpu", sets=("run.precision=float32",)),
    "array": replace(ONE, output="heat-{task}.h5", array="0-99%10", sets=("parameters.D=0.{task}",)),
    "sweep": replace(ONE, case="study.toml", output="study", is_sweep=True),
    "container": replace(ONE, container="parsolve.sif", mpi="pmi2"),
}  # fmt: skip
CANARY = "CANARY"
PAYLOADS = [
    "$(touch CANARY)", "`touch CANARY`", "a;touch CANARY", "a&touch CANARY", "a&&touch CANARY", "a|touch CANARY",
    "a||touch CANARY", "a\ntouch CANARY", "a\r\ntouch CANARY", "a\rtouch CANARY", "'; touch CANARY; '",
    '"; touch CANARY; "', "a' $(touch CANARY) 'b", 'a" $(touch CANARY) "b', "${IFS}touch${IFS}CANARY", "a\\\ntouch CANARY",
    "a\0touch CANARY", "a\u2028touch CANARY", "a\u2029touch CANARY", "a\x85touch CANARY", "a\x0btouch CANARY",
    "a\x0ctouch CANARY", "a\n#SBATCH --wrap=CANARY", "#SBATCH --wrap=CANARY", "a #SBATCH --uid=0", "a --uid=0", "--uid=0",
    "-x", "-", "~", "*", "?", "[a-z]*", "{touch,CANARY}", "<(touch CANARY)", ">CANARY", "a>CANARY", "a>>CANARY",
    "!touch", "a\ttouch CANARY", "\x1b[2Ja", "%(touch CANARY)", "$((a[$(touch CANARY)]))", "\\", "'", '"', " ", "",
    "é\u202etouch CANARY", "{task}$(touch CANARY)", "a\n\nEOF\ntouch CANARY", "x" * 5000,
]  # fmt: skip
TEXTS = [f.name for f in fields(Job) if "str" in str(f.type) and f.name not in ("modules", "sets")]


@pytest.mark.parametrize("name", GOLDEN)
def test_it_is_the_golden_one(name: str) -> None:
    assert script(GOLDEN[name]) == (SCRIPTS / f"{name}.sbatch").read_text()


def test_every_script_is_one_of_these() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.sbatch")} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing(name: str) -> None:
    done = subprocess.run(["shellcheck", "-s", "bash", "-"], input=script(GOLDEN[name]), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def jobs(payload: str) -> list[tuple[str, Job]]:
    """A job for each text that has the payload."""
    found = [(name, replace(ONE, **{name: payload})) for name in TEXTS]
    found += [(name, replace(ONE, **{name: (payload,)})) for name in ("modules", "sets")]
    array = replace(ONE, array="0-3", output="a-{task}.h5")
    return [*found, ("array sets", replace(array, sets=(payload,))), ("array case", replace(array, case=payload))]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_is_run_or_becomes_a_directive(payload: str, tmp_path: Path) -> None:
    """It is refused, or reaches the program as the one word that it is."""
    scripts, expected, refused = [], [], []
    for name, job in jobs(payload):
        try:
            text = script(job)
        except CaseError as error:
            refused.append(str(error))
            continue
        directives = [line for line in text.splitlines() if line.startswith("#SBATCH")]
        plain = script(replace(ONE, array=job.array, output=job.output if job.array else ONE.output)).splitlines()
        known = {line.partition("=")[0] for line in plain} | {"#SBATCH --mail-user", "#SBATCH --mail-type"}
        known |= {f"#SBATCH --{name}" for name in TEXTS}
        assert {line.partition("=")[0] for line in directives} <= known
        scripts.append(text)
        if name in ("case", "sets", "array sets", "array case"):
            expected.append(payload.replace("{task}", "7") if job.array else payload)
    assert not any("\n" in text for text in refused)
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("srun", "squeue", "scontrol", "module", "python", "apptainer", "date"):
        (stubs / name).write_text('#!/bin/bash\nfor word in "$@"; do printf "%s\\n" "$word" >> "$SAID"; done\n')
        (stubs / name).chmod(0o755)
    said = tmp_path / "said"
    environment = {"PATH": f"{stubs}:/usr/bin:/bin", "SAID": str(said), "SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "7"}
    for text in scripts:
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
        subprocess.run(["bash", "-s"], input=text, text=True, check=False, cwd=tmp_path, env=environment,
                       capture_output=True)  # fmt: skip
    assert not [path for path in tmp_path.rglob("*") if CANARY in path.name]
    words = said.read_text().splitlines() if said.exists() else []
    assert all(word in words for word in expected)


@pytest.mark.parametrize(
    "key", ["partition", "account", "qos", "time", "array", "mail", "dependency", "mpi"], ids="--{}".format
)
def test_what_a_directive_cannot_hold_is_refused_by_its_option(key: str) -> None:
    with pytest.raises(CaseError, match=f"^--{key} 'a b\\$': expected "):
        script(replace(ONE, **{key: "a b$"}))


@pytest.mark.parametrize(("change", "text"), [
    ({"nodes": 17}, "--nodes 17: there are only 16 ranks"),
    ({"sets": ("time.steps={task}",)}, "{task} is for array jobs; give --array"),
    ({"time": "5"}, "--margin 180: is more than half of --time 5"),
    ({"time": "0:10:00", "margin": 301}, "--margin 301: is more than half of --time 0:10:00"),
    ({"array": "0-9"}, "the tasks of an array would write the same result"),
])  # fmt: skip
def test_what_makes_no_job_is_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(CaseError) as caught:
        script(replace(ONE, **change))  # type: ignore[arg-type]
    assert text in str(caught.value)


@pytest.mark.parametrize(("text", "name"), [
    ("heat", "heat"), ("my case (2)", "my_case__2"), ("heat-{task}", "heat"), ("$(rm)", "rm"), ("", "parsolve"),
    ("é", "parsolve"), ("x" * 500, "x" * 100),
])  # fmt: skip
def test_a_name_is_made_of_any_text(text: str, name: str) -> None:
    assert job_name(text) == name
    script(replace(ONE, name=job_name(text)))


@pytest.mark.parametrize(("offered", "library", "chosen"), [
    (["pmix", "pmi2", "none"], "MPICH Version: 5.0", "pmi2"), (["pmix", "none"], "MPICH Version: 5.0", "pmix"),
    (["pmix", "pmi2"], "Open MPI v5.0", "pmix"), ([], "Open MPI v5.0", "pmix"), ([], "", "pmi2"),
])  # fmt: skip
def test_the_way_to_start_suits_the_library(offered: list[str], library: str, chosen: str) -> None:
    assert chosen_mpi(offered, library) == chosen


@pytest.mark.parametrize(("time", "margin"), [
    ("60", 180), ("4:00", 60), ("1:00:00", 180), ("1-0", 180), ("0-0:8", 120), ("0-00:00:40", 10), ("x", 180),
])  # fmt: skip
def test_the_margin_is_a_part_of_a_short_time(time: str, margin: int) -> None:
    assert usual_margin(time) == margin


def run_under_stubs(tmp_path: Path, codes: dict[str, str], job: Job = ONE) -> tuple[int, list[str], str]:
    """Exit code of the script, what was asked of scontrol, and errors, where srun and others do as told."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    told = {
        "srun": "exit 0",
        "squeue": "echo RUNNING",
        "scontrol": f'echo "$@" >> {tmp_path}/scontrol',
        "python": "exit 0",
        "sleep": "",
    }
    for name, body in (told | codes).items():
        (stubs / name).write_text(f"#!/bin/bash\n{body}\n")
        (stubs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-s"], input=script(job), text=True, check=False, cwd=tmp_path, capture_output=True,
        env=os.environ | {"PATH": f"{stubs}:/usr/bin:/bin", "SLURM_JOB_ID": "5"},
    )  # fmt: skip
    asked = tmp_path / "scontrol"
    return done.returncode, asked.read_text().splitlines() if asked.exists() else [], done.stderr


KEPT = "mkdir -p heat.h5.frames; touch heat.h5.frames/checkpoint-000000009.json; "
STOPPED = """case "$*" in *status*) echo '{"state": "stopped"}';; esac"""


@pytest.mark.parametrize(("codes", "code", "asked", "told"), [
    ({}, 0, [], ""),
    ({"srun": "exit 4"}, 4, [], ""),
    ({"srun": KEPT + "exit 75"}, 0, ["requeue 5"], ""),
    ({"srun": KEPT + "exit 137", "python": STOPPED}, 0, ["requeue 5"], ""),
    ({"srun": KEPT + "exit 137"}, 137, [], ""),
    ({"srun": KEPT + "exit 2", "python": STOPPED}, 2, [], ""),
    ({"srun": "exit 75"}, 75, [], "no checkpoint since the job began"),
    ({"srun": KEPT + "exit 75", "squeue": "echo COMPLETING"}, 75, [], ""),
    ({"srun": KEPT + "exit 75", "scontrol": "exit 1"}, 75, [], ""),
    ({"python": "exit 2", "srun": "exit 99"}, 2, [], ""),
])  # fmt: skip
def test_it_comes_back_only_if_there_is_more_to_do(
    tmp_path: Path, codes: dict[str, str], code: int, asked: list[str], told: str
) -> None:
    found = run_under_stubs(tmp_path, codes)
    assert found[:2] == (code, asked)
    assert told in found[2]


def test_a_controller_that_is_away_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    """It answers at the third time."""

    def later(name: str, answer: str) -> str:
        return f"echo x >> {tmp_path}/{name}.asked; [ $(wc -l < {tmp_path}/{name}.asked) -ge 3 ] && {answer}"

    asked = f'echo "$@" >> {tmp_path}/scontrol'
    stubs = {"srun": KEPT + "exit 75", "squeue": later("squeue", "echo RUNNING"), "scontrol": later("scontrol", asked)}
    assert run_under_stubs(tmp_path, stubs)[:2] == (0, ["requeue 5"])


def test_a_task_of_an_array_is_named_by_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of the job may be that of all tasks: these do not come back."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    stubs = {"srun": KEPT.replace("heat", "heat-3") + "exit 75", "squeue": '[ "$3" = 5_3 ] && echo RUNNING'}
    job = GOLDEN["array"]
    assert run_under_stubs(tmp_path, stubs, job)[:2] == (0, ["requeue 5_3"])


def test_a_sweep_comes_back_too(tmp_path: Path) -> None:
    kept = "mkdir -p study/1; touch study/1/member.json; "
    stubs = {"srun": kept + "exit 143", "python": """echo '{"members": {"0": "stopped"}}'"""}
    assert run_under_stubs(tmp_path, stubs, GOLDEN["sweep"])[:2] == (0, ["requeue 5"])
