"""White noise in space and time: normal numbers that are functions of (seed, cell, step) alone.

``random.h`` says how they are made, and makes them in kernels; this is the same in NumPy, with the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sympy

from parsolve.kernels.library import MAX_COEFFICIENTS, fma

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from parsolve.kernels.library import Args

PLACES = 2  # of integrals, that the step and the strength take
_PREFIX = "noise."
_ROUNDS = 10
_FACTORS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_WORD = np.uint64(0xFFFFFFFF)
_LOG = (
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
    2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01,
)  # fmt: skip
_SINE = (
    5.3926646626081290e-10, -2.2948428997269873e-08, 7.9520540014755126e-07, -2.1915353447830217e-05,
    4.6630280576761255e-04, -7.3704309457143504e-03, 8.2145886611128233e-02, -5.9926452932079211e-01,
    2.5501640398773455e+00, -5.1677127800499703e+00, 3.1415926535897931e+00,
)  # fmt: skip


def white(seed: int) -> sympy.Symbol:
    """The symbol of the noise of a seed; no name of a case can be the same."""
    return sympy.Symbol(f"{_PREFIX}{seed}", real=True)


def is_white(name: str) -> bool:
    """Whether a symbol of this name stands for noise in time."""
    return name.startswith(_PREFIX)


def has_white(e: sympy.Basic) -> bool:
    """Whether there is noise in time in an expression."""
    return any(is_white(s.name) for s in e.free_symbols)


def seed_of(name: str) -> int:
    """The seed of the noise that a symbol of this name stands for."""
    return int(name.removeprefix(_PREFIX))


def noise_of(args: Args) -> tuple[int, float]:
    """The step of a kernel and the strength of its noise."""
    return int(args.coefficient[MAX_COEFFICIENTS - 1]), args.coefficient[MAX_COEFFICIENTS - 2]


def normal(seed: int, step: int, cells: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """A normal number for each cell.

    Args:
        seed: a whole number below 2**53.
        step: a whole number; taken modulo 2**43.
        cells: their global indices along z, y and x, broadcast against each other; taken modulo 2**32.
    """
    words = [np.asarray(index).astype(np.int64).astype(np.uint64) & _WORD for index in reversed(cells)]
    key = seed % 2**32, (seed >> 32 | step >> 32 << 21) % 2**32
    a, b, c, d = philox([*words, np.uint64(step % 2**32)], key)
    u = 2.0 - _unit(b << np.uint64(32) | a)
    angle = _unit(d << np.uint64(32) | c) - 1.5 + 2.0**-53
    made: NDArray[np.float64] = np.sqrt(-2.0 * _log(u)) * (angle * _polynomial(_SINE, angle * angle))
    return made


def philox(counter: Sequence[ArrayLike], key: tuple[int, int]) -> list[NDArray[np.uint64]]:
    """The four words of Philox4x32-10 for four words and a key, all of 32 bits (Salmon et al., SC 2011)."""
    x, y, z, n = (word.astype(np.uint64) for word in np.broadcast_arrays(*counter))
    low, high = key
    shift = np.uint64(32)
    for _ in range(_ROUNDS):
        p, q = (np.uint64(factor) * word for factor, word in zip(_FACTORS, (x, z), strict=True))
        x, y = (q >> shift) ^ y ^ np.uint64(low), q & _WORD
        z, n = (p >> shift) ^ n ^ np.uint64(high), p & _WORD
        low, high = (low + _WEYL[0]) % 2**32, (high + _WEYL[1]) % 2**32
    return [x, y, z, n]


def _unit(word: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [1, 2) of the first 52 bits."""
    return (word >> np.uint64(12) | np.uint64(0x3FF0000000000000)).view(np.float64)


def _polynomial(coefficients: Sequence[float], s: NDArray[np.float64]) -> NDArray[np.float64]:
    """By Horner's rule, the highest coefficient first."""
    total: NDArray[np.float64] = np.full(s.shape, coefficients[0])
    for c in coefficients[1:]:
        total = fma(total, s, c)
    return total


def _log(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ln of normal and positive numbers."""
    scaled = s.view(np.uint64) + np.uint64(0x00095F6200000000)
    exponent = (scaled >> np.uint64(52)).astype(np.float64) - 1023.0
    f = ((scaled & np.uint64(2**52 - 1)) + np.uint64(0x3FE6A09E00000000)).view(np.float64) - 1.0
    ratio, half = f / (f + 2.0), 0.5 * f * f
    z = ratio * ratio
    low = fma(exponent, 1.90821492927058770002e-10, ratio * fma(_polynomial(_LOG, z), z, half))
    return fma(exponent, 6.93147180369123816490e-01, f - (half - low))
