"""Coefficient fields beyond the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.errors import CaseError, NumericalError
from parsolve.problem.plan import check
from parsolve.problem.values import coefficient_fields

if TYPE_CHECKING:
    from mpi4py import MPI

RATES = [
    "laplace(u) + k",
    "u*k",
    "div(k*grad(u))",
    "laplace(k*u)",
    "dxy(k*u)",
    "dx(k) + dyy(u)",
    "upwind(vector(k, 1), u)",
]


def test_the_name_of_a_parameter_changes_no_value(lab: Any) -> None:
    """Beyond a side with a value a formula goes on as it is, whatever its names begin with."""
    boundary = {"u": {"xmin": {"dirichlet": 0.0}}}
    made = []
    for name in ("amp", "noise_amp"):
        tables = {"parameters": {name: 1.0}, "fields": {"k": f"1 + {name}*x"}, "boundary": boundary}
        case = lab.case({"u": "div(k*grad(u))"}, 8, periodic="", **tables)
        problem = lab.pose(case)
        made.append(coefficient_fields(problem, lab.subdomain(problem))["k"].array.ravel())
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0][0] < 1
    assert made[0][-1] == made[0][-2] < 2  # there it is mirrored
    problem = lab.pose(lab.case({"u": "div(k*grad(u))"}, 8, periodic="", fields={"k": "1 + 0.1*noise(seed=1)"}))
    k = coefficient_fields(problem, lab.subdomain(problem))["k"]
    assert k.array.ravel()[0] == k.owned.ravel()[0]


@pytest.mark.parametrize("order", [2, 8])
@pytest.mark.parametrize("k", ["1 + x*y", "noise(seed=1)", "sqrt(x)", 0.5])
def test_a_coefficient_is_mirrored_at_a_wall_without_flux(lab: Any, k: str | float, order: int) -> None:
    """In a flux; so nothing is asked of a formula beyond, and each of several walls counts for itself."""
    sides = {"xmax": {"dirichlet": 1.0}, "ymin": {"neumann": 0.0}, "ymax": {"neumann": "0"}}
    case = lab.case(
        {"u": "div(k*grad(u))"}, 9, 10, periodic="", fields={"k": k}, boundary={"u": sides}, run={"order": order}
    )
    problem = lab.pose(case)
    f = coefficient_fields(problem, lab.subdomain(problem))["k"]
    depth = problem.program.radius
    y, x = (slice(g, -g) for g in f.subdomain.ghosts[1:])
    gy, gx = f.subdomain.ghosts[1:]
    inner = f.array[0]
    for m in range(depth):
        np.testing.assert_array_equal(inner[y, gx - 1 - m], inner[y, gx + m])
        np.testing.assert_array_equal(inner[gy - 1 - m, x], inner[gy + m, x])
        np.testing.assert_array_equal(inner[-gy + m, x], inner[-gy - 1 - m, x])
    if k == "1 + x*y":
        np.testing.assert_allclose(inner[y, -gx], 1 + (1 + 0.5 / 9) * (np.arange(10) + 0.5) / 10)


@pytest.mark.parametrize("place", ["initial", "fields"])
@pytest.mark.filterwarnings("error")
def test_what_the_precision_does_not_hold_is_one_error_and_no_warning(lab: Any, place: str) -> None:
    tables = {"initial": {"u": "1e300*x"}} if place == "initial" else {"fields": {"k": "1e300*x"}}
    case = lab.case(
        {"u": "div(k*grad(u))"}, 8, periodic=False, run={"precision": "float32"}, **{"fields": {"k": "1"}, **tables}
    )
    with pytest.raises(NumericalError, match="not finite"):
        lab.solve(case)


@pytest.mark.mpi
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("place", "order", "wall"),
    [
        ((-1, 3), 2, None),
        ((-1, -1), 4, {"dirichlet": 0.5}),
        ((-2, 3), 2, {"dirichlet": 0.5}),
        ((4, -1), 4, None),
        ((16, 12), 2, {"neumann": 0.5}),
        ((17, 4), 4, {"dirichlet": 0.5}),
    ],
)
def test_a_coefficient_must_be_finite_beyond_a_wall_where_rates_depend_on_it(
    lab: Any, comm: MPI.Intracomm, rate: str, order: int, place: tuple[int, int], wall: Any
) -> None:
    """And nowhere else; then `check` and all ranks say the same."""
    x, y = ((index + 0.5) / 16 for index in place)
    boundary = {"u": {side: wall for side in ("xmin", "xmax", "ymin") if wall}}

    def case(value: float) -> dict[str, Any]:
        k = f"1/where(abs(x - {x}) + abs(y - {y}) < 0.01, {1 / value}, 1)"
        return lab.case(
            {"u": rate}, 16, 12, length=[1.0, 0.75], periodic="", fields={"k": k}, boundary=boundary,
            run={"order": order}, time={"steps": 1, "dt": 1e-6},
        )  # fmt: skip

    u = np.random.default_rng(1).random((12, 16))
    is_read = (lab.rate(case(2.0))(u=u)["u"] != lab.rate(case(1.0))(u=u)["u"]).any()
    if is_read:
        with pytest.raises(CaseError, match=r"fields\.k: the value is inf at x = ") as caught:
            lab.solve(case(np.inf), comm)
        assert caught.value.ranks == comm.size
        assert len(set(comm.allgather(str(caught.value)))) == 1
        with pytest.raises(CaseError, match=r"fields\.k: the value is inf at x = "):
            check(lab.pose(case(np.inf)).case, comm.size)
    else:
        check(lab.pose(case(np.inf)).case, comm.size)
        np.testing.assert_array_equal(*(lab.solve(case(v), comm).fields["u"] for v in (1.0, np.inf)))
