"""Phase fields: Allen-Cahn and Cahn-Hilliard."""

from parsolve.equations.equation import Equation, Parameter

allen_cahn = Equation(
    name="allen-cahn",
    formula="u_t = lap(u) - (u^3 - u)/eps^2",
    fields={"u": "order parameter"},
    parameters={"eps": Parameter(0.05, "m", "width of the interface")},
    evolve={"u": "laplace(u) - (u**3 - u)/eps**2"},
    range={"u": (-1.0, 1.0)},
    source="Allen & Cahn, Acta Metallurgica 27 (1979) 1085",
)

cahn_hilliard = Equation(
    name="cahn-hilliard",
    formula="c_t = M lap(mu),  mu = c^3 - c - kappa lap(c)",
    fields={"c": "concentration difference"},
    parameters={
        "M": Parameter(1.0, "m2/s", "mobility"),
        "kappa": Parameter(1e-3, "m2", "gradient energy coefficient"),
    },
    define={"mu": "c**3 - c - kappa*laplace(c)"},
    evolve={"c": "M*laplace(mu)"},
    range={"c": (-1.0, 1.0)},
    source="Cahn & Hilliard, J. Chem. Phys. 28 (1958) 258",
)
