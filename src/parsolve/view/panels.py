"""Pictures of a field over one axis, as lines, and over two, as maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from parsolve.view.cut import label_of, position_of, range_of, time_text
from parsolve.view.figures import fitted, plain
from parsolve.view.scale import SEQUENTIAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from parsolve.view.cut import Cut, Shown
    from parsolve.view.scale import Scale

_STYLES = ("-", "--", ":", "-.")


def draw_lines(
    figure: Figure, result: Shown, label: str, cuts: Sequence[Cut], times: Sequence[int],
    values: Sequence[Sequence[NDArray[Any]]], scale: Scale, colormap: str | None = None,
    limits: tuple[float, float] | None = None,
) -> list[Line2D]:  # fmt: skip
    """Draw a field along one axis, a line for each cut and time, early to late from dark to light; return the lines.

    Args:
        figure: to draw on.
        result: what it is of.
        label: the name of the field for people.
        cuts: what of the field it is, along the same axis; each has a way to be drawn (or a colour, at one time).
        times: indices of the times.
        values: of each cut at these times.
        scale: which of them have a place, and whether it is logarithmic.
        colormap: of the lines.
        limits: of the values; None: as they are.
    """
    from matplotlib import colormaps

    axis, lines = cuts[0].axes[0], []
    figure.set_size_inches(7.0, 4.2)
    axes = figure.add_subplot()
    position = position_of(result, cuts[0], axis)
    number = len(times) if len(times) > 1 else len(cuts)
    for place, (cut, of_cut) in enumerate(zip(cuts, values, strict=True)):
        for order, (index, line) in enumerate(zip(times, of_cut, strict=True)):
            shade = 0.9 * (order if len(times) > 1 else place) / max(1, number - 1)
            said = [cut.note] * (len(cuts) > 1) + [time_text(result, index)] * (len(times) > 1)
            lines += axes.plot(
                position, scale.shown(line), linewidth=1.6, marker="o" if len(line) == 1 else None,
                color=colormaps[colormap or SEQUENTIAL](shade), linestyle=_STYLES[place % len(_STYLES)],
                label=plain(", ".join(said)),
            )  # fmt: skip
    axes.set_yscale("log" if scale.log else "linear")
    axes.set_xlabel(label_of(result, axis))
    axes.set_ylabel(**words(figure, "ylabel", label, 3.4))
    axes.set_xlim(*range_of(result, axis))
    if limits is not None:
        axes.set_ylim(*limits)
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.6)
    set_title(figure, result, cuts[0].note if len(cuts) == 1 else "", times)
    return lines


def draw_maps(
    figure: Figure, result: Shown, label: str, cut: Cut, times: Sequence[int], values: Sequence[NDArray[Any]],
    scale: Scale,
) -> list[AxesImage]:  # fmt: skip
    """Draw a field over two axes, a panel a time, all with one colour scale; return the images."""
    vertical, horizontal = cut.axes
    (left, right), (bottom, top) = range_of(result, horizontal), range_of(result, vertical)
    ratio = (top - bottom) / (right - left)
    equal = 0.1 <= ratio <= 10.0  # a thinner domain would be a line
    columns = math.ceil(math.sqrt(len(times))) if ratio <= 1.0 else math.ceil(len(times) / 2)
    columns = len(times) if len(times) < 4 else columns
    rows = math.ceil(len(times) / columns)
    columns = math.ceil(len(times) / rows)
    width = 5.2 if len(times) == 1 else 2.2
    height = width * (min(ratio, 2.0) if equal else 0.6)
    tall = max(1.8, rows * (height + 0.25) + 0.75)
    figure.set_layout_engine("compressed")  # cells keep their shape: labels stand within the picture, the bar beside it
    figure.set_size_inches(columns * (width + 0.1) + 1.75, tall)
    images = []
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, index, map_ in zip(panels, times, values, strict=False):
        image = panel.imshow(
            scale.shown(map_), origin="lower", extent=(left, right, bottom, top), aspect="equal" if equal else "auto",
            cmap=scale.colormap, norm=scale.norm(), interpolation="nearest" if max(map_.shape) < 400 else "antialiased",
        )  # fmt: skip
        images.append(image)
        _dress(panel, result, cut, index if len(times) > 1 else None)
    for place in range(len(times), len(panels)):
        panels[place].remove()
        panels[place - columns].tick_params(labelbottom=True)  # which is now the lowest of its column
        panels[place - columns].set_xlabel(label_of(result, horizontal))
    bar = figure.colorbar(image, ax=list(panels[: len(times)]), aspect=30, fraction=0.05, pad=0.02)
    bar.set_label(**words(figure, "label", label, tall - 0.5))
    bar.outline.set_visible(False)
    set_title(figure, result, cut.note, times)
    return images


def _dress(panel: Axes, result: Shown, cut: Cut, index: int | None) -> None:
    """Label a panel's outer axes and, on a sheet, say its time."""
    vertical, horizontal = cut.axes
    panel.set_xlabel(label_of(result, horizontal))
    panel.set_ylabel(label_of(result, vertical))
    panel.label_outer()
    panel.set_facecolor("0.85")  # shows through where there is no value to show
    if index is not None:
        panel.set_title(plain(time_text(result, index)), fontsize="small")


def set_title(figure: Figure, result: Shown, note: str, times: Sequence[int], said: str | None = None) -> None:
    """Set the title: the case, the time where there is one (or what is said of it), and a note."""
    time = said or (time_text(result, times[0]) if len(times) == 1 else "")
    title = ", ".join(part for part in (result.provenance.get("title"), time, note) if part)
    figure.suptitle(**words(figure, "t", title, figure.get_figwidth()))


def words(figure: Figure, key: str, text: str, inches: float) -> dict[str, Any]:
    """Return a text that is no longer than so many inches, as arguments of matplotlib."""
    words = fitted(figure, text, inches)
    return {key: words.pop("text"), **words}
