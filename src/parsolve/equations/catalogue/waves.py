"""Waves: u_tt = c^2 lap(u), and Burgers' equation."""

from parsolve.equations.equation import Equation, Parameter

wave = Equation(
    name="wave",
    formula="u_tt = c^2 lap(u)",
    fields={"u": "displacement"},
    parameters={"c": Parameter(1.0, "m/s", "wave speed")},
    evolve={"u_tt": "c**2*laplace(u)"},
    source="d'Alembert (1747); Stoermer-Verlet: Hairer, Lubich & Wanner, Acta Numerica 12 (2003) 399",
)

burgers = Equation(
    name="burgers",
    formula="u_t = nu lap(u) - (u^2/2)_x - (u^2/2)_y - (u^2/2)_z",
    fields={"u": "velocity"},
    parameters={"nu": Parameter(0.01, "m2/s", "viscosity")},
    evolve={"u": "nu*laplace(u) - (dx(u**2) + dy(u**2) + dz(u**2))/2"},
    range={"u": (-1.0, 1.0)},
    source="Burgers, Adv. Appl. Mech. 1 (1948) 171; the scalar equation, in conservative form",
)
