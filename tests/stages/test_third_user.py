"""A user of the engine that knows no time: Jacobi sweeps, residual, two grids and colours for -lap(u) = f."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mpi4py import MPI

from parsolve.domain.boundary import Condition
from parsolve.domain.field import Field, bind, bind_transfer, owned
from parsolve.domain.grid import Grid, Subdomain, Triple, regular
from parsolve.domain.redistribute import allgather
from parsolve.equations.codegen import library_text
from parsolve.equations.equation import Equation
from parsolve.equations.program import Program, build
from parsolve.equations.reference import NumpyKernel
from parsolve.errors import CaseError, SetupError
from parsolve.kernels.jit import PREAMBLE, load
from parsolve.problem.operators import operator_of
from parsolve.stages.operator import Exchanges, Norm, Update
from parsolve.stages.passes import build as build_pass
from parsolve.stages.plain import Plain

if TYPE_CHECKING:
    from parsolve.stages.operator import Operator

SWEEPS, OMEGA = 10, 0.8
ZERO = Condition(1.0, 0.0, 0.0)
CONDITIONS = {name: dict.fromkeys(("ymin", "ymax"), ZERO) for name in ("u", "r", "e")}
TRANSFERS = """
/* Full weighting of cell-centred values: the mean of the four. */
PS_BODY(restrict_mean)
{
    const ps_real *r = PS_INPUT(a, 0) + PS_OTHER(a, k, j, i);
    const int64_t y = ps_child(a, 1), x = ps_child(a, 2);
    out[0] = (ps_real)0.25 * ((r[0] + r[x]) + (r[y] + r[y + x]));
}
PS_TRANSFER(restrict_mean, 1, 1)

PS_CELL ps_real between(ps_real near, ps_real far) { return fma((ps_real)0.75, near, (ps_real)0.25 * far); }

/* Linear between the centres of the coarse cells. */
PS_BODY(prolong_linear)
{
    const ps_real *e = PS_INPUT(a, 0) + PS_OTHER(a, k, j, i);
    const int64_t y = ps_beside(a, 1, j), x = ps_beside(a, 2, i);
    out[0] = between(between(e[0], e[x]), between(e[y], e[y + x]));
}
PS_TRANSFER(prolong_linear, 1, 1)

/* What a Gauss-Seidel step adds to u. */
PS_BODY(relax)
{
    const ps_real *u = PS_INPUT(a, 0) + c, cy = PS_COEFFICIENT(a, 0), cx = PS_COEFFICIENT(a, 1);
    const int64_t y = a->stride[1];
    out[0] = fma(cy, u[-y] + u[y], fma(cx, u[-1] + u[1], PS_INPUT(a, 1)[c])) / ((ps_real)2 * (cy + cx)) - u[0];
}
PS_COLOUR(relax, 2, 1)
"""


def equation(texts: dict[str, str], group: str) -> Equation:
    return Equation("poisson", "-lap(u) = f", {"u": "field"}, {}, source="test", arrays=("f",), **{group: texts})


# As a program of rates, of which a sweep is a step, and as a residual.
SMOOTH = build(equation({"u": "laplace(u) + f"}, "evolve"), ("x", "y"), 2)
RESIDUAL = build(equation({"u": "-laplace(u) = f"}, "solve"), ("x", "y"), 2, role="residual")


def square(n: int) -> Grid:
    return Grid(("x", "y"), (1, n, n), (0.0,) * 3, (1.0, 1 / n, 1 / n), (True, False, True))


class Level:
    """A grid of the two, with its fields: iterates u, right-hand side f, residual r."""

    def __init__(self, comm: MPI.Intracomm, n: int, processes: Triple, depth: int, multiple: int = 1) -> None:
        self.grid = square(n)
        self.sub: Subdomain = regular(self.grid, comm, processes, depth, multiple=multiple)
        self.u, self.next, self.f, self.r = (
            {"u": Field(name, self.sub, np.float64, colour)} for colour, name in enumerate(("u", "u", "f", "r"))
        )
        self.exchanges = Exchanges()
        self.smooth, self.residual = (self.operator(p, comm) for p in (SMOOTH, RESIDUAL))
        self.scale = OMEGA / sum(2 / h**2 for h in self.grid.spacing[1:])  # omega over the diagonal

    def operator(self, program: Program, comm: MPI.Intracomm) -> Operator:
        library = load(comm, library_text(program), "float64")
        return operator_of(program, self.grid, {}, CONDITIONS, lambda stage: library.kernel(stage.name, "float64"))

    def updates(self, sweeps: int) -> tuple[list[Update], list[float]]:
        """Damped Jacobi sweeps u + omega/d (f + lap(u)), then the residual; with their scales."""
        others, pair = {"f": self.f["u"]}, (self.u, self.next)
        jacobi = [
            Update(self.smooth, pair[n % 2], pair[1 - n % 2], others, (pair[n % 2],), (1.0,)) for n in range(sweeps)
        ]
        return [*jacobi, Update(self.residual, pair[sweeps % 2], self.r, others)], [self.scale] * sweeps + [1.0]

    def run(self, sweeps: int, *, piped: bool = False, tile: Any = None) -> float:
        """Sweep and take the residual; its norm on this rank."""
        updates, scales = self.updates(sweeps)
        norm = Norm(self.r["u"], self.f["u"], self.f["u"])
        norm.set(1.0, 1.0)
        if piped:
            run = build_pass(updates, [norm], self.exchanges, whole=tile is None)
        else:
            run = Plain(updates, [norm], self.exchanges)  # type: ignore[assignment]
        run([0.0] * len(updates), scales, tile)
        return norm.result.value

    def relax(self, library: Any) -> None:
        """A red-black Gauss-Seidel sweep."""
        for colour in (0, 1):
            self.fill(self.u)
            bind(library.kernel("relax", "float64"), owned(self.sub), [self.u["u"], self.f["u"]], [self.u["u"]],
                 [[self.u["u"]]], coefficients=[h**-2 for h in self.grid.spacing[1:]], weights=[1.0], colour=colour)()  # fmt: skip

    def fill(self, state: dict[str, Field]) -> None:
        self.exchanges.find([state["u"]], [self.smooth], self.sub.ghosts).fill(0.0)

    def set_f(self) -> None:
        """One of many waves, and a bump."""
        y, x = np.meshgrid(*(self.grid.coordinates(a) for a in "yx"), indexing="ij")
        whole = (np.sin(2 * np.pi * x) + np.cos(14 * np.pi * x)) * y * (1 - y) + np.exp(-((x - 0.3) ** 2) * 50)
        self.f["u"].owned[...] = whole[None][tuple(map(slice, self.sub.start, self.sub.stop))]
        self.fill(self.f)  # as of all coefficients


def whole(f: Field) -> np.ndarray:
    return allgather(f.owned, f.subdomain)


def processes_of(size: int, shape: str) -> Triple:
    return {"y": (1, size, 1), "x": (1, 1, size), "yx": (1, 2, size // 2) if size % 2 == 0 else (1, size, 1)}[shape]  # type: ignore[return-value]


def jacobi(n: int, f: np.ndarray, sweeps: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by NumPy, with ghosts -u beyond y = 0 and 1: the iterate and its residual."""
    u, h = np.zeros((n, n)), 1 / n

    def laplace(u: np.ndarray) -> np.ndarray:
        y = np.pad(u, ((1, 1), (0, 0)))
        y[0], y[-1] = -u[0], -u[-1]
        return (np.roll(u, 1, 1) + np.roll(u, -1, 1) + y[2:] + y[:-2] - 4 * u) / h**2

    for _ in range(sweeps):
        u = u + OMEGA * h**2 / 4 * (f + laplace(u))
    return u, f + laplace(u)


@pytest.mark.mpi
@pytest.mark.parametrize("shape", ["y", "x", "yx"])
@pytest.mark.parametrize("tile", [None, (3, 16), (1, 40)])
def test_sweeps_and_residual_run_in_one_pass(comm: MPI.Intracomm, solo: MPI.Intracomm, shape: str, tile: Any) -> None:
    """In tiles and in the plain order, on any ranks: the same bits, and those of textbook sweeps but for rounding."""
    n, processes = 64, processes_of(comm.size, shape)
    found = []
    for ranks, grid, piped in ((solo, (1, 1, 1), False), (comm, processes, False), (comm, processes, True)):
        level = Level(ranks, n, grid, SWEEPS + 1)
        level.set_f()
        worst = ranks.allreduce(level.run(SWEEPS, piped=piped, tile=tile if piped else None), op=MPI.MAX)
        found.append((whole(level.u["u"]), whole(level.r["u"]), worst, whole(level.f["u"])))
        level.exchanges.free()
    for u, r, worst, _ in found[1:]:
        np.testing.assert_array_equal(u, found[0][0])
        np.testing.assert_array_equal(r, found[0][1])
        assert worst == found[0][2]
    u, r = jacobi(n, found[0][3], SWEEPS)
    np.testing.assert_allclose(found[0][0], u, atol=1e-13)
    np.testing.assert_allclose(found[0][1], r, atol=1e-9)
    assert found[0][2] == np.max(np.abs(found[0][1]) / (1 + np.abs(found[0][3])))


def two_grids(comm: MPI.Intracomm, processes: Triple, cycles: int, n: int = 32) -> tuple[np.ndarray, list[float]]:
    """The iterate after some cycles, and the largest residual before and after each."""
    library = load(comm, PREAMBLE + TRANSFERS, "float64")
    fine, coarse = Level(comm, n, processes, 1, multiple=2), Level(comm, n // 2, processes, 1)
    assert all(
        [2 * edge for edge in b] == list(a) for a, b in zip(fine.sub.starts[1:], coarse.sub.starts[1:], strict=True)
    )
    fine.set_f()
    restrict, prolong = (library.kernel(name, "float64") for name in ("restrict_mean", "prolong_linear"))
    down = bind_transfer(restrict, owned(coarse.sub), [fine.r["u"]], [coarse.f["u"]])
    up = bind_transfer(prolong, owned(fine.sub), [coarse.u["u"]], [fine.u["u"]], [[fine.u["u"]]], weights=[1.0])
    sizes = [comm.allreduce(fine.run(0), op=MPI.MAX)]
    for _ in range(cycles):
        fine.relax(library)
        fine.run(0)
        down()
        coarse.u["u"].array[...] = 0.0
        for _ in range(250):  # (what multigrid does by recursion)
            coarse.relax(library)
        coarse.fill(coarse.u)
        up()
        fine.relax(library)
        sizes.append(comm.allreduce(fine.run(0), op=MPI.MAX))
    for level in (fine, coarse):
        level.exchanges.free()
    return whole(fine.u["u"]), sizes


@pytest.mark.mpi
@pytest.mark.parametrize("shape", ["y", "x", "yx"])
def test_two_grids_and_colours_solve_poissons_equation(comm: MPI.Intracomm, solo: MPI.Intracomm, shape: str) -> None:
    u, sizes = two_grids(comm, processes_of(comm.size, shape), 6)
    alone, same = two_grids(solo, (1, 1, 1), 6)
    np.testing.assert_array_equal(u, alone)
    assert sizes == same
    assert all(b < 0.25 * a for a, b in zip(sizes[1:], sizes[2:], strict=False))


FACES = {"qx": "k*dx(u)", "qy": "k*dy(u)"}


@pytest.mark.mpi
@pytest.mark.parametrize("piped", [False, True])
def test_fluxes_at_faces_are_stages_like_others(comm: MPI.Intracomm, piped: bool) -> None:
    """div(k grad u) by fields at faces, two updates in one pass: that of the cell-centred text."""
    grid = Grid(("x", "y"), (1, 24, 20), (0.0,) * 3, (1.0, 1 / 24, 1 / 20), (True, True, True))
    fluxes = Equation(
        "faces", "", {"u": "field"}, {}, {"u": "dx(qx) + dy(qy)"}, source="test", define=FACES, arrays=("k",)
    )
    plain = Equation("cells", "", {"u": "field"}, {}, {"u": "div(k*grad(u))"}, source="test", arrays=("k",))
    found = []
    for e, at in ((fluxes, {"qx": "x", "qy": "y"}), (plain, {})):
        program = build(e, ("x", "y"), 2, at=at)
        library = load(comm, library_text(program), "float64")
        operator = operator_of(program, grid, {}, {}, lambda s, lib=library: lib.kernel(s.name, "float64"))
        sub, exchanges = regular(grid, comm, (1, comm.size, 1), 6), Exchanges()
        u, v, w, k, *made = (
            {n: Field(n, sub, np.float64, i)} for i, n in enumerate("uuuk" + "q" * len(program.defines))
        )
        others = {"k": k["k"]} | {n: f["q"] for n, f in zip(program.intermediate, made, strict=True)}
        z, y, x = np.meshgrid(*(np.arange(a, b) for a, b in zip(sub.start, sub.stop, strict=True)), indexing="ij")
        u["u"].owned[...], k["k"].owned[...] = np.sin(x * y + z), 1.5 + np.cos(x + 2 * y)
        exchanges.find([k["k"]], [operator], sub.ghosts).fill(0.0)
        updates = [Update(operator, a, b, others, (a,), (1.0,)) for a, b in ((u, v), (v, w))]
        run = build_pass(updates, [], exchanges) if piped else Plain(updates, [], exchanges)
        run([0.0, 0.0], [1e-4, 1e-4], (2, 8))
        found.append(whole(w["u"]))
        exchanges.free()
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-13)
    assert np.ptp(found[0]) > 1


def test_a_pass_needs_its_ghosts(solo: MPI.Intracomm) -> None:
    level = Level(solo, 16, (1, 1, 1), SWEEPS)
    with pytest.raises(SetupError, match=f"reach {SWEEPS + 1} cells"):
        level.run(SWEEPS, piped=True, tile=(2, 8))
    level.exchanges.free()


def test_fields_at_faces_need_a_periodic_axis() -> None:
    e = Equation("faces", "", {"u": "field"}, {}, {"u": "dx(q)"}, source="test", define={"q": "dx(u)"})
    program = build(e, ("x", "y"), 2, at={"q": "x"})
    grid = Grid(("x", "y"), (1, 8, 8), (0.0,) * 3, (1.0,) * 3, (True, True, False))
    with pytest.raises(CaseError, match="q: fields at faces along x"):
        operator_of(program, grid, {}, {}, lambda stage: NumpyKernel(stage))
