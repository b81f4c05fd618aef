"""Values that keys of a case cannot have: wrong types, ends of ranges, numbers too large, unknown and clashing keys."""

from __future__ import annotations

from hostile.given import Input, setting

SAMPLES = {
    "text": "'abc de'",
    "empty": "''",
    "count": "2",
    "number": "0.25",
    "zero": "0",
    "negative": "-1",
    "large": "1" + "0" * 30,
    "huge": "1e400",
    "nan": "nan",
    "flag": "true",
    "date": "2026-01-01",
    "list": "[[1], {}]",
    "nothing": "[]",
    "table": "{ a = { b = 1 } }",
}
TEXT, COUNT, FLAG = {"text", "empty"}, {"count", "large"}, {"flag"}
POSITIVE = {"count", "number", "large"}
NUMBER = POSITIVE | {"zero", "negative"}
# Each key in the words of `--set`, and which samples may stand there.
KEYS: dict[str, set[str]] = {
    "title": TEXT,
    "schema": set(),
    "equation": set(),
    "grid": set(),
    "grid.x": set(),
    "grid.x.cells": COUNT,
    "grid.x.range": set(),
    "grid.x.periodic": FLAG,
    "parameters": set(),
    "parameters.D": NUMBER,
    "initial": set(),
    "initial.u": NUMBER,
    "boundary": set(),
    "boundary.u": set(),
    "boundary.u.xmin": set(),
    "boundary.u.xmin.dirichlet": NUMBER,
    "boundary.u.xmin.neumann": NUMBER,
    "boundary.u.xmin.curvature": NUMBER,
    "boundary.u.xmin.robin": set(),
    "boundary.u.xmin.outflow": set(),
    "time": set(),
    "time.end": POSITIVE,
    "time.steps": COUNT,
    "time.scheme": set(),
    "time.dt": POSITIVE,
    "time.tolerance": POSITIVE,
    "time.unstable": set(),
    "output": set(),
    "output.every": POSITIVE,
    "output.every_steps": COUNT,
    "output.fields": {"nothing"},
    "output.keep_frames": FLAG,
    "run": set(),
    "run.order": {"count"},
    "run.precision": set(),
    "run.device": set(),
    "run.processes": set(),
    "run.processes.x": COUNT,
    "run.check_every": COUNT,
    "run.pipeline": set(),
    "run.pipeline.steps": COUNT,
    "run.pipeline.tile": set(),
    "run.threads": COUNT,
    "run.require_compiled": FLAG,
}
WRONG_TYPES = [
    setting(f"{key}={sample}", words=(key,), command="check", about=kind)
    for key, right in KEYS.items()
    for kind, sample in SAMPLES.items()
    if kind not in right
]
INPUTS: list[Input] = [*WRONG_TYPES]
