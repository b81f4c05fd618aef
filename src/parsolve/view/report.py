"""A page about a result in one file of HTML, with its pictures in it; nothing is fetched from elsewhere.

Whatever comes from the result is text: it is escaped, and the page forbids scripts and foreign addresses.
"""

from __future__ import annotations

import base64
import json
import tomllib
import warnings
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.equations.catalogue import CATALOGUE
from parsolve.errors import CaseError, StorageError
from parsolve.store.provenance import SPENT, spent_of, spent_text
from parsolve.store.result import open_result
from parsolve.store.statistics import statistics_at
from parsolve.store.status import read_status
from parsolve.store.writing import refuse_there, write_whole
from parsolve.view.cut import choose_times, range_of, time_text
from parsolve.view.figures import blank, picture_of
from parsolve.view.plot import frames_of
from parsolve.view.series import draw_panels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.figure import Figure

    from parsolve.store.result import Result

_FIELDS = 8  # that are drawn
_SERIES = 12  # in a picture
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #d5dce3; padding-bottom: .2rem; }
.about { color: #5b6875; margin: 0; overflow-wrap: anywhere; }
.doubt { background: #fdecea; border-left: 4px solid #c0392b; padding: .6rem .9rem; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; padding: .25rem 1.4rem .25rem 0; vertical-align: top; white-space: nowrap; }
td { padding: .25rem 1.4rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
table.numbers td { text-align: right; white-space: nowrap; } table.numbers td:first-child { text-align: left; }
table.numbers thead th { text-align: right; } table.numbers thead th:first-child { text-align: left; }
table.numbers tr { border-bottom: 1px solid #e6ebf0; }
pre { background: #f5f7f9; padding: .8rem 1rem; font-size: .85rem; line-height: 1.45; white-space: pre-wrap; }
pre { overflow-wrap: anywhere; border-radius: 4px; }
img { max-width: 100%; height: auto; display: block; margin: .6rem auto; }
@media print { body { margin: 0; } h2, img, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def write_report(path: Path | str, out: Path | str | None = None, force: bool = False) -> Path:
    """Write a page about a result; return its path.

    Without `out` it is named as the result, with ".html", and numbered where that is taken.

    Raises:
        StorageError: the result cannot be read, or the page cannot be written.
        SetupError: matplotlib is not installed.
        CaseError: another suffix than .html.
    """
    path = Path(path)
    target = path.with_suffix(".html") if out is None else Path(out)
    blank()  # what is missing is told before anything is read
    if out is not None:
        refuse_there(target, force)
    if target.suffix.lower() not in (".html", ".htm"):
        raise CaseError(f"{target}: a report is a page in HTML: name it .html")
    with open_result(path) as result:
        page = page_of(result)
    return write_whole(target, page.encode("utf-8", "replace"), force=force, number=out is None, inputs=[path])


def page_of(result: Result) -> str:
    """Return the page about a result.

    Raises:
        StorageError: its values cannot be read.
    """
    title = result.provenance.get("title") or result.path.stem
    times = choose_times(result, None, 3)
    shown = [(name, n) for name in result.fields[:_FIELDS] for n in times]
    parts = [f"<h1>{_text(title)}</h1>", f'<p class="about">{_text(_about(result))}</p>']
    if doubt := result.doubt(*shown):
        warnings.warn(doubt, stacklevel=2)
        parts.append(f'<p class="doubt">{_text(doubt)}</p>')
    parts += ["<h2>Equation</h2>", f"<pre>{_text(equation_of(result.provenance.get('case', '')))}</pre>"]
    parts += ["<h2>Result</h2>", _table(_facts(result))]
    parts += ["<h2>Fields</h2>", _statistics(result, times)]
    parts += [_image(frames_of(result, name, times), f"{name} over time") for name in result.fields[:_FIELDS]]
    if more := len(result.fields) - _FIELDS:
        parts += [f"<p>{more} more fields are not drawn: see <code>plot --field</code>.</p>"] if more > 0 else []
    parts += _series(result)
    parts += ["<h2>Case</h2>", f"<pre>{_text(result.provenance.get('case', 'not in the result').strip())}</pre>"]
    parts += ["<h2>Environment</h2>", _table(_environment(result))]
    return _framed(title, parts)


def _framed(title: str, parts: Sequence[str]) -> str:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = [
        '<meta charset="utf-8">', f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title>", f"<style>{_STYLE}</style>",
    ]  # fmt: skip
    return "\n".join(
        ['<!DOCTYPE html>\n<html lang="en">\n<head>', *head, "</head>\n<body>", *parts, "</body>\n</html>\n"]
    )


def _text(text: str) -> str:
    """Return a text as HTML shows it, without characters that it has no place for."""
    return escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text)), quote=True)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _image(figure: Figure, alt: str, kind: str = ".png") -> str:
    """Return a figure within the page."""
    data = base64.b64encode(picture_of(figure, Path(f"picture{kind}"))).decode()
    width = round(96 * figure.get_figwidth())  # an inch is 96 pixels of a page: letters are of one size in all pictures
    return f'<img alt="{_text(alt)}" width="{width}" src="data:{_KINDS[kind]};base64,{data}">'


def _about(result: Result) -> str:
    """Return what file it is, and when and by what it was made."""
    said = result.provenance
    made = f", made {said['created']}" if "created" in said else ""
    return f"{result.path.name}{made}" + (f" by parsolve {said['parsolve']}" if "parsolve" in said else "")


def equation_of(case: str) -> str:
    """Return the equations of the text of a case: of the catalogue by their formula, others as they are written."""
    known: dict[str, Any] = {}
    with suppress(tomllib.TOMLDecodeError):
        known = tomllib.loads(case)
    name, lines = known.get("equation"), []
    if isinstance(name, str):
        lines.append(f"{name}: {CATALOGUE[name].formula}" if name in CATALOGUE else name)
    for table, form in (("define", "{} = {}"), ("evolve", "{} = {}")):
        given = known.get(table)
        for field, text in given.items() if isinstance(given, dict) else ():
            rate = table == "evolve" and not field.endswith(("_t", "_tt"))
            lines.append(form.format(f"{field}_t" if rate else field, text))
    given = known.get("parameters")
    if isinstance(given, dict) and given:
        lines += ["", *(f"{key} = {value}" for key, value in given.items())]
    return "\n".join(lines) or "not in the result"


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    """Yield what there is: grid, fields, frames, and how fast it came about as far as that is known."""
    grid, times, steps = result.grid, result.times, result.steps
    cells = dict(zip(result.axes, grid.shape, strict=True))
    yield "grid", " x ".join(str(cells[axis]) for axis in grid.names) + f" cells ({grid.size} in all)"
    for axis in grid.names:
        low, high = range_of(result, axis)
        closed = ", periodic" if grid.periodic["zyx".index(axis)] else ""
        yield axis, f"{low:g} to {high:g} {result.units(axis)}".rstrip() + closed
    for name in result.fields:
        meaning, units = result.long_name(name), result.units(name)
        yield f"field {name}", ", ".join([*([meaning] if meaning != name else []), units or "no unit"])
    unit = result.units("time")
    yield "frames", f"{len(times)}, t = {times[0]:.6g} to {times[-1]:.6g} {unit}".rstrip()
    yield "steps", f"{steps[-1]}, of {result.dtype} values"
    spent, speed = spent_of(result.provenance), "how long the steps took is not kept in the result"
    if spent is None:  # as in frames of a run under way
        with suppress(StorageError):
            spent = spent_of(spent_text(read_status(result.path).spent))
    if spent is not None:
        seconds, steps_timed = spent
        rate = steps_timed / seconds
        speed = f"{rate:.4g} steps/s, {rate * grid.size:.4g} cell updates/s"
        speed += f": {seconds:.4g} s of marching for {steps_timed} steps"
    yield "speed", speed


def _statistics(result: Result, times: Sequence[int]) -> str:
    """Return the table of minimum, maximum, mean and deviation of each field at some times."""
    lines = []
    for name in result.fields:
        for n in times:
            found = statistics_at(result, name, n)
            numbers = (found.minimum, found.maximum, found.mean, found.deviation)
            cells = [name, time_text(result, n), *(f"{value:.6g}" for value in numbers), str(found.not_finite)]
            lines.append("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>")
    names = ("field", "time", "minimum", "maximum", "mean", "deviation", "not finite")
    head = "<thead><tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr></thead>"
    return f'<table class="numbers">{head}\n' + "\n".join(lines) + "\n</table>"


def _series(result: Result) -> list[str]:
    """Return what was measured, a picture for each dozen of series."""
    parts, unit = [], result.units("time")
    for first in range(0, len(result.series), _SERIES):
        figure = blank()
        draw_panels(figure, result.series[first : first + _SERIES], "", f"time ({unit})" if unit else "time")
        parts.append(_image(figure, "what was measured", ".svg"))
    return ["<h2>Measures</h2>", *parts] if parts else []


def _environment(result: Result) -> Iterator[tuple[str, str]]:
    """Yield where it comes from, tables in it row by row."""
    for key, text in result.provenance.items():
        if key in ("title", "case", SPENT):
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, dict):
            yield key, ", ".join(f"{name} {one}" for name, one in value.items()) or "none"
        else:
            yield key, ", ".join(map(str, value)) if isinstance(value, list) else text
