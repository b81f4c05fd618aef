"""Heat and advection-diffusion: u_t = D lap(u) - v . grad(u)."""

from parsolve.equations.equation import Equation, Parameter

heat = Equation(
    name="heat",
    formula="u_t = D lap(u)",
    fields={"u": "temperature"},
    parameters={"D": Parameter(1.0, "m2/s", "diffusivity")},
    evolve={"u": "D*laplace(u)"},
    source="Fourier, Theorie analytique de la chaleur (1822)",
)

advection_diffusion = Equation(
    name="advection-diffusion",
    formula="u_t = D lap(u) - vx u_x - vy u_y - vz u_z",
    fields={"u": "concentration"},
    parameters={
        "D": Parameter(0.01, "m2/s", "diffusivity"),
        "vx": Parameter(1.0, "m/s", "velocity along x"),
        "vy": Parameter(0.0, "m/s", "velocity along y"),
        "vz": Parameter(0.0, "m/s", "velocity along z"),
    },
    evolve={"u": "D*laplace(u) - vx*dx(u) - vy*dy(u) - vz*dz(u)"},
    source="Hundsdorfer & Verwer, Numerical Solution of Time-Dependent Advection-Diffusion-Reaction Equations (2003)",
)
