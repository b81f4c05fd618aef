"""Pictures: of every dimension, of what was asked for, with an error that says what there is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Field
from parsolve.domain.grid import Grid, regular
from parsolve.errors import CaseError, SetupError, StorageError
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.store.result import open_result
from parsolve.view import cut, plot
from parsolve.view.figures import blank
from parsolve.view.panels import draw_maps
from parsolve.view.plot import draw
from parsolve.view.scale import Look, scale_of

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("matplotlib")


def make(path: Path, *shape: int, frames: int = 5, value: float | None = None) -> Path:
    """A result whose u grows with time and has a known centre; v is constant."""
    cells = (1,) * (3 - len(shape)) + shape
    grid = Grid(tuple("xyz"[: len(shape)]), cells, (0.0, 0.0, 0.0), tuple(1 / n for n in cells), (True, True, True))
    domain = regular(grid, MPI.COMM_SELF, (1, 1, 1), 1)
    u, v = Field("u", domain, "f8"), Field("v", domain, "f8")
    infos = [FieldInfo("u", "temperature", "K"), FieldInfo("v", "speed", "m/s")]
    said = [FieldInfo("time", "time", "h"), FieldInfo("x", "radius", "um")]
    recorder = Recorder(MPI.COMM_SELF, path, grid, infos, "f8", {"title": "A test"}, dimensions=said)
    z, y, x = np.meshgrid(*(grid.coordinates(axis) for axis in "zyx"), indexing="ij")
    for frame in range(frames):
        u.owned[...] = (
            frame * np.exp(-8 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2)) if value is None else value
        )
        v.owned[...] = 2.0
        recorder.write(frame / 4, frame, [u, v])
    return recorder.finish()


def pixels(path: Path) -> Any:
    image = pytest.importorskip("matplotlib.image").imread(path)
    assert image.shape[0] > 200
    assert image.shape[1] > 400
    return image[..., :3]


def colours(path: Path) -> int:
    red, green, blue = np.moveaxis((255 * pixels(path)).astype(int), -1, 0)
    return len(np.unique((red * 256 + green) * 256 + blue))


@pytest.mark.parametrize("shape", [(32, 32), (32, 16)])
def test_the_labels_of_a_map_stand_within_the_picture(tmp_path: Path, shape: tuple[int, ...]) -> None:
    look = Look(vmin=-4.25)  # a bar whose numbers are broad
    image = pixels(draw(make(tmp_path / "r.h5", *shape), out=tmp_path / "a.png", look=look))
    assert (np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]) == 1.0).all()


def test_the_lowest_map_of_each_column_has_numbers_and_the_axis_name(tmp_path: Path) -> None:
    figure = blank()
    with open_result(make(tmp_path / "r.h5", 8, 8)) as result:
        whole = cut.choose_cut(result, None)
        draw_maps(figure, result, "u", whole, range(5), [np.eye(8)] * 5, scale_of([np.eye(8)], Look()))
    maps = figure.axes[:5]  # three columns, the last has one map
    assert [panel.get_xlabel() for panel in maps] == ["", "", *["x, radius (um)"] * 3]
    assert [panel.xaxis.get_tick_params()["labelbottom"] for panel in maps] == [False, False, True, True, True]


@pytest.mark.parametrize("shape", [(64,), (32, 48), (12, 16, 20), (1, 40), (400, 4)])
def test_every_dimension_has_a_picture_beside_the_result(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = draw(make(tmp_path / "r.h5", *shape))
    assert path == tmp_path / "r.u.png"
    assert colours(path) > 20


def test_the_last_time_is_shown_unless_another_is_asked_for(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 16, 16)
    last = pixels(draw(path, out=tmp_path / "last.png"))
    same = pixels(draw(path, time=1.0, out=tmp_path / "same.png"))
    near = pixels(draw(path, time=0.9, out=tmp_path / "near.png"))
    other = pixels(draw(path, time=0.25, out=tmp_path / "other.png"))
    np.testing.assert_array_equal(last, same)
    np.testing.assert_array_equal(last, near)
    assert other.shape != last.shape or (other != last).any()


def test_the_central_plane_is_shown_unless_another_is_asked_for(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 9, 9, 9)
    centre = pixels(draw(path, out=tmp_path / "a.png"))
    np.testing.assert_array_equal(centre, pixels(draw(path, slice="z=0.5", out=tmp_path / "b.png")))
    other = pixels(draw(path, slice="x = 0.1", out=tmp_path / "c.png"))
    assert other.shape != centre.shape or (other != centre).any()


def test_a_sheet_has_several_times(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 16, 16, frames=30)
    sheet = pixels(draw(path, sheet=True, out=tmp_path / "sheet.png"))
    single = pixels(draw(path, out=tmp_path / "single.png"))
    assert sheet.shape[1] > single.shape[1]


def texts(monkeypatch: pytest.MonkeyPatch, *options: Any, **more: Any) -> str:
    """All texts of a picture."""
    from matplotlib.text import Text

    found = []

    def look(figure: Any, path: Path, *_: object, **__: object) -> Path:
        found.extend(text.get_text() for text in figure.findobj(Text))
        return path

    with monkeypatch.context() as patch:
        patch.setattr(plot, "save", look)
        draw(*options, **more)
    return "\n".join(found)


@pytest.mark.parametrize("shape", [(64,), (32, 48), (8, 9, 10)])
@pytest.mark.parametrize("field", ["u", "v"])
@pytest.mark.parametrize("sheet", [False, True])
def test_each_picture_tells_field_unit_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], field: str, sheet: bool
) -> None:
    found = texts(monkeypatch, make(tmp_path / "r.h5", *shape), field=field, sheet=sheet)
    assert {"u": "u, temperature (K)", "v": "v, speed (m/s)"}[field] in found
    assert "t = 1 h" in found
    assert "x, radius (um)" in found
    assert ("t = 0.25 h" in found) == (sheet or len(shape) == 1)


def test_a_slice_of_a_plane_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = texts(monkeypatch, make(tmp_path / "r.h5", 8, 8), slice="y=0.5")
    assert "u, temperature (K)" in found
    assert "x, radius (um)" in found
    assert "y = 0.4375" in found


def test_colours_and_limits_are_those_asked_for(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 16, 16)
    looks = [Look(), Look(vmin=-3.0), Look(vmax=0.1), Look(log=True), Look(colormap="magma")]
    pictures = [pixels(draw(path, look=look, out=tmp_path / f"{i}.png")) for i, look in enumerate(looks)]
    for other in pictures[1:]:
        assert other.shape != pictures[0].shape or (other != pictures[0]).any()
    for look in looks:
        colours(draw(make(tmp_path / "line.h5", 64), look=look, out=tmp_path / "line.png", force=True))
        (tmp_path / "line.h5").unlink()


def test_a_second_picture_has_a_number(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 16, 16)
    assert [draw(path).name for _ in range(3)] == ["r.u.png", "r.u-2.png", "r.u-3.png"]
    assert draw(path, force=True).name == "r.u.png"
    with pytest.raises(StorageError, match="exists"):
        draw(path, out=tmp_path / "r.u.png")


@pytest.mark.parametrize("value", [0.0, 3.0, 1e308, np.nan])
def test_constant_and_missing_values_are_no_trouble(tmp_path: Path, value: float) -> None:
    colours(draw(make(tmp_path / "r.h5", 16, 16, value=value)))


def test_pictures_of_large_fields_read_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "_PIXELS", 8)
    colours(draw(make(tmp_path / "r.h5", 33, 41)))
    colours(draw(make(tmp_path / "line.h5", 41)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": "w"}, "no field 'w'.*fields: u, v"),
        ({"field": "V"}, r"no field 'V'; did you mean 'v'\?"),
        ({"time": 2.0}, "times are from 0 to 1"),
        ({"time": 0.5, "sheet": True}, "leave out the time"),
        ({"slice": "z=0.5"}, "no axis 'z' to cut.*one of x, y"),
        ({"slice": "x=middle"}, "'middle' is not a number"),
        ({"slice": "x=7"}, "x is from 0 to 1"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, options: Any, message: str) -> None:
    path = make(tmp_path / "r.h5", 8, 8)
    with pytest.raises(CaseError, match=message):
        draw(path, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["r.h5"]


def test_a_line_is_not_cut(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 8)
    for place in ("x=0.5", "y=0.5"):
        with pytest.raises(CaseError, match="has one axis, which is shown as a line; leave it out"):
            draw(path, slice=place)


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "r.h5", 8, 8)
    for out in (tmp_path / "nowhere/a.png", tmp_path / "a.docx"):
        with pytest.raises(StorageError, match=str(out)):
            draw(path, out=out)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SetupError, match=r'pip install "parsolve\[plot\]"'):
        draw(tmp_path / "r.h5")
