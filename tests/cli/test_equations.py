"""`eq`: what it says of a case's equations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CASE = """
[grid]
x = {{ cells = 16, range = [0, 1] }}
[evolve]
u_t = "{u}"
v_t = "{v}"
[initial]
u = 1
v = 1
[time]
end = 1
"""


@pytest.mark.parametrize(
    ("u", "v", "words"),
    [
        ("laplace(u)", "-dx(weno_flux(v**2/2, v, v))", "the sum of u, v, but for what flows through the sides"),
        ("laplace(u)", "laplace(v) - u", "the sum of u; not that of v"),
        (
            "-advect(vector(u), u)",
            "v - mean(v)",
            "the sum of v; not that of u; upwind and advect are no fluxes: write div of upwind_flux or weno_flux",
        ),
        ("u", "v", "not that of u, v"),
    ],
)
def test_eq_says_what_is_conserved(call: Callable[..., tuple[int, str, str]], u: str, v: str, words: str) -> None:
    Path("case.toml").write_text(CASE.format(u=u, v=v))
    code, out, _ = call("eq", "case.toml")
    assert code == 0
    assert [line.split(None, 1)[1] for line in out.splitlines() if line.lstrip().startswith("conserved")] == [words]


def test_eq_calls_no_given_step_stable(call: Callable[..., tuple[int, str, str]]) -> None:
    Path("case.toml").write_text(CASE.format(u="laplace(u)", v="laplace(v)"))

    def step(*more: str) -> tuple[str, str]:
        _, out, _ = call("eq", "case.toml", *more)
        (line,) = [line for line in out.splitlines() if "step " in line]
        label, _, rest = line.partition("dt = ")
        return label.strip(), rest

    label, stable = step()
    assert label == "stable step"
    stable = stable.removesuffix(" with rk4")
    for dt in ("1e-05", "0.25"):
        given = step("--set", f"time.dt={dt}", "--set", "time.unstable=allow")
        assert given == ("step", f"{dt} with rk4, as given; dt = 'auto' is {stable}")
    Path("case.toml").write_text(CASE.format(u="0", v="0"))
    assert step("--set", "time.dt=0.25") == ("step", "0.25 with rk4, as given; dt = 'auto' is 1")
