"""Reaction and diffusion of two fields: Gray-Scott and FitzHugh-Nagumo."""

from parsolve.equations.equation import Equation, Parameter

gray_scott = Equation(
    name="gray-scott",
    formula="u_t = Du lap(u) - u v^2 + F (1 - u),  v_t = Dv lap(v) + u v^2 - (F + k) v",
    fields={"u": "substrate", "v": "activator"},
    parameters={
        "Du": Parameter(2e-5, "1", "diffusivity of u"),
        "Dv": Parameter(1e-5, "1", "diffusivity of v"),
        "F": Parameter(0.037, "1", "feed rate"),
        "k": Parameter(0.06, "1", "kill rate"),
    },
    evolve={"u": "Du*laplace(u) - u*v**2 + F*(1 - u)", "v": "Dv*laplace(v) + u*v**2 - (F + k)*v"},
    range={"u": (0.0, 1.0), "v": (0.0, 0.5)},
    source="Pearson, Science 261 (1993) 189",
)

fitzhugh_nagumo = Equation(
    name="fitzhugh-nagumo",
    formula="u_t = Du lap(u) + u - u^3/3 - v,  v_t = Dv lap(v) + eps (u + a - b v)",
    fields={"u": "membrane potential", "v": "recovery"},
    parameters={
        "Du": Parameter(1.0, "1", "diffusivity of u"),
        "Dv": Parameter(0.0, "1", "diffusivity of v"),
        "eps": Parameter(0.08, "1", "ratio of time scales"),
        "a": Parameter(0.7, "1", "excitation threshold"),
        "b": Parameter(0.8, "1", "recovery slope"),
    },
    evolve={"u": "Du*laplace(u) + u - u**3/3 - v", "v": "Dv*laplace(v) + eps*(u + a - b*v)"},
    range={"u": (-2.0, 2.0), "v": (-1.0, 2.0)},
    source="FitzHugh, Biophys. J. 1 (1961) 445; Nagumo, Arimoto & Yoshizawa, Proc. IRE 50 (1962) 2061",
)
