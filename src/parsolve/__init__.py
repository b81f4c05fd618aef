"""parsolve: partial differential equations on structured grids, on any number of MPI ranks."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsolve.api import Equation, case, run
    from parsolve.case import Case
    from parsolve.errors import ParsolveError
    from parsolve.store.result import open_result

__all__ = ["Case", "Equation", "ParsolveError", "case", "open_result", "run"]

_HOMES = {
    "Case": "parsolve.case",
    "Equation": "parsolve.api",
    "ParsolveError": "parsolve.errors",
    "case": "parsolve.api",
    "open_result": "parsolve.store.result",
    "run": "parsolve.api",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing parsolve loads nothing else."""
    if name not in _HOMES:
        raise AttributeError(f"module 'parsolve' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """This package, in which `case` and `run` are the functions, also once the modules of these names are loaded."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
