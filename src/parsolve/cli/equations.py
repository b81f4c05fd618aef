"""Commands on a case's equations: `eq` shows them, `compile` makes their kernels ahead of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsolve.cli.solve import case_arguments
from parsolve.cli.streams import answer, has_letters
from parsolve.cli.words import size, table
from parsolve.errors import CaseError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from parsolve.equations.program import Program
    from parsolve.problem.problem import Problem


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `eq` and `compile`."""
    parser = add("eq", "show a case's equations, stencils and stable step", "python -m parsolve eq burgers --show-c")
    case_arguments(parser)
    parser.add_argument("--show-c", action="store_true", help="print the generated C too")
    parser.set_defaults(do=show, parallel=False, writes=False)

    parser = add("compile", "compile a case's own equations ahead of a job", "python -m parsolve compile case.toml")
    case_arguments(parser)
    parser.set_defaults(do=compile_case, parallel=False, writes=True)


def show(args: argparse.Namespace, start_mpi: object) -> int:
    """Print the equations as they were understood, and what they cost."""
    from parsolve.case import Case
    from parsolve.equations.codegen import program_text
    from parsolve.problem.pose import pose

    problem = pose(Case.load(args.case, args.set))
    program = problem.program
    bytes_moved = sum(len(s.inputs) + len(s.outputs) for s in program.kernels) * problem.dtype.itemsize
    order, flops = problem.case.run.order, sum(stage.flops for stage in program.stages)
    start = program.rate.name.rpartition("_")[0] + "_"  # of the names of all kernels
    rows = [
        ("order", f"{order} inside" + ("" if all(problem.grid.periodic) else f", {min(order, 4)} at boundaries")),
        ("stages", ", ".join(f"{s.name.removeprefix(start)} (radius {s.radius})" for s in program.stages)),
        ("ghost cells", str(program.ghost)),
        ("conserved", balance_text(program)),
        ("a rate costs", f"{flops} flops and at least {size(bytes_moved)} a cell"),
        _step(problem),
    ]
    listing = [program_text(program)] if args.show_c else []
    answer("\n".join([equations_text(problem), *table(rows, "  "), *("\n" + text for text in listing)]))
    return 0


def _step(problem: Problem) -> tuple[str, str]:
    """The stable step; or the one that the case gives, beside that which would be taken."""
    from msgspec.structs import replace

    from parsolve.problem.plan import check

    case, name = problem.case, problem.scheme.name
    dt = f"dt = {check(case, 1).dt:.6g} with {name}"
    if case.time.dt == "auto":
        return "stable step", dt
    try:
        stable = check(replace(case, time=replace(case.time, dt="auto")), 1).dt
    except CaseError:  # no step is stable, or any
        return "step", f"{dt}, as given"
    return "step", f"{dt}, as given; dt = 'auto' is {stable:.6g}"


def balance_text(program: Program) -> str:
    """Of which fields the sum over the cells is kept by the form of the equations, for people."""
    from parsolve.equations.balance import conserved, is_advective

    names = conserved(program)
    if len(names) == len(program.unknowns):
        return f"the sum of {', '.join(names)}, but for what flows through the sides"
    others = [name for name in program.unknowns if name not in names]
    known = f"the sum of {', '.join(names)}; " if names else ""
    advice = "; upwind and advect are no fluxes: write div of upwind_flux or weno_flux" if is_advective(program) else ""
    return f"{known}not that of {', '.join(others)}{advice}"


def equations_text(problem: Problem) -> str:
    """The stages in mathematical notation, one block a value."""
    import sympy

    blocks, unicode = [], has_letters("\u2202\u23a0")
    for stage in problem.program.stages:
        for name, expression in zip(stage.outputs, stage.expressions, strict=True):
            suffix = ("_tt" if stage.name.endswith("_acceleration") else "_t") if stage.updates else ""
            left = sympy.Symbol(f"{name}{suffix}")
            blocks.append(
                sympy.pretty(sympy.Eq(left, expression, evaluate=False), use_unicode=unicode, num_columns=100)
            )
    return "\n\n".join(blocks) + "\n"


def compile_case(args: argparse.Namespace, start_mpi: object) -> int:
    """Fill the cache with the kernels of the case, so that a job on many ranks starts no compiler."""
    from time import perf_counter

    from parsolve.case import Case
    from parsolve.problem.kernels import kernels
    from parsolve.problem.pose import pose

    problem = pose(Case.load(args.case, [*args.set, "run.require_compiled=true"]))
    if not problem.case.evolve:
        answer(f"{problem.equation.name} is in the catalogue: its kernels are installed already")
        return 0
    begin = perf_counter()
    kernels(problem, None)
    answer(f"kernels of {len(problem.program.kernels)} stages are in the cache ({perf_counter() - begin:.2f} s)")
    return 0
