"""The catalogue: equations by name."""

from parsolve.equations.catalogue.diffusion import advection_diffusion, heat
from parsolve.equations.catalogue.patterns import kuramoto_sivashinsky, swift_hohenberg
from parsolve.equations.catalogue.phase import allen_cahn, cahn_hilliard
from parsolve.equations.catalogue.reaction import fitzhugh_nagumo, gray_scott
from parsolve.equations.catalogue.waves import burgers, wave
from parsolve.equations.equation import Equation

CATALOGUE: dict[str, Equation] = {
    equation.name: equation
    for equation in (
        heat,
        advection_diffusion,
        wave,
        burgers,
        gray_scott,
        fitzhugh_nagumo,
        allen_cahn,
        cahn_hilliard,
        kuramoto_sivashinsky,
        swift_hohenberg,
    )
}
