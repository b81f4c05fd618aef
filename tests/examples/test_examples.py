"""The examples run, and give the numbers of their sources."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.optimize import brentq

import parsolve

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Frames:
    """All frames of a result, arrays as in the file, and the coordinates of the cells, broadcastable to them."""

    times: np.ndarray
    steps: int
    fields: dict[str, np.ndarray]
    spacing: float
    x: np.ndarray
    y: np.ndarray


def solve(path: Path, folder: Path) -> Frames:
    out = folder / "result.h5"
    parsolve.solve(parsolve.Case.load(path), out)
    with parsolve.open_result(out) as result:
        names, times = result.fields, np.array(result.times)
        fields = {name: np.array([result.read(name, i) for i in range(len(times))]) for name in names}
        x = result.grid.coordinates("x")
        y = result.grid.coordinates("y")[:, None] if "y" in result.grid.names else np.zeros(1)
        return Frames(times, int(result.steps[-1]), fields, result.grid.spacing[2], x, y)


def gray_scott_steady(r: Frames) -> None:
    rate_f, rate_k = 0.05, 0.05
    u = (1 - np.sqrt(1 - 4 * (rate_f + rate_k) ** 2 / rate_f)) / 2
    assert r.fields["u"][-1] == pytest.approx(u, abs=1e-8)
    assert r.fields["v"][-1] == pytest.approx(rate_f * (1 - u) / (rate_f + rate_k), abs=1e-8)


def allen_cahn_disc(r: Frames) -> None:
    area = (1 + r.fields["u"]).mean(axis=(1, 2)) / 2 * 0.25
    assert area == pytest.approx(np.pi * (0.4**2 - 2 * r.times) / 4, rel=0.02)
    gy, gx = np.gradient(r.fields["u"], r.spacing, axis=(1, 2))
    energy = ((gx**2 + gy**2) / 2 + (1 - r.fields["u"] ** 2) ** 2 / (4 * 0.015**2)).mean(axis=(1, 2))
    assert (np.diff(energy) < 0).all()


def allen_cahn_conserved(r: Frames) -> None:
    first, last = r.fields["u"].mean(axis=(1, 2))
    assert last == pytest.approx(first, abs=1e-13)
    assert r.fields["u"][-1].max() > 0.9
    assert r.fields["u"][-1].min() < -0.9


def edwards_wilkinson(r: Frames) -> None:
    squares = (r.fields["h"] ** 2).mean(axis=1)
    assert squares[1:] == pytest.approx(0.4**2 * np.sqrt(r.times[1:] / (2 * np.pi)), rel=0.15)


def standing_wave(r: Frames) -> None:
    first, last = r.fields["u"]
    assert last == pytest.approx(first, abs=2e-3)


def heat_modes(r: Frames) -> None:
    h = r.spacing
    z = -1e-3 * 0.1 * 4 / h**2 * (np.sin(np.pi * h) ** 2 + np.sin(2 * np.pi * h) ** 2)
    factor = (1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) ** 200
    assert r.fields["u"][-1] == pytest.approx(factor * r.fields["u"][0], abs=1e-12)


def two_layers(r: Frames) -> None:
    flow = 1 / (0.5 / 1 + 0.5 / 10)
    exact = np.where(r.x < 0.5, flow * r.x, 1 - flow * (1 - r.x) / 10)
    assert r.fields["u"][-1] == pytest.approx(exact, abs=1e-9)


def kdv_soliton(r: Frames) -> None:
    first, last = r.fields["u"]
    assert last == pytest.approx(first, abs=2e-3)
    assert last.mean() == pytest.approx(first.mean(), rel=1e-12)


def fisher_front(r: Frames) -> None:
    place = r.fields["u"].sum(axis=1) * r.spacing
    assert (place[-1] - place[-2]) / 20 == pytest.approx(2 - 1.5 / 50, rel=0.01)


def turing_growth(r: Frames) -> None:
    a, b, d, g, k = 0.1, 0.9, 40.0, 120.0, 2 * np.pi
    u, v = a + b, b / (a + b) ** 2
    jacobian = g * np.array([[-1 + 2 * u * v, u**2], [-2 * u * v, -(u**2)]]) - k**2 * np.diag([1, d])
    rate = np.linalg.eigvals(jacobian).real.max()
    assert rate > 0
    size = np.abs(np.fft.rfft(r.fields["u"], axis=1)[:, 1])
    assert np.log(size[-1] / size[-2]) / 0.1 == pytest.approx(rate, rel=0.01)


def gaussian_turns(r: Frames) -> None:
    first, last = r.fields["u"]
    assert last == pytest.approx(first, abs=0.01)
    assert last.min() > -1e-6
    assert last.max() < 1


def zalesak_disc(r: Frames) -> None:
    first, last = r.fields["u"]
    assert (last > 0).mean() == pytest.approx(0.05822, rel=0.02)
    assert ((first > 0) != (last > 0)).sum() < 0.1 * (first > 0).sum()
    assert last[70, 50] < 0, "the slot has closed"


def acoustics(r: Frames) -> None:
    assert r.fields["p"][-1] == pytest.approx(r.fields["p"][0], abs=1e-3)
    assert np.abs(r.fields["a"][-1]).max() < 1e-2


def radiating_slab(r: Frames) -> None:
    m = brentq(lambda m: m * np.tan(m) - 2, 0.1, 1.5)  # 4 s T^3 = 2
    before, after = (r.fields["u"][n].mean() - 1 for n in (-2, -1))
    assert np.log(before / after) / (r.times[-1] - r.times[-2]) == pytest.approx(m * m, rel=1e-2)


def stokes_second(r: Frames) -> None:
    w = 2 * np.pi
    k = np.sqrt(w / 0.2)
    assert r.fields["u"][-1] == pytest.approx(np.exp(-k * r.x) * np.sin(w - k * r.x), abs=1e-5)


def sod_tube(r: Frames) -> None:
    exact = riemann((r.x - 0.5) / r.times[-1])
    density = r.fields["rho"][-1]
    assert np.abs(density - exact).mean() < 0.01 * exact.mean()
    for near in ((0.6, 0.75), (0.78, 0.95)):  # contact and shock
        inside = (near[0] < r.x) & (r.x < near[1])
        level = (exact[inside][0] + exact[inside][-1]) / 2
        places = [np.interp(-level, -values[inside], r.x[inside]) for values in (density, exact)]
        assert abs(places[0] - places[1]) < 2 * r.spacing
    for name in ("rho", "E"):
        first, last = (math.fsum(r.fields[name][i].ravel()) for i in (0, -1))
        assert last == pytest.approx(first, rel=1e-13)


def riemann(speed: np.ndarray) -> np.ndarray:
    """The density where x/t is ``speed``, of gas 1, 0, 1 against 0.125, 0, 0.1 (Toro, Riemann Solvers, 2009, 4.2)."""
    g, d, p = 1.4, (1.0, 0.125), (1.0, 0.1)
    c = [math.sqrt(g * b / a) for a, b in zip(d, p, strict=True)]
    low, high = p[1], p[0]
    for _ in range(60):  # the pressure between, where both waves give one velocity
        middle = 0.5 * (low + high)
        shock = (middle - p[1]) * math.sqrt(2 / ((g + 1) * d[1]) / (middle + (g - 1) / (g + 1) * p[1]))
        fan = 2 * c[0] / (g - 1) * (1 - (middle / p[0]) ** ((g - 1) / (2 * g)))
        low, high = (low, middle) if shock > fan else (middle, high)
    velocity, ratio, k = shock, middle / p[1], (g - 1) / (g + 1)
    tail = velocity - c[0] * (middle / p[0]) ** ((g - 1) / (2 * g))
    front = c[1] * math.sqrt((g + 1) / (2 * g) * ratio + (g - 1) / (2 * g))
    within = d[0] * np.maximum(2 / (g + 1) - k / c[0] * speed, 0) ** (2 / (g - 1))
    places = [speed < -c[0], speed < tail, speed < velocity, speed < front]
    behind = [d[0] * (middle / p[0]) ** (1 / g), d[1] * (ratio + k) / (k * ratio + 1)]
    return np.select(places, [np.full_like(speed, d[0]), within, *(np.full_like(speed, b) for b in behind)], d[1])


CHECKS: dict[str, Callable[[Frames], None]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        gray_scott_steady, allen_cahn_disc, allen_cahn_conserved, standing_wave, heat_modes, two_layers, kdv_soliton,
        fisher_front, turing_growth, gaussian_turns, zalesak_disc, acoustics, radiating_slab, stokes_second,
        sod_tube, edwards_wilkinson,
    )
}  # fmt: skip


def test_every_example_is_checked_and_listed() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.toml")}
    assert names == set(CHECKS)
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in readme for path in (*EXAMPLES.glob("*.toml"), *EXAMPLES.glob("*.py")))


@pytest.mark.parametrize("name", CHECKS)
def test_example(name: str, tmp_path: Path) -> None:
    CHECKS[name](solve(EXAMPLES / f"{name}.toml", tmp_path))


def test_python_example(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("python_api", EXAMPLES / "python_api.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert example.main(tmp_path / "wave.h5") < 1e-3
