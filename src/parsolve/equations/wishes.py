"""What the language does not have, and what to do in its place; for messages."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_COMPLEX = "numbers are real: write the real and the imaginary part as two fields"
_POLAR = (
    "axes are Cartesian: take x for the radius, and div(x*grad(u))/x (of a ball div(x**2*grad(u))/x**2) for laplace(u)"
)
_TENSORS = "there are no tensors: write each component with dx, dy, dz, and sums of them in vector(...) for div"
_NOISE = (
    "noise(seed=1) is of a place and does not change in time; in [evolve] noise(seed=1, each='step') is white noise, "
    "and du = f dt + s dW is u = \"f + s*noise(seed=1, each='step')\""
)
_DELAY = "a rate knows the present alone: approximate a delay by a chain of fields such as v = '(u - v)/tau'"
_LOOPS = "there are no loops: write the terms out, or make the text in Python"
_CHOICE = "write where(condition, a, b), where(...) inside it for more cases"
_FAR = "operators reach neighbours alone: a field w = '(u - w + l**2*laplace(w))/e', e small, is u smoothed over l"
_SPECIAL = "compute its values in Python and give them as a field: [fields] k = { file = 'k.npy' }"
_LARGEST = "of all cells there are only integral(u) and mean(u)"
_NEIGHBOURS = "neighbours are reached by operators alone: dx, laplace, upwind, ..."
_CURL = "of a plane flow (u, v) it is dx(v) - dy(u); in space write each component so"
_POINT = "take box(x, a, b)/(b - a) over a cell or more, or a narrow exp(-(x - a)**2/l**2)"
_MATRICES = "there are no matrices: write the components out"

_SAME: Mapping[str, str] = {
    "curl rot rotation cross vorticity": _CURL,
    "outer tensor hessian jacobian strain stress sym ddot colon": _TENSORS,
    "transpose trace tr det inv matrix matmul eye inner": _MATRICES,
    "I j J complex conj conjugate real imag re im arg angle": _COMPLEX,
    "r theta phi polar cylindrical spherical": _POLAR,
    "randn normal gauss wiener dW white_noise whitenoise brownian xi eta_t": _NOISE,
    "delay delayed lag past history previous prev old": _DELAY,
    "for while range sum prod product lambda def": _LOOPS,
    "if else elif ifelse cond piecewise Piecewise select switch case": _CHOICE,
    "convolve convolution conv fft ifft fourier hilbert": _FAR,
    "fractional fractional_laplace fraclap frac_laplace flaplace": (
        "of laplace there are only whole powers: laplace(laplace(u)) is biharmonic(u)"
    ),
    "bessel besselj bessely besseli besselk j0 j1 jn jv y0 y1 yn airy legendre hermite gamma lgamma beta zeta "
    "lambertw expint ellipk factorial erfinv interp interpolate table lookup": _SPECIAL,
    "amax amin supremum infimum global_max global_min std var median norm_inf": _LARGEST,
    "shift roll neighbour neighbor neighbours neighbors left right cumsum cumulative cumint": _NEIGHBOURS,
    "delta dirac Dirac DiracDelta point_source": _POINT,
    "gradient_norm norm mag magnitude length": "write sqrt(dot(a, a))",
    "diff Diff derivative Derivative deriv partial D pdiff ddx d_dx": "write dx(u), dxx(u), dxy(u), ...",
    "dt Dt ddt d_dt partial_t": "a rate is no name: put its text in [define], and use that in both places",
    "vec array list Vector": "write vector(a, b, c)",
    "nabla del": "write grad(u), div(a) or laplace(u)",
    "minmod superbee limiter vanleer tvd": "advect(a, u) and div(weno_flux(f, a, u)) choose their cells themselves",
    "pow power": "write a**b",
    "sqr square": "write a**2",
    "cbrt": "write sign(a)*abs(a)**(1/3)",
    "log10": "write log(a)/log(10)",
    "log2": "write log(a)/log(2)",
    "log1p": "write log(1 + a)",
    "expm1": "write exp(a) - 1",
    "erfc": "write 1 - erf(a)",
    "hypot": "write sqrt(a**2 + b**2)",
    "frac fract": "write a - floor(a)",
    "mod fmod remainder rem": "write a - b*floor(a/b)",
    "round rint nint trunc": "write floor(a + 0.5)",
    "clip clamp": "write min(max(a, low), high)",
    "sec": "write 1/cos(a)",
    "csc cosec": "write 1/sin(a)",
    "cot": "write 1/tan(a)",
    "sech": "write 1/cosh(a)",
    "coth": "write 1/tanh(a)",
    "asinh arcsinh arsinh": "write log(a + sqrt(a**2 + 1))",
    "acosh arccosh arcosh": "write log(a + sqrt(a**2 - 1))",
    "atanh arctanh artanh": "write log((1 + a)/(1 - a))/2",
    "sinc": "write where(a == 0, 1, sin(a)/a)",
    "inf infinity nan oo": "values are finite; a condition is written with where(...)",
    "n normal_derivative dn": "what holds at a side stands in [boundary]",
}  # fmt: skip
# Words that are wishes without an argument too; others are rather names of constants that were forgotten.
_NAMES = frozenset(
    {"curl", "nabla", "del", "dW", "white_noise", "whitenoise", "inf", "infinity", "nan", "oo", "complex"}
)
_WISHES: Mapping[str, str] = MappingProxyType(
    {word: advice for words, advice in _SAME.items() for word in words.split()}
)

DELAY = f"a value at another time is not supported; {_DELAY}"
SHIFT = f"a value at another place is not supported; {_NEIGHBOURS}"
COMPLEX = f"complex numbers are not supported; {_COMPLEX}"
MORE_ARGUMENTS: Mapping[str, str] = {  # of calls with too many
    "integral": "it is over the whole domain",
    "mean": "it is over the whole domain",
    "laplace": "it is along all axes, and has no fractional powers",
    "noise": "it does not change in time, but with each='step' in [evolve]",
}
ELSEWHERE: Mapping[tuple[str, str], str] = {  # of arguments that a function has in equations alone
    ("noise", "each"): "noise changes in time in [evolve] and [define] alone",
}


def wish(word: str, names: Collection[str] = (), *, is_call: bool = True) -> str:
    """What to do in place of a word that the language does not have; empty if nothing is known.

    Args:
        word: a name or the name of a function.
        names: fields, definitions and constants: derivatives such as ``u_xx`` are known by them.
        is_call: whether it is the name of a function; other names may be those of constants that are not given.
    """
    advice = _WISHES.get(word, "")
    if advice and (is_call or word in _NAMES):
        return advice
    if advice in (_POLAR, _COMPLEX):
        return f"if it is a constant, give it in [parameters]; {advice}"
    if re.fullmatch(r"d[xyz]{2,}", word):
        return f"write {_derivative(word[1:], 'u')}"
    base, _, letters = word.rpartition("_")
    if base in names and re.fullmatch(r"[xyz]+", letters):
        return f"write {_derivative(letters, base)}"
    if base in names and letters in ("t", "tt"):
        return _WISHES["dt"]
    if (found := re.fullmatch(r"d(\w+?)_?d([xyz])", word)) and found[1] in names:
        return f"write d{found[2]}({found[1]})"
    return ""


def _derivative(letters: str, name: str) -> str:
    """A derivative along axes by the operators that there are: dx(dxx(u)) of xxx."""
    text, single = name, ""
    for axis in "xyz":
        pairs, odd = divmod(letters.count(axis), 2)
        single += axis * odd
        for _ in range(pairs):
            text = f"d{axis}{axis}({text})"
    for pair in (single[:2], single[2:]):
        text = f"d{pair}({text})" if pair else text
    return text
