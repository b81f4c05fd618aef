"""Equations written as text: the catalogue's bits, NumPy's bits, and the same bits on any number of ranks."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.equations.catalogue import CATALOGUE

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Arrays, Lab
    from mpi4py import MPI

Tables = dict[str, Any]

# As many cells as three or four ranks need, at order 4, for the depth of ghosts of two definitions on each other.
BOX = {"x": {"cells": 24, "range": [0.0, 1.0]}, "y": {"cells": 20, "range": [0.0, 0.8]}}
TORUS = {axis: {**table, "periodic": True} for axis, table in BOX.items()}
START = "0.4 + 0.3*noise(seed=7) + 0.1*sin(6*x)"
FIVE_STEPS = {"steps": 5, "dt": 1e-4}


def network(count: int, suffix: str = "") -> Tables:
    """Fields that diffuse and react with random others, more than a kernel takes."""
    rng = random.Random(count)
    names = [f"u{n}" for n in range(count)]
    rates = {
        f"{u}{suffix}": f"{rng.uniform(0.5, 2):.6f}*laplace({u})/10 + {rng.choice(names)}*{rng.choice(names)} - {u}**2"
        for u in names
    }
    return {"evolve": rates, "grid": TORUS, "boundary": {}}


CASES: dict[str, Tables] = {
    "100 fields": network(100) | {"time": {"steps": 3, "dt": 1e-4, "scheme": "rk4"}},
    "40 fields, adaptive": network(40) | {"time": {"end": 1e-3, "tolerance": 1e-6, "scheme": "dp45"}},
    "70 fields of second order in time": network(70, "_tt")
    | {"time": {"steps": 3, "dt": 1e-3, "scheme": "leapfrog"}},
    "11 fields between walls, in passes": network(11)
    | {"grid": BOX, "time": {"steps": 4, "dt": 1e-4, "scheme": "rk4"}, "run": {"pipeline": {"steps": 1}}},
    "phase-field crystal": {  # three stages of order 6 on each other: ghosts nine cells deep
        "evolve": {"u": "laplace((1 - r)*u + 2*laplace(u) + laplace(laplace(u)) + u**3)"},
        "parameters": {"r": 0.25},
        "grid": {axis: {"cells": 40, "range": [0.0, 40.0], "periodic": axis == "x"} for axis in "xy"},
        "time": {"steps": 5, "dt": 1e-4},
        "run": {"order": 6},
    },
    "definitions on each other": {
        "evolve": {"c": "laplace(mu) - dx(s) + mu*c"},
        "define": {"mu": "c**3 - c - k*laplace(c)", "s": "dot(grad(c), grad(mu))", "half": "s/2"},
        "parameters": {"k": 1e-3},
        "grid": BOX,
        "boundary": {"c": {"xmin": {"dirichlet": 0.2}, "ymax": {"neumann": "x"}}, "mu": {"xmin": {"dirichlet": "y*t"}}},
        "time": {"steps": 5, "dt": 1e-6},
        "run": {"order": 4},
    },
    "nested operators": {
        "evolve": {"u": "-biharmonic(u) + dx(dxx(u))/7 + laplace(dxy(u)*u)/100"},
        "grid": BOX,
        "boundary": {
            "u": {"xmin": {"dirichlet": 0.1}, "xmax": {"curvature": 0.0}, "ymin": {"curvature": "x + t"}},
            "laplace_u": {"xmin": {"dirichlet": 0.0}},
        },
        "time": {"steps": 5, "dt": 1e-8},
    },
    "noise": {"evolve": {"u": "laplace(u) + a*noise(seed=3) - noise(4)*u"}, "parameters": {"a": 20.0}, "grid": TORUS},
    "integrals": {
        "evolve": {"u": "laplace(u*mean(u)) - integral(u*integral(u)) + m*v", "v": "integral(laplace(v)**2)/1e4 - v"},
        "define": {"m": "mean(abs(u - mean(u)))"},
        "grid": TORUS,
    },
    "coefficient of place": {
        "evolve": {"u": "div(k*grad(u)) + div(harmonic(k)*grad(u)) - f*u"},
        "fields": {"k": "1 + 0.5*sin(5*x)*cos(3*y)", "f": "where(x < 0.3, 100, noise(seed=2))"},
        "grid": {"x": BOX["x"], "y": TORUS["y"]},
        "run": {"order": 4},
    },
    "coefficient of place and time": {
        "evolve": {"u": "div(k*grad(u)) + k"},
        "fields": {"k": "1 + x*y + 1000*t**2"},
        "grid": BOX,
    },
    "boundaries that move": {
        "evolve": {"u": "laplace(u)"},
        "grid": BOX,
        "boundary": {
            "u": {
                "xmin": {"dirichlet": "sin(3000*t)*y"},
                "xmax": {"neumann": "exp(-t)*y**2"},
                "ymin": {"robin": ["1 + x", 0.5, "cos(2000*t)"]},
                "ymax": {"robin": ["where(x < 0.5, 1, 0)", "where(x < 0.5, 0, 1)", "where(x < 0.5, 1000*t, -1)"]},
            }
        },
        "run": {"order": 4},
    },
    "place and time in the rate": {
        "evolve": {"u": "laplace(u) + 100*(x - 0.5)*t*dx(u) + y**2*u + where(x + y < 0.7 and u > 0.4, 3, -3)"},
        "grid": BOX,
    },
    "shocks": {
        "evolve": {
            "u": "-div(weno_flux(vector(u**2/2, u*v), max(abs(u), abs(v)), u))",
            "v": "-div(upwind_flux(vector(u*v, v**2/2), vector(u, v), v))",
        },
        "grid": {"x": BOX["x"], "y": TORUS["y"]},
    },
    "anti-periodic": {
        "evolve": {"u": "laplace(q)/1000 + laplace(u) + mean(u)"},
        "define": {"q": "u**3 + dxy(u)/100"},
        "grid": {"x": {**BOX["x"], "periodic": "anti"}, "y": {**BOX["y"], "periodic": "anti"}},
        "run": {"order": 4},
    },
    "advection": {
        "evolve": {"u": "-advect(vector(y - 0.4, 0.5 - x), u)", "v": "dot(grad(u), grad(v)) - upwind(vector(1,-u), v)"},
        "grid": TORUS,
    },
    "second order in time": {
        "evolve": {"u_tt": "div(k*grad(u)) - laplace(l)/1e4", "v_tt": "u - v"},
        "define": {"l": "laplace(u)"},
        "fields": {"k": "1 + x"},
        "grid": BOX,
        "boundary": {"u": {"xmin": {"dirichlet": "1e4*t"}}},
        "time": {"steps": 6, "dt": 2e-3, "scheme": "leapfrog"},
    },
    "damped": {
        "evolve": {"u_tt": "laplace(u) - 30*u_t*abs(u_t)"},
        "grid": TORUS,
        "initial": {"u_t": "sin(7*y)"},
        "time": {"steps": 6, "dt": 2e-3, "scheme": "rk4"},
    },
    "order 8 on a line": {
        "evolve": {"u": "div((1 + u**2)*grad(u)) - dx(u**2)"},
        "grid": {"x": {"cells": 48, "range": [0.0, 1.0]}},
        "run": {"order": 8},
        "time": {"steps": 5, "dt": 1e-5},
    },
    "space": {
        "evolve": {"u": "laplace(u) + dxz(u) - dz(u)*z + dyz(u)"},
        "grid": {"x": {"cells": 9, "range": [0.0, 1.0]}, "y": TORUS["y"], "z": {"cells": 12, "range": [0.0, 2.0]}},
        "boundary": {"u": {"zmin": {"dirichlet": "x*y"}}},
    },
    "float32": {
        "evolve": {"u": "laplace(u) + k*u**3/3 - mean(u)"},
        "fields": {"k": "x"},
        "grid": BOX,
        "run": {"precision": "float32"},
    },
}  # fmt: skip


def user_case(tables: Tables, **run: Any) -> Tables:
    """A case of CASES with what it leaves out."""
    names = [key.removesuffix("_tt") for key in tables["evolve"]]
    return {
        **tables,
        "initial": dict.fromkeys(names, START) | tables.get("initial", {}),
        "time": tables.get("time", FIVE_STEPS),
        "run": tables.get("run", {}) | run,
    }


def rewritten(case: Tables, dt: float) -> Tables:
    """A case of the catalogue with the equation as text."""
    equation = CATALOGUE[case["equation"]]
    plain = {key: value for key, value in case.items() if key != "equation"}
    plain["time"] = {**case["time"], "dt": dt}
    return plain | {
        "evolve": dict(equation.evolve),
        "define": dict(equation.define),
        "parameters": {name: p.default for name, p in equation.parameters.items()},
    }


def assert_same(one: Arrays, other: Arrays) -> None:
    assert list(one) == list(other)
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), f"{name}: {np.abs(one[name] - other[name]).max()}"


@pytest.mark.parametrize("equation", CATALOGUE)
def test_text_gives_the_bits_of_the_catalogue(lab: Lab, equation: str) -> None:
    case = lab.case(equation, 12, 10, time={"steps": 4})
    catalogue = lab.solve(case)
    assert_same(catalogue.fields, lab.solve(rewritten(case, catalogue.dt)).fields)


@pytest.mark.parametrize(
    ("equation", "cells", "order", "scheme"),
    [
        ("heat", (16,), 2, "euler"),
        ("heat", (9, 10, 11), 4, "rk4"),
        ("cahn-hilliard", (10, 9, 8), 2, "ssprk22"),
        ("burgers", (20,), 8, "ssprk33"),
        ("swift-hohenberg", (20,), 6, "euler"),
        ("wave", (12, 10), 4, "leapfrog"),
        ("wave", (12, 10), 2, "leapfrog"),
    ],
)
def test_text_gives_these_bits_on_all_axes_orders_and_schemes(
    lab: Lab, equation: str, cells: tuple[int, ...], order: int, scheme: str
) -> None:
    case = lab.case(equation, *cells, periodic="xz", run={"order": order}, time={"steps": 4, "scheme": scheme})
    catalogue = lab.solve(case)
    assert_same(catalogue.fields, lab.solve(rewritten(case, catalogue.dt)).fields)


LARGE = ("100 fields", "40 fields, adaptive", "70 fields of second order in time")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n in LARGE else []) for n in CASES])
def test_compiled_is_numpy_bit_for_bit(lab: Lab, name: str) -> None:
    compiled = lab.solve(user_case(CASES[name]))
    assert_same(compiled.fields, lab.solve(user_case(CASES[name], device="numpy")).fields)
    for field, values in compiled.fields.items():
        assert np.isfinite(values).all()
        assert not np.array_equal(values, compiled.frames[0][field]), f"{field} does not move"


@pytest.mark.mpi
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.costly] if n in LARGE else []) for n in CASES])
def test_same_bits_on_all_ranks(lab: Lab, comm: MPI.Intracomm, name: str) -> None:
    case = user_case(CASES[name])
    together = lab.solve(case, comm)
    along_x = lab.solve(case, comm, {"x": comm.size})
    alone = lab.solve(case)
    assert_same(alone.fields, together.fields)
    assert_same(alone.fields, along_x.fields)


@pytest.mark.mpi
def test_coefficients_and_boundaries_from_files(lab: Lab, comm: MPI.Intracomm, shared_tmp: Path) -> None:
    x, y = (np.arange(24) + 0.5) / 24, (np.arange(20) + 0.5) * 0.8 / 20
    if comm.rank == 0:
        np.save(shared_tmp / "k.npy", 1 + x * y[:, None])
        np.save(shared_tmp / "face.npy", y**2)
    comm.Barrier()

    def case(k: object, face: object) -> Tables:
        tables = {"evolve": {"u": "div(k*grad(u))"}, "fields": {"k": k}, "grid": {"x": BOX["x"], "y": TORUS["y"]}}
        tables |= {"boundary": {"u": {"xmin": {"dirichlet": face}}}, "time": {"steps": 1, "dt": 1e-4}}
        return user_case(tables)

    files = case({"file": str(shared_tmp / "k.npy")}, {"file": str(shared_tmp / "face.npy")})
    together = lab.solve(files, comm)
    assert_same(together.fields, lab.solve(files).fields)
    # Beyond the ends of x a formula goes on and a file stays at its last value: four stages see that four cells deep.
    formulas = lab.solve(case("1 + x*y", "y**2"), comm)
    difference = np.abs(together.fields["u"] - formulas.fields["u"])
    assert difference[:, 4:-4].max() < 1e-14 < difference.max()


def test_a_coefficient_of_time_is_evaluated_at_each_stage(lab: Lab) -> None:
    case = {"evolve": {"u": "k*u"}, "fields": {"k": "-2*t*(1 + x)"}, "grid": {"x": BOX["x"]}, "initial": {"u": 1.0}}
    solution = lab.solve({**case, "time": {"end": 1.0, "dt": 0.02}})
    x = solution.problem.grid.coordinates("x")
    assert solution.fields["u"] == pytest.approx(np.exp(-(1 + x)), rel=1e-6)


def test_leapfrog_and_rk4_agree(lab: Lab) -> None:
    case = {"evolve": {"u_tt": "c**2*laplace(u)"}, "parameters": {"c": 2.0}, "grid": {"x": TORUS["x"]}}
    case |= {"initial": {"u": "sin(2*pi*x)", "u_t": "cos(2*pi*x)"}}
    end = {"end": 0.1, "dt": 1e-3}
    leapfrog = lab.solve({**case, "time": {**end, "scheme": "leapfrog"}}).fields
    rk4 = lab.solve({**case, "time": {**end, "scheme": "rk4"}}).fields
    assert list(leapfrog) == ["u"]
    assert list(rk4) == ["u", "u_t"]
    assert leapfrog["u"] == pytest.approx(rk4["u"], abs=2e-5)


def test_names_that_c_or_the_solver_knows(lab: Lab) -> None:
    case = {
        "evolve": {"double": "laplace(int)*noise_size", "int": "dx(dxx(int)) - dxx_int"},
        "parameters": {"noise_size": 1.0},
        "fields": {"dxx_int": "x", "mean_x": "y"},
        "define": {"for": "int + mean_x"},
        "grid": TORUS,
        "initial": {"double": 0.0, "int": "sin(2*pi*x)"},
        "time": {"steps": 1, "dt": 1.0, "scheme": "euler", "unstable": "allow"},
    }
    plain = lab.solve(case).fields["int"]
    case["evolve"]["int"] = "dx(dxx(int)) - k"  # type: ignore[index]
    case["fields"] = {"k": "x"}
    del case["define"]
    assert plain.tobytes() == lab.solve(case).fields["int"].tobytes()


def test_a_flux_with_a_coordinate_closes_with_a_periodic_axis(lab: Any) -> None:
    """What flows out at one end comes in at the other: the sum is kept, in one kernel and through an intermediate field."""
    for rate, define in (("div((1 + x)*grad(u))", {}), ("dx(w)", {"w": "x*u"})):
        case = lab.case({"u": rate}, 24, define=define, time={"steps": 40, "scheme": "rk4", "dt": 1e-4})
        first, last = lab.solve(case).frames
        assert abs(last["u"] - first["u"]).max() > 1e-3
        assert last["u"].sum() == pytest.approx(first["u"].sum(), rel=1e-13)


# shocks


@pytest.mark.parametrize("scheme", ["euler", "ssprk33", "rk4"])
@pytest.mark.parametrize("name", ["upwind_flux", "weno_flux"])
@pytest.mark.parametrize(("left", "right", "start"), [(1, 0, 0.75), (2, 0, 0.25), (0, -1.5, 1.75), (1.5, 0.5, 0.25)])
def test_a_shock_is_where_it_should_be(
    lab: Lab, name: str, left: float, right: float, start: float, scheme: str
) -> None:
    """Burgers: it moves at the mean of the values beside it, which stay, and the sum is what has flown in."""
    if (name, scheme) == ("weno_flux", "euler"):
        pytest.skip("fifth order and Euler steps are unstable")
    cells = 80
    case = lab.case(
        {"u": f"-dx({name}(u**2/2, u, u))"}, cells, length=2.0, periodic="",
        initial={"u": f"where(x < {start}, {left}, {right})"}, time={"end": 1.0, "scheme": scheme},
    )  # fmt: skip
    solution = lab.solve(case)
    u, h = solution.fields["u"].ravel(), 2.0 / cells
    assert u.min() > right - 0.05 * (left - right)
    assert u.max() < left + 0.05 * (left - right)
    flown = start * left + (2.0 - start) * right + (left**2 - right**2) / 2
    assert math.fsum(u) * h == pytest.approx(flown, abs=1e-3)
    crossing = float(np.interp(-(left + right) / 2, -u, (np.arange(cells) + 0.5) * h))
    assert abs(crossing - (start + (left + right) / 2)) < h


@pytest.mark.parametrize("order", [2, 4, 8])
def test_shocks_on_a_torus_keep_the_sum(lab: Lab, order: int) -> None:
    """From random data."""
    case = lab.case(
        {"u": "-div(weno_flux(vector(u**2/2, u), vector(u, 1), u)) + laplace(u)/100"}, 20, 16, length=(1.0, 0.8),
        run={"order": order}, initial={"u": "noise(seed=1)"}, time={"steps": 100, "scheme": "ssprk33"},
    )  # fmt: skip
    solution = lab.solve(case)
    before, after = (math.fsum(frame["u"].ravel()) for frame in (solution.frames[0], solution.fields))
    assert abs(after - before) < 1e-12
    assert np.abs(solution.fields["u"]).max() < 1.0
