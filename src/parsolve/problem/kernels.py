"""Where the kernels of a problem come from."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from parsolve.equations.reference import NumpyKernel
from parsolve.equations.shared import library_of
from parsolve.kernels.device import find_device
from parsolve.kernels.jit import NoCompiler, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.case.schema import Run
    from parsolve.equations.program import Stage
    from parsolve.kernels.device import Device
    from parsolve.kernels.library import Kernel
    from parsolve.problem.problem import Problem


def kernels(problem: Problem, comm: MPI.Intracomm | None, device: Device | None = None) -> Callable[[Stage], Kernel]:
    """Where the kernel of a stage comes from: the installed library, the run-time compiler, or NumPy; collective.

    Raises:
        SetupError: a compiler is missing or fails, and ``run.require_compiled`` is set.
    """
    run = problem.case.run
    if run.device == "numpy" or problem.case.evolve:
        return made_kernels(run, library_of(problem.program), comm)
    installed = device or find_device()
    return lambda stage: installed.kernel(stage.name, run.precision)


def made_kernels(run: Run, text: str, comm: MPI.Intracomm | None) -> Callable[[Stage], Kernel]:
    """Where the kernel of a stage of a library's C text comes from: the compiler, or NumPy; collective.

    Raises:
        SetupError: a compiler is missing or fails, and ``run.require_compiled`` is set.
    """
    if run.device == "numpy":
        return NumpyKernel
    try:
        library = load(comm, text, run.precision, key_hint="user")
    except NoCompiler as error:
        if run.require_compiled:
            raise
        if comm is None or comm.rank == 0:
            warnings.warn(f"{error}; the equation runs with NumPy, which is 10 to 100 times slower", stacklevel=2)
        return NumpyKernel
    return lambda stage: library.kernel(stage.name, run.precision)
