"""Pictures of results; the only place that knows matplotlib."""

from parsolve.view.plot import plot

__all__ = ["plot"]
