"""Texts of measures, taken apart into reductions and what is made of them."""

from __future__ import annotations

import pytest

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.measures import Reduction, Several, derived_of, measures_of
from parsolve.equations.user import user_equation
from parsolve.errors import CaseError

HEAT = user_equation({"u": "D*laplace(u)"}, {"D": 1.0}, {"g": "dx(u)"}, {}, ("x", "y"))
XY = ("x", "y")


def of(text, equation=HEAT, marched=("u",)):
    return measures_of(equation, XY, 2, {"m": text}, marched)


def test_fields_are_reduced_as_they_are_and_other_values_once():
    found = measures_of(HEAT, XY, 2, {"a": "integral(u)/2 + D*t", "b": "max(u**2) - integral(u)"}, ("u",))
    assert found.reductions == (Reduction("integral", "u"), Reduction("max", "value.1"))
    assert found.program is not None
    assert found.program.unknowns == ("value.1",)
    assert str(found.results["a"]) == "D*t + reduction.0/2"


def test_the_ghosts_that_a_measure_needs_are_those_of_its_operators():
    assert of("integral(u)").program is None
    assert of("integral(u**2)").program.exchanged == ()
    assert (of("mean(biharmonic(u))").program.exchanged, of("mean(biharmonic(u))").program.ghost) == (("u",), 2)
    assert of("max(g)").program.exchanged == ("u",)


def test_reductions_within_reductions_are_integrals_and_means():
    assert of("integral((u - mean(u))**2)").program.defines
    with pytest.raises(CaseError, match="only integral"):
        of("max(u - max(u))")


@pytest.mark.parametrize("text", ["min(u, 1)", "u", "integral(u) + x", "laplace(u)", "g", "dot(grad(u), grad(u))"])
def test_what_differs_from_cell_to_cell_is_no_measure(text):
    with pytest.raises(CaseError, match=r"^measure\.m: "):
        of(text)


def test_min_and_max_reduce_one_argument_and_choose_among_several():
    assert of("max(min(u), 0.5)").reductions == (Reduction("min", "u"),)
    assert of("count(u > 0.5)").reductions[0].kind == "count"
    assert of("at_max(u, x)").reductions == (Reduction("at_max", "u", "value.1"),)


def test_velocities_are_there_where_they_are_marched():
    wave = CATALOGUE["wave"]
    text = "integral(u_t**2 + c**2*dot(grad(u), grad(u)))/2"
    assert of(text, wave, ("u", "u_t")).program is not None
    with pytest.raises(CaseError, match="leapfrog"):
        of(text, wave, ("u",))


def test_derived_fields_have_the_names_that_they_are_given():
    program = derived_of(HEAT, XY, 2, {"slope": "dx(u) + g", "g": "g"}, ("u",), "")
    assert program is not None
    assert program.unknowns == ("slope", "g")


def test_histograms_and_spectra_are_several_numbers_and_stand_alone():
    found = measures_of(HEAT, XY, 2, {"a": "histogram(u, 0, to=2*D, bins=4)", "b": "spectrum(u**2)"}, ("u",))
    assert (found.several["a"].of, str(found.several["a"].high), found.several["a"].bins) == ("u", "2*D", 4)
    assert found.several["b"] == Several("spectrum", "value.1")
    assert found.values == {"u", "value.1"}
    assert (found.reductions, found.results) == ((), {})
    for text in ("2*spectrum(u)", "max(spectrum(u))", "histogram(u, 0, 1, 4) + 1", "spectrum(spectrum(u))"):
        with pytest.raises(CaseError, match="several numbers"):
            of(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("histogram(u, 0, 1)", "bins=20"), ("histogram(u, 0, x, 4)", "'from' and 'to'"), ("histogram(u, 0, t, 4)", "'to'"),
        ("histogram(u, 0, 1, 0)", "whole number"), ("histogram(u, 0, 1, D)", "whole number"),
        ("histogram(u, 0, 1, bin=4)", "no argument 'bin'"), ("spectrum(max(u))", "within a reduction"),
    ],
)  # fmt: skip
def test_bins_that_are_none_are_told(text, why):
    with pytest.raises(CaseError, match=why):
        of(text)
