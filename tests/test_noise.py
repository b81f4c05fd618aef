"""Noise in time: its laws against closed forms, its orders on paths, and the same bits however it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parsolve.case import Case
from parsolve.equations.white import normal
from parsolve.errors import CaseError
from parsolve.problem.pose import pose

if TYPE_CHECKING:
    from mpi4py import MPI

W = "noise(seed=1, each='step')"
LAWS = {
    "additive": {"u": f"0.01*laplace(u) + 0.1*{W}"},
    "multiplicative": {"u": f"0.01*laplace(u) + v*{W}", "v": "-v + 0.1*noise(seed=2, each='step')"},
    "conserved": {"u": f"laplace(0.01*u + 0.001*{W}) + 0.01*div(vector({W}, noise(seed=2, each='step')))"},
    "with a mean": {"u": f"0.01*laplace(u) + 0.1*({W} - mean({W}))"},
}
RUNS: list[dict[str, Any]] = [
    {"device": "numpy"},
    {"pipeline": {"steps": 3, "tile": [2, 16]}},
    {"pipeline": {"steps": 5}, "threads": 2},
]


def case(lab: Any, law: str, **more: Any) -> dict[str, Any]:
    time = {"steps": 12, "dt": 2e-3, "scheme": more.pop("scheme", "euler")}
    made: dict[str, Any] = lab.case(LAWS[law], 14, 19, time=time, **{"periodic": "x", **more})
    return made


@pytest.mark.parametrize(
    ("law", "scheme"), [*((law, "euler") for law in LAWS), ("multiplicative", "ssprk22"), ("conserved", "ssprk22")]
)
def test_numpy_and_passes_give_the_bits_of_kernels_in_plain_order(
    lab: Any, solo: MPI.Intracomm, many_cores: None, law: str, scheme: str
) -> None:
    plain = lab.solve(case(lab, law, scheme=scheme, run={"pipeline": "off"}), solo)
    for run in RUNS if law != "with a mean" else RUNS[:1]:
        found = lab.solve(case(lab, law, scheme=scheme, run=run), solo)
        np.testing.assert_array_equal(found.fields["u"], plain.fields["u"])


@pytest.mark.parametrize("law", LAWS)
def test_any_ranks_give_the_same_bits(lab: Any, comm: MPI.Intracomm, solo: MPI.Intracomm, law: str) -> None:
    made = case(lab, law, periodic=True, run={"precision": "float32"} if law == "additive" else {})
    np.testing.assert_array_equal(lab.solve(made, comm).fields["u"], lab.solve(made, solo).fields["u"])


def path(steps: int, dt: float, cells: int) -> np.ndarray:
    """W at the end, of cells of volume 1."""
    return sum(np.sqrt(dt) * normal(1, n, [0, 0, np.arange(cells)]) for n in range(steps))


def ends(lab: Any, text: str, scheme: str, steps: int, cells: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """u at t = 1, from 1 at first, and W."""
    time = {"steps": steps, "dt": 1 / steps, "scheme": scheme}
    made = lab.case({"u": text}, cells, length=float(cells), time=time, initial={"u": 1})
    return lab.solve(made).fields["u"].ravel(), path(steps, 1 / steps, cells)


def test_ornstein_and_uhlenbeck(lab: Any) -> None:
    """Mean exp(-t), variance s^2 (1 - exp(-2 t))/2, as the scheme has them, in cells of any volume."""
    steps, cells, s = 64, 20000, 0.3
    for length in (float(cells), 0.1 * cells):
        time = {"steps": steps, "dt": 1 / steps, "scheme": "euler"}
        made = lab.case({"u": f"-u + {s}*{W}"}, cells, length=length, time=time, initial={"u": 1})
        u, decay = lab.solve(made).fields["u"], 1 - 1 / steps
        variance = s**2 * cells / length * (1 - decay ** (2 * steps)) / (1 - decay**2) / steps
        assert abs(variance / (s**2 * cells / length * (1 - np.exp(-2)) / 2) - 1) < 0.02
        assert abs(u.mean() - decay**steps) < 4 * np.sqrt(variance / cells)
        assert abs(u.var() / variance - 1) < 4 * np.sqrt(2 / cells)


def test_spectrum_of_edwards_and_wilkinson(lab: Any) -> None:
    """A stationary wave of du = D lap(u) dt + s dW has the power s^2/(2 D k^2)."""
    cells, diffusion, s = 256, 1.0, 0.5
    time = {"steps": 6000, "dt": 0.1, "scheme": "euler"}
    made = lab.case({"u": f"{diffusion}*laplace(u) + {s}*{W}"}, cells, length=float(cells), time=time, initial={"u": 0},
                    output={"every_steps": 500})  # fmt: skip
    frames = lab.solve(made).frames[4:]
    power = np.mean([np.abs(np.fft.rfft(f["u"].ravel())) ** 2 for f in frames], axis=0) / cells
    k = 2 * np.pi * np.arange(len(power)) / cells
    rate = 2 - 2 * np.cos(k)  # k^2 of the second difference
    waves = slice(16, 128)
    ratio = power[waves] / (s**2 / (2 * diffusion * rate[waves] * (1 - 0.05 * diffusion * rate[waves])))
    assert abs(ratio.mean() - 1) < 4 / np.sqrt(ratio.size * len(frames))
    few = power[16:32] / (s**2 / (2 * diffusion * k[16:32] ** 2))
    assert abs(few.mean() - 1) < 0.1 + 4 / np.sqrt(few.size * len(frames))


@pytest.mark.parametrize(
    ("scheme", "drift", "order"), [("euler", 1 - 0.5 * 0.8**2, 0.5), ("ssprk22", 1.0, 1.0)], ids=["Ito", "Stratonovich"]
)
def test_strong_and_weak_order_of_multiplicative_noise(lab: Any, scheme: str, drift: float, order: float) -> None:
    """du = u dt + b u dW: u = exp(drift t + b W), the drift that of the calculus of the scheme."""
    strong, weak = [], []
    for steps in (8, 32, 128):
        u, w = ends(lab, f"u + 0.8*u*{W}", scheme, steps)
        error = u - np.exp(drift + 0.8 * w)
        strong.append(np.abs(error).mean())
        weak.append(abs(error.mean()))
    found = np.log(np.array(strong[:-1]) / strong[1:]) / np.log(4)
    assert np.abs(found - order).max() < 0.15, found
    assert np.log(weak[0] / weak[-1]) / np.log(16) > 0.75, weak


def test_strong_order_of_additive_noise(lab: Any) -> None:
    errors = []
    for steps in (16, 64):
        u, _ = ends(lab, f"-u + 0.5*{W}", "euler", steps)
        decay = np.exp(-(1 - np.arange(steps) / steps - 0.5 / steps))
        noise = [normal(1, n, [0, 0, np.arange(u.size)]) / np.sqrt(steps) for n in range(steps)]
        errors.append(np.abs(u - np.exp(-1) - 0.5 * decay @ noise).mean())
    assert abs(np.log(errors[0] / errors[1]) / np.log(4) - 1) < 0.1, errors


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"evolve": {"u": "noise(seed=1, each='time')"}}, "evolve.u: each is one of 'step', in quotes"),
        ({"evolve": {"u": "noise(seed=1, each=1)"}}, "each is one of 'step', in quotes"),
        ({"evolve": {"u": "sin(a='x')"}}, "no argument 'a' here"),
        ({"evolve": {"u": W.replace("1", "u")}}, "the seed must be a whole number"),
        ({"initial": {"u": W}}, "initial.u: no argument 'each' here; noise changes in time in [evolve] and [define]"),
        ({"fields": {"k": W}, "evolve": {"u": "k*u"}}, "fields.k: no argument 'each' here"),
        ({"measure": {"a": f"mean(u*{W})"}}, "measure.a: no argument 'each' here"),
        ({"output": {"fields": [f"a = {W}"]}}, "only rates can read it"),
        ({"define": {"a": W}, "output": {"fields": ["a"]}}, "a: noise with each='step' is that of a step"),
        ({"define": {"a": f"2*{W}"}, "measure": {"b": "max(a)"}}, "only rates can read it"),
        ({"time": {"steps": 1, "dt": 0.1}}, "rk4 takes no noise with each='step': use scheme = 'euler' (Ito) or 'ssprk22' (Strat"),
        ({"time": {"end": 1.0, "scheme": "bs23", "tolerance": 1e-3}}, "bs23 takes no noise"),
        ({"time": {"end": 1.0, "scheme": "euler", "tolerance": 1e-3}}, "time.tolerance: steps with noise have no estimate"),
        ({"stop": {"steady": 1e-3}}, "stop.steady: with noise in time nothing comes to rest"),
    ],
)  # fmt: skip
def test_what_it_does_not_go_with_is_refused(lab: Any, tables: dict[str, Any], words: str) -> None:
    made = lab.case({"u": f"-u + {W}"}, 8, time={"steps": 1, "dt": 0.1, "scheme": "euler"}) | tables
    if "fields" in tables or "initial" in tables:
        with pytest.raises(CaseError) as caught:
            lab.solve(made)
    else:
        with pytest.raises(CaseError) as caught:
            pose(Case.from_dict(made))
    assert words in str(caught.value)
