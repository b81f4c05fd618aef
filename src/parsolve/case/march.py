"""What of a case makes its march, and the case as text that can be read from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from parsolve.case.array import ARRAY
from parsolve.case.tables import anchor_files, flat, parse

if TYPE_CHECKING:
    from parsolve.case import Case

# Keys and tables that change no value at a time that is reached either way.
FREE = {"time.end", "time.steps", "output", "stop", "checkpoint", "title", "units", "run.processes", "run.threads",
        "run.pipeline", "run.walltime", "run.watchdog", "run.require_compiled", "run.check_every",
        "run.device"}  # fmt: skip
# Those by which a problem is computed: values may go on with others, the march cannot.
NUMERICS = (
    *(f"grid.{axis}.cells" for axis in "xyz"), "run.order", "run.precision",
    *(f"time.{key}" for key in ("scheme", "dt", "tolerance", "unstable")),
)  # fmt: skip


def text_of(case: Case) -> str:
    """The resolved case as TOML, arrays by their descriptions, files by whole paths if there are none."""
    tables = case.to_dict()
    if not case.has_arrays:
        anchor_files(tables, Path.cwd(), Path.resolve)
    tables["run"].pop("walltime", None)  # of a job, not of the march
    text: str = tomli_w.dumps(tables)
    return text


def is_array(value: object) -> bool:
    """Whether a value of a case's tables describes an array given from Python."""
    return isinstance(value, dict) and str(value.get("file")).startswith(ARRAY)


def changed(before: str, now: str, resample: bool = False) -> str | None:
    """The first key by which two cases, as ``text_of`` gives them, do not have the same march; None if they have.

    To ``resample``, the same problem is enough.
    """
    others = (*FREE, *NUMERICS) if resample else FREE
    old, new = (flat(parse("case", text)) for text in (before, now))
    for key in sorted({*old, *new}):
        dropped = resample and key.startswith("initial.") and is_array(old.get(key))
        if old.get(key) != new.get(key) and not dropped and not any(f"{key}.".startswith(f"{f}.") for f in others):
            return key
    return None
