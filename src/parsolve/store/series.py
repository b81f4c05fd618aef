"""Time series of what was measured: lines of text while the run goes on, data sets in its result.

While it runs they stand in its folder, a file a schedule, ``series.csv`` or ``series.NAME.csv``: a line for each
measuring, numbers with all their digits. A measure of several numbers has a column for each: ``NAME[bin=0.5]``. In a
result they are the group ``series``:

```
/series/time, step       when, of the measures of the common schedule; /series/NAME_time, NAME_step of one of its own
/series/NAME             a value for each time, or several
/series/NAME_bin, NAME_k what these are for: the centres of bins, wave numbers
```
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from parsolve.errors import StorageError
from parsolve.store.files import create_contiguous, create_group, naming, outlast
from parsolve.store.writing import failure, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.store.layout import FieldInfo

GROUP = "series"
FILE = re.compile(r"series(\.\w+)?\.csv")
COLUMN = re.compile(r"(\w+)(?:\[(\w+)=([^\[\]=,]+)\])?")
NOTHING: Mapping[str, Coordinate] = MappingProxyType({})
MOST = 1 << 24  # characters of a line
MEANINGS = {"bin": "centre of a bin", "k": "wave number"}  # of coordinates, by their words


@dataclass(frozen=True, eq=False)
class Coordinate:
    """What each of several numbers of a measure is for.

    Attributes:
        word: its name behind that of the measure: "bin", "k".
    """

    word: str
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """The values of a measure: ``values[n]`` after ``steps[n]`` steps, at ``times[n]``.

    Attributes:
        own: whether it is measured on a schedule of its own.
        coordinate: of a measure of several numbers, ``values[n]`` for each of its values.
    """

    name: str
    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    units: str = "1"
    long_name: str = ""
    own: bool = False
    coordinate: Coordinate | None = None

    @property
    def columns(self) -> list[str]:
        """Names of its numbers."""
        return _columns(self.name, self.coordinate)


class SeriesFile:
    """The file of the measures of one schedule, to which one rank adds lines.

    Args:
        folder: of the run.
        names: of the measures.
        own: whether it is the file of the only one of them.
        several: coordinates of those that are several numbers.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], own: bool = False, several: Mapping[str, Coordinate] = NOTHING
    ) -> None:
        self.path, self._names = folder / (f"series.{names[0]}.csv" if own else "series.csv"), list(names)
        self._columns = [column for name in names for column in _columns(name, several.get(name))]
        self._own, self._head = own, ",".join(["step", "time", *self._columns]) + "\n"

    def begin(self) -> None:
        """Begin with no line, but what the columns are.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        self._write("w", self._head)

    def add(self, step: int, time: float, values: Sequence[float | NDArray[np.float64]]) -> None:
        """Add a line of the values of all measures.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        self._write("a", _line(step, (time, *np.hstack(values).tolist())))

    def keep(self) -> None:
        """See to it that the lines so far outlast the machine.

        Raises:
            StorageError, ResourceError: the disk failed.
        """
        outlast(self.path)

    def go_on(self, step: int, before: Sequence[Series]) -> tuple[int, float]:
        """Go on after a step: without the lines of later ones, or with those of ``before`` where there is no file.

        Returns:
            Step and time of the last line.

        Raises:
            StorageError: the lines up to there are not there, or are of other measures; the disk failed.
        """
        if self.path.exists():
            rows = _rows(self.path, self._columns)
        else:
            held = [s for s in before if s.name in self._names and s.own == self._own]
            held.sort(key=lambda s: self._names.index(s.name))
            if not held or [column for s in held for column in s.columns] != self._columns:
                raise StorageError(f"{self.path}: is missing, and has the measures of before; put it back, or give -o")
            values = np.column_stack([held[0].times, *(s.values for s in held)])
            rows = [[float(step), *row] for step, row in zip(held[0].steps, values.tolist(), strict=True)]
        rows = [row for row in rows if row[0] <= step]
        lines = [_line(int(row[0]), row[1:]) for row in rows]
        write_whole(self.path, "".join([self._head, *lines]).encode(), force=True)
        return (int(rows[-1][0]), rows[-1][1]) if rows else (-1, 0.0)

    def _write(self, mode: str, text: str) -> None:
        try:
            with self.path.open(mode, encoding="ascii", newline="\n") as file:
                file.write(text)
        except OSError as caught:
            raise failure(self.path, "write what was measured", caught) from caught


def _line(step: int, numbers: Sequence[float]) -> str:
    return ",".join([str(step), *(repr(float(v)) for v in numbers)]) + "\n"


def _columns(name: str, coordinate: Coordinate | None) -> list[str]:
    if coordinate is None:
        return [name]
    return [f"{name}[{coordinate.word}={value!r}]" for value in coordinate.values.tolist()]


def is_reserved(name: str) -> bool:
    """Whether no measure can have a name, as times and steps have it."""
    return name in ("time", "step") or name.endswith(("_time", "_step"))


def series_of(folder: Path) -> list[Series]:
    """What a run has measured so far; a line that is being written is left out.

    Raises:
        StorageError: a file is no such file, or cannot be read; two have one measure.
    """
    found: list[Series] = []
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("series*.csv")) if folder.is_dir() else ():
        if FILE.fullmatch(path.name):
            columns = _read_columns(path)
            table = np.array(_rows(path, columns)).reshape(-1, 2 + len(columns))
            steps, times, own = table[:, 0].astype(np.int64), table[:, 1], path.name != "series.csv"
            for name, coordinate, place in _measures(path, columns):
                if places.setdefault(name, path) != path:
                    raise StorageError(f"{path}: has '{name}', as {places[name].name} has; move one of them away")
                values = table[:, place] if coordinate else table[:, place.start]
                found.append(Series(name, steps, times, values, long_name=name, own=own, coordinate=coordinate))
    return found


def _read_columns(path: Path) -> list[str]:
    """Names of the columns behind those of steps and times.

    Raises:
        StorageError: it is no file of time series, or cannot be read.
    """
    with naming(path, "read it"):
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise StorageError(f"{path}: is no file of time series; move it away")
    with naming(path, "read it"), path.open(encoding="utf-8", errors="replace") as file:
        step, time, *columns = [*file.readline(MOST).strip().split(","), "", ""]
    columns = columns[:-2]
    if (step, time) != ("step", "time") or not columns or not all(map(COLUMN.fullmatch, columns)):
        raise StorageError(f"{path}: is no file of time series; move it away")
    return columns


def _measures(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Coordinate | None, slice]]:
    """The name of each measure, the coordinate of one that is several numbers, and its columns of the table."""
    parts = [match.groups() for column in columns if (match := COLUMN.fullmatch(column))]
    first = 2
    for (name, word), group in groupby(parts, key=lambda part: part[:2]):
        numbers = [number for *_, number in group]
        place = slice(first, first + len(numbers))
        first = place.stop
        try:
            coordinate = Coordinate(word, np.array([float(number) for number in numbers])) if word else None
        except ValueError:
            raise StorageError(f"{path}: is no file of time series; move it away") from None
        yield name, coordinate, place


def _rows(path: Path, columns: Sequence[str]) -> list[list[float]]:
    """The lines that are whole."""
    if _read_columns(path) != list(columns):
        raise StorageError(f"{path}: has other measures; move it away, or give another -o")
    rows: list[list[float]] = []
    with naming(path, "read it"), path.open(encoding="utf-8", errors="replace") as file:
        file.readline(MOST)
        for number, line in enumerate(iter(lambda: file.readline(MOST), ""), start=2):
            if not line.endswith("\n"):
                break  # that a kill has cut
            try:
                row = [float(part) for part in line.split(",")]
            except ValueError:
                row = []
            if len(row) != 2 + len(columns) or not row[0].is_integer():
                raise StorageError(f"{path}: line {number} is no line of {2 + len(columns)} numbers")
            if row[0] <= (rows[-1][0] if rows else -1):
                raise StorageError(f"{path}: line {number} is of step {int(row[0])}, which does not increase")
            rows.append(row)
    return rows


def described(series: Sequence[Series], infos: Sequence[FieldInfo]) -> tuple[Series, ...]:
    """Series with units and names for people, in the order in which these are given."""
    known = {s.name: s for s in series}
    return tuple(replace(known[i.name], units=i.units, long_name=i.long_name) for i in infos if i.name in known)


def write_series(file: h5py.File, series: Sequence[Series], time_units: str = "1") -> None:
    """Put time series into a new result, if there are some."""
    if not series:
        return
    group = create_group(file, GROUP)
    for prefix, members in _schedules(series):
        scale = _column(group, f"{prefix}time", members[0].times, time_units, "time")
        scale.make_scale(f"{prefix}time")
        columns = [_column(group, f"{prefix}step", members[0].steps, "1", "number of time steps")]
        columns += [_column(group, s.name, s.values, s.units, s.long_name or s.name) for s in members]
        for column in columns:
            column.dims[0].attach_scale(scale)
        for column, s in zip(columns[1:], members, strict=True):
            if s.coordinate is not None:
                column.dims[1].attach_scale(_write_coordinate(group, s.name, s.coordinate))


def _schedules(series: Sequence[Series]) -> Iterator[tuple[str, list[Series]]]:
    """What goes before "time" and "step", and the series that share them."""
    common = [s for s in series if not s.own]
    if common:
        yield "", common
    for s in series:
        if s.own:
            yield f"{s.name}_", [s]


def _write_coordinate(group: h5py.Group, name: str, coordinate: Coordinate) -> h5py.Dataset:
    full = f"{name}_{coordinate.word}"
    scale = create_contiguous(group, full, coordinate.values.shape, coordinate.values.dtype)
    scale[...] = coordinate.values
    scale.attrs["long_name"] = MEANINGS.get(coordinate.word, coordinate.word)
    scale.make_scale(full)
    return scale


def _column(group: h5py.Group, name: str, values: NDArray[Any], units: str, long_name: str) -> h5py.Dataset:
    column = create_contiguous(group, name, values.shape, values.dtype)
    column[...] = values
    column.attrs["units"], column.attrs["long_name"] = units or "1", long_name
    return column


def series_in(file: h5py.File) -> list[Series]:
    """The time series of a result; none if it has none.

    Raises:
        StorageError: they are damaged.
    """
    try:
        if not isinstance(group := file.get(GROUP), h5py.Group):
            return []
        found = []
        for name in group:
            if is_reserved(name) or h5py.h5ds.is_scale(group[name].id):
                continue
            own = f"{name}_time" in group
            prefix = f"{name}_" if own else ""
            steps, times, values = (group[n][...] for n in (f"{prefix}step", f"{prefix}time", name))
            if not (steps.ndim == 1 and steps.shape == times.shape == values.shape[:1]):
                raise ValueError(f"'{name}' has not the length of its times")
            coordinate = _read_coordinate(group, name) if values.ndim > 1 else None
            if coordinate is not None and values.shape[1:] != coordinate.values.shape:
                raise ValueError(f"'{name}' has not the length of its coordinate")
            said = group[name].attrs
            units, long_name = str(said.get("units", "1")), str(said.get("long_name", name))
            found.append(Series(name, steps.astype(np.int64), times.astype(float), values.astype(float), units,
                                long_name, own, coordinate))  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as caught:
        raise StorageError(f"{file.filename}: its time series cannot be read ({caught})") from None
    return found


def _read_coordinate(group: h5py.Group, name: str) -> Coordinate:
    """What the numbers of a measure are for.

    Raises:
        ValueError: nothing says it.
    """
    for word in MEANINGS:
        if isinstance(scale := group.get(f"{name}_{word}"), h5py.Dataset):
            return Coordinate(word, scale[...].astype(float))
    raise ValueError(f"'{name}' has no coordinate")


def table_of(series: Sequence[Series]) -> Iterator[str]:
    """Lines of CSV, numbers with all their digits: of series on one schedule, or of one alone."""
    yield ",".join(["step", "time", *(column for s in series for column in s.columns)])
    values = np.column_stack([series[0].times, *(s.values for s in series)])
    for step, row in zip(series[0].steps, values, strict=True):
        yield _line(int(step), row.tolist()).rstrip()
