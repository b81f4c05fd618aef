"""The operations of a tape, each once: what it is in C and in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.equations.functions import VALUE_FUNCTIONS
from parsolve.kernels.library import fma

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ARITHMETIC: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "add": ("{} + {}", np.add),
    "sub": ("{} - {}", np.subtract),
    "mul": ("{} * {}", np.multiply),
    "div": ("{} / {}", np.divide),
    "neg": ("-{}", np.negative),
    "lt": ("{} < {}", np.less),
    "le": ("{} <= {}", np.less_equal),
    "eq": ("{} == {}", np.equal),
    "ne": ("{} != {}", np.not_equal),
    "and": ("{} && {}", np.logical_and),
    "or": ("{} || {}", np.logical_or),
    "not": ("!{}", np.logical_not),
    "select": ("{} ? {} : {}", np.where),
}
BOOLEAN = {"lt", "le", "eq", "ne", "and", "or", "not"}
FREE = {"load", "constant", "coefficient", "coordinate", "time", "integral", "neg"}  # operations that cost nothing

# Operators of C, with places for their operands; all other operations are called by name.
OPERATORS: Mapping[str, str] = {name: text for name, (text, _) in _ARITHMETIC.items()}
NUMPY: Mapping[str, Callable[..., Any]] = {
    **{f.operation: f.values for f in VALUE_FUNCTIONS.values() if f.operation and f.values},
    **{name: function for name, (_, function) in _ARITHMETIC.items()},
    "fma": fma,
    "pow": np.power,
}
