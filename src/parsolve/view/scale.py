"""The scale of a picture: limits, linear or logarithmic, and colours, diverging where values have both signs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.case.tables import nearest
from parsolve.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colors import Normalize
    from numpy.typing import NDArray

SEQUENTIAL = "viridis"  # perceptually uniform, also in grey and for colour-blind readers
DIVERGING = "RdBu_r"  # white at zero
_BOTH_SIGNS = 0.05  # of the largest magnitude: less on one side is a little overshoot or rounding
_LARGEST = sys.float_info.max / 8  # so that a difference of limits is finite


@dataclass(frozen=True)
class Look:
    """What is asked for: limits, a logarithmic scale, a colormap by name; None is chosen by the values."""

    vmin: float | None = None
    vmax: float | None = None
    log: bool = False
    colormap: str | None = None


@dataclass(frozen=True)
class Scale:
    """Limits, the name of the colormap, and whether the scale is logarithmic."""

    low: float
    high: float
    colormap: str
    log: bool

    def norm(self) -> Normalize:
        """Return what maps values to colours."""
        from matplotlib.colors import LogNorm, Normalize

        return (LogNorm if self.log else Normalize)(self.low, self.high)

    def shown(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values, NaN where the scale has no place for them."""
        return np.where(_has_place(values, self.log), np.clip(values.astype(np.float64), -_LARGEST, _LARGEST), np.nan)


def scale_of(values: Sequence[NDArray[Any]], look: Look, signed: bool = False) -> Scale:
    """Return the scale for all of several arrays.

    Values of both signs have limits symmetric about zero and a diverging map; of one limit that is given the other is
    the mirror image; so have all values that are `signed`, as differences. Other values have their own limits and a
    sequential map.

    Raises:
        CaseError: limits that do not increase, nothing above zero for a logarithmic scale, an unknown colormap.
    """
    _check_look(look)
    known = [part[_has_place(part, look.log)] for part in values]
    low = min((float(part.min()) for part in known if part.size), default=0.1)
    high = max((float(part.max()) for part in known if part.size), default=1.0)
    if look.log and not any(part.size for part in known):
        raise CaseError("--log: no value above zero to show")
    signed = (signed and not look.log) or (low < 0 < high and min(-low, high) > _BOTH_SIGNS * max(-low, high))
    if signed:
        most = max(-low, high) or 1.0
        if look.vmin is not None and look.vmin < 0:
            most = -look.vmin
        elif look.vmax is not None and look.vmax > 0:
            most = look.vmax
        low, high = -most, most
    low, high = _limits(low, high, look)
    return Scale(low, high, look.colormap or (DIVERGING if signed and low == -high else SEQUENTIAL), look.log)


def extremes(values: NDArray[Any], log: bool) -> NDArray[Any]:
    """Return the least and the largest of the values that have a place on a scale, if any: it is theirs too."""
    known = values[_has_place(values, log)]
    return np.array([known.min(), known.max()], values.dtype) if known.size else known.ravel()


def _has_place(values: NDArray[Any], log: bool) -> NDArray[np.bool_]:
    """Return where values are finite and, for a logarithmic scale, above zero."""
    place: NDArray[np.bool_] = np.isfinite(values)
    return np.logical_and(place, values >= np.finfo(values.dtype).tiny) if log else place


def _limits(low: float, high: float, look: Look) -> tuple[float, float]:
    """Return the limits that are given in place of those of the values; never empty."""
    low, high = low if look.vmin is None else look.vmin, high if look.vmax is None else look.vmax
    low, high = max(-_LARGEST, min(low, _LARGEST)), max(-_LARGEST, min(high, _LARGEST))
    if low >= high:  # all values are the same, or beyond the limit that is given
        middle = high if look.vmin is None else low
        margin = 0.5 * abs(middle) or 0.5
        low = low if look.vmin is not None else middle - margin
        high = high if look.vmax is not None else middle + margin
    return low, high


def _check_look(look: Look) -> None:
    """Raise for limits that no values can have, and colormaps that there are not."""
    from matplotlib import colormaps

    given = {"--vmin": look.vmin, "--vmax": look.vmax}
    for option, limit in given.items():
        if look.log and limit is not None and limit <= 0:
            raise CaseError(f"{option} {limit:g}: a logarithmic scale has limits above zero")
    if look.vmin is not None and look.vmax is not None and not look.vmin < look.vmax:
        raise CaseError(f"--vmin {look.vmin:g} is not below --vmax {look.vmax:g}")
    if look.colormap is not None and look.colormap not in colormaps:
        hint = nearest(look.colormap, colormaps)
        hint = hint if "did you mean" in hint else "; known are viridis, magma, cividis, Greys, RdBu_r and others"
        raise CaseError(f"--colormap: matplotlib has no '{look.colormap}'{hint}")
