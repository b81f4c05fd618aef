"""A surface of equal values of a 3-D field, by pyvista."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.errors import CaseError, SetupError, StorageError
from parsolve.view.cut import label_of, time_text

if TYPE_CHECKING:
    from parsolve.store.result import Result

_PIXELS = (1050, 900)


def pyvista() -> Any:
    """Return the module.

    Raises:
        SetupError: it is not installed, or does not work.
    """
    try:
        import pyvista as module
        from vtkmodules.vtkCommonCore import vtkLogger
    except (ImportError, OSError) as error:
        raise SetupError("--isosurface needs pyvista: pip install pyvista") from error
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)  # of windows that it tries to open first
    return module


def draw_surface(result: Result, name: str, n: int, value: float, out: Path) -> bytes:
    """Return the picture, as PNG, of the surface where a field has a value.

    Raises:
        CaseError: the result is not 3-D, the field has the value nowhere, or another format is asked for.
        SetupError: pyvista is not installed.
        StorageError: the field cannot be read, or the surface cannot be drawn.
    """
    if len(result.axes) != 3:
        raise CaseError(f"--isosurface: needs a result with three axes, and this one has {len(result.axes)}")
    if out.suffix.lower() not in (".png", ""):
        raise CaseError(f"{out}: a surface is drawn as .png alone")
    module, values = pyvista(), result.read(name, n)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
    if not low <= value <= high or min(values.shape) < 2:
        raise CaseError(f"--isosurface {value:g}: nowhere; '{name}' is from {low:g} to {high:g} at this time")
    places = [AXES.index(axis) for axis in "xyz"]
    spacing = [result.grid.spacing[place] for place in places]
    first = [result.grid.lower[place] + step / 2 for place, step in zip(places, spacing, strict=True)]
    image = module.ImageData(dimensions=values.shape[::-1], spacing=spacing, origin=first)
    image.point_data[name] = values.astype(np.float64).ravel()
    with TemporaryDirectory(prefix="parsolve-") as folder:
        path = Path(folder) / "surface.png"
        try:
            _shoot(module, result, name, n, image, value, path)
            return path.read_bytes()
        except (RuntimeError, ValueError, OSError) as error:
            raise StorageError(f"{out}: cannot draw the surface: {error}") from error


def _shoot(module: Any, result: Result, name: str, n: int, image: Any, value: float, path: Path) -> None:
    """Write the picture of a surface."""
    surface = image.contour([value], scalars=name)
    plotter = module.Plotter(off_screen=True, window_size=_PIXELS)
    try:
        plotter.set_background("white")
        plotter.add_mesh(surface, color="#35708e", smooth_shading=True, specular=0.3)
        plotter.add_mesh(image.outline(), color="black")
        titles = {f"{axis}title": label_of(result, axis) for axis in "xyz"}
        plotter.show_bounds(color="black", font_size=10, location="outer", **titles)
        title = result.provenance.get("title", "")
        text = ", ".join(
            filter(None, [title, f"{name} = {value:g} {result.units(name)}".rstrip(), time_text(result, n)])
        )
        plotter.add_text(text, position="upper_edge", font_size=10, color="black")
        plotter.screenshot(str(path))
    finally:
        plotter.close()
