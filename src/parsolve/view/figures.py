"""A blank figure, and its picture on the disk: where matplotlib is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parsolve.errors import SetupError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def blank(**options: Any) -> Figure:
    """Return a figure of matplotlib without a window.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupError('plots need matplotlib: pip install "parsolve[plot]"') from error
    return Figure(layout="constrained", **options)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the path's suffix, and return the path.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot write the picture: {error}") from error
    return path
