"""The pipeline and the plain order give the same bits, whatever equation, scheme, boundary, tile and ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from parsolve.domain import halo
from parsolve.errors import CaseError
from parsolve.march.march import march
from parsolve.problem.layout import decide, load_of
from parsolve.problem.prepare import prepare
from parsolve.stages.blocking import PLAIN, Blocking, is_deep

if TYPE_CHECKING:
    from pathlib import Path

FIRST_ORDER = ("heat", "gray-scott", "fitzhugh-nagumo", "allen-cahn", "cahn-hilliard", "swift-hohenberg")
# Texts by the number of axes: mixed derivatives, coordinates, an intermediate field of them, the time.
TEXTS: dict[int, dict[str, Any]] = {
    1: {"evolve": {"u": "laplace(w) + x*u + t"}, "define": {"w": "0.1*u + sin(x)*u**2"}},
    2: {"evolve": {"u": "laplace(u) + dxy(w) - y*u + t"}, "define": {"w": "0.1*u + x*dy(u)"}},
    3: {"evolve": {"u": "laplace(u) + dxz(w) + dyz(u) - y*u"}, "define": {"w": "0.1*u + x*dxy(u) + z"}},
}
CONDITIONS = (
    None,
    {"dirichlet": "x + t"},
    {"neumann": 0.3},
    {"robin": [1.0, 0.1, "sin(t)"]},
    {"robin": ["where(x < 0.5, 1, 0)", "where(x < 0.5, 0, 1)", "t"]},
)


def laid_out(problem: Any, comm: MPI.Intracomm, blocking: Blocking) -> Any:
    """The layout of a problem with passes as they are given."""
    layout = decide(in_plain_order(problem), comm)
    load = load_of(problem, layout.processes, (problem.case.run.threads or 1) if blocking.steps else 1)
    deep = max(problem.program.ghost, blocking.steps * load.reach)
    ghosts = tuple(
        0
        if not there
        else deep
        if is_deep(problem.grid, layout.processes, d, blocking.whole)
        else problem.program.ghost
        for d, there in enumerate(problem.grid.present)
    )
    return replace(layout, ghosts=ghosts, blocking=blocking, threads=load.threads)


def marched(lab: Any, case: dict[str, Any], comm: MPI.Intracomm, blocking: Blocking) -> Any:
    """The state after the steps of a case, in passes or one by one."""
    problem = lab.pose(case)
    prepared = prepare(problem, laid_out(problem, comm, blocking), comm)
    march(prepared.steps, prepared.control)
    prepared.free()
    return prepared.state


def assert_same(lab: Any, case: dict[str, Any], comm: MPI.Intracomm, blocking: Blocking) -> None:
    plain, piped = (marched(lab, case, comm, b) for b in (PLAIN, blocking))
    for name, f in plain.items():
        np.testing.assert_array_equal(piped[name].owned, f.owned, name)


def tables(lab: Any, draw: Any, cells: list[int], orders: tuple[int, ...] = (2, 4)) -> dict[str, Any]:
    """A random case of a few steps."""
    scheme = draw(st.sampled_from(["euler", "ssprk22", "ssprk33", "rk4", "leapfrog"]))
    texts = TEXTS[len(cells)]
    name = "wave" if scheme == "leapfrog" else draw(st.sampled_from([*FIRST_ORDER, texts]))
    axes = "xyz"[: len(cells)]
    periodic = "".join(axis for axis in axes if draw(st.booleans()))
    condition = draw(st.sampled_from(CONDITIONS))
    sides = [axis + end for axis in axes if axis not in periodic for end in ("min", "max")]
    field = "c" if name == "cahn-hilliard" else "u"
    order, precision = draw(st.sampled_from(orders)), draw(st.sampled_from(["float64", "float32"]))
    more = {"define": texts["define"]} if name is texts else {}
    return lab.case(
        texts["evolve"] if name is texts else name,
        *cells,
        periodic=periodic,
        boundary={field: dict.fromkeys(sides, condition)} if condition and sides else {},
        time={"steps": draw(st.sampled_from([3, 5, 8])), "scheme": scheme, "dt": 1e-5},
        run={"order": order, "precision": precision},
        **more,
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_tile_gives_the_bits_of_the_plain_order(
    lab: Any, solo: MPI.Intracomm, many_cores: None, data: Any
) -> None:
    cells = data.draw(st.lists(st.integers(10, 24), min_size=1, max_size=3))
    case = tables(lab, data.draw, cells)
    case["run"]["threads"] = data.draw(st.integers(1, 3))
    tile = data.draw(st.one_of(st.none(), st.tuples(st.integers(1, 20), st.integers(1, 20))))
    assert_same(lab, case, solo, Blocking(data.draw(st.integers(1, 4)), tile))


@pytest.mark.parametrize("periodic", ["x", "y", "xy"])
@pytest.mark.parametrize("scheme", ["ssprk33", "rk4"])
def test_coordinates_close_however_deep_the_ghosts_are(
    lab: Any, solo: MPI.Intracomm, scheme: str, periodic: str
) -> None:
    """Those of a pass reach over a small grid more than once."""
    time = {"steps": 4, "scheme": scheme, "dt": 1e-5}
    case = lab.case(
        TEXTS[2]["evolve"], 10, 10, periodic=periodic, define=TEXTS[2]["define"], time=time, run={"order": 4}
    )
    layout = laid_out(lab.pose(case), solo, Blocking(3, (1, 1)))
    assert max(layout.ghosts) > 10
    assert_same(lab, case, solo, layout.blocking)


@pytest.mark.mpi
@pytest.mark.parametrize("seed", range(16))
def test_ranks_and_tiles_give_the_bits_of_the_plain_order(
    lab: Any, comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    if seed % 3:
        monkeypatch.setattr(halo, "SMALL", 0)  # by messages, as between nodes
    cells = [int(n) for n in rng.integers(64, 72, 2)] if seed % 2 else [12, 64, 66]

    def draw(strategy: Any) -> Any:
        return (
            strategy.elements[rng.integers(len(strategy.elements))]
            if hasattr(strategy, "elements")
            else bool(rng.integers(2))
        )

    case = tables(lab, draw, cells, orders=(2,))
    tile = None if seed % 4 > 1 else (int(rng.integers(1, 20)), int(rng.integers(1, 20)))
    assert_same(lab, case, comm, Blocking(int(rng.integers(1, 3)), tile, tried=True))


@pytest.mark.parametrize("tile", [None, (3, 5)])
@pytest.mark.parametrize(("scheme", "steps"), [("euler", 4), ("euler", 3), ("rk4", 2)])
def test_passes_of_different_lengths_mix(lab: Any, solo: MPI.Intracomm, scheme: str, steps: int, tile: Any) -> None:
    """Frames are due when a pass is not over, at both parities of the registers."""
    case = lab.case("heat", 20, 18, time={"steps": 14, "scheme": scheme}, output={"every_steps": 7})
    run = {"pipeline": {"steps": steps, "tile": tile} if tile else {"steps": steps}}
    plain, piped = (lab.solve({**case, "run": r}, solo) for r in ({"pipeline": "off"}, run))
    for one, other in zip(plain.frames, piped.frames, strict=True):
        np.testing.assert_array_equal(one["u"], other["u"])


@pytest.mark.mpi
@pytest.mark.parametrize("scheme", ["bs23", "dp45"])
@pytest.mark.parametrize(("name", "field", "condition"), [
    ("gray-scott", "u", None), ("heat", "u", {"dirichlet": "x + t"}), ("cahn-hilliard", "c", {"neumann": 0.1}),
])  # fmt: skip
@pytest.mark.parametrize("tile", [None, [2, 16]])
def test_adaptive_steps_fuse_their_stages(
    lab: Any, comm: MPI.Intracomm, scheme: str, name: str, field: str, condition: Any, tile: Any
) -> None:
    """The same steps are accepted and rejected, and the state has the same bits."""
    sides = dict.fromkeys(["ymin", "ymax"], condition)
    case = lab.case(
        name, 24, 72, periodic="x", boundary={field: sides} if condition else {},
        time={"end": 1e-3, "scheme": scheme, "tolerance": 1e-6},
    )  # fmt: skip
    auto = {"steps": 1, "tile": tile} if tile else {"steps": 1}
    runs = [{"pipeline": order, "processes": {"x": 1, "y": comm.size}} for order in ("off", auto)]
    plain, piped = (lab.solve({**case, "run": run}, comm) for run in runs)
    assert (piped.result.steps, piped.result.rejected) == (plain.result.steps, plain.result.rejected)
    np.testing.assert_array_equal(piped.fields[field], plain.fields[field])


@pytest.mark.parametrize(("anti", "tile"), [("x", None), ("yz", None), ("x", (2, 4))])
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_anti_periodic_ends_are_closed_in_the_tile(
    lab: Any, solo: MPI.Intracomm, anti: str, tile: Any, scheme: str
) -> None:
    case = lab.case("burgers", 12, 10, 8, time={"steps": 5, "scheme": scheme, "dt": 1e-3})
    for axis in anti:
        case["grid"][axis]["periodic"] = "anti"
    assert_same(lab, case, solo, Blocking(2, tile))
    problem = lab.pose(case)
    assert load_of(problem, (1, 1, 1), 1).fits(2, whole=tile is None)


@pytest.mark.parametrize("tile", [(1, 1), (2, 1), (1, 2), (3, 5), (30, 30)])
@pytest.mark.parametrize("rate", ["dyz(w)", "upwind(vector(1, 1, 1), w) + 0.01*dyz(v)"])
def test_stages_of_different_radii_wait_for_edges(lab: Any, solo: MPI.Intracomm, rate: str, tile: Any) -> None:
    """Physical ghosts at edges are as deep as the widest stage reads, also before one that reads less."""
    sides = {axis + end: {"dirichlet": "x + t"} for axis in "xyz" for end in ("min", "max")}
    case = lab.case(
        {"u": rate}, 10, 12, 11, periodic="", define={"v": "advect(vector(1, 1, 1), u)", "w": "dyz(v)"},
        time={"steps": 4, "dt": 1e-5, "scheme": "euler"}, boundary={"u": sides},
    )  # fmt: skip
    for steps in (1, 2):
        assert_same(lab, case, solo, Blocking(steps, tile))


@pytest.mark.parametrize(("cells", "tile"), [((12, 10), None), ((12, 10, 11), None), ((12, 10, 11), (2, 3))])
def test_edges_of_anti_periodic_ends_that_are_closed_in_the_tile(
    lab: Any, solo: MPI.Intracomm, cells: tuple[int, ...], tile: Any
) -> None:
    """Values of a condition change their sign beyond the end, in the first update of a pass as in the others."""
    case = lab.case(
        {"u": "dxy(u)"}, *cells, periodic="x", time={"steps": 4, "dt": 1e-3, "scheme": "euler"},
        boundary={"u": {side: {"dirichlet": "1 + x + t"} for side in ("ymin", "ymax")}},
    )  # fmt: skip
    case["grid"]["x"]["periodic"] = "anti"
    assert_same(lab, case, solo, Blocking(2, tile))


def test_a_face_from_a_file_closes_with_a_periodic_axis(lab: Any, solo: MPI.Intracomm, tmp_path: Path) -> None:
    np.save(tmp_path / "wall.npy", np.random.default_rng(1).random(20))
    wall = {"dirichlet": {"file": str(tmp_path / "wall.npy")}}
    case = lab.case("heat", 20, 18, periodic="x", boundary={"u": {"ymin": wall}}, time={"steps": 4, "scheme": "euler"})
    for tile in (None, (2, 8)):
        assert_same(lab, case, solo, Blocking(4, tile))


def test_large_grids_are_marched_in_passes_and_off_means_off(lab: Any) -> None:
    problem = lab.pose(lab.case("heat", 96, 96, time={"steps": 16, "scheme": "euler"}))
    off = in_plain_order(problem)
    assert decide(problem, lab.comm).blocking.steps > 1
    assert decide(off, lab.comm).blocking == PLAIN
    np.testing.assert_array_equal(lab.solve(problem).fields["u"], lab.solve(off).fields["u"])


@pytest.mark.parametrize(
    ("rate", "run"),
    [
        ("laplace(u) + mean(u)", {}),
        ("laplace(u)", {"device": "numpy"}),
    ],
)
def test_what_cannot_run_in_tiles_runs_step_by_step(lab: Any, rate: str, run: dict[str, Any]) -> None:
    case = lab.case({"u": rate}, 96, 96, time={"steps": 2, "scheme": "rk4"}, run=run)
    assert decide(lab.pose(case), lab.comm).blocking == PLAIN


@pytest.mark.parametrize(
    ("pipeline", "time", "message"),
    [
        ({"steps": 40}, {"steps": 80, "scheme": "euler"}, "run.pipeline.steps: the stages of 40 steps reach 40 cells"),
        ({"steps": 2}, {"end": 1.0, "scheme": "bs23", "tolerance": 1e-3}, "with time.tolerance every pass is one step"),
    ],
)
def test_passes_that_cannot_be_are_refused(lab: Any, pipeline: Any, time: Any, message: str) -> None:
    case = lab.case("heat", 24, 24, time=time, run={"pipeline": pipeline})
    with pytest.raises(CaseError, match=message):
        lab.solve(case)


def in_plain_order(problem: Any) -> Any:
    """The problem in the plain order."""
    run = msgspec.structs.replace(problem.case.run, pipeline="off")
    return replace(problem, case=msgspec.structs.replace(problem.case, run=run))
