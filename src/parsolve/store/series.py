"""Time series of what was measured: lines of text while the run goes on, data sets in its result.

While it runs they stand in its folder, a file a schedule, ``series.csv`` or ``series.NAME.csv``: a line for each
measuring, numbers with all their digits. In a result they are the group ``series``:

```
/series/time, step       when, of the measures of the common schedule; /series/NAME_time, NAME_step of one of its own
/series/NAME             a value for each time
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from parsolve.errors import StorageError
from parsolve.store.files import create_contiguous, create_group, naming, sync
from parsolve.store.writing import failure, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.store.layout import FieldInfo

GROUP = "series"
FILE = re.compile(r"series(\.\w+)?\.csv")
MOST = 1 << 20  # characters of a line


@dataclass(frozen=True, eq=False)
class Series:
    """The values of a measure: ``values[n]`` after ``steps[n]`` steps, at ``times[n]``.

    Attributes:
        own: whether it is measured on a schedule of its own.
    """

    name: str
    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    units: str = "1"
    long_name: str = ""
    own: bool = False


class SeriesFile:
    """The file of the measures of one schedule, to which one rank adds lines.

    Args:
        folder: of the run.
        names: of the measures.
        own: whether it is the file of the only one of them.
    """

    def __init__(self, folder: Path, names: Sequence[str], own: bool = False) -> None:
        self.path, self._names = folder / (f"series.{names[0]}.csv" if own else "series.csv"), list(names)
        self._own, self._head = own, ",".join(["step", "time", *names]) + "\n"

    def begin(self) -> None:
        """Begin with no line, but what the columns are.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        self._write("w", self._head)

    def add(self, step: int, time: float, values: Sequence[float]) -> None:
        """Add a line.

        Raises:
            StorageError, ResourceError: the disk failed or is full.
        """
        self._write("a", _line(step, (time, *values)))

    def keep(self) -> None:
        """See to it that the lines so far outlast the machine.

        Raises:
            StorageError, ResourceError: the disk failed.
        """
        with naming(self.path, "sync it"):
            sync(self.path)
            sync(self.path.parent)

    def go_on(self, step: int, before: Sequence[Series]) -> None:
        """Go on after a step: without the lines of later ones, or with those of ``before`` where there is no file.

        Raises:
            StorageError: the lines up to there are not there, or are of other measures; the disk failed.
        """
        if self.path.exists():
            rows = _rows(self.path, self._names)
        else:
            held = {series.name: series for series in before}
            if not self._names or any(name not in held or held[name].own != self._own for name in self._names):
                raise StorageError(f"{self.path}: is missing, and has the measures of before; put it back, or give -o")
            first = held[self._names[0]]
            columns = [first.steps, first.times, *(held[name].values for name in self._names)]
            rows = [list(row) for row in zip(*columns, strict=True)]
        lines = [_line(int(row[0]), row[1:]) for row in rows if row[0] <= step]
        write_whole(self.path, "".join([self._head, *lines]).encode(), force=True)

    def _write(self, mode: str, text: str) -> None:
        try:
            with self.path.open(mode, encoding="ascii", newline="\n") as file:
                file.write(text)
        except OSError as caught:
            raise failure(self.path, "write what was measured", caught) from caught


def _line(step: int, numbers: Sequence[float]) -> str:
    return ",".join([str(step), *(repr(float(v)) for v in numbers)]) + "\n"


def is_reserved(name: str) -> bool:
    """Whether no measure can have a name, as times and steps have it."""
    return name in ("time", "step") or name.endswith(("_time", "_step"))


def series_of(folder: Path) -> list[Series]:
    """What a run has measured so far; a line that is being written is left out.

    Raises:
        StorageError: a file is no such file, or cannot be read.
    """
    found = []
    for path in sorted(folder.glob("series*.csv")) if folder.is_dir() else ():
        if FILE.fullmatch(path.name):
            names = _names(path)
            columns = np.array(_rows(path, names)).reshape(-1, 2 + len(names)).T
            steps, own = columns[0].astype(np.int64), path.name != "series.csv"
            found += [
                Series(n, steps, columns[1], v, long_name=n, own=own) for n, v in zip(names, columns[2:], strict=True)
            ]
    return found


def _names(path: Path) -> list[str]:
    with naming(path, "read it"), path.open(encoding="utf-8", errors="replace") as file:
        step, time, *names = [*file.readline(MOST).strip().split(","), "", ""]
    names = names[:-2]
    if (step, time) != ("step", "time") or not names or not all(map(str.isidentifier, names)):
        raise StorageError(f"{path}: is no file of time series; move it away")
    return names


def _rows(path: Path, names: Sequence[str]) -> list[list[float]]:
    """The lines that are whole."""
    if _names(path) != list(names):
        raise StorageError(f"{path}: has other measures; move it away, or give another -o")
    rows = []
    with naming(path, "read it"), path.open(encoding="utf-8", errors="replace") as file:
        file.readline(MOST)
        for number, line in enumerate(iter(lambda: file.readline(MOST), ""), start=2):
            if not line.endswith("\n"):
                break  # that a kill has cut
            try:
                row = [float(part) for part in line.split(",")]
            except ValueError:
                row = []
            if len(row) != 2 + len(names) or not row[0].is_integer():
                raise StorageError(f"{path}: line {number} is no line of {2 + len(names)} numbers")
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


def _schedules(series: Sequence[Series]) -> Iterator[tuple[str, list[Series]]]:
    """What goes before "time" and "step", and the series that share them."""
    common = [s for s in series if not s.own]
    if common:
        yield "", common
    for s in series:
        if s.own:
            yield f"{s.name}_", [s]


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
            if is_reserved(name):
                continue
            own = f"{name}_time" in group
            prefix = f"{name}_" if own else ""
            steps, times, values = (group[n][...] for n in (f"{prefix}step", f"{prefix}time", name))
            if not (steps.ndim == 1 and steps.shape == times.shape == values.shape):
                raise ValueError(f"'{name}' has not the length of its times")
            said = group[name].attrs
            units, long_name = str(said.get("units", "1")), str(said.get("long_name", name))
            found.append(Series(name, steps.astype(np.int64), times.astype(float), values.astype(float), units,
                                long_name, own))  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as caught:
        raise StorageError(f"{file.filename}: its time series cannot be read ({caught})") from None
    return found


def table_of(series: Sequence[Series]) -> Iterator[str]:
    """Lines of CSV, numbers with all their digits: of series on one schedule, or of one alone."""
    yield ",".join(["step", "time", *(s.name for s in series)])
    for step, *row in zip(series[0].steps, series[0].times, *(s.values for s in series), strict=True):
        yield _line(int(step), row).rstrip()
