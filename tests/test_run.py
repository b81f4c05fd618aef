"""Laws of whole marches: the same bits on any ranks, exact modes, convergence, conservation, stability."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.domain.grid import AXES
from parsolve.domain.processes import factorizations
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.stencils import SECOND
from parsolve.march.tableaus import SCHEMES
from parsolve.problem.values import initial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mpi4py import MPI

ORDERS = (2, 4, 6, 8)
RK = [name for name, s in SCHEMES.items() if s.derivative == 1]
LENGTHS = {"kuramoto-sivashinsky": 12.0, "swift-hohenberg": 12.0, "fitzhugh-nagumo": 20.0}
MOVING = {  # conditions that depend on place and time, one of each kind
    "xmin": {"dirichlet": "0.3 + 0.1*sin(3*t + y)"},
    "xmax": {"neumann": "0.1*cos(t)"},
    "ymin": {"robin": [1.0, 0.5, "0.2*x*t"]},
    "ymax": {"dirichlet": 0.4},
    "zmin": {"neumann": 0.0},
    "zmax": {"robin": [2.0, 0.25, "0.1*(x + y)"]},
}


def conditions(lab: Any, case: dict[str, Any], kinds: dict[str, dict[str, object]]) -> dict[str, Any]:
    """The case with these conditions on the sides that are not periodic, of every field that has ghosts."""
    program = lab.pose(case).program
    closed = [side for side in kinds if side[0] in case["grid"] and not case["grid"][side[0]]["periodic"]]
    place = dict.fromkeys("xyz", "0.5") | {axis: axis for axis in case["grid"]}
    table = {side: {key: _along(value, place) for key, value in kinds[side].items()} for side in closed}
    return case | {"boundary": dict.fromkeys((*program.exchanged, *program.intermediate), table)}


def _along(value: object, place: dict[str, str]) -> object:
    """An expression with the axes that the grid lacks as numbers."""
    if isinstance(value, list):
        return [_along(v, place) for v in value]
    return "".join(place.get(ch, ch) for ch in value) if isinstance(value, str) and "exp" not in value else value


# the same bits


def process_grids(problem: Any, size: int) -> Iterator[dict[str, int]]:
    least = max(problem.program.ghost, problem.closure)
    for p in factorizations(size):
        cells = problem.grid.cells
        if all(q == 1 or n // q >= least for n, q in zip(cells, p, strict=True)):
            yield {axis: q for axis, q in zip(AXES, p, strict=True) if axis in problem.grid.names}


def different(lab: Any, comm: MPI.Intracomm, case: dict[str, Any]) -> list[str]:
    """The process grids on which a march on all ranks has other bits than the march on one."""
    alone = lab.solve(case)
    if "tolerance" not in case["time"]:  # so that it is not looked for on each process grid
        case = case | {"time": case["time"] | {"dt": alone.dt}}
    problem = lab.pose(case)
    found = []
    for processes in process_grids(problem, comm.size):
        many = lab.solve(problem, comm, processes)
        same = many.times == alone.times and many.result.steps == alone.result.steps
        for wanted, got in zip(alone.frames, many.frames, strict=True):
            same = same and all(wanted[name].tobytes() == got[name].tobytes() for name in wanted)
        if not same:
            found.append(f"{processes}")
    return sorted(set(comm.allreduce(found)))


def schemes_of(name: str) -> list[dict[str, Any]]:
    times: list[dict[str, Any]] = [{"steps": 4, "scheme": "ssprk33"}]
    if name == "burgers":
        times[0]["dt"] = 1e-3  # steep at the faces: see SMOOTH
    if CATALOGUE[name].time_order == 2:
        times.append({"steps": 5, "scheme": "leapfrog"})
    return times


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_equation_has_the_same_bits_on_any_ranks(
    lab: Any, comm: MPI.Intracomm, name: str, precision: str
) -> None:
    single = precision == "float32"
    for time in schemes_of(name):
        cells = (9, 8, 10) if single else (18, 17)
        case = lab.case(
            name, *cells, length=LENGTHS.get(name, 1.0), periodic="y" if single else "x", time=time,
            run={"precision": precision, "order": 2 if single else 4},
        )  # fmt: skip
        assert different(lab, comm, conditions(lab, case, MOVING)) == []


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("scheme", RK)
def test_every_scheme_has_the_same_bits_on_any_ranks(
    lab: Any, comm: MPI.Intracomm, scheme: str, precision: str
) -> None:
    run = {"precision": precision}
    case = lab.case("advection-diffusion", 14, 13, periodic=False, time={"steps": 4, "scheme": scheme}, run=run)
    assert different(lab, comm, conditions(lab, case | {"output": {"every_steps": 2}}, MOVING)) == []
    if SCHEMES[scheme].b_hat:  # type: ignore[union-attr]
        time = {"end": 3e-3, "scheme": scheme, "tolerance": 1e-4}
        case = lab.case("cahn-hilliard", 14, 13, periodic=False, time=time, run=run, output={"every": 1.1e-3})
        assert different(lab, comm, conditions(lab, case, MOVING)) == []


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_has_the_same_bits_on_any_ranks(lab: Any, comm: MPI.Intracomm, order: int) -> None:
    for name in ("gray-scott", "swift-hohenberg"):
        case = lab.case(name, 33, 35, periodic="y", length=30.0, time={"steps": 2}, run={"order": order})
        assert different(lab, comm, conditions(lab, case, MOVING)) == []


@pytest.mark.mpi(min_size=2)
def test_lines_and_thin_grids_have_the_same_bits_on_any_ranks(lab: Any, comm: MPI.Intracomm) -> None:
    for cells, periodic in (((20,), True), ((20,), False), ((3, 16), "x"), ((1, 16), False), ((2, 2, 12), True)):
        case = lab.case("gray-scott", *cells, periodic=periodic, time={"steps": 3})
        assert different(lab, comm, case) == []


@pytest.mark.mpi(min_size=2)
def test_part_of_the_ranks_can_march_alone(lab: Any, comm: MPI.Intracomm) -> None:
    """Two marches at once on parts of a communicator, the automatic step included, as on all of it."""
    case = lab.case("burgers", 24, 20, parameters={"nu": 0.05}, time={"steps": 3})
    alone = lab.solve(case)
    part = comm.Split(comm.rank % 2, comm.rank)
    for ranks in (comm, part):
        many = lab.solve(case, ranks)
        assert many.dt == alone.dt
        np.testing.assert_array_equal(many.fields["u"], alone.fields["u"])
    part.Free()


# devices


@pytest.mark.parametrize("name", CATALOGUE)
def test_numpy_and_the_compiled_kernels_give_the_same_bits(lab: Any, name: str) -> None:
    for cells, order, precision in (((11,), 6, "float64"), ((9, 8), 4, "float32"), ((6, 5, 7), 2, "float64")):
        for time in schemes_of(name):
            case = lab.case(name, *cells, length=LENGTHS.get(name, 1.0), periodic="x", time=time)
            case = conditions(lab, case, MOVING)
            run = {"order": order, "precision": precision}
            compiled = lab.solve(case | {"run": run | {"device": "cpu"}}).fields
            numpy = lab.solve(case | {"run": run | {"device": "numpy"}}).fields
            for field, values in compiled.items():
                np.testing.assert_array_equal(values, numpy[field], strict=True)


# exact solutions


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cells", [(16,), (12, 10), (8, 10, 6)], ids=len)
def test_a_mode_of_heat_decays_at_the_rate_of_the_stencil(lab: Any, cells: tuple[int, ...], order: int) -> None:
    """exp(-rate t) with rate = D sum_d sum_m 2 a_m (1 - cos(m k_d h))/h_d^2; at order 2, 4 D/h^2 sin^2(k h/2)."""
    counts = (1, 2, 1)[: len(cells)]
    mode = "*".join(f"sin({2 * n}*pi*{a} + {i}.3)" for i, (a, n) in enumerate(zip("xyz", counts, strict=False)))
    case = lab.case("heat", *cells, parameters={"D": 0.4}, initial={"u": mode}, run={"order": order}, time={"steps": 1})
    problem = lab.pose(case)
    theta = [2 * math.pi * n / c for n, c in zip(counts, cells, strict=True)]
    rate = 0.4 * sum(
        2 * float(a) * (1 - math.cos(m * s)) * c**2
        for s, c in zip(theta, cells, strict=True)
        for m, a in enumerate(SECOND[order], 1)
    )
    if order == 2:
        assert rate == pytest.approx(
            0.4 * sum(4 * c**2 * math.sin(s / 2) ** 2 for s, c in zip(theta, cells, strict=True))
        )
    u = initial(problem, "u", (0, 0, 0), problem.grid.cells).reshape(problem.grid.shape)
    np.testing.assert_allclose(lab.rate(problem)(u=u)["u"], -rate * u, atol=1e-14 * rate * 40)
    end = 1.0 / rate
    time = {"end": end, "scheme": "rk4", "dt": end / 200}
    np.testing.assert_allclose(lab.solve(case | {"time": time}).fields["u"], math.exp(-1) * u, atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_a_gaussian_is_carried_along(lab: Any, order: int) -> None:
    """Once round the periodic line, its shape comes back with an error of the order of the scheme."""

    def error(cells: int) -> float:
        case = lab.case(
            "advection-diffusion", cells, parameters={"D": 0.0, "vx": -2.0}, run={"order": order},
            initial={"u": "exp(-100*(x - 0.5)**2)"}, time={"end": 0.5, "dt": 0.05 / cells},
        )  # fmt: skip
        solution = lab.solve(case)
        return float(np.sqrt(np.mean((solution.fields["u"] - solution.frames[0]["u"]) ** 2)))

    coarse, fine = {2: (160, 320), 4: (64, 128), 6: (64, 96), 8: (64, 96)}[order]
    measured = math.log(error(coarse) / error(fine)) / math.log(fine / coarse)
    assert measured == pytest.approx(order, abs=0.35)
    assert error(96) < {2: 0.15, 4: 5e-3, 6: 3e-4, 8: 3e-5}[order]


@pytest.mark.parametrize("scheme", ["rk4", "leapfrog"])
def test_a_standing_wave_in_a_box(lab: Any, scheme: str) -> None:
    """w^2 = c^2 pi^2 (l^2 + m^2), with fixed and free sides; after one period it is back."""
    frequency = 2 * math.pi * math.sqrt(1 + 4)
    sides = {"xmin": {"dirichlet": 0.0}, "xmax": {"dirichlet": 0.0}, "ymin": {"neumann": 0.0}, "ymax": {"neumann": 0.0}}

    def error(cells: int) -> float:
        case = lab.case(
            "wave", cells, cells, periodic=False, parameters={"c": 2.0}, initial={"u": "sin(pi*x)*cos(2*pi*y)"},
            boundary={"u": sides}, time={"end": 2 * math.pi / frequency, "scheme": scheme},
        )  # fmt: skip
        solution = lab.solve(case)
        return float(np.abs(solution.fields["u"] - solution.frames[0]["u"]).max())

    errors = [error(n) for n in (16, 32)]
    # A period is an extremum in time, so that a wrong frequency shows squared: twice the order.
    assert math.log2(errors[0] / errors[1]) > 3.5
    assert errors[1] < 0.01


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("kind", ["dirichlet", "neumann", "robin"])
def test_heat_between_moving_boundaries_has_the_order_of_the_scheme(lab: Any, kind: str, order: int) -> None:
    """u = exp(-2 pi^2/9 t) sin(pi x/3 + 0.4) cos(pi y/3 - 0.2) solves u_t = lap(u) exactly; D1.4 of the usual texts."""
    decay = "exp(-2*pi**2/9*t)"
    factors = {
        "x": ("sin(pi*x/3 + 0.4)", "pi/3*cos(pi*x/3 + 0.4)"),
        "y": ("cos(pi*y/3 - 0.2)", "(-pi/3)*sin(pi*y/3 - 0.2)"),
    }

    def condition(side: str) -> dict[str, object]:
        other = factors["y" if side[0] == "x" else "x"][0]
        value = f"{decay}*{factors[side[0]][0]}*{other}"
        slope = f"{'-' if side.endswith('min') else ''}{decay}*{factors[side[0]][1]}*{other}"
        return {
            "dirichlet": {"dirichlet": value},
            "neumann": {"neumann": slope},
            "robin": {"robin": [1.0, 0.5, f"{value} + 0.5*({slope})"]},
        }[kind]

    sides = {side: condition(side) for side in ("xmin", "xmax", "ymin", "ymax")}

    def error(cells: int) -> float:
        case = lab.case(
            "heat", cells, cells, periodic=False, initial={"u": f"{factors['x'][0]}*{factors['y'][0]}"},
            boundary={"u": sides}, run={"order": order}, time={"end": 0.05, "scheme": "rk4"},
        )  # fmt: skip
        grid = lab.pose(case).grid
        x, y = (grid.coordinates(axis) for axis in "xy")
        exact = np.outer(np.cos(np.pi * y / 3 - 0.2), np.sin(np.pi * x / 3 + 0.4)) * math.exp(-2 * np.pi**2 / 9 * 0.05)
        return float(np.abs(lab.solve(case).fields["u"] - exact).max())

    coarse, fine = (10, 20)
    assert math.log2(error(coarse) / error(fine)) > order - 0.3


def test_a_disc_of_allen_cahn_shrinks_and_its_energy_falls(lab: Any) -> None:
    """R^2 = R0^2 - 2 t as eps -> 0; tanh(x/(sqrt(2) eps)) is the profile."""
    eps, cells, start = 0.04, 48, 0.3
    case = lab.case(
        "allen-cahn", cells, cells, parameters={"eps": eps}, time={"end": 0.02}, output={"every": 0.004},
        initial={"u": f"tanh(({start} - ((x - 0.5)**2 + (y - 0.5)**2)**0.5)/({math.sqrt(2) * eps}))"},
    )  # fmt: skip
    solution = lab.solve(case)
    h = 1 / cells

    def energy(u: np.ndarray) -> float:
        slopes = sum((np.roll(u, 1, axis) - u) ** 2 for axis in (0, 1)) / h**2
        return float(np.sum(slopes / 2 + (u**2 - 1) ** 2 / (4 * eps**2)) * h**2)

    energies = [energy(frame["u"]) for frame in solution.frames]
    assert energies == sorted(energies, reverse=True)
    area = [float(np.mean(frame["u"] / 2 + 0.5)) for frame in solution.frames]
    assert (area[0] - area[-1]) / (2 * math.pi * 0.02) == pytest.approx(1, abs=0.05)


# conservation


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["heat", "cahn-hilliard", "burgers", "advection-diffusion"])
def test_the_sum_is_kept_on_a_periodic_grid(lab: Any, name: str, order: int) -> None:
    """To the round-off of the additions of one step at each cell, which is all there is."""
    field = next(iter(CATALOGUE[name].fields))
    for cells in ((20,), (12, 11), (9, 8, 10)):
        case = lab.case(
            name, *cells, run={"order": order}, time={"steps": 50}, parameters={"nu": 0.1} if name == "burgers" else {}
        )
        solution = lab.solve(case)
        before, after = (math.fsum(frame[field].ravel().tolist()) for frame in (solution.frames[0], solution.fields))
        assert np.abs(solution.fields[field] - solution.frames[0][field]).max() > 1e-3
        assert abs(after - before) < 50 * 4 * 2.3e-16 * math.sqrt(solution.problem.grid.size) * 2


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_the_sum_is_kept_between_sides_without_flux(lab: Any, order: int) -> None:
    for name in ("heat", "cahn-hilliard"):
        field = next(iter(CATALOGUE[name].fields))
        solution = lab.solve(lab.case(name, 12, 11, periodic=False, time={"steps": 50}, run={"order": order}))
        before, after = (math.fsum(frame[field].ravel().tolist()) for frame in (solution.frames[0], solution.fields))
        assert abs(after - before) < 1e-12


# stability of the automatic step

STARTS = {"gray-scott": {"u": "0.75 + 0.25*noise(seed=1)", "v": "0.2 + 0.2*noise(seed=2)"}}
# Ghosts of order 4 and more are polynomials, which make much of noise at a face: a flux u^2 of such ghosts is far beyond
# what the analysis of u in its range can know, and may blow up whatever the step.
SMOOTH = {"burgers": {"u": "0.9"}}  # times sin(2 pi x) and so on
BOUNDS = {  # of |u| after a few hundred steps, from noise of half a unit
    "wave": 3.0, "gray-scott": 1.2, "fitzhugh-nagumo": 2.5, "allen-cahn": 1.01, "cahn-hilliard": 1.6,
    "swift-hohenberg": 1.5, "kuramoto-sivashinsky": 20.0, "advection-diffusion": 0.7,
}  # fmt: skip
CLOSURES: dict[str, dict[str, object]] = {
    "dirichlet": {"dirichlet": 0.0},
    "neumann": {"neumann": 0.0},
    "robin": {"robin": [1.0, 0.5, 0.1]},
    "stiff robin": {"robin": [1.0, 1e-3, 0.0]},
}


def growth(lab: Any, name: str, cells: tuple[int, ...], order: int, scheme: str, closure: str | None) -> float:
    """Largest value of the first field after 250 automatic steps, over what is right for it."""
    resolved = ("swift-hohenberg", "kuramoto-sivashinsky", "fitzhugh-nagumo")  # by a spacing of 1
    length = float(cells[0]) if name in resolved else 0.5 if name == "allen-cahn" else 1.0
    noise = {field: f"0.5*noise(seed={i})" for i, field in enumerate(CATALOGUE[name].fields)}
    parameters = {"burgers": {"nu": 0.1}, "cahn-hilliard": {"kappa": 0.01}, "gray-scott": {"Du": 2e-3, "Dv": 1e-3}}
    start = STARTS.get(name, noise)
    if closure is not None and name in SMOOTH:
        waves = "".join(f"*sin(2*pi*{axis})" for axis, _ in zip("xyz", cells, strict=False))
        start = {field: value + waves for field, value in SMOOTH[name].items()}
    case = lab.case(
        name, *cells, length=length, periodic=closure is None, run={"order": order}, initial=start,
        parameters=parameters.get(name, {}), time={"steps": 250, "scheme": scheme},
    )  # fmt: skip
    if closure is not None:
        case = conditions(lab, case, dict.fromkeys(MOVING, CLOSURES[closure]))
    solution = lab.solve(case)
    field = next(iter(CATALOGUE[name].fields))
    values = solution.fields[field]
    if name == "kuramoto-sivashinsky":
        values = values - values.mean()  # which falls for ever
    bound = BOUNDS.get(name, np.abs(solution.frames[0][field]).max() * (1 + 1e-12))
    return float(np.abs(values).max() / bound)


LINES = [((16,), order) for order in ORDERS]


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_automatic_step_is_stable_on_periodic_grids(lab: Any, name: str) -> None:
    found = {
        (cells, order, scheme): size
        for scheme in (("ssprk33", "leapfrog") if name == "wave" else ("euler", "dp45"))
        for cells, order in (*LINES, ((12, 10), 2), ((12, 10), 4), ((8, 9, 8), 6))
        if not (size := growth(lab, name, cells, order, scheme, None)) <= 1
    }
    assert found == {}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_automatic_step_is_stable_between_boundaries(lab: Any, name: str) -> None:
    """Closures of order 4, 6 and 8 have modes faster than any wave inside."""
    # Kuramoto-Sivashinsky with u = 0 on the sides blows up in finite time, at the same time with any step.
    closures = ["neumann"] if name == "kuramoto-sivashinsky" else list(CLOSURES)
    found = {
        (cells, order, scheme, closure): size
        for scheme in (("rk4", "leapfrog") if name == "wave" else ("rk4",))
        for closure in closures
        for cells, order in (*LINES, ((12, 10), 4))
        if not (size := growth(lab, name, cells, order, scheme, closure)) <= 1
    }
    assert found == {}


@pytest.mark.parametrize("pipeline", ["auto", "off"])
def test_threads_change_no_bits(lab: Any, many_cores: None, pipeline: str) -> None:
    """Strips taken in turn, or pieces of one kernel."""
    case = lab.case("gray-scott", 40, 36, 34, time={"steps": 8, "scheme": "ssprk22"})
    one, three = (lab.solve(case | {"run": {"pipeline": pipeline, "threads": n}}) for n in (1, 3))
    for name, values in one.fields.items():
        np.testing.assert_array_equal(three.fields[name], values, name)
