"""The C text of the cell bodies: current, complete, and the same each time."""

from __future__ import annotations

import re
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.codegen import CATALOGUE_ORDERS, DIMENSIONS, catalogue_files, main, program_text
from parsolve.equations.equation import Equation
from parsolve.equations.program import build
from parsolve.kernels.library import core

if TYPE_CHECKING:
    from parsolve.equations.program import Program

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


@st.composite
def formulas(draw: st.DrawFn) -> str:
    """A sum, product or Horner polynomial of many terms, each with calls."""
    terms = [
        draw(st.sampled_from(["u**{}", "sin({}*u)", "(1.5 + u*u)**0.{}", "max(u, 0.{})*x", "u/{}.5", "laplace({}*u)"]))
        .format(draw(st.integers(2, 60)))
        for _ in range(draw(st.integers(2, 60)))
    ]  # fmt: skip
    if draw(st.booleans()):
        return " + ".join(terms)
    text = terms[0]
    for n, _ in enumerate(terms):
        text = f"{draw(st.sampled_from(['u*', 'sin(u)*', 'exp', '0.5*max(u, 1)*']))}({n}.5 + {text})"
    return text


def program_of(*rates: str) -> Program:
    texts = {f"u{n or ''}": rate for n, rate in enumerate(rates)}
    return build(Equation("long", "", dict.fromkeys(texts, "field"), {}, texts, "test"), ("x",), 2)


@settings(max_examples=40, deadline=None)
@given(formulas())
def test_each_operation_is_printed_once_and_none_within_another(rate: str) -> None:
    """Linear, whatever the C library does with the arguments of its macros."""
    program = program_of(rate)
    text, operations = program_text(program), program.rate.operations
    for name in ("fma", "sin", "exp", "pow", "ps_max"):
        assert len(re.findall(rf"\b{name}\(", text)) == sum(op.name == name for op in operations)
    assert all(len(re.findall(r"\b(fma|sin|exp|pow|ps_max)\(", line)) < 2 for line in text.splitlines())
    assert max(map(len, text.splitlines())) < 200
    assert len(text) < 500 + 80 * len(operations)


@settings(max_examples=6, deadline=None)
@given(formulas())
def test_long_formulas_compile_to_the_bits_of_numpy(bench: Any, rate: str) -> None:
    rate = re.sub(r"\b(sin|exp)\b", "abs", rate).replace("**0.", "**")  # what may differ in the last bit
    u = np.random.default_rng(0).uniform(-1, 1, (1, 1, 40))
    program = program_of(rate)
    plain, compiled = (bench({"x": 0.5})(program, {"u": u}, compiled=c)["u"] for c in (False, True))
    np.testing.assert_array_equal(plain, compiled)


def test_a_thousand_operations_take_less_than_a_second() -> None:
    sums = [" + ".join(f"sin({n}.5*u)*exp(u + {n})" for n in range(m, m + 40)) for m in (0, 40, 80, 120)]
    for rates in (sums, [f"u*u1 + {n}*u{n or ''}**2" for n in range(300)]):
        begin = process_time()  # not what others take of the machine
        program = program_of(*rates)
        text = program_text(program)
        assert process_time() - begin < 1
        assert len(program.rate.operations) > 900
        assert text.count("\n") < 1.5 * len(program.rate.operations)


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
