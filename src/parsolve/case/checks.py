"""Contradictions between the keys of a case."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from parsolve.case.tables import WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.case.origin import Origin
    from parsolve.case.schema import Axis, Case, SideCondition

SCHEMA = 1
SOONEST = 1  # seconds of a watchdog
SMALLEST = 1e-36  # cells, and one over it the largest: their eighth power is a floating-point number
AXES = ("x", "y", "z")
COMMON = ("every", "every_steps", "show")  # keys of [measure] that are no measures
WINDOW = ("every", "every_steps", "from")  # keys of [average] that are no averages
SIDES = tuple(axis + end for axis in AXES for end in ("min", "max"))


def check_tables(data: Mapping[str, object], origin: Origin) -> None:
    """Raise for what would be told less well, or be taken, if only types were looked at.

    Raises:
        CaseError: another schema, a key that is ours, a side where a field is due.
    """
    version = data.get("schema", SCHEMA)
    if version != SCHEMA:
        raise origin.error("schema", f"this version of parsolve reads schema {SCHEMA}, not {version!r}")
    if "origin" in data:
        raise origin.unknown("origin", ())
    boundary = data.get("boundary")
    for side in boundary if isinstance(boundary, Mapping) else ():
        if side in SIDES:
            raise origin.error(f"boundary.{side}", f"name the field first, as in boundary.u.{side}")


def check_case(case: Case) -> None:
    """Raise the first contradiction between keys.

    Raises:
        CaseError: with the key and what to give.
    """
    origin = case.origin
    _check_grid(case.grid, origin)
    _check_texts(case)
    if not case.equation and not case.evolve:
        raise origin.error("equation", "missing; `parsolve list equations` shows the names, or write [evolve]")
    if case.equation and case.evolve:
        raise origin.error("evolve", f"the case has equation = '{case.equation}' already; give one of the two")
    if case.equation and (case.define or case.fields):
        raise origin.error("define" if case.define else "fields", "belongs to [evolve], not to a catalogue equation")
    _exactly_one(origin, "time", case.time, ("end", "steps"))
    if case.time.tolerance is not None and case.time.dt != "auto":
        raise origin.error("time.dt", "give either dt or tolerance: with tolerance the step is chosen")
    if case.output.compression is not None and case.output.keep_frames:
        raise origin.error("output.compression", "frames stay as they are: leave out keep_frames, or compression")
    if case.output.every is not None and case.output.every_steps is not None:
        raise origin.error("output.every_steps", "give either every or every_steps, not both")
    _check_checkpoint(case)
    _check_measures(case)
    _check_slices(case)
    _check_averages(case)
    _check_whole(case)
    for name in case.run.processes or {}:
        if name not in case.grid:
            raise origin.error(f"run.processes.{name}", "no such axis in [grid]", case.grid)
    for field, sides in case.boundary.items():
        for side, condition in sides.items():
            _check_side(case, f"boundary.{field}.{side}", side, condition)


def _check_checkpoint(case: Case) -> None:
    kept = case.checkpoint
    durations = {"run.walltime": case.run.walltime, "run.watchdog": case.run.watchdog}
    durations["stop.walltime"] = case.stop.walltime if case.stop else None
    if kept is not None:
        _exactly_one(case.origin, "checkpoint", kept, ("every", "every_steps"))
        durations["checkpoint.every"] = kept.every if isinstance(kept.every, str) else None
        if kept.keep < 2:
            raise case.error("checkpoint.keep", "two complete checkpoints are kept always: give 2 or more")
    for key, text in durations.items():
        if text is not None and not seconds_of(text):
            raise case.error(key, f"'{text}' is no duration; write it as '30s', '10min', '2h', '1h30min' or '01:30:00'")
    if case.run.watchdog and seconds_of(case.run.watchdog) < SOONEST:
        raise case.error("run.watchdog", f"a step, frame or checkpoint may take so long: give {SOONEST}s or more")


def _check_measures(case: Case) -> None:
    """Refuse schedules and names in `[measure]` and `[stop]` that cannot be."""
    for key, said in case.measure.items():
        kinds = {"every": (float, int), "every_steps": (int, float), "show": (list,)}.get(key)
        if kinds is None and isinstance(said, float | int | list):
            raise case.error(f"measure.{key}", 'is an expression of reductions, such as "integral(u)"')
        is_wrong = isinstance(said, float | int) and (said <= 0 or (key == "every_steps" and not _is_whole(said)))
        if kinds is not None and (not isinstance(said, kinds) or is_wrong):
            due = {"every": "a time > 0", "every_steps": "a whole number of steps > 0", "show": "a list of measures"}[
                key
            ]
            raise case.error(f"measure.{key}", f"is {due}, and no measure can have this name")
    for name, measure in case.measures.items():
        if measure.every and measure.every_steps:
            raise case.error(f"measure.{name}", "give either every or every_steps, not both")
    if {"every", "every_steps"} <= case.measure.keys():
        raise case.error("measure.every_steps", "give either every or every_steps, not both")
    for name in case.shown:
        if name not in case.measures:
            raise case.error("measure.show", f"there is no measure '{name}'", case.measures)
    rules = case.stop
    if rules is not None and rules.when is not None and not case.measures:
        raise case.error("stop.when", "is a condition on measures, and there are none: give [measure]")


def _check_slices(case: Case) -> None:
    """Refuse schedules and places in `[slices]` that cannot be."""
    for name, said in case.slices.items():
        key, places = f"slices.{name}", said.places
        if not re.fullmatch(r"[A-Za-z]\w{0,31}", name, re.ASCII):
            raise case.error(key, "becomes part of a file's name: at most 32 letters, digits and _, a letter first")
        for axis in (*places, *(said.stride if isinstance(said.stride, dict) else ())):
            if axis not in case.grid:
                part = axis if axis in places else f"stride.{axis}"
                raise case.error(f"{key}.{part}", "no such axis in [grid]", case.grid)
        for axis, place in places.items():
            if isinstance(place, tuple) and place[0] >= place[1]:
                raise case.error(f"{key}.{axis}", f"must increase, got {list(place)}; a point is one number")
        if said.every and said.every_steps:
            raise case.error(f"{key}.every_steps", "give either every or every_steps, not both")
        if said.fields == []:
            raise case.error(f"{key}.fields", "there is none; leave it out for those of [output]")


def _check_averages(case: Case) -> None:
    """Refuse schedules and statistics in `[average]` that cannot be."""
    for key, said in case.average.items():
        if key in WINDOW and (not isinstance(said, float | int) or said < 0 or (said == 0 and key != "from")):
            due = "a number >= 0" if key == "from" else "a number > 0"
            raise case.error(f"average.{key}", f"is {due}, and no average can have this name")
        if key not in WINDOW and isinstance(said, float | int):
            raise case.error(f"average.{key}", 'is an expression, such as "u**2", or a table such as { max = "u" }')
    for name, average in case.averages.items():
        _exactly_one(case.origin, f"average.{name}", average, average.__struct_fields__)
    if case.averages:
        given = [key for key in ("every", "every_steps") if case.average.get(key)]
        if len(given) != 1:
            raise case.error("average", "give one of every (a time) and every_steps: when samples are taken")
        if not _is_whole(case.average.get("every_steps", 1)):
            raise case.error("average.every_steps", "is a whole number of steps")


def _is_whole(value: object) -> bool:
    return isinstance(value, float | int) and float(value).is_integer()


def _check_whole(case: Case) -> None:
    """Refuse in `[initial]` a `from` that is no result."""
    whole, key = case.initial.get(WHOLE), f"initial.{WHOLE}"
    if whole is None:
        return
    if isinstance(whole, str | float) or whole.array is not None:
        raise case.error(key, "is the result whose fields are the initial values: give its name, such as 'old.h5'")
    if whole.dataset is not None:
        raise case.error(f"{key}.dataset", "all fields are taken, each by its name; leave it out")


def seconds_of(text: str) -> float:
    """The seconds of a duration as text: 30s, 10min, 1h30min, 2d, or [days-]hours:minutes:seconds as Slurm has it.

    0 of anything else.
    """
    clock = re.fullmatch(r"(?:(\d{1,5})-)?(\d{1,6}):(\d{1,2}):(\d{1,2})", text, re.ASCII)
    if clock:
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?) ?(d|h|min|s)", text, re.ASCII)
    if not parts or "".join(text.split()) != "".join(number + unit for number, unit in parts):
        return 0.0
    return sum(float(number) * {"d": 86400, "h": 3600, "min": 60, "s": 1}[unit] for number, unit in parts)


def _check_grid(grid: Mapping[str, Axis], origin: Origin) -> None:
    for name in grid:
        if name in ("r", "theta", "phi", "rho"):
            raise origin.error(
                f"grid.{name}",
                "grids are Cartesian, with axes x, y, z; for the radius take x, with div(x*grad(u))/x for laplace(u)",
            )
        if name not in AXES:
            raise origin.unknown(f"grid.{name}", AXES)
    if not grid or tuple(grid) != AXES[: len(grid)]:
        raise origin.error("grid", f"axes must be x; x, y; or x, y, z: got {', '.join(grid) or 'none'}")
    for name, axis in grid.items():
        if axis.range[0] >= axis.range[1]:
            raise origin.error(f"grid.{name}.range", f"must increase, got {list(axis.range)}")
        low, high = axis.range
        width = (high - low) / axis.cells
        if not math.isfinite(width) or low + width <= low or high - width >= high:
            problem = f"cells of {width:.3g} cannot be told apart at {max(map(abs, axis.range)):.3g}"
            raise origin.error(f"grid.{name}.range", problem)
        if not SMALLEST <= width <= 1 / SMALLEST:
            problem = f"derivatives over cells of {width:.3g} are beyond floating-point numbers; choose another unit"
            raise origin.error(f"grid.{name}.range", problem)


def _check_texts(case: Case) -> None:
    """Raise for a NUL in a text that becomes one of HDF5, where it would be the end, and for what is no Unicode."""
    values = {f"initial.{name}": value for name, value in case.initial.items()}
    values |= {f"fields.{name}": value for name, value in case.fields.items()}
    sides = {f"boundary.{f}.{s}": side for f, sides in case.boundary.items() for s, side in sides.items()}
    values |= {f"{k}.{n}": getattr(s, n) for k, s in sides.items() for n in ("dirichlet", "neumann", "curvature")}
    texts = {f"{key}.dataset": str(getattr(value, "dataset", "")) for key, value in values.items()}
    for name in case.units:
        meaning, given = case.meaning(name), case.units[name]
        texts |= {f"units.{name}": given} if isinstance(given, str) else {}
        texts |= {f"units.{name}.unit": meaning.unit, f"units.{name}.name": meaning.name}
    for key, text in texts.items():
        if "\0" in text:
            raise case.error(key, "there is a zero byte (NUL) in this text; leave it out")
        if text.encode("utf-8", "ignore").decode() != text:
            raise case.error(key, "there are bytes in this text that are no Unicode; leave them out")


def _check_side(case: Case, key: str, side: str, condition: SideCondition) -> None:
    """Raise if the side does not exist or is periodic, or its condition is ambiguous or empty."""
    if side not in SIDES:
        raise case.origin.unknown(key, SIDES)
    axis = case.grid.get(side[0])
    if axis is None:
        sides = [side for side in SIDES if side[0] in case.grid]
        raise case.error(key, f"the grid has no axis {side[0]}; sides are {', '.join(sides)}")
    if axis.periodic:
        raise case.error(key, f"axis {side[0]} is periodic, so it has no boundary")
    _exactly_one(case.origin, key, condition, ("dirichlet", "neumann", "curvature", "robin", "outflow"))
    if condition.robin is not None and condition.robin[:2] == (0.0, 0.0):
        raise case.error(f"{key}.robin", "a and b of a u + b du/dn = c are both zero")


def _exactly_one(origin: Origin, key: str, struct: object, names: Sequence[str]) -> None:
    given = [name for name in names if getattr(struct, name) is not None]
    if not given:
        raise origin.error(key, f"missing: give one of {', '.join(names)}")
    if len(given) > 1:
        raise origin.error(f"{key}.{given[1]}", f"give one of {', '.join(names)}, and {given[0]} is given")
