"""One evaluation of the rates: interior and shell make up the whole, and the order of work changes no bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsolve.domain.boundary import Condition
from parsolve.march.stepper import Workspace
from parsolve.problem.kernels import kernels
from parsolve.problem.operators import operator_of
from parsolve.stages import plain
from parsolve.stages.plain import interior

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    st.lists(st.integers(0, 2), unique=True),
    st.integers(1, 4),
)
def test_interior_and_shell_are_the_owned_cells_once(shape: tuple[int, int, int], late: list[int], radius: int) -> None:
    inner, shell = interior(shape, late, radius)
    count = np.zeros(shape, int)
    for box in (inner, *shell):
        assert all(a >= 0 and b <= n for a, b, n in zip(box.lo, box.hi, shape, strict=True))
        count[tuple(slice(a, max(a, b)) for a, b in zip(box.lo, box.hi, strict=True))] += 1
    assert (count == 1).all()
    for axis in late:  # no ghost along an axis that is still under way
        if not inner.is_empty:
            assert inner.lo[axis] >= radius
            assert inner.hi[axis] <= shape[axis] - radius
    if not late:
        assert shell == []


def test_an_euler_step_adds_the_rate(lab: Any, tmp_path: Path) -> None:
    u = np.random.default_rng(0).uniform(-1, 1, (6, 8))
    np.save(tmp_path / "u.npy", u)
    start = {"u": {"file": str(tmp_path / "u.npy")}}
    case = lab.case("burgers", 8, 6, initial=start, time={"steps": 1, "dt": 0.125, "scheme": "euler"})
    np.testing.assert_array_equal(lab.solve(case).fields["u"], u + 0.125 * lab.rate(case)(u=u)["u"])


def test_time_reaches_every_stage(lab: Any) -> None:
    """In the rate and in an intermediate field alike."""
    case = lab.case({"u": "t + laplace(w)"}, 8, define={"w": "t*laplace(u)"}, run={"device": "numpy"})
    wave = np.sin(2 * np.pi * (np.arange(8) + 0.5) / 8)
    eigenvalue = (2 * np.cos(np.pi / 4) - 2) * 64
    rate = lab.rate(case)
    for time in (0.0, 1.5, -2.0):
        np.testing.assert_allclose(rate(time, u=wave)["u"], time + time * eigenvalue**2 * wave, rtol=1e-11, atol=1e-9)


def test_a_plan_serves_many_states(lab: Any) -> None:
    rate = lab.rate(lab.case("cahn-hilliard", 8, 6, periodic="y"))
    states = np.random.default_rng(1).uniform(-1, 1, (3, 6, 8))
    first = [rate(c=s)["c"] for s in states]
    for s, wanted in zip(states[::-1], first[::-1], strict=True):
        np.testing.assert_array_equal(rate(c=s)["c"], wanted)


@pytest.mark.parametrize(
    ("name", "scheme"), [("heat", "euler"), ("gray-scott", "ssprk22"), ("wave", "leapfrog"), ("gray-scott", "bs23")]
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_values_written_past_the_caches_are_the_same(
    lab: Any, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str, precision: str
) -> None:
    """Rows that begin and end anywhere on a line, of one piece and of several."""
    for cells in ((7, 5, 4), (67, 6), (1031,)):
        time: dict[str, Any] = {"steps": 3, "scheme": scheme, "dt": 1e-6}
        case = lab.case(name, *cells, time=time, run={"pipeline": "off", "precision": precision})
        kept, streamed = (lab.solve(case).fields for _ in use(monkeypatch, (1 << 40, -1)))
        for field, values in kept.items():
            np.testing.assert_array_equal(streamed[field], values)


def test_a_coefficient_field_reaches_as_deep_as_the_stages(lab: Any) -> None:
    """Ghosts of three stages of order 8; those beyond a wall are as deep as one of them reads."""
    for fields in ({"k": "1 + x"}, {"k": "noise(seed=3)"}):
        case = lab.case({"u": "dx(w)"}, 40, periodic="", define={"w": "k*dx(v)", "v": "k*dx(u)"}, run={"order": 8})
        case["fields"] = fields
        assert np.isfinite(lab.solve(case | {"time": {"steps": 1, "dt": 1e-6}}).fields["u"]).all()


def test_operators_that_reach_differently_share_no_exchange(lab: Any) -> None:
    """Nor do those whose conditions differ; those that agree do."""
    problem = lab.pose(lab.case("heat", 12, periodic=""))
    work = Workspace(
        operator_of(
            problem.program, problem.grid, problem.parameters, problem.conditions, kernels(problem, lab.comm)
        ),
        lab.subdomain(problem), problem.dtype,
    )  # fmt: skip
    (u,) = work.fields(["u"]).values()
    op, find = work.operator, work.exchanges.find
    others = [
        replace(op, radius=2), replace(op, base=3), replace(op, conditions={"u": {"xmin": Condition(1.0, 0.0, 2.0)}})
    ]  # fmt: skip
    found = [find([u], [o], 1) for o in (op, *others)]
    assert len(set(map(id, found))) == 4
    assert find([u], [replace(op, corners=True)], 1) is found[0]
    work.exchanges.free()


def use(monkeypatch: pytest.MonkeyPatch, limits: Sequence[int]) -> Iterator[None]:
    for limit in limits:
        monkeypatch.setattr(plain, "STREAMED", limit)
        yield
