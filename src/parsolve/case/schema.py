"""The tables of a case file as structs; every key of the file is a field here, with its type and default.

What is wrong in a case is a `CaseError` that names the file, the line where it is known, the key, and the nearest
valid choice. What depends on the equation (its parameters, fields) is checked where the equation is known, through
`Case.error`, so that those messages look the same.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from parsolve.case.array import Array
from parsolve.case.checks import COMMON, SCHEMA, WINDOW, check_case, check_tables, seconds_of
from parsolve.case.convert import convert
from parsolve.case.origin import Origin
from parsolve.case.tables import WHOLE, anchor_files, name_whole, override, parse, read_source
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_LARGEST = sys.float_info.max  # so that infinity and not-a-number are refused
_Number = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=_LARGEST)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class FileValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cell values read from a file: HDF5 (with a data set's name), .npy or an image; or an array given from Python.

    ``time`` is that of one of several frames; without it the last is taken. As a word it takes all of them, or a series
    of numbers, as values that change in time. Of an array ``file`` is its description.
    """

    file: str
    dataset: str | None = None
    time: Literal["linear", "previous"] | _Number | None = None
    array: Array | None = None  # no key of the file

    @property
    def moves(self) -> bool:
        """Whether the values change in time."""
        return isinstance(self.time, str)


Value = str | _Number | FileValue


class Axis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One axis of the grid: number of cells, lower and upper end."""

    EXAMPLE: ClassVar = "{ cells = 64, range = [0.0, 1.0] }"

    cells: _Count
    range: tuple[_Number, _Number]
    periodic: bool | Literal["anti"] = False


class SideCondition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The boundary condition of one field on one side: exactly one of the five.

    dirichlet: u = value; neumann: du/dn = value, n pointing outwards; robin [a, b, c]: a u + b du/dn = c;
    curvature: d2u/dn2 = value; outflow: du/dt + value du/dn = 0. Values are numbers or expressions, of dirichlet,
    neumann and curvature also files; those of all but curvature may depend on the fields at the wall.
    """

    EXAMPLE: ClassVar = "{ dirichlet = 0.0 }"

    dirichlet: Value | None = None
    neumann: Value | None = None
    curvature: Value | None = None
    robin: tuple[_Number | str, _Number | str, _Number | str] | None = None
    outflow: _Number | str | None = None


class Meaning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a field, an axis or the time means: its unit as text ("1": none), and a name for people."""

    EXAMPLE: ClassVar = '{ unit = "mol/L", name = "concentration" }'

    unit: str = "1"
    name: str = ""


class Time(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to march (exactly one of end, steps), by which scheme and step."""

    end: _Positive | None = None
    steps: _Count | None = None
    scheme: str = "rk4"
    dt: _Positive | Literal["auto"] = "auto"
    tolerance: _Positive | None = None
    unstable: Literal["refuse", "allow"] = "refuse"


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When frames are written, and of which fields; the first and last state always are; how the result is packed."""

    every: _Positive | None = None
    every_steps: _Count | None = None
    keep_frames: bool = False
    fields: list[str] | None = None
    compression: Literal["gzip", "zstd"] | None = None

    @property
    def chosen(self) -> list[tuple[str, str]]:
        """Names of the fields that are written, and of those that are made for it the expression ("w = dx(v)")."""
        return _chosen(self.fields)


Place = float | tuple[float, float] | None  # with bounds of the number msgspec 0.22 mistakes the length of the list


class Slice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values at some of the cells, in a small file of their own, on a schedule of its own.

    Of an axis a point, which leaves a plane or line of cells, or a range; of all axes or of some every so many-th cell.
    """

    EXAMPLE: ClassVar = "{ x = 0.5, every_steps = 10 }"

    x: Place = None
    y: Place = None
    z: Place = None
    stride: _Count | dict[str, _Count] = 1
    fields: list[str] | None = None
    every: _Positive | None = None
    every_steps: _Count | None = None

    @property
    def places(self) -> dict[str, float | tuple[float, float]]:
        """By axis the point or the range."""
        given = {"x": self.x, "y": self.y, "z": self.z}
        return {axis: place for axis, place in given.items() if place is not None}

    @property
    def chosen(self) -> list[tuple[str, str]]:
        """As of `Output`."""
        return _chosen(self.fields)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the march is kept, so that it can go on whatever ends it.

    That is every so many steps, or every so often: a duration as text ("10min"), or so much time of the march.
    """

    EXAMPLE: ClassVar = '{ every = "10min" }'

    every: str | _Positive | None = None
    every_steps: _Count | None = None
    keep: _Count = 2
    keep_every: _Count | None = None


class Measure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measure on a schedule of its own: an expression of reductions over the grid, every so much time or so often."""

    EXAMPLE: ClassVar = '{ of = "integral(u)", every_steps = 10 }'

    of: str
    every: _Positive | None = None
    every_steps: _Count | None = None


class Average(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statistic in time of expressions at each cell: exactly one of these; covariance is of two."""

    EXAMPLE: ClassVar = '{ variance = "u" }'

    mean: str | None = None
    variance: str | None = None
    covariance: tuple[str, str] | None = None
    min: str | None = None
    max: str | None = None

    @property
    def kind(self) -> str:
        """Which of them."""
        return next((name for name in self.__struct_fields__ if getattr(self, name) is not None), "")

    @property
    def texts(self) -> tuple[str, ...]:
        """What it is of."""
        said = getattr(self, self.kind)
        return said if isinstance(said, tuple) else (said,)


class StopRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ends a run before its time: whichever comes first.

    steady: the largest |du/dt| over the largest |u|, of each field; when: a condition on measures; a number of steps;
    walltime: a duration.
    """

    EXAMPLE: ClassVar = "{ steady = 1e-6 }"

    steady: _Positive | None = None
    when: str | None = None
    steps: _Count | None = None
    walltime: str | None = None


class PassSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Passes through memory as they are asked for: steps of each, and the cells of a tile along the axes it is cut."""

    EXAMPLE: ClassVar = "{ steps = 8, tile = [1, 32] }"

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
    pipeline: Literal["auto", "off"] | PassSettings = "auto"
    threads: _Count | None = None
    walltime: str | None = None
    watchdog: str | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole case; axes are in the order x, y, z whatever their order in the file."""

    grid: dict[str, Axis]
    time: Time
    schema: int = SCHEMA
    title: str = ""
    equation: str | None = None
    evolve: dict[str, str] = {}
    define: dict[str, str] = {}
    parameters: dict[str, _Number] = {}
    fields: dict[str, Value] = {}
    initial: dict[str, Value] = {}
    boundary: dict[str, dict[str, SideCondition]] = {}
    units: dict[str, str | Meaning] = {}
    output: Output = Output()
    measure: dict[str, str | _Number | list[str] | Measure] = {}
    slices: dict[str, Slice] = {}
    average: dict[str, str | _Number | Average] = {}
    stop: StopRules | None = None
    checkpoint: Checkpoint | None = None
    run: Run = Run()
    origin: Origin = Origin()  # no key of the file

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
        data = parse(name, content)
        anchor_files(data, folder)
        keys = [override(data, text) for text in overrides]
        return cls.from_dict(data, Origin(name, content, tuple(keys)))

    @classmethod
    def from_dict(cls, data: Mapping[str, object], origin: Origin | None = None) -> Case:
        """Return the validated case of plain tables.

        Raises:
            CaseError: an unknown, missing or wrong key.
        """
        origin, data = origin or Origin(), dict(data)
        name_whole(data)
        check_tables(data, origin)
        case = convert(data, cls, origin)
        case = msgspec.structs.replace(case, origin=origin, grid=dict(sorted(case.grid.items())))
        check_case(case)
        return msgspec.structs.replace(case, measure=_counted(case.measure), average=_counted(case.average))

    def error(self, key: str, problem: str, choices: Collection[str] = ()) -> CaseError:
        """Return an error about a dotted key of this case, with file, line and nearest choice."""
        return self.origin.error(key, problem, choices)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Put file and line before an error that begins with a key of this case, unless they are there."""
        try:
            yield
        except CaseError as error:
            key = str(error).partition(":")[0]
            place = self.origin.where(key)
            if " " in key or str(error).startswith(f"{self.origin.name}:") or place == f"--set {key}":
                raise
            raise type(error)(f"{place}: {error}") from None

    def to_tables(self) -> dict[str, Any]:
        """Return tables that give this case again, defaults written out, absent values left out."""
        return {key: value for key, value in _tables(self, Origin).items() if value != {}}

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data: arrays by their descriptions alone."""
        return {key: value for key, value in _tables(self, Origin | Array).items() if value != {}}

    def to_toml(self) -> str:
        """Return the resolved case as TOML text; loading it gives the same case."""
        import tomli_w

        text: str = tomli_w.dumps(self.to_dict())
        return text

    def initial_of(self, field: str) -> tuple[str, Value | None]:
        """Return the key that gives a field's initial values, and these: its own, else those of the result ``from``."""
        whole = self.initial.get(WHOLE)
        if field in self.initial or not isinstance(whole, FileValue):
            return f"initial.{field}", self.initial.get(field)
        return f"initial.{WHOLE}", msgspec.structs.replace(whole, dataset=field)

    def meaning(self, name: str) -> Meaning:
        """What a field, an axis or "time" means, as far as the case says it."""
        said = self.units.get(name, Meaning())
        return Meaning(unit=said) if isinstance(said, str) else said

    @property
    def measures(self) -> dict[str, Measure]:
        """The measures by name, each with its schedule: its own, or the common one."""
        every, steps = (self.measure.get(key) for key in ("every", "every_steps"))
        common = Measure(
            of="",
            every=every if isinstance(every, int | float) else None,
            every_steps=int(steps) if isinstance(steps, int | float) else None,
        )
        found = {}
        for name in self.measure.keys() - COMMON:
            said = self.measure[name]
            one = said if isinstance(said, Measure) else Measure(of=str(said))
            own = self.has_own_schedule(name)
            found[name] = one if own else msgspec.structs.replace(common, of=one.of)
        return {name: found[name] for name in self.measure if name in found}

    def has_own_schedule(self, measure: str) -> bool:
        """Whether a measure has a schedule of its own."""
        said = self.measure[measure]
        return isinstance(said, Measure) and (said.every or said.every_steps) is not None

    @property
    def averages(self) -> dict[str, Average]:
        """The statistics in time by name."""
        said = {name: value for name, value in self.average.items() if name not in WINDOW}
        return {n: value if isinstance(value, Average) else Average(mean=str(value)) for n, value in said.items()}

    @property
    def shown(self) -> list[str]:
        """The measures that the progress line shows."""
        said = self.measure.get("show", [])
        return said if isinstance(said, list) else []

    @property
    def files(self) -> list[Path]:
        """The files that a run reads: the case's own, and those of its values."""
        return list(dict.fromkeys([Path(self.origin.name), *self.inputs]))

    @property
    def inputs(self) -> list[Path]:
        """The files that its values are read from."""
        return [Path(name) for name in dict.fromkeys(value.file for value in self._given if value.array is None)]

    @property
    def _given(self) -> list[FileValue]:
        """Its values that are files or arrays."""
        sides = (side for field in self.boundary.values() for side in field.values())
        values = [*self.initial.values(), *self.fields.values()]
        values += [v for s in sides for v in (s.dirichlet, s.neumann, s.curvature) if v is not None]
        return [value for value in values if isinstance(value, FileValue)]

    @property
    def patience(self) -> float | None:
        """The seconds of the watchdog; None: there is none."""
        return seconds_of(self.run.watchdog) if self.run.watchdog else None

    @property
    def has_arrays(self) -> bool:
        """Whether some values are arrays given from Python, which no text holds."""
        return any(value.array is not None for value in self._given)

    @property
    def law(self) -> str:
        """The key that gives the equation: by its name, or by its rates."""
        return "equation" if self.equation else "evolve"

    @property
    def stem(self) -> str:
        """The case's short name, from which its output is named."""
        return Path(self.origin.name).stem or "case"


def _counted(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table whose number of steps, if it has one, is a whole number."""
    steps = table.get("every_steps")
    return {**table, "every_steps": int(steps)} if isinstance(steps, float) else table


def _chosen(fields: list[str] | None) -> list[tuple[str, str]]:
    parts = [text.partition("=") for text in fields or []]
    return [(name.strip(), text.strip()) for name, _, text in parts]


def _tables(data: Any, without: Any) -> Any:
    """Return nested structs as tables, but for values of these types and those that are absent: TOML has none."""
    if isinstance(data, msgspec.Struct):
        data = {name: getattr(data, name) for name in data.__struct_fields__}
    if isinstance(data, dict):
        return {k: _tables(v, without) for k, v in data.items() if v is not None and not isinstance(v, without)}
    return [_tables(value, without) for value in data] if isinstance(data, tuple | list) else data
