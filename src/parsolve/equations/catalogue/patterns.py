"""Fourth-order pattern formers: Kuramoto-Sivashinsky and Swift-Hohenberg."""

from parsolve.equations.equation import Equation, Parameter

kuramoto_sivashinsky = Equation(
    name="kuramoto-sivashinsky",
    formula="u_t = -lap(u) - lap(lap(u)) - |grad(u)|^2/2",
    fields={"u": "height"},
    parameters={},
    evolve={"u": "-laplace(u) - biharmonic(u) - dot(grad(u), grad(u))/2"},
    range={"u": (-5.0, 5.0)},
    source="Kuramoto & Tsuzuki, Prog. Theor. Phys. 55 (1976) 356; Sivashinsky, Acta Astronautica 4 (1977) 1177",
)

swift_hohenberg = Equation(
    name="swift-hohenberg",
    formula="u_t = r u - (1 + lap)^2 u - u^3",
    fields={"u": "amplitude"},
    parameters={"r": Parameter(0.2, "1", "distance from onset")},
    evolve={"u": "(r - 1)*u - 2*laplace(u) - biharmonic(u) - u**3"},
    range={"u": (-1.0, 1.0)},
    source="Swift & Hohenberg, Phys. Rev. A 15 (1977) 319",
)
