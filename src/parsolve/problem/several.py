"""Measures that are several numbers: histograms, and spectra of periodic fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.redistribute import gather
from parsolve.domain.reduce import Counts
from parsolve.domain.spectrum import radial_spectrum, require_periodic, wave_numbers
from parsolve.equations.values import evaluate
from parsolve.errors import CaseError, agreed, on_root
from parsolve.store.series import Coordinate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid
    from parsolve.equations.measures import Measures, Several
    from parsolve.kernels.library import Args

MOST = 1 << 16  # numbers that all measures are together


class Histogram:
    """How many cells are in each bin, of values that come part by part.

    Args:
        of: name of the value.
        edges: of the bins; they are rounded as the values are, so that 0.7 is at the edge 0.7 in float32 too.
        like: a field of the whole subdomain.
    """

    def __init__(self, of: str, edges: NDArray[np.float64], like: Field) -> None:
        with np.errstate(over="ignore"):
            self.of, self._counts = of, Counts(edges.astype(like.dtype).astype(np.float64).tolist())
        self._bins, self._comm = len(edges) - 1, like.subdomain.comm

    def begin(self) -> None:
        """Begin anew."""
        self._counts.begin()

    def bound(self, f: Field, args: Args) -> Callable[[], object]:
        """What takes the values of a part, of arguments of reductions of it."""
        return self._counts.bound(f, args)

    def values(self) -> NDArray[np.float64]:
        """The cells in each bin, on all ranks; not a number where a value is not finite; collective."""
        total = self._counts.total(self._comm)
        return np.full(self._bins, np.nan) if total is None else total.astype(np.float64)


class Spectrum:
    """The radial spectrum of values that come part by part: it needs all of them on one rank.

    Args:
        of: name of the value.
        like: a field of the whole subdomain.
    """

    def __init__(self, of: str, like: Field) -> None:
        self.of, self._sub, self._dtype = of, like.subdomain, like.dtype
        self._values = np.empty(0, like.dtype)

    def begin(self) -> None:
        """Begin anew; collective.

        Raises:
            ResourceError: no memory for the values; the same on all ranks.
        """
        with agreed(self._sub.comm):
            self._values = np.empty(self._sub.shape, self._dtype)

    def bound(self, f: Field, args: Args) -> Callable[[], object]:
        """What takes the values of a part."""
        first = [a - b for a, b in zip(f.subdomain.start, self._sub.start, strict=True)]
        place = tuple(slice(a, a + n) for a, n in zip(first, f.subdomain.shape, strict=True))

        def take() -> None:
            self._values[place] = f.owned

        return take

    def values(self) -> NDArray[np.float64]:
        """The part of each wave number in the mean square, on all ranks; not a number where a value is not finite.

        Collective.

        Raises:
            ResourceError: no memory for the whole field and its transform; the same on all ranks.
        """
        whole, grid = gather(self._values, self._sub), self._sub.grid
        self._values = np.empty(0, self._dtype)

        def made() -> NDArray[np.float64]:
            assert whole is not None
            if not np.isfinite(whole).all():
                return np.full(len(wave_numbers(grid)), np.nan)
            return radial_spectrum(whole, grid)[1]

        return on_root(self._sub.comm, made)


def several_of(measures: Measures, parameters: Mapping[str, float], like: Field) -> dict[str, Histogram | Spectrum]:
    """What takes each measure that is several numbers.

    Raises:
        CaseError: bins that are none; an axis is not periodic.
    """
    coordinates_of(measures, like.subdomain.grid, parameters)
    return {
        name: Spectrum(one.of, like) if one.kind == "spectrum" else Histogram(one.of, _edges(one, parameters), like)
        for name, one in measures.several.items()
    }


def coordinates_of(measures: Measures | None, grid: Grid, parameters: Mapping[str, float]) -> dict[str, Coordinate]:
    """What the numbers of each measure that is several are for: the centres of bins, or wave numbers.

    Raises:
        CaseError: bins that are none; an axis is not periodic.
    """
    found = {}
    for name, one in measures.several.items() if measures else ():
        try:
            if one.kind == "spectrum":
                require_periodic(grid)
                found[name] = Coordinate("k", wave_numbers(grid))
            else:
                edges = _edges(one, parameters)
                centres = edges[:-1] / 2 + edges[1:] / 2
                found[name] = Coordinate("bin", np.array([float(f"{centre:.15g}") for centre in centres]))
        except CaseError as error:
            raise CaseError(f"measure.{name}: {error}") from None
    return found


def gathered(measures: Measures | None, grid: Grid, itemsize: int) -> int:
    """Bytes that one rank takes for spectra: the values of each, and a field and its transform, twice, of one."""
    spectra = [s for s in measures.several.values() if s.kind == "spectrum"] if measures else []
    return grid.size * (itemsize * len(spectra) + 24) if spectra else 0


def _edges(one: Several, parameters: Mapping[str, float]) -> NDArray[np.float64]:
    """The edges of the bins of a histogram.

    Raises:
        CaseError: they do not increase, or are not finite.
    """
    low, high = (float(np.asarray(evaluate(end, parameters)).item()) for end in (one.low, one.high))
    with np.errstate(all="ignore"):
        edges = np.linspace(low, high, one.bins + 1)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise CaseError(f"{one.bins} bins from {low:g} to {high:g} do not increase")
    return edges
