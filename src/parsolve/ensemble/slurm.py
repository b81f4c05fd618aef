"""Batch scripts for Slurm: a case that stops itself in time, is put back into the queue, and goes on.

A run that exits with 75 has stopped with a checkpoint. The script then asks for its job to be queued again
(slurm.schedmd.com/scontrol.html, requeue), unless it was cancelled, made no checkpoint, or has come back too often.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterable

STOPPED, MARGIN = 75, 180
TASK = "{task}"  # in words of an array job: the index of the task
_INDEX = '"${SLURM_ARRAY_TASK_ID}"'

# What a directive may hold: sbatch reads its line as words, and no shell quotes it.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}"
_ALLOWED = {
    "name": (_NAME, "letters, digits and . _ + -"),
    "partition": (rf"{_NAME}(,{_NAME})*", "names with commas between them"),
    "account": (_NAME, "letters, digits and . _ + -"),
    "qos": (_NAME, "letters, digits and . _ + -"),
    "constraint": (r"[A-Za-z0-9][A-Za-z0-9._+&|,:\[\]*-]{0,127}", "features with & or | between them"),
    "time": (r"\d{1,6}(-\d{1,2}(:\d{1,2}){0,2}|(:\d{1,2}){0,2})", "minutes, hours:minutes:seconds or days-hours"),
    "array": (r"\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?", "indices as 0-9, 1,3,5 or 0-99%10"),
    "mail": (r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9][A-Za-z0-9.-]*", "an address"),
    "mail_type": (r"[A-Z_0-9]+(,[A-Z_0-9]+)*", "as END,FAIL"),
    "dependency": (r"[a-z]+(:\d+(_\d+)?)*([,?][a-z]+(:\d+(_\d+)?)*)*", "as afterok:123"),
    "mpi": (_NAME, "a word of `srun --mpi=list`"),
    "module": (r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,127}", "letters, digits and . _ + / -"),
}


@dataclass(frozen=True)
class Job:
    """What a batch script asks for and runs.

    Attributes:
        name: of the job.
        case: file or name of the case; ``{task}`` in it, in ``output`` and in ``sets`` is the index in an array job.
        output: the result.
        ranks: of MPI.
        nodes: None: as many as Slurm takes.
        threads: of a rank, each on a core of its own.
        gpus: of a node.
        time: limit, as Slurm writes it.
        memory: MiB of a core; None: as the site has it.
        margin: seconds before the limit at which the run is told to stop.
        requeues: how often the job comes back at most.
        modules: to be loaded.
        container: image in which the program is.
        python: that runs it.
        sets: keys overridden.
        is_sweep: the case is the file of a sweep, and the output its folder.
    """

    name: str
    case: str
    output: str
    ranks: int
    time: str
    nodes: int | None = None
    threads: int = 1
    gpus: int = 0
    memory: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    array: str | None = None
    mail: str | None = None
    mail_type: str = "END,FAIL"
    dependency: str | None = None
    exclusive: bool = False
    margin: int = MARGIN
    requeues: int = 20
    mpi: str = "pmix"
    modules: tuple[str, ...] = ()
    container: str | None = None
    python: str = "python"
    sets: tuple[str, ...] = ()
    is_sweep: bool = False


def script(job: Job) -> str:
    """Return the batch script of a job.

    Raises:
        CaseError: a value cannot stand in a directive, or holds what no name holds.
    """
    _check(job)
    return "\n".join([*_directives(job), "", *_setup(job), "", *_body(job), ""])


def job_name(text: str) -> str:
    """Return the text as the name of a job."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", text.replace(TASK, "")).strip("._+-")[:100] or "parsolve"


def usual_margin(time: str) -> int:
    """Return the seconds before a limit at which a run is told to stop: a quarter of it, and MARGIN at most."""
    return min(MARGIN, _seconds(time) // 4) if re.fullmatch(_ALLOWED["time"][0], time, re.ASCII) else MARGIN


def _check(job: Job) -> None:
    """Refuse values that a directive or a word of the shell cannot hold.

    Raises:
        CaseError: the first of them.
    """
    for field, (pattern, what) in _ALLOWED.items():
        given = job.modules if field == "module" else (getattr(job, field, None),)
        for value in given:
            if value is not None and not re.fullmatch(pattern, value, re.ASCII):
                raise CaseError(f"--{field.replace('_', '-')} {value!r}: expected {what}")
    words = {"case": job.case, "--output": job.output, "--container": job.container, "python": job.python}
    for name, word in [*words.items(), *(("--set", text) for text in job.sets)]:
        if word is not None and re.search(r"[\0-\x08\x0a-\x1f\x7f\x85\u2028\u2029]", word):
            raise CaseError(f"{name} {word!r}: has a line end or another control character")
        if word is not None and word.startswith("-"):
            raise CaseError(f"{name} {word!r}: begins with '-'; write './{word}' for a file")
        if word is not None and TASK in word and job.array is None:
            raise CaseError(f"{name} {word!r}: {TASK} is for array jobs; give --array")
    if 2 * job.margin > _seconds(job.time):
        raise CaseError(
            f"--margin {job.margin}: is more than half of --time {job.time}; give more time, or less margin"
        )
    if job.nodes is not None and job.nodes > job.ranks:
        raise CaseError(f"--nodes {job.nodes}: there are only {job.ranks} ranks")
    if job.array is not None and TASK not in job.output:
        raise CaseError(f"-o {job.output}: the tasks of an array would write the same result; put {TASK} into its name")


def _seconds(text: str) -> int:
    """The seconds of a time as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours, ..."""
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _directives(job: Job) -> list[str]:
    """The lines that sbatch reads."""
    log = "%x-%A_%a.out" if job.array else "%x-%j.out"
    spread = job.nodes is not None and job.ranks % job.nodes == 0
    options = [
        ("job-name", job.name), ("nodes", job.nodes), ("ntasks", job.ranks),
        ("ntasks-per-node", job.ranks // job.nodes if job.nodes and spread else None),
        ("cpus-per-task", job.threads), ("gpus-per-node", job.gpus or None),
        ("mem-per-cpu", f"{job.memory}M" if job.memory else None), ("time", job.time), ("partition", job.partition),
        ("account", job.account), ("qos", job.qos), ("constraint", job.constraint), ("array", job.array),
        ("dependency", job.dependency), ("exclusive", "" if job.exclusive else None),
        ("output", log), ("open-mode", "append"), ("signal", f"USR1@{job.margin}"), ("requeue", ""),
        ("mail-user", job.mail), ("mail-type", job.mail_type if job.mail else None),
    ]  # fmt: skip
    lines = [f"#SBATCH --{key}" + (f"={value}" if value != "" else "") for key, value in options if value is not None]
    return ["#!/bin/bash", *lines]


def _setup(job: Job) -> list[str]:
    """The environment of the run."""
    loaded = [f"module load {' '.join(job.modules)} || exit 3"] if job.modules else []
    return [
        *loaded,
        "set -u",
        "# The task of an array is named so: the number of one of them is that of all.",
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
        "job=${job:-$SLURM_JOB_ID}",
        'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
        'export SRUN_CPUS_PER_TASK="$OMP_NUM_THREADS" # srun does not take it from the job',
        "# The run stops itself before this; older Slurms do not say it.",
        'end=$(SLURM_TIME_FORMAT=standard squeue -h -j "$job" -o %e) && end=$(date -d "$end" +%s) || end=""',
        'export SLURM_JOB_END_TIME="${SLURM_JOB_END_TIME:-$end}"',
    ]


def _body(job: Job) -> list[str]:
    """Compile, run, and come back if there is more to do."""
    inside = ["apptainer", "exec", *(["--nv"] if job.gpus else []), job.container] if job.container else []
    program = [*map(_word, inside), _word(job.python), "-m", "parsolve"]
    sets = [part for text in job.sets for part in ("--set", _word(text))]
    binding = ["--cpu-bind=cores", *(["--gpu-bind=closest"] if job.gpus else [])]
    start = ["srun", f"--mpi={job.mpi}", *binding, "--kill-on-bad-exit=1"]
    run = [*start, '"${parsolve[@]}"', "sweep" if job.is_sweep else "run"]
    frames = ".frames*/checkpoint-*.json"
    kept = f'"$result"/*/member.json "$result"/*/*{frames}' if job.is_sweep else f'"$result"{frames}'
    compiled = [f'"${{parsolve[@]}}" compile {" ".join([_word(job.case), *sets])} || exit']
    return [
        f"result={_word(job.output)}",
        f"parsolve=({' '.join(program)})",
        # Which checkpoints there are: each has a name of its own.
        f'checkpoints() {{ printf "%s\\n" {kept}; }}',
        "",
        *([] if job.is_sweep else compiled),
        "before=$(checkpoints)",
        " ".join([*run, _word(job.case), '-o "$result" --resume', *sets]),
        "code=$?",
        '[ "$code" -ne 0 ] || exit 0',
        *_STOPPED,
        "# The controller may be away for a moment, as when it is started again.",
        'patiently() { for pause in 2 5 10 20 0; do "$@" && return; sleep "$pause"; done; return 1; }',
        "",
        'if [ "$(checkpoints)" = "$before" ]; then',
        '    echo "parsolve: no checkpoint since the job began, so it is not queued again; give it more time" >&2',
        f'elif [ "${{SLURM_RESTART_COUNT:-0}}" -ge {job.requeues} ]; then',
        f'    echo "parsolve: queued again {job.requeues} times; submit the script again to go on" >&2',
        'elif [ "$(patiently squeue -h -j "$job" -o %T)" = RUNNING ]; then # it was not cancelled',
        '    patiently scontrol requeue "$job" && exit',
        "fi",
        f"exit {STOPPED}",
    ]


_STOPPED = [
    "# srun may have ended ranks that were stopping: then it returns another code.",
    'stopped() { "${parsolve[@]}" status "$result" --json 2>/dev/null | grep -q \'"stopped"\'; }',
    f'[ "$code" -eq {STOPPED} ] || {{ [ "$code" -gt 128 ] && stopped; }} || exit "$code"',
]


def _word(text: str) -> str:
    """A text as one word of the shell, with the index of an array job where it is asked for."""
    return _INDEX.join(shlex.quote(part) if part else "" for part in text.split(TASK)) or "''"


def chosen_mpi(offered: Iterable[str], library: str) -> str:
    """Return the way of srun to start ranks that suits an MPI library best; pmix if srun says nothing.

    MPICH from PyPI and Intel's know PMI-2, Open MPI knows PMIx alone.

    Args:
        offered: the words of `srun --mpi=list`.
        library: what the MPI library says that it is.
    """
    there = set(offered)
    wanted = ("pmix", "pmi2") if library.startswith("Open MPI") else ("pmi2", "pmix", "cray_shasta")
    return next((name for name in wanted if name in there), "pmix" if library.startswith("Open MPI") else "pmi2")
