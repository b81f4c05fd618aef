"""The case file as typed, validated data: no physics, no MPI.

A case is TOML text. Every problem found in it is a `CaseError` that names the file, the line where it is
known, the key, and the nearest valid choice. What depends on the equation (its parameters, fields) is checked
where the equation is known, through `Case.error`, so that those messages look the same.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from parsolve.case.tables import Origin, anchor_files, nearest, override, read_source
from parsolve.errors import CaseError

AXES = ("x", "y", "z")
SCHEMA = 1
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class FileValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cell values read from a file: HDF5 (with a data set's name), .npy or an image."""

    file: str
    dataset: str | None = None


Value = str | float | FileValue


class Axis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One axis of the grid: number of cells, lower and upper end."""

    cells: _Count
    range: tuple[float, float]
    periodic: bool | Literal["anti"] = False


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The boundary condition of one field on one side: exactly one of the four.

    dirichlet: u = value; neumann: du/dn = value, n pointing outwards; robin [a, b, c]: a u + b du/dn = c;
    curvature: d2u/dn2 = value. Values are numbers or expressions, in the first two and the last also files.
    """

    dirichlet: float | str | FileValue | None = None
    neumann: float | str | FileValue | None = None
    curvature: float | str | FileValue | None = None
    robin: tuple[float | str, float | str, float | str] | None = None


class Time(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to march (exactly one of end, steps), by which scheme and step."""

    end: _Positive | None = None
    steps: _Count | None = None
    scheme: str = "rk4"
    dt: _Positive | Literal["auto"] = "auto"
    tolerance: _Positive | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When frames are written, and of which fields; the first and last state always are."""

    every: _Positive | None = None
    every_steps: _Count | None = None
    keep_frames: bool = False
    fields: list[str] | None = None


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Passes through memory as they are asked for: steps of each, and the cells of a tile along the axes it is cut."""

    steps: _Count
    tile: tuple[_Count, _Count] | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the case is computed; the numbers written depend on order and precision only."""

    order: Literal[2, 4, 6, 8] = 2
    precision: Literal["float64", "float32"] = "float64"
    device: Literal["cpu", "numpy"] = "cpu"
    processes: dict[str, _Count] | None = None
    check_every: _Count = 96
    require_compiled: bool = False
    pipeline: Literal["auto", "off"] | Pipeline = "auto"
    threads: _Count | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole case; axes are in the order x, y, z whatever their order in the file."""

    grid: dict[str, Axis]
    time: Time
    schema: int = SCHEMA
    title: str = ""
    equation: str | None = None
    evolve: dict[str, str] = {}
    define: dict[str, str] = {}
    parameters: dict[str, float] = {}
    fields: dict[str, Value] = {}
    initial: dict[str, Value] = {}
    boundary: dict[str, dict[str, Condition]] = {}
    output: Output = Output()
    run: Run = Run()
    origin: Origin = Origin()

    @classmethod
    def load(cls, case: str | Path | None = None, overrides: Sequence[str] = ()) -> Case:
        """Return the case of a file, or of a packaged case's name (by default the default case).

        Args:
            case: path of a TOML file or name of a packaged case; an existing file wins.
            overrides: 'a.b=value' texts, later ones win; the value is TOML or, failing that, text.

        Raises:
            CaseError: the file cannot be read, or something in it or in an override is wrong.
        """
        name, content, folder = read_source(case)
        try:
            data = tomllib.loads(content)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise CaseError(f"{name}: not valid TOML: {error}") from None
        anchor_files(data, folder)
        keys = [override(data, text) for text in overrides]
        return cls.from_dict(data, Origin(name, content, tuple(keys)))

    @classmethod
    def from_dict(cls, data: Mapping[str, object], origin: Origin | None = None) -> Case:
        """Return the validated case of plain tables.

        Raises:
            CaseError: an unknown, missing or wrong key.
        """
        origin = origin or Origin()
        version = data.get("schema", SCHEMA)
        if version != SCHEMA:
            raise origin.error("schema", f"this version of parsolve reads schema {SCHEMA}, not {version!r}")
        _check_sides(data.get("boundary"), origin)
        case: Case = _build_struct(cls, data, "", origin)
        known = {name: case.grid[name] for name in AXES if name in case.grid}
        case = msgspec.structs.replace(case, origin=origin, grid=known | case.grid)
        _check(case)
        return case

    def error(self, key: str, problem: str, choices: Collection[str] = ()) -> CaseError:
        """Return an error about a dotted key of this case, with file, line and nearest choice."""
        return self.origin.error(key, problem, choices)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Put file and line before an error that begins with a key of this case."""
        try:
            yield
        except CaseError as error:
            key = str(error).partition(":")[0]
            place = self.origin.where(key)
            if " " in key or place == f"--set {key}":
                raise
            raise type(error)(f"{place}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the resolved case as plain tables, defaults written out, absent values left out."""
        plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, origin=Origin()))
        del plain["origin"]
        return {key: value for key, value in _without_none(plain).items() if value != {}}

    def to_toml(self) -> str:
        """Return the resolved case as TOML text; loading it gives the same case."""
        import tomli_w

        text: str = tomli_w.dumps(self.to_dict())
        return text

    @property
    def stem(self) -> str:
        """The case's short name, from which its output is named."""
        return Path(self.origin.name).stem or "case"


# building: plain tables -> structs

_EXAMPLES: dict[type, str] = {
    Axis: "{ cells = 64, range = [0.0, 1.0] }",
    Condition: "{ dirichlet = 0.0 }",
    FileValue: '{ file = "start.npy" }',
    Pipeline: "{ steps = 8, tile = [1, 32] }",
}
_WORDS = {"str": "text", "float": "a number", "int": "a whole number", "bool": "true or false",
          "array": "a list", "object": "a table", "null": "nothing"}  # fmt: skip
_TYPES = {str: "text", float: "number", int: "number", bool: "bool", list: "list", dict: "table"}


def _build_struct(kind: type, data: object, key: str, origin: Origin) -> Any:
    """Return a struct from a table; like msgspec.convert, but errors know the whole key."""
    if not isinstance(data, Mapping):
        example = f" such as {_EXAMPLES[kind]}" if kind in _EXAMPLES else ""
        raise origin.error(key, f"expected a table{example}, got {_show(data)}")
    hints = {k: v for k, v in get_type_hints(kind, include_extras=True).items() if v is not Origin}
    for name in data:
        if name not in hints:
            raise origin.unknown(_join(key, name), hints)
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in data:
            raise origin.error(_join(key, field.name), "missing")
    return kind(**{name: _build(hints[name], value, _join(key, name), origin) for name, value in data.items()})


def _build(kind: Any, data: object, key: str, origin: Origin) -> Any:
    """Return a value of the annotated type."""
    members = _members(kind)
    structs = [m for m in members if isinstance(m, type) and issubclass(m, msgspec.Struct)]
    if structs and (isinstance(data, Mapping) or len(members) == 1):
        return _build_struct(structs[0], data, key, origin)
    tables = [m for m in members if get_origin(m) is dict]
    if tables:
        if not isinstance(data, Mapping):
            raise origin.error(key, f"expected a table, got {_show(data)}")
        entry = get_args(tables[0])[1]
        return {name: _build(entry, value, _join(key, name), origin) for name, value in data.items()}
    try:
        value = msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _wrong(kind, data, key, str(error), origin) from None
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        raise origin.error(key, f"expected a finite number, got {_show(data)}")
    return value


def _wrong(kind: Any, data: object, key: str, message: str, origin: Origin) -> CaseError:
    """Return the error for a value of the wrong type, in the words of the case file."""
    choices = [str(c) for m in _members(kind) if get_origin(m) is Literal for c in get_args(m)]
    if choices:
        others = [_WORDS[m.__name__] for m in _members(kind) if m is bool]
        others += ["a number > 0" for m in _members(kind) if get_origin(m) is Annotated]
        tables = [f"a table such as {_EXAMPLES[m]}" for m in _members(kind) if m in _EXAMPLES]
        problem = f"expected {' or '.join(others + choices + tables)}, got {_show(data)}"
        hint = nearest(data, choices) if isinstance(data, str) else ""
        return origin.error(key, problem + (hint if "did you mean" in hint else ""))
    place = re.search(r" - at `\$(.*)`$", message)
    message = message[: place.start()] if place else message
    expected = re.sub(r"`([^`]*)`", lambda m: " or ".join(_WORDS.get(w, w) for w in m[1].split(" | ")), message)
    expected = re.sub(r" or nothing\b|, got .*$", "", expected.replace("Expected", "expected")).replace(" 0.0", " 0")
    return origin.error(key + (place[1] if place else ""), f"{expected}, got {_show(data)}")


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _show(data: object) -> str:
    """Return a short picture of a value, as written in the file."""
    if isinstance(data, bool):
        return str(data).lower()
    text = repr(data) if not isinstance(data, Mapping) else "a table"
    return text if len(text) <= 60 else text[:57] + "..."


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _without_none(data: Any) -> Any:
    """Return nested tables without their empty values: TOML has none."""
    if isinstance(data, dict):
        return {key: _without_none(value) for key, value in data.items() if value is not None}
    return data


# cross checks


def _check(case: Case) -> None:
    """Raise the first contradiction between keys."""
    origin = case.origin
    names = tuple(axis for axis in AXES if axis in case.grid)
    for name in case.grid:
        if name not in AXES:
            raise origin.unknown(f"grid.{name}", AXES)
    if not names or names != AXES[: len(names)]:
        raise origin.error("grid", f"axes must be x; x, y; or x, y, z: got {', '.join(names) or 'none'}")
    for name, axis in case.grid.items():
        if axis.range[0] >= axis.range[1]:
            raise origin.error(f"grid.{name}.range", f"must increase, got {list(axis.range)}")
    if not case.equation and not case.evolve:
        raise origin.error("equation", "missing; `parsolve list equations` shows the names, or write [evolve]")
    if case.equation and case.evolve:
        raise origin.error("evolve", f"the case has equation = '{case.equation}' already; give one of the two")
    if case.equation and (case.define or case.fields):
        raise origin.error("define" if case.define else "fields", "belongs to [evolve], not to a catalogue equation")
    _exactly_one(origin, "time", case.time, ("end", "steps"))
    if case.time.tolerance is not None and case.time.dt != "auto":
        raise origin.error("time.dt", "give either dt or tolerance: with tolerance the step is chosen")
    if case.output.every is not None and case.output.every_steps is not None:
        raise origin.error("output.every_steps", "give either every or every_steps, not both")
    for name in case.run.processes or {}:
        if name not in case.grid:
            raise origin.error(f"run.processes.{name}", "no such axis in [grid]", case.grid)
    for field, sides in case.boundary.items():
        for side, condition in sides.items():
            _check_condition(case, f"boundary.{field}.{side}", side, condition)


def _check_condition(case: Case, key: str, side: str, condition: Condition) -> None:
    """Raise if the side does not exist or is periodic, or its condition is ambiguous or empty."""
    axis = case.grid.get(side[0])
    if axis is None:
        sides = [name + end for name in case.grid for end in ("min", "max")]
        raise case.origin.error(key, f"the grid has no axis {side[0]}; sides are {', '.join(sides)}")
    if axis.periodic:
        raise case.origin.error(key, f"axis {side[0]} is periodic, so it has no boundary")
    _exactly_one(case.origin, key, condition, ("dirichlet", "neumann", "curvature", "robin"))
    if condition.robin is not None and tuple(condition.robin[:2]) == (0.0, 0.0):
        raise case.origin.error(f"{key}.robin", "a and b of a u + b du/dn = c are both zero")


def _check_sides(boundary: object, origin: Origin) -> None:
    """Raise for a [boundary] whose field or side names are not names; before types are looked at."""
    sides = [axis + end for axis in AXES for end in ("min", "max")]
    if not isinstance(boundary, Mapping):
        return
    for field, table in boundary.items():
        if field in sides:
            raise origin.error(f"boundary.{field}", f"name the field first, as in boundary.u.{field}")
        for side in table if isinstance(table, Mapping) else ():
            if side not in sides:
                raise origin.unknown(f"boundary.{field}.{side}", sides)


def _exactly_one(origin: Origin, key: str, struct: msgspec.Struct, names: Sequence[str]) -> None:
    given = [name for name in names if getattr(struct, name) is not None]
    if not given:
        raise origin.error(key, f"missing: give one of {', '.join(names)}")
    if len(given) > 1:
        raise origin.error(f"{key}.{given[1]}", f"give one of {', '.join(names)}, and {given[0]} is given")
