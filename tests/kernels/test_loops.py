"""The loops around cell bodies over two grids and over one colour: the bits of the same arithmetic in NumPy."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.field import Box, Field, bind, bind_transfer, owned
from parsolve.domain.grid import Grid, Subdomain
from parsolve.errors import SetupError
from parsolve.kernels.device import find_device
from parsolve.kernels.jit import INCLUDE, PREAMBLE, REALS, load
from parsolve.kernels.library import TYPES, fma

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from parsolve.domain.grid import Triple

BODIES = """
/* The mean of the cells that lie in a coarse one; along an axis that is not coarsened that of a cell with itself. */
PS_BODY(restrict_mean)
{
    const ps_real *u = PS_INPUT(a, 0) + PS_OTHER(a, k, j, i);
    const int64_t z = ps_child(a, 0), y = ps_child(a, 1), x = ps_child(a, 2);
    const ps_real lower = (u[0] + u[x]) + (u[y] + u[y + x]), upper = (u[z] + u[z + x]) + (u[z + y] + u[z + y + x]);
    out[0] = (ps_real)0.125 * (lower + upper);
}
PS_TRANSFER(restrict_mean, 1, 1)

PS_CELL ps_real between(ps_real near, ps_real far) { return fma((ps_real)0.75, near, (ps_real)0.25 * far); }

/* Linear between the centres of the coarse cells. */
PS_BODY(prolong_linear)
{
    const ps_real *u = PS_INPUT(a, 0) + PS_OTHER(a, k, j, i);
    const int64_t z = ps_beside(a, 0, k), y = ps_beside(a, 1, j), x = ps_beside(a, 2, i);
    out[0] = between(between(between(u[0], u[x]), between(u[y], u[y + x])),
                     between(between(u[z], u[z + x]), between(u[z + y], u[z + y + x])));
}
PS_TRANSFER(prolong_linear, 1, 1)

/* What a Gauss-Seidel step adds to u for lap(u) = f: residual over diagonal, with coefficients 1/h^2 along z, y, x. */
PS_BODY(relax)
{
    const ps_real *u = PS_INPUT(a, 0) + c, cz = PS_COEFFICIENT(a, 0), cy = PS_COEFFICIENT(a, 1), cx = PS_COEFFICIENT(a, 2);
    const int64_t z = cz != 0 ? a->stride[0] : 0, y = cy != 0 ? a->stride[1] : 0;
    const ps_real sum = fma(cz, u[-z] + u[z], fma(cy, u[-y] + u[y], cx * (u[-1] + u[1])));
    const ps_real diagonal = (ps_real)2 * (cz + cy + cx);
    out[0] = (fma(-diagonal, u[0], sum) - PS_INPUT(a, 1)[c]) / diagonal;
}
PS_COLOUR(relax, 2, 1)
"""
PRECISIONS = ["float64", "float32"]
SHAPES = [(1, 1, 1200), (1, 6, 10), (4, 6, 8)]


def subdomain(cells: Triple, start: Triple = (0, 0, 0), stop: Triple | None = None, ghost: int = 2) -> Subdomain:
    """A part of a periodic grid, as one of several ranks has it."""
    names = tuple(axis for axis, n in zip("xyz", reversed(cells), strict=True) if n > 1)
    grid = Grid(names, cells, (0.0,) * 3, (1.0,) * 3, (True,) * 3)
    z, y, x = zip(start, stop or cells, strict=True)
    gz, gy, gx = (ghost if there else 0 for there in grid.present)
    return Subdomain(grid, MPI.COMM_SELF, (z, y, x), (gz, gy, gx), find_device())


def noise(sub: Subdomain, precision: str, whole: np.ndarray) -> Field:
    """A field with the values of a periodic array, in ghosts too."""
    f = Field("u", sub, precision)
    indices = (np.arange(-o, n - o) + s for o, n, s in zip(f.origin, f.array.shape, sub.start, strict=True))
    f.array[...] = whole[np.ix_(*(i % n for i, n in zip(indices, whole.shape, strict=True)))]
    return f


def random(cells: Triple, precision: str) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, cells).astype(precision)


def widened(sub: Subdomain, by: int) -> Box:
    """Owned cells and some ghosts."""
    pairs = [(-by, n + by) if present else (0, 1) for n, present in zip(sub.shape, sub.grid.present, strict=True)]
    z, y, x = pairs
    return Box((z[0], y[0], x[0]), (z[1], y[1], x[1]))


def global_indices(box: Box, start: Triple) -> list[np.ndarray]:
    return [np.arange(a + s, b + s) for a, b, s in zip(box.lo, box.hi, start, strict=True)]


def expect(f: Field, before: np.ndarray, box: Box, wanted: np.ndarray) -> None:
    """Exactly the box has changed, to the bits that are wanted."""
    inside = tuple(slice(a + o, b + o) for a, b, o in zip(box.lo, box.hi, f.origin, strict=True))
    expected = before.copy()
    expected[inside] = wanted
    assert np.ascontiguousarray(f.array).tobytes() == expected.tobytes()


def periodic(whole: np.ndarray, indices: list[np.ndarray]) -> np.ndarray:
    return whole[np.ix_(*(i % n for i, n in zip(indices, whole.shape, strict=True)))]


def mean_of_children(fine: np.ndarray, coarse: list[np.ndarray], ratio: Triple) -> np.ndarray:
    """NumPy's restriction at global coarse indices, added in the order of the body: x, then y, then z."""

    def child(*which: int) -> np.ndarray:
        return periodic(fine, [r * i + w * (r > 1) for i, r, w in zip(coarse, ratio, which, strict=True)])

    layers = [(child(k, 0, 0) + child(k, 0, 1)) + (child(k, 1, 0) + child(k, 1, 1)) for k in (0, 1)]
    return fine.dtype.type(0.125) * (layers[0] + layers[1])


def linear_between_centres(coarse: np.ndarray, fine: list[np.ndarray], ratio: Triple) -> np.ndarray:
    """NumPy's prolongation at global fine indices."""
    real = coarse.dtype.type

    def at(*beside: int) -> np.ndarray:
        return periodic(
            coarse, [i // r + b * (r > 1) * (2 * (i % r) - 1) for i, r, b in zip(fine, ratio, beside, strict=True)]
        )

    def along(axis: int, beside: tuple[int, ...]) -> np.ndarray:
        if axis == 3:
            return at(*beside)
        near, far = (along(axis + 1, (*beside, b)) for b in (0, 1))
        return fma(real(0.75), near, real(0.25) * far)

    return along(0, ())


def ratios(cells: Triple) -> list[Triple]:
    """All axes halved, and where there are several, one left as it is."""
    full = (1 + (cells[0] > 1), 1 + (cells[1] > 1), 2)
    return [full, (full[0], 1, 2)] if cells[1] > 1 else [full]


GRIDS = [pytest.param(cells, ratio, id=f"{cells} by {ratio}") for cells in SHAPES for ratio in ratios(cells)]


def pair(cells: Triple, ratio: Triple, odd: bool) -> tuple[Subdomain, Subdomain]:
    """Parts of a fine and a coarse grid; odd: that of the fine one begins in the middle of a coarse cell."""
    z, y, x = (n // r for n, r in zip(cells, ratio, strict=True))
    fine = subdomain(cells, (0, 0, 1) if odd else (0, 0, 0), (*cells[:2], cells[2] - 1) if odd else None)
    return fine, subdomain((z, y, x))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize(("cells", "ratio"), GRIDS)
def test_restriction(cells: Triple, ratio: Triple, odd: bool, precision: str) -> None:
    fine, coarse = pair(cells, ratio, odd)
    whole = random(cells, precision)
    source, target = noise(fine, precision, whole), Field("v", coarse, precision)
    box, before = widened(coarse, 0 if odd else 1), target.array.copy()
    bind_transfer(
        load(None, PREAMBLE + BODIES, precision).kernel("restrict_mean", precision), box, [source], [target]
    )()
    expect(target, before, box, mean_of_children(whole, global_indices(box, coarse.start), ratio))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize(("cells", "ratio"), GRIDS)
def test_prolongation_adds_to_what_is_there(cells: Triple, ratio: Triple, odd: bool, precision: str) -> None:
    fine, coarse = pair(cells, ratio, odd)
    whole, real = random(coarse.grid.cells, precision), np.dtype(precision).type
    source, target = noise(coarse, precision, whole), noise(fine, precision, random(cells, precision))
    box, before = widened(fine, 1), target.array.copy()
    kernel = load(None, PREAMBLE + BODIES, precision).kernel("prolong_linear", precision)
    bind_transfer(kernel, box, [source], [target], [[target]], weights=[1.0], scale=0.7)()
    correction = linear_between_centres(whole, global_indices(box, fine.start), ratio)
    inside = tuple(slice(a + o, b + o) for a, b, o in zip(box.lo, box.hi, target.origin, strict=True))
    expect(target, before, box, before[inside] + real(0.7) * correction)


def test_what_is_constant_stays_so_across_grids() -> None:
    fine, coarse = pair((4, 6, 8), (2, 2, 2), False)
    u, v = Field("u", fine, "float64"), Field("v", coarse, "float64")
    v.array[...] = 3.0
    library = load(None, PREAMBLE + BODIES, "float64")
    bind_transfer(library.kernel("prolong_linear", "float64"), owned(fine), [v], [u])()
    assert (u.owned == 3.0).all()
    v.array[...] = 0.0
    bind_transfer(library.kernel("restrict_mean", "float64"), owned(coarse), [u], [v])()
    assert (v.owned == 3.0).all()


def relaxed(u: np.ndarray, f: np.ndarray, colour: int, weights: Triple, omega: float) -> np.ndarray:
    """NumPy's half sweep over a periodic array."""
    real = u.dtype.type
    cz, cy, cx = map(real, weights)
    beside = [np.roll(u, 1, axis) + np.roll(u, -1, axis) for axis in range(3)]
    total = fma(cz, beside[0], fma(cy, beside[1], cx * beside[2]))
    diagonal = real(2) * (cz + cy + cx)
    changed = u + real(omega) * ((fma(-diagonal, u, total) - f) / diagonal)
    return np.where(sum(np.indices(u.shape)) % 2 == colour, changed, u)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("cells", SHAPES)
def test_red_black_sweep(cells: Triple, start: int, precision: str) -> None:
    """The colours are those of the grid, wherever a rank's part of it and the box begin."""
    sub = subdomain(cells, (0, 0, start))
    u, f = random(cells, precision), random(cells, precision)[::-1, ::-1, ::-1].copy()
    weights = (3.0 * (cells[0] > 1), 2.0 * (cells[1] > 1), 1.5)
    field, right = noise(sub, precision, u), noise(sub, precision, f)
    kernel = load(None, PREAMBLE + BODIES, precision).kernel("relax", precision)
    for colour, width in ((0, 1), (1, 0)):  # the second half reads what the first has made in the ghosts
        box, before = widened(sub, width), field.array.copy()
        bind(
            kernel,
            box,
            [field, right],
            [field],
            [[field]],
            coefficients=weights,
            weights=[1.0],
            scale=1.1,
            colour=colour,
        )()
        u = relaxed(u, f, colour, weights, 1.1)
        wanted = periodic(u, global_indices(box, sub.start))
        if colour == 0:
            expect(field, before, box, wanted)
        else:
            assert field.owned.tobytes() == wanted.tobytes()


def test_a_colour_kernel_without_terms_sets_its_cells() -> None:
    sub = subdomain((1, 6, 10))
    u, out = noise(sub, "float64", random((1, 6, 10), "float64")), Field("v", sub, "float64")
    zero = Field("f", sub, "float64")
    kernel = load(None, PREAMBLE + BODIES, "float64").kernel("relax", "float64")
    bind(kernel, owned(sub), [u, zero], [out], coefficients=[0.0, 1.0, 1.0], colour=1)()
    change = relaxed(u.owned.copy(), zero.owned, 1, (0, 1, 1), 1.0) - u.owned
    np.testing.assert_allclose(out.owned, change, atol=1e-15)
    assert not out.owned[0, ::2, ::2].any()


def test_transfer_needs_grids_that_fit() -> None:
    class Never:
        def bind(self, *_: object) -> Callable[[], int]:
            return lambda: 0

    fine = Field("u", subdomain((1, 6, 12)), "float64")
    for cells in ((1, 6, 4), (1, 4, 12)):
        with pytest.raises(SetupError, match="neither is 2\\^m times the other"):
            bind_transfer(Never(), Box((0, 0, 0), cells), [fine], [Field("v", subdomain(cells), "float64")])
    with pytest.raises(SetupError, match="of one type"):
        bind_transfer(Never(), Box((0, 0, 0), (1, 3, 6)), [fine], [Field("v", subdomain((1, 3, 6)), "float32")])


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no CUDA compiler")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_text_compiles_for_a_gpu(tmp_path: Path, precision: str) -> None:
    source, target = tmp_path / "kernels.cu", tmp_path / "kernels.o"
    source.write_text("#include <parsolve/launch_cuda.h>\n" + BODIES)
    defines = [f"-DPS_REAL={REALS[precision]}", f"-DPS_TYPE={TYPES[precision]}"]
    subprocess.run(["nvcc", "--fmad=false", "-Werror=all-warnings", *defines, f"-I{INCLUDE}", "-c", source, "-o", target],
                   check=True)  # fmt: skip
    symbols = subprocess.run(["nm", target], check=True, capture_output=True, text=True).stdout
    for name in ("restrict_mean", "prolong_linear", "relax"):
        assert f" T ps_{name}_{TYPES[precision]}" in symbols
