"""Walls that depend on the values there: against closed forms, the walls there are already, and on any ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from parsolve import make_case
from parsolve.domain.boundary import Near
from parsolve.errors import CaseError, NumericalError, ParsolveError
from parsolve.problem.layout import decide
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare

if TYPE_CHECKING:
    from conftest import Lab
    from mpi4py import MPI

HEAT = {"u": "laplace(u)"}
EXCHANGE = {
    "u": {"xmax": {"neumann": "0.3*(v - u**4)*y"}, "ymin": {"dirichlet": "v*(1 + t)"},
          "ymax": {"robin": ["1 + v**2", 1, "sin(u)*x"]}},
    "v": {"xmax": {"neumann": "u - v"}, "ymin": {"neumann": 0.2}, "xmin": {"dirichlet": "0.3 + 0.1*y*u"}},
}  # fmt: skip


def slab(lab: Lab, cells: int, sides: dict[str, Any], law: Any = None, **tables: Any) -> dict[str, Any]:
    """A case between two walls, with an end at 0.1 and nothing that is unstable."""
    given = tables.pop("time", {})
    time = {"unstable": "refuse"} | ({} if "steps" in given else {"end": 0.1}) | given
    initial = tables.pop("initial", {"u": "1 + x"})
    boundary = sides if "u" in sides else {"u": sides}
    return lab.case(law or HEAT, cells, periodic=False, boundary=boundary, time=time, initial=initial, **tables)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("side", ["xmin", "xmax"])
def test_a_linear_law_is_the_robin_condition(lab: Lab, order: int, side: str) -> None:
    """To round-off where it is solved place by place, as with abs in it, of which it is not seen to be linear.

    At order 2 with steps as long; at 4 one that is held is faster than others, and what a law will be is not known.
    """
    law, robin = {"neumann": "3*(0.5 - abs(u))"}, {"robin": [3.0, 1.0, 1.5]}
    for time in ({"end": 0.1}, {"steps": 20, "dt": 6e-4}):
        found, known = (lab.solve(slab(lab, 24, {side: w}, run={"order": order}, time=time)) for w in (law, robin))
        assert found.dt <= known.dt
        if found.dt == known.dt:
            np.testing.assert_allclose(found.fields["u"], known.fields["u"], rtol=1e-13)
        else:
            assert order == 4
            assert "end" in time


@pytest.mark.parametrize("order", [2, 4])
def test_the_law_of_cooling(lab: Lab, order: int) -> None:
    """The slowest mode of a slab that is insulated at one side: cos(m x) exp(-m^2 t), m tan m = h."""
    h = 1.5
    m, errors = brentq(lambda m: m * np.tan(m) - h, 0.1, 1.5), []
    for n in (12, 24):
        case = slab(
            lab, n, {"xmax": {"neumann": "h*(T - u)"}}, parameters={"h": h, "T": 2.0},
            initial={"u": f"2 + cos({m!r}*x)"}, run={"order": order},
        )  # fmt: skip
        x = (np.arange(n) + 0.5) / n
        errors.append(np.abs(lab.solve(case).fields["u"] - 2 - np.cos(m * x) * np.exp(-m * m * 0.1)).max())
    assert errors[0] / errors[1] > 2 ** (order - 0.3)


@pytest.mark.parametrize(
    ("law", "residual"),
    [
        ({"robin": ["u", 1.0, 0.0]}, lambda u, slope: u * u + slope),
        ({"robin": [0.0, "1 + 2*u", 3.0]}, lambda u, slope: (1 + 2 * u) * slope - 3),
        ({"robin": ["1 - u/4", "0.5*u", "u/3 + 1"]}, lambda u, slope: (1 - u / 4) * u + u * slope / 2 - u / 3 - 1),
        ({"robin": [3.0, 1.0, "2*abs(u) + 1"]}, lambda u, slope: 3 * u + slope - 2 * u - 1),
    ],
)
def test_a_law_whose_coefficients_depend_on_the_field_is_met(lab: Lab, law: Any, residual: Any) -> None:
    """Also where they are linear in it, so that the law itself is not."""
    wall = pose(make_case(slab(lab, 12, {"xmax": law}))).conditions["u"]["xmax"].wall
    assert wall is not None
    inner, first = (np.full((1, 1, 2), value) for value in (30.0, 1.2))
    found = wall(0.0, (0, 0, 12), {"u": Near(24.0, inner, first)}, {})["u"]
    known = brentq(lambda u: residual(u, 24.0 * u - 30.0), 0.8, 2.0, xtol=1e-15)
    np.testing.assert_allclose(found, known, rtol=1e-14)


@pytest.mark.parametrize("size", [0.0, 1e-19, 1e-6, 1.0])
@pytest.mark.parametrize("given", [0, 1])
def test_a_law_that_is_infinitely_steep_is_met(lab: Lab, given: int, size: float) -> None:
    """At the cell, and where Newton's method steps to where the law has no value."""
    wall = pose(make_case(slab(lab, 12, {"xmax": {"neumann": f"{given} - sqrt(u)"}}))).conditions["u"]["xmax"].wall
    assert wall is not None
    inner, first = (np.full((1, 1, 2), value * size) for value in (24.0, 1.0))
    found = wall(0.0, (0, 0, 12), {"u": Near(24.0, inner, first)}, {})["u"]
    rest = 24 * size + given  # 24 u + sqrt(u)
    known = (2 * rest / (1 + np.sqrt(1 + 96 * rest))) ** 2
    np.testing.assert_allclose(found, known, rtol=1e-12, atol=1e-9 * size)


def test_a_held_value_is_one_however_it_is_written(lab: Lab) -> None:
    """With the same closure, and the same range for the first step."""
    laws: tuple[Any, ...] = ({"dirichlet": "40*v"}, {"robin": [1.0, 0.0, "40*v"]}, {"robin": ["1", "0", "40*v"]})
    found = []
    for law in laws:
        case = slab(lab, 24, {"u": {"xmax": law}}, {"u": "-u*dx(u) + 0.1*laplace(u)", "v": "0.1*laplace(v)"},
                    initial={"u": "x", "v": "1 - x/2"}, run={"order": 4}, time={"end": 0.01})  # fmt: skip
        condition = pose(make_case(case)).conditions["u"]["xmax"]
        assert (condition.a, condition.b) == (1.0, 0.0)
        found.append(lab.solve(case))
    assert len({(done.dt, done.fields["u"].tobytes()) for done in found}) == 1


@pytest.mark.parametrize("law", ["-k*(exp(u) - 1)", "-k*((300 + u)**4 - 300**4)", "-1e6*(exp(u) - 1)"])
@pytest.mark.parametrize("size", [3.7e-44, 1e-19, 1e-16, 2e-15, 1e-12, 1e-6])
def test_a_law_whose_terms_cancel_is_met_to_their_rounding(
    lab: Lab, law: str, size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing has arrived at a wall yet but what is below the rounding of the terms; in a few iterations."""
    case = slab(lab, 12, {"xmax": {"neumann": law}}, parameters={"k": 1e5})
    wall = pose(make_case(case)).conditions["u"]["xmax"].wall
    assert wall is not None
    inner, first = (np.full((1, 1, 2), value * size) for value in (30.0, 1.0))
    monkeypatch.setattr("parsolve.problem.coupling.MOST", 5)
    found = wall(0.0, (0, 0, 12), {"u": Near(24.0, inner, first)}, {})["u"]
    assert (np.abs(found) <= 1.3 * size).all()


def test_radiation_of_a_small_body_is_that_of_an_ordinary_equation(lab: Lab) -> None:
    """Heat conducts so well that the body has one temperature: T' = -s (T^4 - T0^4)."""
    case = slab(
        lab, 4, {"xmax": {"neumann": "-s*(u**4 - 0.5**4)"}}, initial={"u": 2.0}, parameters={"s": 1e-4},
        time={"end": 20.0, "scheme": "dp45", "tolerance": 1e-7},
    )  # fmt: skip
    exact = solve_ivp(lambda t, y: -1e-4 * (y**4 - 0.5**4), (0, 20), [2.0], rtol=1e-9, atol=1e-9).y[0, -1]
    assert lab.solve(case).fields["u"].mean() == pytest.approx(exact, rel=4e-5)


def test_no_wall_that_cools_makes_steps_shorter(lab: Lab) -> None:
    """However strongly it radiates, it is no stiffer than a wall that is held."""
    still, hot = (
        lab.solve(slab(lab, 16, {"xmax": wall}, initial={"u": 2.0}, time={"end": 0.5}))
        for wall in ({"dirichlet": 0.5}, {"neumann": "-1e6*(u**4 - 0.5**4)"})
    )
    assert hot.dt == pytest.approx(still.dt, rel=0.01)
    np.testing.assert_allclose(hot.fields["u"], still.fields["u"], rtol=1e-4)
    with pytest.raises(CaseError, match=r"time\.dt: short waves grow in steps of"):
        lab.solve(slab(lab, 16, {"xmax": {"neumann": "-1e6*(u**4 - 1)"}}, time={"end": 0.5, "dt": 1.2 * hot.dt}))


def test_what_passes_a_membrane_stays(lab: Lab) -> None:
    """Both sides are solved together: what one loses the other has, though nearly nothing resists."""
    law = {"u": "laplace(u)", "v": "0.5*laplace(v)"}
    sides = {"u": {"xmax": {"neumann": "k*(v - u)"}}, "v": {"xmax": {"neumann": "2*k*(u - v)"}}}
    case = slab(lab, 16, sides, law, parameters={"k": 1e4}, initial={"u": 1.0, "v": 0.0})
    u, v = lab.solve(case).fields.values()
    assert u.sum() + v.sum() == pytest.approx(16, rel=1e-13)
    assert v[-1] > 0.4


@pytest.mark.parametrize("order", [2, 4])
def test_a_wall_has_the_value_of_another_field(lab: Lab, order: int) -> None:
    """Which has no ghosts by itself, and changes in time: as the same function of time does."""
    run = {"order": order}
    law, initial = {"u": "laplace(u)", "v": "-v"}, {"u": 0.0, "v": 1.0}
    found = lab.solve(slab(lab, 16, {"u": {"xmax": {"dirichlet": "v"}}}, law, initial=initial, run=run))
    known = lab.solve(slab(lab, 16, {"xmax": {"dirichlet": "exp(-t)"}}, initial={"u": 0.0}, run=run))
    np.testing.assert_allclose(found.fields["u"], known.fields["u"], atol=2e-6)


def test_steps_are_as_long_as_beside_a_wall_with_the_same_value(lab: Lab) -> None:
    """Where rates depend on the solution, what a field is held at counts before it is there."""
    held, law, time = {"u": 0.1, "v": 5.0}, "div((0.1 + u**2)*grad(u))", {"end": 1e-3}
    found = lab.solve(slab(lab, 20, {"u": {"xmax": {"dirichlet": "v"}}}, {"u": law, "v": "0"}, initial=held, time=time))
    known = lab.solve(slab(lab, 20, {"xmax": {"dirichlet": "5 + 1e-99*t"}}, {"u": law}, initial={"u": 0.1}, time=time))
    assert (found.dt, found.result.steps) == (known.dt, known.result.steps)


def test_a_system_of_waves_lets_out_what_it_is_told_to(lab: Lab) -> None:
    """As the document says."""
    out = {"xmin": {"curvature": 0.0}, "xmax": {"curvature": 0.0}}
    sides = {"u": out, "q": {"xmin": {"dirichlet": "-u"}, "xmax": {"dirichlet": "u"}}}
    initial = {"u": "exp(-100*(x - 0.5)**2)", "q": 0.0}
    case = slab(lab, 128, sides, {"u": "-dx(q)", "q": "-dx(u)"}, initial=initial, time={"end": 2.0})
    assert np.abs(lab.solve(case).fields["u"]).max() < 1e-3


@pytest.mark.parametrize("wall", [{"dirichlet": 2.0}, {"robin": [1.0, 0.5, 2.0]}, {"curvature": 0.0}, {"neumann": 1.0}])
def test_the_value_of_another_field_is_that_of_its_own_condition(lab: Lab, wall: dict[str, Any]) -> None:
    law = {"u": "0", "v": "0"}
    values = {"dirichlet": 2.0, "robin": 2.0 - 0.5 * 2, "curvature": 1.0, "neumann": 1.0}
    linear = {"dirichlet": "1 + x", "robin": "-1 + 2*x", "curvature": "x", "neumann": "x"}
    kind = next(iter(wall))
    case = slab(
        lab, 8, {"u": {"xmax": {"dirichlet": "v"}}, "v": {"xmax": wall}}, law | {"u": "dxx(u)"},
        initial={"u": 0.0, "v": linear[kind]}, time={"steps": 1, "dt": 1e-3, "scheme": "euler"},
    )  # fmt: skip
    assert lab.solve(case).fields["u"][-1] == pytest.approx(1e-3 * 2 * values[kind] * 64, rel=1e-12)


@pytest.mark.parametrize(("order", "most"), [(2, 2e-3), (4, 2e-4)])
def test_waves_go_out(lab: Lab, order: int, most: float) -> None:
    """Of a pulse that goes both ways nothing comes back but what the order leaves; inside it is exact until then."""
    sides = {side: {"outflow": "c"} for side in ("xmin", "xmax")}
    case = slab(
        lab, 128, sides, {"u_tt": "c**2*laplace(u)"}, initial={"u": "exp(-100*(x - 0.5)**2)"}, run={"order": order},
        parameters={"c": 2.0}, time={"end": 1.0}, output={"every": 0.25},
    )  # fmt: skip
    frames, x = lab.solve(case).frames, (np.arange(128) + 0.5) / 128
    halves = sum(0.5 * np.exp(-100 * (x - 0.5 - by) ** 2) for by in (-0.5, 0.5))
    assert np.abs(frames[1]["u"] - halves).max() < 60 * most
    assert max(np.abs(frame["u"]).max() for frame in frames[3:]) < most


def test_what_comes_back_of_waves_falls_as_the_order_says(lab: Lab) -> None:
    """At order 4 by 16 from one grid to one of twice the cells: the rate at the wall is as exact as the slope."""
    back = []
    for cells in (48, 96):
        case = slab(
            lab, cells, {"xmax": {"outflow": 1.0}}, {"u_tt": "laplace(u)"}, run={"order": 4}, time={"end": 1.0},
            initial={"u": "exp(-100*(x - 0.5)**2)", "u_t": "200*(x - 0.5)*exp(-100*(x - 0.5)**2)"},
        )  # fmt: skip
        back.append(np.abs(lab.solve(case).fields["u"]).max())
    assert back[1] < 1e-3
    assert back[0] / back[1] > 12


def test_what_is_carried_out_goes_out(lab: Lab) -> None:
    """As the message about u_t says: with a curvature of 0."""
    case = slab(
        lab, 128, {"xmin": {"dirichlet": 0.0}, "xmax": {"curvature": 0.0}}, {"u": "-dx(u) + 0.001*laplace(u)"},
        initial={"u": "exp(-200*(x - 0.5)**2)"}, time={"end": 1.0},
    )  # fmt: skip
    assert np.abs(lab.solve(case).fields["u"]).max() < 1e-3


def test_what_is_carried_out_goes_out_at_a_speed_of_its_own(lab: Lab) -> None:
    """As the document says: of the pulse less comes back than from the wall above if it is the right one, by order 3.

    With twice the speed it is of order 1, half of what a wall without flux sends back.
    """

    def back(cells: int, wall: dict[str, Any], c: float = 1.0) -> float:
        pulse = {name: "exp(-100*(x - 0.5)**2)" for name in ("u", "w")}
        law = {"u": "-dx(u)", "w": "2*c/h*(u - w)"}
        sides = {"u": {"xmin": {"dirichlet": 0.0}, "xmax": wall}}
        case = slab(lab, cells, sides, law, initial=pulse, parameters={"c": c, "h": 1 / cells}, time={"end": 0.9})
        return float(np.abs(lab.solve(case).fields["u"]).max())

    given = {"dirichlet": "w"}
    coarse, fine = (back(cells, given) for cells in (64, 128))
    assert coarse > 7 * fine
    assert back(128, {"curvature": 0.0}) > 5 * fine
    assert back(128, given, 2.0) == pytest.approx(back(128, {"neumann": 0.0}) / 2, rel=0.05)


def plate(lab: Lab, kind: int) -> dict[str, Any]:
    """Three fields in a plate whose walls depend on each other, with corners that are read."""
    law = {"u": "laplace(u) + 0.3*dxy(v)", "v": "div((1 + u**2)*grad(v)) - v*w", "w": "u"}
    times = ({"steps": 6}, {"end": 0.004, "scheme": "dp45", "tolerance": 1e-5}, {"steps": 6, "scheme": "ssprk33"})
    run = {"order": 2 if kind else 4, "precision": "float32" if kind == 2 else "float64"}
    run |= {"pipeline": {"steps": 2}} if kind == 0 else {}
    return lab.case(law, 17, 16, periodic=False, boundary=EXCHANGE, time=times[kind], run=run)


@pytest.mark.mpi
@pytest.mark.parametrize("kind", range(3))
def test_any_ranks_give_the_same_bits(lab: Lab, comm: MPI.Intracomm, solo: MPI.Intracomm, kind: int) -> None:
    alone = lab.solve(plate(lab, kind), solo)
    for processes in ({"x": comm.size, "y": 1}, {"x": 1, "y": comm.size}):
        found = lab.solve(plate(lab, kind), comm, processes)
        for name, values in alone.fields.items():
            np.testing.assert_array_equal(found.fields[name], values)


@pytest.mark.mpi
@pytest.mark.parametrize("late", [0.0, 0.02])
def test_a_place_without_a_value_is_one_error_of_all_ranks(lab: Lab, comm: MPI.Intracomm, late: float) -> None:
    wall = {"xmax": {"neumann": f"where(abs(y - 0.4) < 0.05, sqrt({late} - t - 1e-9), 1)*(1 - u**2)"}}
    case = lab.case(HEAT, 16, 16, periodic=False, boundary={"u": wall}, time={"end": 0.1}, initial={"u": 0.5})
    with pytest.raises(ParsolveError, match=r"boundary\.u\.xmax\.neumann: no value of u .*, cell y = 6") as caught:
        lab.solve(case, comm, {"x": 1, "y": comm.size})
    assert type(caught.value) is (NumericalError if late else CaseError)
    assert len(set(comm.allgather(str(caught.value)))) == 1


def test_a_measure_sees_the_same_walls(lab: Lab, solo: MPI.Intracomm) -> None:
    """Derivatives that are measured are those of the march: of u = 1 the slope at the wall is what the law says."""
    case = slab(lab, 8, {"xmax": {"neumann": "h*(3 - u)"}}, parameters={"h": 2.0}, initial={"u": 1.0},
                measure={"flux": "max(dx(u))"})  # fmt: skip
    problem = lab.pose(case)
    march = prepare(problem, decide(problem, solo), solo)
    found = march.looking.measure(march.state, 0.0)["flux"]
    march.free()
    wall = (1 + 3 / 8) / (1 + 1 / 8)  # (u - 1) 2/h = 2 (3 - u)
    assert found == pytest.approx((2 * wall - 1 - 1) / 2 * 8, rel=1e-12)


@pytest.mark.parametrize(
    ("wall", "key", "text"),
    [
        ({"neumann": "q*u"}, "neumann", "unknown name 'q'"),
        ({"neumann": "laplace(u)"}, "neumann", "can stand only in equations"),
        ({"dirichlet": "u*noise(seed=1)"}, "dirichlet", "no noise"),
        ({"curvature": "u"}, "curvature", "cannot depend on fields"),
        ({"outflow": 1.0}, "outflow", "is for fields of u_tt"),
        ({"neumann": "9*u"}, "neumann", "grows with u faster than cells of 0.125 along x resolve"),
        ({"neumann": "9*abs(u)"}, "neumann", "grows with u faster than cells of 0.125 along x resolve"),
        ({"neumann": "sqrt(-u)"}, "neumann", "no value of u at the wall meets it at t = 0"),
        ({"dirichlet": "u"}, "dirichlet", "no value of u at the wall meets it at t = 0"),
        ({"dirichlet": "abs(u)"}, "dirichlet", "no value of u at the wall meets it at t = 0"),
        ({"robin": ["u - u", 0.0, 1.0]}, "robin", "are both zero at some place"),
        ({"robin": ["abs(u) - u", 0.0, 1.0]}, "robin", "no value of u at the wall meets it at t = 0"),
    ],
)
def test_what_cannot_be_is_one_error_with_its_key(lab: Lab, wall: dict[str, Any], key: str, text: str) -> None:
    case = slab(lab, 8, {"xmax": wall}, {"u": "div(k*grad(u)) + m"}, define={"m": "-u"}, fields={"k": "1 + x"})
    with pytest.raises(CaseError) as caught:
        lab.solve(case)
    assert str(caught.value).startswith(f"case: boundary.u.xmax.{key}")
    assert text in str(caught.value)


def test_what_cannot_be_of_other_cases_is_told_too(lab: Lab) -> None:
    wave, out = {"u_tt": "laplace(u)"}, {"outflow": 1.0}
    for law, boundary, more, text in (
        (wave, {"u": {"xmax": out}}, {"time": {"scheme": "leapfrog"}}, "outflow: takes u_t, which is marched by"),
        (wave, {"u": {"xmax": {"outflow": 0.0}}}, {}, "outflow: is the speed outwards, above 0"),
        (HEAT, {"u": {"xmax": {"dirichlet": 0.0, "outflow": 1.0}}}, {}, "outflow: give one of"),
        (
            {"u": "laplace(m)"},
            {"u": {}, "m": {"xmax": {"neumann": "u"}}},
            {"define": {"m": "u**3 - laplace(u)"}},
            "'m' is made of",
        ),
    ):
        with pytest.raises(CaseError, match=text):
            lab.solve(slab(lab, 8, boundary, law, **more))
    case = lab.case(HEAT, 8, 8, periodic=False, boundary={"u": {"xmax": {"neumann": "-u"}}})
    case["grid"]["y"]["periodic"] = "anti"
    with pytest.raises(CaseError, match="no anti-periodic axis"):
        lab.solve(case)


def test_a_wall_that_has_no_value_later_ends_the_run_with_its_place(lab: Lab) -> None:
    case = lab.case(
        HEAT, 8, 6, periodic=False, boundary={"u": {"xmax": {"neumann": "sqrt(where(y > 0.5, 0.1 - t, 1))*u**2/9"}}},
        time={"end": 0.5, "unstable": "refuse"}, initial={"u": 1.0},
    )  # fmt: skip
    with pytest.raises(
        NumericalError, match=r"boundary\.u\.xmax\.neumann: no value of u .* at t = 0\.1\d*, cell y = 3"
    ):
        lab.solve(case)


def test_a_wall_with_t_in_it_is_followed(lab: Lab) -> None:
    """As one without fields is: four steps in the time that it takes to change."""
    case = slab(lab, 4, {"xmax": {"neumann": "sin(2000*t) - u"}}, time={"end": 0.1})
    assert lab.solve(case).dt < 1e-3
