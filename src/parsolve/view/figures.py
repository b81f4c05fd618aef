"""A blank figure, texts that fit it, and its picture on the disk: where matplotlib is loaded."""

from __future__ import annotations

import textwrap
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

from parsolve.errors import SetupError, StorageError
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

_POINT_SIZES = (10.0, 9.0, 8.0, 7.0)  # of texts that are too long for the first
_LINES = 4
_DOTS = {"pdf": 300, "svg": 300, "eps": 300}  # an inch, of the parts of it that are dots
_BREADTH = 0.9  # of the room that a text takes at most


def blank(**options: Any) -> Figure:
    """Return a figure of matplotlib without a window.

    Raises:
        SetupError: matplotlib is not installed, or its settings (MPLBACKEND, matplotlibrc) are wrong.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupError('plots need matplotlib: pip install "parsolve[plot]"') from error
    except (ValueError, OSError, RuntimeError) as error:
        raise SetupError(f"matplotlib cannot be loaded: {error}") from error
    return Figure(layout="constrained", **options)


def plain(text: str) -> str:
    """Return a text that matplotlib shows as it is: no mathematics between dollars."""
    return text.replace("$", r"\$")


def fitted(figure: Figure, text: str, inches: float) -> dict[str, Any]:
    """Return a text as words of matplotlib (``text``, ``fontsize``), broken into lines no longer than so many inches.

    What is too long for four lines of the smallest letters ends with "...".
    """
    most = _BREADTH * inches * 72.0  # points
    text = text[: int(_LINES * most / (0.2 * min(_POINT_SIZES)))]  # more than fits of the narrowest letters
    for points in _POINT_SIZES:
        lines = _broken(figure, text, most, points)
        if len(lines) <= _LINES:
            break
    else:
        lines = [*lines[: _LINES - 1], lines[_LINES - 1][:-3] + "..."]
    return {"text": plain("\n".join(lines)), "fontsize": points}


def _broken(figure: Figure, text: str, most: float, points: float) -> list[str]:
    """Return the lines of a text, none of them wider than so many points."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.font_manager import FontProperties

    renderer, font = FigureCanvasAgg(figure).get_renderer(), FontProperties(size=points)

    def breadth(line: str) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of letters that the font lacks: told when they are drawn
            pixels, _, _ = renderer.get_text_width_height_descent(line, font, ismath=False)
        return float(pixels * 72.0 / figure.dpi)

    letters = max(8, int(most / (0.4 * points)))
    while True:
        lines = textwrap.wrap(text, letters) or [""]
        if letters <= 8 or max(map(breadth, lines)) <= most:
            return lines
        letters = max(8, int(0.9 * letters))


def save(figure: Figure, path: Path, force: bool = False, number: bool = False) -> Path:
    """Write a figure in the format of the path's suffix, and return the path.

    Nothing is replaced without ``force``; with ``number`` a name that is taken becomes stem-2, stem-3, ...

    Raises:
        StorageError: it cannot be written, or is there already.
    """
    return write_whole(path, picture_of(figure, path), force=force, number=number)


def picture_of(figure: Figure, path: Path) -> bytes:
    """Return a figure as bytes of the format of the path's suffix, the same for the same figure; PDF and SVG to print.

    Raises:
        StorageError: there is no such format, or it cannot be drawn.
    """
    from matplotlib import rc_context

    picture, kind = BytesIO(), path.suffix[1:].lower() or "png"
    dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    try:
        with rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "parsolve"}):
            figure.savefig(picture, dpi=_DOTS.get(kind, 150), format=kind, metadata=dated.get(kind))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot write the picture: {error}") from error
    return picture.getvalue()
