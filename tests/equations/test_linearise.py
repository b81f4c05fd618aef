"""Tangent and diagonal of programs: differences of the program itself, its symbol, its bits where it is linear."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.linearise import diagonal, jacobi, tangent
from parsolve.equations.program import Program, build
from parsolve.equations.symbol import SAMPLES, eigenvalues
from parsolve.errors import CaseError

H = {"x": 0.3, "y": 0.25, "z": 0.4}
SHAPES = {1: (1, 1, 11), 2: (1, 9, 10), 3: (7, 8, 9)}
PARAMETERS = {"D": 0.7, "a": 1.3}
FUNCTIONS = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "erf", "abs", "sign", "floor", "ceil",
             "heaviside", "atan")  # fmt: skip
NONLINEAR: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "products": ({"u": "D*u*laplace(u) - u*v**2", "v": "laplace(v)/u + u**3*v - v**-2"}, {}),
    "functions": ({"u": " + ".join(f"{f}(u)*u" for f in FUNCTIONS) + " + laplace(asin(u/9) - acos(u/8))"}, {}),
    "two arguments": ({"u": "atan2(u, v) + u**v + 2**u + u**1.7", "v": "min(u, v, 0.7)*max(u, v) + box(v, 0.4, 0.8)"}, {}),
    "conditions": ({"u": "where(u < 0.6 and not u < 0.2, u**2, laplace(u))"}, {}),
    "fluxes": ({"u": "div((1 + u**2)*grad(u)) + div(harmonic(u)*grad(u)) + upwind(vector(u, 1, 2), u) + dot(grad(u), grad(u))"}, {}),
    "weno": ({"u": "advect(vector(u, 0.5, -1), u)"}, {}),
    "face fluxes": ({"u": "div(weno_flux(vector(u**2/2, u*v, v), vector(u, v, 1), u))", "v": "dx(upwind_flux(u*v, u, v))"}, {}),
    "stages": ({"u": "laplace(mu**2) - dx(w)*k", "v": "biharmonic(v*u) + mu"}, {"mu": "u**3 - a*laplace(u) + k", "w": "mu*v*dx(v)"}),
    "integrals": ({"u": "u*mean(u**2) + laplace(u)*integral(w) + mean(k)", "v": "mean(u*mean(v)) - v"}, {"w": "v*laplace(u)"}),
    "constant": ({"u": "3 + k", "v": "laplace(k)*x"}, {}),
}  # fmt: skip


def program(equation: Any, name: str, dimensions: int, order: int = 2, group: str = "evolve") -> Program:
    evolve, define = NONLINEAR[name]
    return build(
        equation(evolve, group, PARAMETERS, define=define, arrays=("k",)),
        ("x", "y", "z")[:dimensions],
        order,
        role="residual" if group == "solve" else "map" if group == "iterate" else "rate",
    )


def state(p: Program, dimensions: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Smooth enough that no comparison of the texts changes between neighbouring states."""
    rng = np.random.default_rng(seed)
    names = [*p.equation.unknowns, *p.equation.arrays]
    return {name: rng.uniform(0.41, 0.59, SHAPES[dimensions]) + 0.3 * (name == "v") for name in names}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", NONLINEAR)
def test_the_tangent_is_the_limit_of_differences(bench: Any, equation: Any, name: str, dimensions: int) -> None:
    for order, group in ((2, "evolve"), (4, "solve"), (2, "iterate")):
        p = program(equation, name, dimensions, order, group)
        evaluate, u = bench(H, **PARAMETERS), state(p, dimensions)
        v = {key: np.random.default_rng(7).uniform(-1, 1, u[key].shape) for key in p.unknowns}
        step = 1e-6  # few comparisons of limiters change within it
        at = {n: evaluate(p, u | {key: u[key] + n * step * v[key] for key in v}) for n in (-2, -1, 1, 2)}
        found = evaluate(tangent(p), u | {f"d_{key}": value for key, value in v.items()})
        assert set(found) == {f"d_{key}" for key in p.unknowns}
        for key in p.unknowns:
            difference = (8 * (at[1][key] - at[-1][key]) - (at[2][key] - at[-2][key])) / (12 * step)
            size = np.abs(difference).max() + 1e-3
            np.testing.assert_allclose(found[f"d_{key}"], difference, atol=1e-6 * size, rtol=0)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in NONLINEAR if name != "integrals"])  # which are held
def test_the_diagonal_is_what_a_unit_vector_finds(bench: Any, equation: Any, name: str, dimensions: int) -> None:
    for order, group in ((2, "evolve"), (4, "solve"), (2, "iterate")):
        p = program(equation, name, dimensions, order, group)
        evaluate, u = bench(H, **PARAMETERS), state(p, dimensions)
        found, j = evaluate(diagonal(p), u), tangent(p)
        cells = [(0, 0, 0), tuple(n // 2 for n in SHAPES[dimensions])]
        for (key, values), cell in itertools.product(found.items(), cells):
            unit = {f"d_{other}": np.zeros(SHAPES[dimensions]) for other in p.unknowns}
            unit[f"d_{key}"][cell] = 1.0
            probed = evaluate(j, u | unit)[f"d_{key}"][cell]
            if order == 4 and name == "stages" and dimensions == 1:
                continue  # two stencils on each other reach around so short a line
            assert values[cell] == pytest.approx(probed, rel=1e-11, abs=1e-11), (key, cell)


@pytest.mark.parametrize("compiled", [False, True])
def test_jacobi_is_the_residual_over_the_diagonal(bench: Any, equation: Any, compiled: bool) -> None:
    """A step in one launch; a checkerboard is gone after half a step on the five-point stencil."""
    e = equation({"u": "-div((k + u**2)*grad(u)) + u = a"}, "solve", PARAMETERS, arrays=("k",))
    p = build(e, ("x", "y"), 4, role="residual")
    u, k = np.random.default_rng(1).uniform(1, 2, (2, 1, 9, 16))
    evaluate, fields = bench(H, **PARAMETERS), {"u": u, "k": k}
    step = jacobi(p)
    assert (step.role, step.rate.updates, step.about, step.arrays) == ("residual", True, (), ("k",))
    r, d = evaluate(p, fields)["u"], evaluate(diagonal(p), fields)["u"]
    assert (d < 0).all()
    np.testing.assert_allclose(evaluate(step, fields, terms={"u": u}, compiled=compiled)["u"], u - r / d, rtol=1e-13)
    poisson = jacobi(build(equation({"u": "-laplace(u) = 0"}, "solve"), ("x", "y"), 2, role="residual"))
    u = 1.0 - 2.0 * (np.add.outer(np.arange(8), np.arange(8)) % 2)[None]
    half = bench({}, scale=0.5)(poisson, {"u": u}, terms={"u": u}, compiled=compiled)["u"]
    np.testing.assert_array_equal(half, 0 * u)


def test_jacobi_needs_a_diagonal(equation: Any) -> None:
    with pytest.raises(CaseError, match=r"solve\.u: at a cell it does not depend on u"):
        jacobi(build(equation({"u": "dx(u) = 1"}, "solve"), ("x",), 2, role="residual"))


LINEAR: dict[str, tuple[str, dict[str, str]]] = {
    "heat": ("D*laplace(u)", {}),
    "source and place": ("div(k*grad(u)) - x*u + a*k*dx(u) + sin(t)*u + u/3", {}),
    "two levels": ("-biharmonic(u) + dx(dxx(u)) + mean(u) - integral(k*u)", {}),
    "definition": ("laplace(mu)", {"mu": "u*k - D*laplace(u)"}),
    "upwind": ("upwind(vector(1, -2, k), u) + dxy(u)", {}),
}


@pytest.mark.parametrize("order", [2, 6])
@pytest.mark.parametrize("name", LINEAR)
def test_the_tangent_of_a_linear_program_is_the_program(bench: Any, equation: Any, name: str, order: int) -> None:
    """Its bits, with the state nowhere read."""
    text, define = LINEAR[name]
    p = build(equation({"u": text}, "evolve", PARAMETERS, define=define, arrays=("k",)), ("x", "y"), order)
    j = tangent(p)
    assert j.about == ()
    assert j.unknowns == j.exchanged == ("d_u",)
    assert (j.ghost, j.radius, j.reach["d_u"]) == (p.ghost, p.radius, p.reach["u"])
    assert [s.flops for s in j.stages] == [s.flops for s in p.stages]
    u, k = np.random.default_rng(1).uniform(-1, 1, (2, 1, 9, 16))
    evaluate = bench(H, **PARAMETERS)
    found, expected = evaluate(j, {"d_u": u, "k": k}), evaluate(p, {"u": u, "k": k})
    np.testing.assert_array_equal(found["d_u"], expected["u"])


def test_a_source_has_no_tangent(bench: Any, equation: Any) -> None:
    p = build(equation({"u": "D*laplace(u) + k"}, "evolve", PARAMETERS, arrays=("k",)), ("x",), 2)
    j = tangent(p)
    assert j.arrays == ()
    u = np.random.default_rng(1).uniform(-1, 1, (1, 1, 16))
    zero = {"u": u, "k": 0 * u}
    np.testing.assert_array_equal(bench(H, **PARAMETERS)(j, {"d_u": u})["d_u"], bench(H, **PARAMETERS)(p, zero)["u"])


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("order", [2, 8])
def test_on_plane_waves_the_tangent_is_the_symbol(bench: Any, name: str, order: int) -> None:
    """About a constant state, exp(i m theta) is an eigenvector on a periodic line; the matrix of all unknowns agrees."""
    p: Program = build(CATALOGUE[name], ("x",), order)
    numbers = {key: parameter.default for key, parameter in CATALOGUE[name].parameters.items()}
    evaluate, cells = bench(H, **numbers), 40
    at = {u: 0.3 + 0.2 * i for i, u in enumerate(p.unknowns)}
    constants = {s.name: list(evaluate._args(s, (1, 1, 1), {}, 0.0).coefficient) for s in p.stages}
    symbols, _ = eigenvalues(p, constants, {u: (v, v) for u, v in at.items()})
    background = {u: np.full((1, 1, cells), v) for u, v in at.items()}
    for i, sample in enumerate(SAMPLES):
        if abs(sample * cells / 2 % 1) > 1e-12:
            continue
        wave = np.exp(1j * np.pi * sample * np.arange(cells)).reshape(1, 1, cells)
        columns = []
        for unknown in p.unknowns:
            parts = []
            for part in (wave.real, wave.imag):
                v = {f"d_{u}": part.copy() if u == unknown else 0 * part for u in p.unknowns}
                parts.append(evaluate(tangent(p), background | v))
            columns.append([(parts[0][f"d_{u}"] + 1j * parts[1][f"d_{u}"])[0, 0, 0] for u in p.unknowns])
        found = np.linalg.eigvals(np.array(columns).T)
        size = max(1.0, np.abs(symbols).max())
        for value in symbols[0, i]:
            assert np.abs(found - value).min() < 1e-7 * size


@pytest.mark.parametrize(
    ("name", "group", "precision"),
    [
        *(
            (name, "evolve", "float64")
            for name in ("products", "conditions", "fluxes", "weno", "integrals", "constant")
        ),
        ("stages", "solve", "float64"),
        ("products", "iterate", "float32"),
    ],
)
def test_compiled_kernels_have_the_bits_of_the_reference(
    bench: Any, equation: Any, name: str, group: str, precision: str
) -> None:
    p = program(equation, name, 2, 2, group)
    u = {key: value.astype(precision) for key, value in state(p, 2).items()}
    u |= {f"d_{key}": value[:, ::-1].copy() for key, value in u.items()}
    evaluate = bench(H, **PARAMETERS)
    for role in (p, tangent(p), diagonal(p)):
        terms = {key: 2 * u[key] for key in role.unknowns}
        reference, compiled = (evaluate(role, u, terms=terms, compiled=c) for c in (False, True))
        for key, values in reference.items():
            np.testing.assert_array_equal(compiled[key], values, f"{role.role} {key}", strict=True)


def test_names_do_not_clash(equation: Any) -> None:
    p = build(equation({"u": "d_u*u**2", "d_u": "u"}), ("x",), 2)
    assert tangent(p).unknowns == ("d_u_", "d_d_u")
    assert not {s.name for s in tangent(p).stages} & {s.name for s in p.stages}
    assert tangent(tangent(p)).role == "tangent"


def test_each_stage_has_its_tangent(equation: Any) -> None:
    p = build(equation({"u": "laplace(mu) + dx(mu)**2"}, define={"mu": "u**3 - laplace(u)"}), ("x", "y"), 2)
    j, d = tangent(p), diagonal(p)
    assert (p.role, j.role, d.role) == ("rate", "tangent", "diagonal")
    assert j.intermediate == ("mu", "d_mu")
    assert j.about == ("u",)
    assert j.reach == {"u": 2, "mu": 1, "d_u": 2, "d_mu": 1}
    assert d.intermediate == ("mu",)
    assert d.reach["u"] == 2  # what mu at the neighbours changes with the cell itself
    assert j.rate.updates
    assert not d.rate.updates
