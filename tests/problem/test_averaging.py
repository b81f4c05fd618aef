"""Statistics in time at each cell are those of NumPy over the samples, on any ranks and however a run was stopped."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve import make_case, solve
from parsolve.domain.grid import slabs
from parsolve.errors import CaseError
from parsolve.problem import averaging
from parsolve.store.result import open_result

TABLES = {
    "evolve": {"u": "0.1*laplace(u)", "v": "cos(9*t) - v"},
    "grid": {"x": {"cells": 12, "range": [0, 1], "periodic": True}, "y": {"cells": 8, "range": [0, 1]}},
    "initial": {"u": "1 + sin(2*pi*x)*cos(pi*y)", "v": "x"},
    "time": {"steps": 24, "dt": 0.01},
    "average": {
        "every_steps": 2, "from": 0.03, "m": "u", "square": {"mean": "u**2"}, "var": {"variance": "u"},
        "cov": {"covariance": ["u", "v"]}, "low": {"min": "dx(u)"}, "high": {"max": "dx(u)"},
    },
}  # fmt: skip


def last(path, *names):
    with open_result(path) as result:
        return [result.read(name, -1) for name in names or result.fields]


def test_they_are_those_of_the_samples_each_for_the_time_since_the_one_before(comm, shared_tmp):
    frames = make_case(TABLES, average={"every_steps": 2}, output={"every_steps": 2})
    solve(make_case(TABLES), shared_tmp / "a.h5", comm)
    solve(frames, shared_tmp / "b.h5", comm)
    with open_result(shared_tmp / "b.h5") as result:
        taken = [n for n, time in enumerate(result.times) if time > 0.03]
        first = taken[0]  # the first sample of the window has no time of its own
        u, v = (np.stack([result.read(name, n) for n in taken[1:]]) for name in "uv")
        begin = result.read("u", first)
        h = result.grid.spacing[2]
    m, square, var, cov, low, high = last(shared_tmp / "a.h5", "m", "square", "var", "cov", "low", "high")
    assert m == pytest.approx(u.mean(0), abs=1e-13)
    assert square == pytest.approx((u**2).mean(0), abs=1e-13)
    assert var == pytest.approx(u.var(0), abs=1e-13)
    assert cov == pytest.approx((u * v).mean(0) - u.mean(0) * v.mean(0), abs=1e-13)
    slopes = (np.roll(np.stack([begin, *u]), -1, 2) - np.roll(np.stack([begin, *u]), 1, 2)) / (2 * h)
    assert low == pytest.approx(slopes.min(0), abs=1e-12)
    assert high == pytest.approx(slopes.max(0), abs=1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_many_samples_lose_no_digits(solo, tmp_path, precision):
    count = 4000
    case = make_case(
        evolve={"u": "0*u"}, grid={"x": {"cells": 2, "range": [0, 1]}}, initial={"u": 1.0}, run={"precision": precision},
        time={"steps": count, "dt": 1 / count, "scheme": "euler"},
        average={"every_steps": 1, "m": "u + t", "var": {"variance": "sin(50*t)"}},
    )  # fmt: skip
    solve(case, tmp_path / "a.h5", solo)
    times, most = np.arange(1, count + 1) / count, 4 * float(np.finfo(precision).eps)
    m, var = last(tmp_path / "a.h5", "m", "var")
    assert m == pytest.approx(1 + times.mean(), rel=max(most, 1e-12))
    assert var == pytest.approx(np.sin(50 * times).var(), rel=max(most, 1e-12))


def test_what_has_no_value_before_the_window_leaves_nothing_in_it(solo, tmp_path):
    cases = [
        make_case(TABLES, average={"early": {"variance": f"{log} + u"}})
        for log in ("log(t - 0.02)", "log(abs(t - 0.02))")
    ]
    for n, case in enumerate(cases):
        solve(case, tmp_path / f"{n}.h5", solo)
    assert last(tmp_path / "0.h5", "early")[0] == pytest.approx(last(tmp_path / "1.h5", "early")[0], rel=1e-12)


@pytest.mark.parametrize(("stop", "precision"), [(7, "float64"), (16, "float32")])
def test_ranks_and_stops_change_no_bit_of_them(comm, solo, shared_tmp, tmp_path, stop, precision):
    tables = make_case(TABLES, run={"precision": precision})
    solve(tables, tmp_path / "whole.h5", solo)
    kept = make_case(tables, checkpoint={"every_steps": 3})
    solve(make_case(kept, time={"steps": stop}), shared_tmp / "parts.h5", comm)
    solve(kept, shared_tmp / "parts.h5", comm, resume=True)
    whole, parts = last(tmp_path / "whole.h5"), last(shared_tmp / "parts.h5")
    assert len(whole) == 8
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_they_are_the_same_bits_however_many_parts_they_are_updated_in(solo, tmp_path, monkeypatch, precision):
    case = make_case(TABLES, run={"precision": precision})
    solve(case, tmp_path / "one.h5", solo)
    monkeypatch.setattr(averaging, "slabs", lambda shape: slabs(shape, 7))
    solve(case, tmp_path / "parts.h5", solo)
    assert [v.tobytes() for v in last(tmp_path / "one.h5")] == [v.tobytes() for v in last(tmp_path / "parts.h5")]


def test_a_result_says_what_its_fields_are(solo, tmp_path):
    fields = ["u", "w", "k", "cov", "m", "turn = dx(u)"]
    tables = {"define": {"w": "u*v"}, "fields": {"k": "1 + x"}, "units": {"m": {"name": "mean of all"}}}
    solve(make_case(TABLES, tables, output={"fields": fields}), tmp_path / "a.h5", solo)
    with open_result(tmp_path / "a.h5") as result:
        said = [result.long_name(name) for name in result.fields]
    assert said == ["u", "u*v", "k", "covariance of u, v", "mean of all", "dx(u)"]


@pytest.mark.parametrize(
    ("average", "key"),
    [
        ({"m": "u"}, "average"),
        ({"every": 1.0, "every_steps": 2, "m": "u"}, "average"),
        ({"every_steps": 2, "u": "v"}, r"average\.u"),
        ({"every_steps": 2, "m": 3.0}, r"average\.m"),
        ({"every_steps": 2, "m": {"max": "u", "min": "u"}}, r"average\.m"),
        ({"every_steps": 2, "m": "w"}, r"average\.m"),
        ({"every_steps": 2.5, "m": "u"}, r"average\.every_steps"),
    ],
)
def test_what_cannot_be_averaged_is_refused_by_its_key(solo, tmp_path, average, key):
    tables = {name: table for name, table in TABLES.items() if name != "average"}
    with pytest.raises(CaseError, match=key):
        solve(make_case({**tables, "average": average}), tmp_path / "a.h5", solo)
