"""What no run could do is refused before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from parsolve import make_case, solve
from parsolve.case.checks import SMALLEST
from parsolve.errors import CaseError, ResourceError, StorageError
from parsolve.problem.plan import check
from parsolve.store.result import open_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOPELESS = {
    "time.end: more than 1e": {"time": {"end": 1e308}},
    "time.end: more than": {"time": {"end": 1e-3, "dt": 1e-320}},
    "time.steps: more than": {"time": {"steps": 10**16}},
    "output.every: 1e+11 frames": {"time": {"end": 1.0}, "output": {"every": 1e-11}},
    "output.every: 1e+12 frames": {
        "time": {"end": 1.0, "scheme": "dp45", "tolerance": 1e-3},
        "output": {"every": 1e-12},
    },
    "output.every_steps: 1e+08 frames": {"time": {"steps": 10**8}, "output": {"every_steps": 1}},
    "none.npy: no such file": {"boundary": {"u": {"xmax": {"dirichlet": {"file": "none.npy"}}}}},
    "two.npy": {"boundary": {"u": {"xmax": {"dirichlet": {"file": "two.npy"}}}}},
}


def heat(**tables: Any) -> Any:
    grid = {"x": {"cells": 8, "range": (0, 1)}, "y": {"cells": 4, "range": (0, 1)}}
    return make_case(**{"equation": "heat", "grid": grid, "initial": {"u": 0.0}, "time": {"steps": 1}} | tables)


@pytest.mark.parametrize("words", HOPELESS)
def test_what_is_hopeless_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """And no frame stays."""
    monkeypatch.chdir(tmp_path)
    np.save("two.npy", np.zeros(2))
    with pytest.raises(CaseError) as caught:
        solve(heat(**HOPELESS[words]), tmp_path / "out.h5")
    assert words in str(caught.value)
    assert not list(tmp_path.glob("out.h5*"))


def test_a_tiny_step_before_a_frame_that_never_comes(tmp_path: Path) -> None:
    case = heat(time={"steps": 2, "dt": 1e-320}, output={"every": 1.0})
    assert solve(case, tmp_path / "out.h5").steps == 2


def test_more_cells_than_addresses(tmp_path: Path) -> None:
    side = {"cells": 10**12, "range": (0, 1)}
    with pytest.raises(ResourceError):
        solve(heat(grid={"x": side, "y": side, "z": side}), tmp_path / "out.h5")


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="is a directory"):
        solve(heat(), name)


SPEEDS = {"heat": "D", "wave": "c", "advection-diffusion": "vx", "burgers": "nu", "gray-scott": "Du"}
STATES = ("burgers", "gray-scott")  # whose steps are known to be stable or not once rates are measured
magnitude = st.builds(lambda size, power: float(f"{size}e{power}"), st.integers(1, 9), st.integers(-320, 307))


@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([*SPEEDS]), magnitude, st.integers(-110, 110), st.sampled_from([2, 8]),
    st.sampled_from(["float64", "float32"]), st.none() | magnitude,
)  # fmt: skip
@example("heat", 1e308, 0, 8, "float64", None)
@example("heat", 1e-320, 0, 8, "float64", 1.0)
@example("heat", 1e-320, 0, 2, "float64", 1e-320)
@example("wave", 1e-150, 150, 8, "float64", None)
@example("heat", 1e-300, 0, 8, "float32", None)
@example("heat", 1e40, 0, 8, "float32", None)
def test_any_magnitude_runs_right_or_is_refused_in_words(
    tmp_path: Path, equation: str, speed: float, power: int, cells: int, precision: str, dt: float | None
) -> None:
    """By check as by run, and NumPy warns of nothing; what is said names a key."""
    time = {"steps": 2} | ({} if dt is None or equation in STATES else {"dt": dt})
    width = float(f"1e{power}") / cells
    assume(SMALLEST <= width <= 1 / SMALLEST)
    case = make_case(
        equation=equation, parameters={SPEEDS[equation]: speed}, time=time, run={"precision": precision},
        grid={"x": {"cells": cells, "range": (0.0, float(f"1e{power}"))}},
        initial={name: "0.5*noise(seed=3)" for name in (("u", "v") if equation == "gray-scott" else ("u",))},
    )  # fmt: skip
    said = [refusal(lambda: check(case, 1)), refusal(lambda: solve(case, tmp_path / "out.h5", force=True))]
    assert said[0] == said[1]
    if said[0]:
        assert said[0].startswith(("case: time.dt: ", "case: time: ", "case: equation: ", "case: parameters."))
        return
    with open_result(tmp_path / "out.h5") as result:
        values = result.read("u", -1)
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1.0  # from 0.5


def refusal(act: Callable[[], object]) -> str:
    """What a case error says, or nothing."""
    try:
        act()
    except CaseError as error:
        return str(error)
    return ""
