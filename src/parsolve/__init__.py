"""parsolve: partial differential equations on structured grids, on any number of MPI ranks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsolve.api import make_case, solve
    from parsolve.case import Case
    from parsolve.ensemble.calls import task
    from parsolve.ensemble.tasks import Executor
    from parsolve.errors import ParsolveError
    from parsolve.simulation import Simulation
    from parsolve.store.result import open_result

    __version__: str

__all__ = [
    "Case",
    "Executor",
    "ParsolveError",
    "Simulation",
    "__version__",
    "make_case",
    "open_result",
    "solve",
    "task",
]

_HOMES = {
    "Case": "parsolve.case",
    "Executor": "parsolve.ensemble.tasks",
    "ParsolveError": "parsolve.errors",
    "Simulation": "parsolve.simulation",
    "make_case": "parsolve.api",
    "open_result": "parsolve.store.result",
    "solve": "parsolve.api",
    "task": "parsolve.ensemble.calls",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing parsolve loads nothing else."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("parsolve")
        except PackageNotFoundError:
            return "unknown (run from source)"
    if name not in _HOMES:
        raise AttributeError(f"module 'parsolve' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)
