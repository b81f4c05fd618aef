"""Every rank reads its own box of a file, whatever the format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from parsolve.domain.grid import Grid
from parsolve.errors import CaseError, SetupError
from parsolve.store.source import look_at, read_block

if TYPE_CHECKING:
    from collections.abc import Callable

RNG_SEED = 5


def data(*shape: int, dtype: str = "f8") -> Any:
    values = np.random.default_rng(RNG_SEED).random(shape)
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else (values * np.iinfo(dtype).max).astype(dtype)


def whole(path: Path, grid: Any, dataset: str | None = None, dtype: str = "f8") -> Any:
    return read_block(path, dataset, grid, (0, 0, 0), grid.cells, dtype).reshape(grid.shape)


def write(path: Path, values: Any) -> None:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".tif":
        pytest.importorskip("tifffile").imwrite(path, values)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("deep/u", data=values, chunks=True if path.suffix == ".nc" else None)


@pytest.mark.parametrize("suffix", [".h5", ".nc", ".npy", ".tif"])
@pytest.mark.parametrize("shape", [(13,), (9, 8), (8, 7, 6)])
def test_a_box_is_the_same_part_of_the_whole(alone: Any, tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    if suffix == ".tif" and len(shape) == 1:
        pytest.skip("an image has two axes")
    path, grid, values = tmp_path / f"a{suffix}", alone.grid(*shape), data(*shape)
    write(path, values)
    full = values[..., ::-1, :] if suffix == ".tif" else values
    np.testing.assert_array_equal(whole(path, grid), full)
    start = tuple(n // 3 for n in grid.cells)
    count = tuple(max(1, n // 2) for n in grid.cells)
    box = tuple(slice(a, a + n) for a, n in zip(start, count, strict=True))
    got = read_block(path, None, grid, start, count, "f4")
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, full.reshape(grid.cells)[box].astype("f4"), strict=True)


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".tif"])
def test_a_file_is_not_held_after_reading(alone: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, data(9, 8))
    values = whole(path, alone.grid(9, 8))
    assert values.size
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert path not in [link.resolve() for link in Path("/proc/self/fd").iterdir()]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", "i2", "u1", "?"])
def test_real_numbers_of_any_type_are_taken_as_they_are(alone: Any, tmp_path: Path, dtype: str, order: str) -> None:
    values = np.asarray((data(9, 8) * 100).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(whole(tmp_path / "a.npy", alone.grid(9, 8)), values.astype("f8"))


@pytest.mark.parametrize("dataset", ["v", "fields/v", "/v", "entry/v/v"])
def test_a_result_starts_another_run_from_its_last_time(alone: Any, tmp_path: Path, dataset: str) -> None:
    grid = alone.result(tmp_path / "r.h5", 9, 8)
    np.testing.assert_array_equal(whole(tmp_path / "r.h5", grid, dataset), alone.values(grid, "v", 2))


def test_the_only_field_of_a_result_needs_no_name(alone: Any, tmp_path: Path) -> None:
    grid = alone.result(tmp_path / "r.h5", 9, 8, names=("u",))
    np.testing.assert_array_equal(whole(tmp_path / "r.h5", grid), alone.values(grid, "u", 2))


def test_several_fitting_data_sets_need_a_name(alone: Any, tmp_path: Path) -> None:
    grid = alone.result(tmp_path / "r.h5", 9, 8)
    with pytest.raises(CaseError, match=r"2 data sets fit the grid; say dataset = one of u, v"):
        whole(tmp_path / "r.h5", grid)


def test_an_axis_of_one_cell_may_be_written_out(alone: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", data(1, 9, 8))
    np.testing.assert_array_equal(whole(tmp_path / "a.npy", alone.grid(9, 8)), data(9, 8))


@pytest.mark.parametrize(
    ("mode", "dtype", "top"),
    [("L", "u1", 255), ("I;16", "u2", 65535), ("LA", "u1", 255), ("RGB", "u1", 255), ("RGBA", "u1", 255)],
)
def test_png_rows_run_from_the_top_and_grey_is_0_to_1(
    alone: Any, tmp_path: Path, mode: str, dtype: str, top: int
) -> None:
    image = pytest.importorskip("PIL.Image")
    channels = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 0)
    values = data(9, 8, channels, dtype=dtype) if channels else data(9, 8, dtype=dtype)
    image.fromarray(values).save(tmp_path / "a.png")
    grey = values[..., :3] @ [0.299, 0.587, 0.114] if channels > 2 else values[..., 0] if channels else values
    got = whole(tmp_path / "a.png", alone.grid(9, 8))
    np.testing.assert_allclose(got, grey[::-1] / top, rtol=1e-15)


def test_an_image_on_a_face_has_z_for_rows(tmp_path: Path) -> None:
    values = data(9, 8, dtype="u1")
    pytest.importorskip("PIL.Image").fromarray(values).save(tmp_path / "a.png")
    for names, cells in ((("x", "z"), (9, 1, 8)), (("y", "z"), (9, 8, 1))):
        face = Grid(names, cells, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (False, False, False))
        np.testing.assert_array_equal(whole(tmp_path / "a.png", face), values[::-1] / 255)


def test_palettes_and_bitmaps_are_images_too(alone: Any, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    values = np.where(data(9, 8) > 0.5, 255, 0).astype("u1")
    for mode in ("1", "P"):
        image.fromarray(values).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_allclose(whole(tmp_path / "a.png", alone.grid(9, 8)), values[::-1] / 255, rtol=1e-15)


def test_a_compressed_tiff_is_read_as_well(alone: Any, tmp_path: Path) -> None:
    values = data(9, 8, dtype="u2")
    pytest.importorskip("tifffile").imwrite(tmp_path / "a.tif", values, compression="zlib")
    np.testing.assert_array_equal(whole(tmp_path / "a.tif", alone.grid(9, 8)), values[::-1] / 65535)


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".tif"])
def test_a_wrong_shape_is_told_with_both_shapes(alone: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, data(8, 9))
    with pytest.raises(CaseError, match=rf"a\{suffix}.*\(8, 9\).*\(9, 8\)|a\{suffix}.*\(9, 8\).*\(8, 9\)"):
        whole(path, alone.grid(9, 8))


def test_what_is_missing_is_named_with_the_nearest(alone: Any, tmp_path: Path) -> None:
    grid = alone.grid(9, 8)
    with pytest.raises(CaseError, match=r"start\.h5: no such file"):
        whole(tmp_path / "start.h5", grid)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["fields/density"] = data(9, 8)
        file["name"] = "text"
    with pytest.raises(CaseError, match=r"no data set 'densty'; did you mean 'fields/density'\?"):
        whole(tmp_path / "a.h5", grid, "densty")
    with pytest.raises(CaseError, match="expected real numbers"):
        whole(tmp_path / "a.h5", grid, "name")


def test_files_that_cannot_be_read_are_errors_of_the_case(alone: Any, tmp_path: Path) -> None:
    for name in ("a.h5", "a.npy", "a.png", "a.tif", "a.csv"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(CaseError, match=name):
            whole(tmp_path / name, alone.grid(9, 8))


@pytest.mark.parametrize("name", ["a.h5", "a.npy", "a.png", "a.tif"])
def test_files_cut_short_are_errors_of_the_case(alone: Any, tmp_path: Path, name: str) -> None:
    """At any byte of the first half."""
    path, grid = tmp_path / name, alone.grid(9, 8)
    if path.suffix == ".png":
        pytest.importorskip("PIL.Image").fromarray(data(9, 8, dtype="u1")).save(path)
    else:
        write(path, data(9, 8))
    content = path.read_bytes()
    for length in {*range(0, min(len(content) // 2, 200)), *range(200, len(content) // 2, 97)}:
        path.write_bytes(content[:length])
        with pytest.raises(CaseError, match=name):
            whole(path, grid)


def test_an_archive_is_no_array(alone: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data(1, 9, 8))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(CaseError, match=r"a\.npy"):
        whole(tmp_path / "a.npy", alone.grid(9, 8))


def test_pickled_objects_are_never_loaded(alone: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[object()]], dtype=object), allow_pickle=True)
    with pytest.raises(CaseError, match=r"a\.npy"):
        whole(tmp_path / "a.npy", alone.grid(1, 1))


@pytest.mark.parametrize(("name", "package"), [("a.png", "PIL"), ("a.tif", "tifffile")])
def test_a_missing_reader_is_named(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (tmp_path / name).write_text("")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SetupError, match="pip install"):
        whole(tmp_path / name, alone.grid(9, 8))


def test_a_time_of_a_result_is_taken_and_no_other(alone: Any, tmp_path: Path) -> None:
    grid, values, times = alone.grid(9, 8), data(5, 9, 8), np.linspace(0, 0.4, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"], file["time"], file["single"] = values, times, values[0]
    np.save(tmp_path / "a.npy", values[0])

    def at(time: float, name: str = "a.h5", dataset: str = "u") -> Any:
        return read_block(tmp_path / name, dataset, grid, (0, 0, 0), grid.cells, "f8", time).reshape(grid.shape)

    for time, frame in zip(times, values, strict=True):
        np.testing.assert_array_equal(at(time), frame)
        np.testing.assert_array_equal(at(time + 1e-12), frame)
    with pytest.raises(CaseError, match=r"no frame at time = 0\.15; there are 5 times, among them 0, 0\.1, 0\.2"):
        at(0.15)
    with pytest.raises(CaseError, match="has no times"):
        at(0.1, dataset="single")
    with pytest.raises(CaseError, match="is for results in HDF5"):
        at(0.1, "a.npy")


NPY = b"\x93NUMPY\x01\x00\x76\x00"


def npy(header: str) -> bytes:
    return NPY + header.encode().ljust(117) + b"\n" + bytes(64)


def tiff(path: Path, place: int, value: int) -> None:
    pytest.importorskip("tifffile").imwrite(path, data(8, 8))
    text = bytearray(path.read_bytes())
    text[place : place + 4] = value.to_bytes(4, "little")
    path.write_bytes(text)


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty.npy": lambda path: path.touch(),
    "empty.h5": lambda path: path.touch(),
    "empty.tif": lambda path: path.touch(),
    "empty.png": lambda path: path.touch(),
    "huge.npy": lambda path: path.write_bytes(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10**21,)}")),
    "vast.npy": lambda path: path.write_bytes(npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**21},)}}")),
    "large.npy": lambda path: path.write_bytes(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (8, 8)}")),
    "negative.npy": lambda path: path.write_bytes(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-8, 8)}")),
    "objects.npy": lambda path: path.write_bytes(npy("{'descr': '|O', 'fortran_order': False, 'shape': (8, 8)}")),
    "open.npy": lambda path: path.write_bytes(npy("{'descr': '<f8', (")),
    "first.tif": lambda path: tiff(path, 4, 2**31 - 1),
    "strip.tif": lambda path: tiff(path, 90, 2**31 - 1),
    "cut.tif": lambda path: (tiff(path, 0, 0x2A4949), path.write_bytes(path.read_bytes()[:200])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_error_in_one_line(
    alone: Any, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    BROKEN[name](tmp_path / name)
    with pytest.raises(CaseError, match=name) as caught:
        whole(tmp_path / name, alone.grid(8, 8))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dataset", [None, "u"])
@pytest.mark.parametrize("kind", ["missing", "itself", "external", "null", "loop", "away", "text"])
def test_a_data_set_without_values_of_its_own_is_refused(
    alone: Any, tmp_path: Path, kind: str, dataset: str | None
) -> None:
    path, shape = tmp_path / "a.h5", (9, 8)
    with h5py.File(path, "w") as file:
        if kind in ("missing", "itself"):
            layout = h5py.VirtualLayout(shape, "f8")
            layout[...] = h5py.VirtualSource("a.h5" if kind == "itself" else "nowhere.h5", "u", shape)
            file.create_virtual_dataset("u", layout)
        elif kind == "external":
            file.create_dataset("u", shape, "f8", external=[("/etc/passwd", 0, 576)])
        elif kind == "null":
            file["u"] = h5py.Empty("f8")
        elif kind == "loop":
            file["u"], file["v"] = h5py.SoftLink("/v"), h5py.SoftLink("/u")
        elif kind == "away":
            file["u"] = h5py.ExternalLink("nowhere.h5", "u")
        else:
            file["u"] = np.full(shape, "a", h5py.string_dtype())
    look_at([path])
    with pytest.raises(CaseError, match=r"a\.h5: ") as caught:
        whole(path, alone.grid(*shape), dataset)
    assert "\n" not in str(caught.value)


def test_links_that_lead_nowhere_hide_nothing_else(alone: Any, tmp_path: Path) -> None:
    values = data(9, 8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
        file["c"] = h5py.ExternalLink("nowhere.h5", "u")
        file["u"] = values
        file["d"] = h5py.SoftLink("/u")
    np.testing.assert_array_equal(whole(tmp_path / "a.h5", alone.grid(9, 8)), values)
    np.testing.assert_array_equal(whole(tmp_path / "a.h5", alone.grid(9, 8), "d"), values)


def test_times_from_elsewhere_are_not_read(alone: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["u"] = data(3, 9, 8)
        file.create_dataset("time", (3,), "f8", external=[("/etc/passwd", 0, 24)])
    with pytest.raises(CaseError, match="in other files"):
        read_block(path, "u", alone.grid(9, 8), (0, 0, 0), (1, 9, 8), "f8", time=0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", [".h5", ".npy"])
def test_the_first_cell_that_is_not_finite_is_named(alone: Any, tmp_path: Path, suffix: str, value: float) -> None:
    path, values = tmp_path / f"a{suffix}", data(9, 8)
    values[4, 3] = values[4, 5] = value
    write(path, values)
    for start, shape in (((0, 0, 0), (1, 9, 8)), ((0, 2, 3), (1, 5, 4))):
        with pytest.raises(CaseError, match="not finite, the first at cell x = 3, y = 4"):
            read_block(path, None, alone.grid(9, 8), start, shape, "f8")
    read_block(path, None, alone.grid(9, 8), (0, 5, 0), (1, 4, 8), "f8")


def test_what_cannot_be_a_name_is_no_file(alone: Any) -> None:
    for name in ("n" * 300 + ".h5", "a\0b.h5", ""):
        look_at([Path(name)])
        with pytest.raises(CaseError, match="no such file"):
            whole(Path(name), alone.grid(9, 8))


def test_a_group_that_is_not_there_is_passed_over_but_no_data_set(alone: Any, tmp_path: Path) -> None:
    path, grid, values = tmp_path / "a.h5", alone.grid(9, 8), data(9, 8)
    with h5py.File(path, "w") as file:
        file["u"] = values
        file["group/w"] = values
    for name in ("u", "/u", "fields/u", "/fields/u", "group/w", "/group/w"):
        np.testing.assert_array_equal(whole(path, grid, name), values)
    for name in ("u/u", "group/u", "group/w/u", "fields", "/", ""):
        with pytest.raises(CaseError, match="no data set"):
            whole(path, grid, name)


@pytest.mark.parametrize(
    ("dtype", "attributes", "words"),
    [
        ("i2", {"scale_factor": 0.01, "add_offset": 0}, "scale_factor = 0.01"),
        ("f4", {"add_offset": np.float32(273)}, "add_offset = 273.0"),
        ("i1", {"_Unsigned": "true"}, "_Unsigned = true"),
    ],
)
def test_packed_values_are_not_read_as_they_lie(
    alone: Any, tmp_path: Path, dtype: str, attributes: dict[str, Any], words: str
) -> None:
    write(tmp_path / "a.nc", data(9, 8, dtype=dtype))
    with h5py.File(tmp_path / "a.nc", "a") as file:
        file["deep/u"].attrs.update(attributes)
    with pytest.raises(CaseError, match=rf"a\.nc: data set '/deep/u' is packed, {words}; unpack it first"):
        whole(tmp_path / "a.nc", alone.grid(9, 8))


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
@pytest.mark.parametrize(
    ("dtype", "fill"), [("f8", -999.9), ("f4", -999.9), ("i2", -999), ("f8", np.array([-1e30, 1e36]))]
)
def test_the_first_cell_without_a_value_is_named(alone: Any, tmp_path: Path, name: str, dtype: str, fill: Any) -> None:
    path, values, grid = tmp_path / "a.h5", data(9, 8, dtype=dtype), alone.grid(9, 8)
    for missing in (False, True):
        values[4, 5] = values[4, 3] = np.ravel(fill)[-1] if missing else 1
        write(path, values)
        with h5py.File(path, "a") as file:
            file["deep/u"].attrs.update({name: fill, "scale_factor": 1.0, "add_offset": [0]})
        if not missing:
            np.testing.assert_array_equal(whole(path, grid), values)
    for start, shape in (((0, 0, 0), (1, 9, 8)), ((0, 2, 3), (1, 5, 4))):
        with pytest.raises(CaseError, match=f"'/deep/u' has no value, but its {name}, at cell x = 3, y = 4"):
            read_block(path, None, grid, start, shape, "f8")
    read_block(path, None, grid, (0, 5, 0), (1, 4, 8), "f8")


def test_a_fill_value_that_the_type_does_not_hold_is_none(alone: Any, tmp_path: Path) -> None:
    values = np.full((9, 8), 25, "u1")
    write(tmp_path / "a.h5", values)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["deep/u"].attrs.update({"_FillValue": -231, "missing_value": 25.5, "add_offset": 0})
    np.testing.assert_array_equal(whole(tmp_path / "a.h5", alone.grid(9, 8)), values)
