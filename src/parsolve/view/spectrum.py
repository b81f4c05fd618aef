"""The radial spectrum of a field: how its mean square is shared out over wave numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.spectrum import radial_spectrum, require_periodic
from parsolve.errors import CaseError
from parsolve.store.result import open_result
from parsolve.view.cut import choose_field, choose_times, frame_near, time_text
from parsolve.view.figures import blank, plain, save
from parsolve.view.panels import set_title, words
from parsolve.view.scale import SEQUENTIAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from parsolve.store.result import Result

_LEAST = 1e-24  # of the largest: below is the rounding of the transform


def draw_spectrum(
    path: Path | str, field: str, time: float | None = None, times: Sequence[float] = (),
    out: Path | str | None = None, force: bool = False,
) -> Path:  # fmt: skip
    """Draw the radial spectrum of a field at the last time, or others; return the picture's path.

    Raises:
        CaseError: unknown field or time, an axis that is not periodic, a value that is not finite, or its square.
        StorageError: the result cannot be read, or the picture cannot be written.
        SetupError: matplotlib is not installed.
    """
    figure, path = blank(), Path(path)
    with open_result(path) as result:
        name = choose_field(result, field)
        try:
            require_periodic(result.grid)
        except CaseError as error:
            raise CaseError(f"--spectrum: {error}") from None
        shown = sorted({frame_near(result, at) for at in times}) or choose_times(result, time, 1)
        lines = [_spectrum(result, name, n) for n in shown]
        if doubt := result.doubt(*((name, n) for n in shown)):
            warnings.warn(doubt, stacklevel=2)
        _draw(figure, result, name, shown, lines)
    target = path.with_suffix(f".{name}.spectrum.png") if out is None else Path(out)
    return save(figure, target, force, number=out is None)


def _spectrum(result: Result, name: str, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the spectrum of a field at a time.

    Raises:
        CaseError: a value is not finite, or the square of one.
    """
    values = result.read(name, n)
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise CaseError(f"--spectrum: {bad} values of '{name}' are not finite at {time_text(result, n)}")
    found = radial_spectrum(values, result.grid)
    if not np.isfinite(found[1]).all():
        raise CaseError(f"--spectrum: the squares of '{name}' are not finite at {time_text(result, n)}")
    return found


def _draw(
    figure: Any, result: Result, name: str, shown: Sequence[int], lines: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> None:
    from matplotlib import colormaps

    figure.set_size_inches(7.0, 4.2)
    axes = figure.add_subplot()
    most = max((float(parts[1:].max()) for _, parts in lines if len(parts) > 1), default=0.0)
    for order, (n, (k, parts)) in enumerate(zip(shown, lines, strict=True)):
        colour = colormaps[SEQUENTIAL](0.9 * order / max(1, len(shown) - 1))
        seen = np.where(parts > _LEAST * most, parts, np.nan)
        axes.plot(k[1:], seen[1:], color=colour, linewidth=1.4, marker=".", label=plain(time_text(result, n)))
    if most > 0:
        axes.set(xscale="log", yscale="log")
    else:
        why = "no wave has a square above zero"
        axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color="0.4")
    units = {result.units(axis) for axis in result.axes}
    length = f" (1/{units.pop()})" if len(units) == 1 and units != {""} else ""
    axes.set_xlabel(**words(figure, "xlabel", f"wave number k = 2π/wavelength{length}", 5.5))
    unit = result.units(name)
    text = f"part of the mean square of {name}" + (f" (({unit})²)" if unit else "")
    axes.set_ylabel(**words(figure, "ylabel", text, 3.4))
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(shown) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    set_title(figure, result, "", shown)
