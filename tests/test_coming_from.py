"""What is written for those who come from other solvers runs, is right, and its lines are counted right."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, fsolve

import parsolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROOT = Path(__file__).parent.parent
pi = np.pi


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coming_from", ROOT / "benchmarks/coming_from.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["coming_from"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


harness = load()
PAGES = {name: path.read_text("utf-8") for name, path in harness.PAGES.items()}
pages = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def play(page: str) -> dict[str, Any]:
    """Do all tasks of a page; return the names that they leave."""
    names: dict[str, Any] = {}
    for task in harness.tasks(PAGES[page]):
        harness.run_here(task, names)
    return names


def far(path: str, exact: Callable[..., Any]) -> float:
    """The largest difference of a result's first field from a function of t and the coordinates, at all its times."""
    with parsolve.open_result(path) as result:
        axes = sorted(result.grid.names)
        mesh = np.meshgrid(*(result.grid.coordinates(name) for name in reversed(axes)), indexing="ij")[::-1]
        field = result.fields[0]
        return max(np.abs(result.read(field, i) - exact(t, *mesh)).max() for i, t in enumerate(result.times))


def test_the_tasks_of_py_pde(folder: Path) -> None:
    play("py-pde")
    for name in ("field.png", "movie.gif", "tracked.h5", "spot.h5"):
        assert (folder / name).stat().st_size > 0
    with parsolve.open_result("laplace.h5") as result:
        y, x = result.grid.coordinates("y")[:, None], result.grid.coordinates("x")
        exact = np.sin(pi * y) * np.sinh(pi * (1 - x)) / np.sinh(pi)
        assert np.abs(result.read("u", -1) - exact).max() < 2e-3


def test_the_tasks_of_dedalus_and_oceananigans(folder: Path) -> None:
    names = play("dedalus")
    assert far("walls.h5", walls) < 5e-4
    assert far("string.h5", string) < 1e-3
    assert far("handlers.h5", lambda t, x, y: np.sin(x) * np.cos(y) * np.exp(-2 * t)) < 1e-3
    assert far("gaussian.h5", gaussian) < 3e-4
    assert names["T"].shape == (11, 128)
    assert far("tracer.h5", lambda t, x, y: np.cos(pi * (x - np.sin(pi * y) * t))) < 5e-5
    assert far("plankton.h5", plankton) < 1e-6
    assert far("column.h5", lambda t, x: np.cos(x) * np.exp(2 - t)) < 1e-3
    assert (folder / "handlers.u.png").stat().st_size > 0
    for path, exact, at_most in (
        ("kdv-burgers", kdv_burgers, 3e-4),
        ("rolls", rolls, 5e-4),
        ("cooling", cooling, 3e-4),
    ):
        with parsolve.open_result(f"{path}.h5") as result:
            x, u = result.grid.coordinates("x")[::2], result.read("u", -1)[..., ::2]
            assert np.abs(u - exact(result.times[-1], x)).max() < at_most, path
    with parsolve.open_result("handlers.h5") as result:
        energy = result.series[0]
        np.testing.assert_allclose(energy.values, pi**2 * np.exp(-4 * energy.times), rtol=5e-3)
    with parsolve.open_result("schedules.h5") as result:
        x, T2 = result.grid.coordinates("x"), result.series[0]
        np.testing.assert_allclose(T2.values, np.exp(-2 * T2.times) / 2, rtol=1e-3)
        np.testing.assert_allclose(T2.times, np.arange(41) * 0.025)
        for i, t in enumerate(result.times[1:], 1):
            np.testing.assert_allclose(result.read("T_mean", i), np.cos(x) * (1 - np.exp(-t)) / t, atol=1e-3)


def kdv_burgers(end: float, x: np.ndarray) -> np.ndarray:
    """u_t + u u_x = a u_xx + b u_xxx by a Fourier series, whose linear part is solved exactly."""
    k = 2 * pi / 10 * np.arange(len(x) // 2 + 1)
    linear = -1e-4 * k**2 - 1e-3j * k**3
    keep = np.arange(len(k)) <= len(k) * 2 / 3

    def rate(t: float, v: np.ndarray) -> np.ndarray:
        u = np.fft.irfft(v * np.exp(linear * t))
        return np.exp(-linear * t) * -0.5j * k * keep * np.fft.rfft(u**2)

    start = np.fft.rfft(np.exp(-4 * (x - 2) ** 2) / 2)
    last = solve_ivp(rate, (0, end), start, "DOP853", t_eval=[end], rtol=1e-5, atol=1e-4).y[:, -1]
    return np.fft.irfft(last * np.exp(linear * end))


def walls(t: float, x: np.ndarray) -> np.ndarray:
    """The source's part, and a series for that of the wall with the value sin(10 t)."""
    n = np.arange(1, 200)[:, None]
    decay, omega = (n * pi) ** 2, 10.0
    inner = (decay * (np.cos(omega * t) - np.exp(-decay * t)) + omega * np.sin(omega * t)) / (decay**2 + omega**2)
    series = (omega * 2 * (-1.0) ** n / (n * pi) * inner * np.sin(n * pi * x)).sum(axis=0)
    return np.sin(pi * x) * (1 - np.exp(-(pi**2) * t)) + x * np.sin(omega * t) + series


def string(t: float, x: np.ndarray) -> np.ndarray:
    return np.sin(pi * x) * np.cos(pi * t) + np.sin(3 * pi * x) * np.cos(3 * pi * t) / 2


def rolls(t: float, x: np.ndarray) -> np.ndarray:
    """The steady rolls of Swift and Hohenberg's equation, by Galerkin's method with four harmonics."""
    k = np.arange(1, 8, 2)
    points = (np.arange(64) + 0.5) * pi / 32
    waves = np.cos(np.outer(k, points))

    def residual(a: np.ndarray) -> np.ndarray:
        u = a @ waves
        return (0.3 - (1 - k**2) ** 2) * a - waves @ u**3 / 32

    return fsolve(residual, [0.6, 0.0, 0.0, 0.0], xtol=1e-12) @ np.cos(np.outer(k, x))


def gaussian(t: float, x: np.ndarray) -> np.ndarray:
    width = 0.02 + 4 * t
    return sum(np.sqrt(0.02 / width) * np.exp(-((x - image) ** 2) / width) for image in (-2, -1, 0, 1, 2))


def cooling(t: float, x: np.ndarray) -> np.ndarray:
    """The periodic state under u_x = 2 (sin(3 t) - u) at x = 1, less what of it was there at t = 0 and decays."""
    q = np.sqrt(3j)
    strength = 2 / (2 * np.cosh(q) + q * np.sinh(q))
    fine = (np.arange(2000) + 0.5) / 2000
    u = np.imag(strength * np.cosh(q * x) * np.exp(3j * t))
    for n in range(20):
        wave = brentq(lambda b: b * np.sin(b) - 2 * np.cos(b), n * pi, (n + 0.5) * pi)
        mode = np.cos(wave * fine)
        part = (np.imag(strength * np.cosh(q * fine)) * mode).sum() / (mode**2).sum()
        u = u - part * np.exp(-(wave**2) * t) * np.cos(wave * x)
    return u


def plankton(t: float, x: np.ndarray) -> np.ndarray:
    """The solution of P' = rate P + gain at each place."""
    mask = np.exp(-((x + 1) ** 2) / 0.02)
    rate, gain = np.exp(x / 0.2) - 2 * mask, 0.2 * mask
    return np.exp(rate * t) + gain * np.expm1(rate * t) / rate


@pages
def test_what_is_of_others_in_python_is_python(page: str) -> None:
    tasks = harness.tasks(page)
    assert len(tasks) > 10
    for task in tasks:
        assert task.lines()[1] > 0
        compile(task.theirs, task.title, "exec")


@pages
def test_the_lines_are_counted_right(page: str) -> None:
    said = dict(re.findall(r"^\| (.*?) \| (\d+, \d+) \|", page, re.MULTILINE))
    assert said == {task.title: "{}, {}".format(*task.lines()) for task in harness.tasks(page)[1:]}
