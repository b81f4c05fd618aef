"""The C text of the cell bodies: current, complete, and the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.codegen import CATALOGUE_ORDERS, DIMENSIONS, catalogue_files, main, program_text
from parsolve.equations.equation import Equation
from parsolve.equations.program import build
from parsolve.kernels.library import core

COMMITTED = Path(__file__).parents[2] / "cext" / "cells" / "catalogue"


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return catalogue_files()


def test_the_committed_bodies_are_current(files: dict[str, str]) -> None:
    assert {path.name for path in COMMITTED.iterdir()} == set(files)
    for name, text in files.items():
        assert (COMMITTED / name).read_text() == text, f"{name}: run python -m parsolve.equations.codegen {COMMITTED}"


def test_check_tells_what_is_stale(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parsolve.equations.codegen.catalogue_files", lambda: files)
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    (tmp_path / "heat.h").write_text("/* by hand */\n")
    (tmp_path / "wave.h").unlink()
    assert main([str(tmp_path), "--check"]) == 1
    assert "stale: heat.h, wave.h" in capsys.readouterr().out


def test_the_text_does_not_depend_on_the_run(files: dict[str, str]) -> None:
    for text in files.values():
        assert "0x" not in text  # no addresses
        assert "/home" not in text
    assert files == catalogue_files()


def test_no_call_where_products_do(files: dict[str, str]) -> None:
    """Whole powers are products, and the catalogue needs no function of the C library."""
    for name, text in files.items():
        assert not re.search(r"\b(pow|exp|sin|cos|sqrt)\(", text), name


def test_text_is_as_long_as_the_sum() -> None:
    """Each value is printed once: twice at every level would take for ever."""
    rate = " + ".join(f"u**{n}*laplace(u)" for n in range(1, 60))
    text = program_text(build(Equation("long", rate, {"u": "field"}, {}, {"u": rate}, "test"), ("x",), 2))
    assert text.count("fma(") < 300


def test_the_library_has_a_kernel_for_every_stage() -> None:
    for equation in CATALOGUE.values():
        for axes in DIMENSIONS:
            for order in CATALOGUE_ORDERS:
                programs = [build(equation, axes, order)]
                if equation.time_order == 2:
                    programs.append(build(equation, axes, order, acceleration=True))
                for stage in (stage for p in programs for stage in p.stages):
                    for precision in ("float64", "float32"):
                        core().kernel(stage.name, precision)
