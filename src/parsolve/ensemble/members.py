"""The file of a sweep: a case, and what varies between its members."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from parsolve.case import Case
from parsolve.case.convert import convert
from parsolve.case.origin import Origin
from parsolve.case.tables import ALTERNATIVES, anchor_files, flat, merge, nearest, parse, put_at, read_source
from parsolve.errors import CaseError
from parsolve.problem.laws import WORD
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Value = bool | int | float | str
MOST, MOST_POSED = 1_000_000, 1000  # members; those whose equation and sides are looked at before the first begins


@dataclass(frozen=True)
class Range:
    """So many numbers from one to another, evenly by their difference or by their ratio; without a count, samples."""

    first: float
    last: float
    count: int | None = None
    scale: Literal["linear", "log"] = "linear"

    def at(self, part: NDArray[np.float64]) -> list[float]:
        """The numbers at these parts of the way, from 0 to 1."""
        if self.scale == "log":
            values = np.exp((1 - part) * math.log(self.first) + part * math.log(self.last))
            values[part == 0], values[part == 1] = self.first, self.last
            return [float(value) for value in values]
        return [float(value) for value in (1 - part) * self.first + part * self.last]


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points that fill the ranges without a count (scipy.stats.qmc): the same for the same seed."""

    count: int
    method: Literal["sobol", "latin-hypercube", "random"] = "sobol"
    seed: int = 0


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of the file."""

    case: str
    vary: dict[str, Any]
    set: dict[str, Any] = {}
    sample: Sample | None = None
    combine: Literal["cross", "zip"] = "cross"
    ranks: int = 1
    stack: bool = False


@dataclass(frozen=True)
class Sweep:
    """A sweep: the tables of its case, and what each member sets.

    Attributes:
        name: of the sweep, without the folder.
        place: its folder, at which the names of files begin that vary.
        tables: of the case, with what is set for all.
        members: of each the values by dotted key, in the order of the file.
        ranks: of a member.
        stack: whether the last frames become one array.
        inputs: the files that values are read from.
    """

    name: str
    place: Path
    tables: dict[str, Any]
    members: tuple[dict[str, Value], ...]
    ranks: int
    stack: bool
    inputs: tuple[Path, ...] = ()

    def tables_of(self, number: int) -> dict[str, Any]:
        """Return the tables of the case of a member."""
        tables = copy.deepcopy(self.tables)
        for key, value in self.members[number].items():
            is_file = isinstance(value, str) and (key.endswith(".file") or key == "initial.from")
            put_at(tables, key, str(self.place / str(value)) if is_file else value, f"{self.name}: vary.{key}")
        return tables

    def label(self, number: int) -> str:
        """Return which member it is, in words."""
        said = ", ".join(f"{key} = {value}" for key, value in self.members[number].items())
        return f"{self.name}: member {self.folder(number)} ({said})"

    def case(self, number: int) -> Case:
        """Return the case of a member.

        Raises:
            CaseError: a key or value is wrong.
        """
        return Case.from_dict(self.tables_of(number), Origin(self.label(number), "", ()))

    def folder(self, number: int) -> str:
        """Return the name of the folder of a member."""
        return f"{number:0{len(str(len(self.members) - 1))}d}"


def read_sweep(path: Path) -> Sweep:
    """Return the sweep of a file; each of its cases is valid.

    Raises:
        CaseError: the file cannot be read, or something in it, or in the case of a member, is wrong.
    """
    if not path.is_file():
        raise CaseError(f"{path}: no such file; a sweep is a TOML file with `case` and [vary]")
    name, text, folder = read_source(path)
    origin = Origin(name, text)
    given = convert(parse(name, text), _Given, origin)
    try:
        beside = folder / given.case
        _, content, place = read_source(beside if given.case and beside.exists() else given.case)
    except (CaseError, OSError) as error:
        raise origin.error("case", str(error)) from None
    tables = parse(given.case, content)
    anchor_files(tables, place.resolve())
    more = copy.deepcopy(given.set)
    anchor_files(more, folder.resolve())
    merge(tables, more)
    if given.ranks < 1:
        raise origin.error("ranks", f"expected a whole number >= 1, got {given.ranks}")
    sweep = Sweep(path.stem, folder.resolve(), tables, tuple(_members(given, origin)), given.ranks, given.stack)
    paths: set[Path] = set()
    kinds: set[object] = set()
    for number in range(len(sweep.members)):
        case = sweep.case(number)
        paths.update(case.inputs)
        kinds.add((case.run.precision, *((axis, said.cells) for axis, said in case.grid.items())))
    if sweep.stack and len(kinds) > 1:
        raise origin.error("stack", "the members have other grids or precisions than the first: leave it out")
    for number in _alike(sweep.members):
        pose(sweep.case(number))
    _refuse_idle(sweep, origin)
    return replace(sweep, inputs=tuple(sorted(paths)))


def _alike(members: Sequence[Mapping[str, Value]]) -> list[int]:
    """Members with each text that a key has, and the first: the keys of all are those of one of them."""
    first: dict[tuple[str, Value], int] = {}
    for number, member in enumerate(members):
        for key, value in member.items():
            if isinstance(value, str) and len(first) < MOST_POSED:
                first.setdefault((key, value), number)
    return sorted({0, *first.values()})


def _refuse_idle(sweep: Sweep, origin: Origin) -> None:
    """Refuse to vary a parameter that no text of the case names: all members would be the same.

    Raises:
        CaseError: the first such.
    """
    words: set[str] = set()
    for number in _alike(sweep.members):
        case = sweep.case(number)
        if case.equation:
            return  # it has parameters of its own, and others were refused
        given = flat(case.to_dict() | {"parameters": {}, "title": ""}).values()
        words.update(word for value in given for word in WORD.findall(repr(value)))
    for key in sweep.members[0]:
        table, _, name = key.partition(".")
        if table == "parameters" and name not in words:
            raise origin.error(f"vary.{key}", f"nothing in the case uses '{name}'", sorted(words & {*case.parameters}))


def _members(given: _Given, origin: Origin) -> list[dict[str, Value]]:
    """What each member sets: lists and ranges crossed or in step, and all of that with each sample."""
    lists: dict[str, list[Value]] = {}
    ranges: dict[str, Range] = {}
    fixed, varied = _leaves(given.set, "set", origin), _leaves(given.vary, "vary", origin)
    _refuse_alternatives(fixed, fixed, "set", origin)
    _refuse_alternatives(varied, [*fixed, *varied], "vary", origin)
    for key, value in varied.items():
        if key in fixed:
            raise origin.error(f"vary.{key}", "is in [set] too: leave it out of one of them")
        if inner := next((other for other in varied if other.startswith(f"{key}.")), None):
            raise origin.error(f"vary.{key}", f"give this or {inner}, not both")
        _take(key, value, lists, ranges, origin)
    if not lists and not ranges:
        raise origin.error("vary", "nothing varies: give keys of the case with lists or ranges")
    if ranges and given.sample is None:
        raise origin.error(f"vary.{min(ranges)}", "give a count, or [sample] for all ranges without one")
    if given.sample is not None and not ranges:
        raise origin.error("sample", "all ranges have counts: leave it out, or a count")
    lengths = {key: len(values) for key, values in lists.items()}
    if given.combine == "zip" and len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise origin.error("combine", f"'zip' is for as many values of each key; there are {said}")
    total = max(lengths.values(), default=1) if given.combine == "zip" else math.prod(lengths.values())
    if total * (given.sample.count if given.sample else 1) > MOST:
        raise origin.error("vary", f"more than {MOST} members")
    rows = zip(*lists.values(), strict=True) if given.combine == "zip" else itertools.product(*lists.values())
    found = [dict(zip(lists, row, strict=True)) for row in rows] if lists else [{}]
    points = _points(given.sample, ranges, origin) if given.sample else [{}]
    return [{key: (row | point)[key] for key in varied} for row in found for point in points]


def _refuse_alternatives(keys: Collection[str], given: Collection[str], table: str, origin: Origin) -> None:
    """Refuse keys of which at most one may be given: a later one would take the place of the other.

    Raises:
        CaseError: the first two.
    """
    for key in keys:
        place, _, name = key.rpartition(".")
        for group in ALTERNATIVES:
            others = [f"{place}.{other}" for other in sorted(group - {name}) if f"{place}.{other}" in given]
            if name in group and others:
                raise origin.error(f"{table}.{key}", f"give this or {others[0]}, not both")


def _take(key: str, value: Any, lists: dict[str, list[Value]], ranges: dict[str, Range], origin: Origin) -> None:
    """Put what a key varies over to the lists, or to the ranges that are sampled."""
    if isinstance(value, list) and value and all(isinstance(item, Value) for item in value):
        lists[key] = value
        return
    if not isinstance(value, dict):
        raise origin.error(f"vary.{key}", "expected a list of numbers or texts, or { from = 0, to = 1, count = 5 }")
    found = _range(key, value, origin)
    if not (math.isfinite(found.first) and math.isfinite(found.last)):
        raise origin.error(f"vary.{key}", "expected numbers that are finite")
    if found.scale == "log" and not (found.first > 0 and found.last > 0):
        raise origin.error(f"vary.{key}", "scale = 'log' is for numbers above 0")
    if found.count is None:
        ranges[key] = found
    elif not 1 <= found.count <= MOST:
        raise origin.error(f"vary.{key}", f"count: expected 1 to {MOST}, got {found.count}")
    else:
        values = found.at(np.linspace(0.0, 1.0, found.count))
        lists[key] = [n if exact is None else exact for n, exact in zip(values, _whole(value), strict=True)]


def _whole(value: Mapping[str, Any]) -> list[int | None]:
    """The numbers of a range between whole numbers where they are whole themselves; None for others."""
    first, last, count = value["from"], value["to"], value["count"]
    if not (isinstance(first, int) and isinstance(last, int)) or value.get("scale") == "log" or count == 1:
        return [None] * int(count)
    ways = [divmod(n * (last - first), count - 1) for n in range(count)]
    return [None if rest else first + way for way, rest in ways]


def _range(key: str, value: dict[str, Any], origin: Origin) -> Range:
    """The range of a table.

    Raises:
        CaseError: it is none.
    """
    kinds = {"from": (int, float), "to": (int, float), "count": (int,), "scale": (str,)}
    for name, given in value.items():
        if name not in kinds:
            raise origin.error(f"vary.{key}", f"unknown key '{name}' of a range{nearest(name, kinds)}")
        if not isinstance(given, kinds[name]) or isinstance(given, bool):
            raise origin.error(f"vary.{key}", f"{name}: expected {'a text' if name == 'scale' else 'a number'}")
    if value.get("scale", "linear") not in ("linear", "log"):
        raise origin.error(f"vary.{key}", f"scale = '{value['scale']}': expected 'linear' or 'log'")
    try:
        first, last = float(value["from"]), float(value["to"])
    except OverflowError:  # whole numbers of hundreds of digits
        raise origin.error(f"vary.{key}", "expected numbers that are finite") from None
    return Range(first, last, value.get("count"), value.get("scale", "linear"))


def _points(sample: Sample, ranges: Mapping[str, Range], origin: Origin) -> list[dict[str, Value]]:
    """The samples: values of all ranges by key."""
    if not 1 <= sample.count <= MOST:
        raise origin.error("sample.count", f"expected 1 to {MOST}, got {sample.count}")
    if sample.seed < 0:
        raise origin.error("sample.seed", f"expected a whole number >= 0, got {sample.seed}")
    random = np.random.default_rng(sample.seed)
    if sample.method == "random":
        parts = random.random((sample.count, len(ranges)))
    else:
        import warnings

        from scipy.stats import qmc

        kind = {"sobol": qmc.Sobol, "latin-hypercube": qmc.LatinHypercube}[sample.method]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of counts that are no powers of 2: the user's choice
            parts = kind(len(ranges), seed=random).random(sample.count)
    columns = {key: found.at(np.asarray(parts[:, n])) for n, (key, found) in enumerate(ranges.items())}
    return [{key: values[n] for key, values in columns.items()} for n in range(sample.count)]


def _leaves(tables: Mapping[str, Any], table: str, origin: Origin, prefix: str = "") -> dict[str, Any]:
    """The values of nested tables by dotted key; a range is one value.

    Raises:
        CaseError: one is given twice.
    """
    found: dict[str, Any] = {}
    for key, value in tables.items():
        is_table = isinstance(value, dict) and not {"from", "to"} <= value.keys()
        more = _leaves(value, table, origin, f"{prefix}{key}.") if is_table else {f"{prefix}{key}": value}
        if twice := found.keys() & more.keys():
            raise origin.error(f"{table}.{min(twice)}", "is given twice, once as one key in quotes")
        found |= more
    return found
