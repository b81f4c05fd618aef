"""Expressions at points: their values are those of NumPy, their derivatives those of SymPy and of differences."""

from __future__ import annotations

import numpy as np
import pytest

from parsolve.equations.parse import parse
from parsolve.equations.pointwise import Pointwise

TEXTS = (
    "h*(3 - u)", "u**4 - 2*u*v + x*t", "exp(-u)/(1 + v**2)", "sqrt(u)*sin(v)", "where(u > 1, u**2, v)",
    "max(u, v)*tanh(x)", "u**1.5", "5", "x*h", "abs(u - v) + atan2(u, v)",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_derivatives_are_limits_of_differences(text: str) -> None:
    e = parse(text, ["u", "v", "x", "t", "h"])
    tape, random = Pointwise([e], ["u", "v"], ["x"], {"h": 2.0}), np.random.default_rng(1)
    known = {name: random.uniform(0.3, 2.0, 50) for name in ("u", "v", "x")} | {"t": np.array(0.7)}
    values, dots = tape.derived(known, 50)
    assert tape.depends == [{"u", "v"} & {s.name for s in e.free_symbols} != set()]
    np.testing.assert_array_equal(values[0], tape.values(known, 50)[0])
    for name, row in zip(("u", "v"), dots, strict=True):
        ahead, behind = (tape.values(known | {name: known[name] + by}, 50)[0] for by in (1e-6, -1e-6))
        np.testing.assert_allclose(0.0 if row[0] is None else row[0], (ahead - behind) / 2e-6, atol=1e-6)


def test_bits_at_a_point_do_not_depend_on_the_others() -> None:
    expressions = [parse(text, ["u", "v", "x", "t", "h"]) for text in TEXTS]
    tape, random = Pointwise(expressions, ["u", "v"], ["x"], {"h": 2.0}), np.random.default_rng(2)
    known = {name: random.uniform(0.3, 2.0, 37) for name in ("u", "v", "x")}
    whole = tape.derived(known | {"t": np.array(0.3)}, 37)
    for part in (slice(5, 6), slice(3, 20), slice(36, 37)):
        some = {name: values[part] for name, values in known.items()} | {"t": np.array(0.3)}
        found = tape.derived(some, part.stop - part.start)
        for one, other in zip(found[0], whole[0], strict=True):
            np.testing.assert_array_equal(one, other[part])
        for row, other_row in zip(found[1], whole[1], strict=True):
            for one, other in zip(row, other_row, strict=True):
                assert (one is None) == (other is None)
                if one is not None and other is not None:
                    np.testing.assert_array_equal(one, other[part])


@pytest.mark.parametrize(("text", "is_affine"), [("h*(3 - u) + x**2*v", True), ("u*v", False), ("5", True)])
def test_what_is_affine_has_constant_derivatives(text: str, is_affine: bool) -> None:
    assert Pointwise([parse(text, "uvxth")], ["u", "v"], ["x"], {"h": 2.0}).is_affine == is_affine
