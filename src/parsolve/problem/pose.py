"""A case and its equation made into a problem: names checked, boundary conditions read, the equation discretised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from parsolve.case import FileValue
from parsolve.case.tables import WHOLE
from parsolve.domain.boundary import Condition
from parsolve.domain.grid import Grid
from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.parity import odd
from parsolve.equations.parse import CONSTANTS
from parsolve.equations.shared import derived_for, measures_for, program_of
from parsolve.equations.user import NAME, RESERVED, user_equation
from parsolve.errors import on_root
from parsolve.march.tableaus import EMBEDDED, SCHEMES, STOCHASTIC, Scheme
from parsolve.problem.coupling import Coupling
from parsolve.problem.jumps import coarse_sides
from parsolve.problem.laws import WORD, law_of
from parsolve.problem.operators import refuse_overflow
from parsolve.problem.probe import probes_of
from parsolve.problem.problem import Problem
from parsolve.problem.several import MOST as MOST_NUMBERS
from parsolve.problem.several import coordinates_of
from parsolve.problem.sides import face_condition, refuse_singular, side_condition
from parsolve.problem.slicing import chosen_program, slicings
from parsolve.problem.times import condition_of, refuse_crowds, span
from parsolve.problem.values import course_of
from parsolve.store.layout import RESERVED as STORED
from parsolve.store.series import is_reserved
from parsolve.store.source import HDF5

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mpi4py import MPI

    from parsolve.case import Case
    from parsolve.equations.equation import Equation
    from parsolve.equations.program import Program
    from parsolve.problem.laws import Law
    from parsolve.store.course import Course
    from parsolve.store.series import Coordinate

T = TypeVar("T")


def pose(case: Case, comm: MPI.Comm | None = None) -> Problem:
    """The problem of a case; with a communicator collective, where values have to be looked at.

    Raises:
        CaseError: a name that the equation does not have, or settings that contradict each other.
    """
    grid = Grid.of(case.grid)
    with case.located():
        own = user_equation(case.evolve, case.parameters, case.define, case.fields, grid.names) if case.evolve else None
    equation = own or _known(case, "equation", case.equation, CATALOGUE)
    scheme = _known(case, "time.scheme", case.time.scheme, SCHEMES)
    _check_parameters(case, equation)
    acceleration = scheme.derivative == 2
    if acceleration and equation.time_order != 2:
        choices = [name for name, s in SCHEMES.items() if s.derivative == 1]
        raise case.error(
            "time.scheme",
            f"leapfrog is for equations that give u_tt; for {_named(equation)} use one of {', '.join(choices)}",
        )
    with case.located():
        terms = max(len(row.weights) for row in scheme.rows)
        program = program_of(equation, grid.names, case.run.order, acceleration, terms)
    for name in set(equation.fields) & STORED if own else ():
        key = f"evolve.{equation.rate_key(name)}"
        raise case.error(key, f"'{name}' is a name of the result file; choose another")
    if program.is_noisy:
        _check_noise(case, scheme)
    _check_time(case, scheme)
    condition_of(case)
    _check_initial(case, equation)
    parameters = _parameters(case, equation)
    refuse_overflow(case, grid, program, parameters)
    fields = [*equation.unknowns, *program.intermediate]
    for name in case.boundary:
        if name not in fields:
            raise case.error(f"boundary.{name}", f"{_named(equation)} has no such field", fields)
    with case.located():
        conditions = _conditions(case, grid, parameters, equation, program)
    courses = _courses(case, grid)
    looks = _looked_at(case, grid, equation, program)
    made = (looks["derived"] or program).unknowns
    cut = (name for one in looks["slices"] for name in one.chosen)
    known = (*program.unknowns, *grid.names, "time", *case.measures, *case.averages, *made, *cut)
    for name in case.units:
        if name not in known:
            raise case.error(f"units.{name}", "no such field, axis or measure", dict.fromkeys(known))
    if any(grid.anti):
        for name in conditions.keys() - odd(program):
            conditions[name] = {side: replace(c, turns=False) for side, c in conditions[name].items()}
    problem = Problem(case, grid, equation, program, scheme, parameters, conditions, courses=courses, **looks)
    coarse = coarse_sides(problem) if comm is None else on_root(comm, lambda: coarse_sides(problem))
    for name, side in coarse:
        conditions[name][side] = replace(conditions[name][side], coarse=True)
    refuse_singular(case, grid, conditions)
    return problem


def _conditions(
    case: Case, grid: Grid, parameters: Mapping[str, float], equation: Equation, program: Program
) -> dict[str, dict[str, Condition]]:
    """The conditions by field and side; those of one side that depend on fields have one ``Wall``.

    A law that is linear in its own field, and names no other, is the condition that it is.

    Raises:
        CaseError: an expression or file is wrong.
    """
    conditions: dict[str, dict[str, Condition]] = {name: {} for name in case.boundary}
    laws: dict[str, dict[str, Law]] = {}
    for name, sides in case.boundary.items():
        for side, said in sides.items():
            law = law_of(case, grid, (name, side), said, parameters, equation, program)
            solved = law and law.solved(name)
            if law is None:
                key = f"boundary.{name}.{side}"
                conditions[name][side] = side_condition(case, grid, key, side, said, parameters)
            elif solved:
                curved = said.curvature is not None
                conditions[name][side] = face_condition(grid, side, solved, parameters, law.key, curved=curved)
            else:
                laws.setdefault(side, {})[name] = law
    velocities = [name for name in program.unknowns if name not in equation.fields]
    for side, beside in laws.items():
        wall = Coupling(grid, side, beside, parameters, velocities)
        for name, law in beside.items():
            slope = float(law.parts[1] != 0)
            conditions[name][side] = Condition(1.0 - slope, slope, 0.0, varies=True, wall=wall)
    return conditions


def _courses(case: Case, grid: Grid) -> dict[str, Course]:
    """The coefficient fields that a file gives at several times.

    Raises:
        CaseError: one does not fit.
    """
    found, end = {}, span(case)
    for name, value in case.fields.items():
        if isinstance(value, FileValue) and value.moves:
            key = f"fields.{name}"
            with case.located():
                found[name] = course_of(value, grid, key, end)
    return found


def _looked_at(case: Case, grid: Grid, equation: Equation, program: Program) -> dict[str, Any]:
    """What is measured, and what makes the fields that are written and not marched.

    Raises:
        CaseError: a text is wrong, or a name is taken.
    """
    order, marched = case.run.order, program.unknowns
    fields = {*equation.unknowns, *equation.parameters, *equation.define, *equation.arrays}
    for name in case.measures:
        if name in {*fields, "x", "y", "z", "t", *CONSTANTS} or not NAME.fullmatch(name) or is_reserved(name):
            raise case.error(f"measure.{name}", f"'{name}' has a meaning already, or is no name; choose another")
    with case.located():
        averages, averaged = case.averages, dict[str, str]()
        for name, average in averages.items():
            if name in fields | {"x", "y", "z", "t", *CONSTANTS} or not NAME.fullmatch(name) or name in STORED:
                raise case.error(f"average.{name}", f"'{name}' has a meaning already, or is no name; choose another")
            averaged |= {f"{name}.{n}": text for n, text in enumerate(average.texts)}
        texts = {name: measure.of for name, measure in case.measures.items()}
        measures = measures_for(equation, grid.names, order, texts, marched) if texts else None
        if measures:
            probes_of(measures, grid, _parameters(case, equation))
            _check_several(case, coordinates_of(measures, grid, _parameters(case, equation)))
        made = chosen_program(case, grid, equation, marched, "output.fields", case.output.chosen)
        slices = slicings(case, grid, equation, marched)
        sampled = derived_for(equation, grid.names, order, averaged, marched, "average.")
    for look in (measures.program if measures else None, made, sampled, *(one.program for one in slices)):
        if look is not None:
            refuse_overflow(case, grid, look, _parameters(case, equation))
    return {"measures": measures, "derived": made, "averaged": sampled, "slices": slices}


def _check_several(case: Case, several: Mapping[str, Coordinate]) -> None:
    """Refuse measures that are several numbers where there is one, and too many of them.

    Raises:
        CaseError: there are some.
    """
    rule = condition_of(case)
    asked = {s.name for s in rule.free_symbols} if rule is not None else set()
    for name, coordinate in several.items():
        for key, names in (("measure.show", case.shown), ("stop.when", asked)):
            if name in names:
                raise case.error(key, f"'{name}' is several numbers, and here stands one")
        if (other := f"{name}_{coordinate.word}") in case.measures:
            raise case.error(f"measure.{other}", f"'{other}' is a name of '{name}'; choose another")
    if (count := sum(len(one.values) for one in several.values())) > MOST_NUMBERS:
        raise case.error("measure", f"{count} numbers at once are more than {MOST_NUMBERS}")


def _parameters(case: Case, equation: Equation) -> dict[str, float]:
    return {name: p.default for name, p in equation.parameters.items()} | dict(case.parameters)


def _known(case: Case, key: str, name: str | None, table: Mapping[str, T]) -> T:
    if name is None or name not in table:
        raise case.error(key, f"unknown {key.rpartition('.')[2]} '{name}'", table)
    return table[name]


def _named(equation: Equation) -> str:
    """What the user calls an equation."""
    return equation.name if equation.name in CATALOGUE else "[evolve]"


def _check_parameters(case: Case, equation: Equation) -> None:
    """Refuse a parameter that neither the equation has nor an initial or boundary value uses, as it changes nothing."""
    sides = [side for field in case.boundary.values() for side in field.values()]
    values = [v for s in sides for v in (s.dirichlet, s.neumann, s.curvature, s.outflow, *(s.robin or ()))]
    used = {word for text in (*case.initial.values(), *values) if isinstance(text, str) for word in WORD.findall(text)}
    for name in case.parameters:
        if name in equation.parameters:
            continue
        if name not in used:
            problem = f"{_named(equation)} has no such parameter, and no initial or boundary value uses it"
            raise case.error(f"parameters.{name}", problem, equation.parameters)
        if name in RESERVED or name in equation.unknowns:
            raise case.error(f"parameters.{name}", f"'{name}' is a name of the language or a field; choose another")


def _check_noise(case: Case, scheme: Scheme) -> None:
    """Refuse what noise in time does not go with."""
    if not scheme.calculus:
        choices = " or ".join(f"'{name}' ({SCHEMES[name].calculus})" for name in STOCHASTIC)
        raise case.error("time.scheme", f"{scheme.name} takes no noise with each='step': use scheme = {choices}")
    if case.time.tolerance is not None:
        raise case.error("time.tolerance", "steps with noise have no estimate of their error: give time.dt")
    if case.stop is not None and case.stop.steady is not None:
        raise case.error("stop.steady", "with noise in time nothing comes to rest")


def _check_time(case: Case, scheme: Scheme) -> None:
    time = case.time
    if case.stop is not None and case.stop.steady is not None and scheme.derivative == 2:
        raise case.error("stop.steady", "leapfrog has no rates to look at; use time.scheme = 'rk4'")
    if time.tolerance is not None:
        if scheme.name not in EMBEDDED:
            raise case.error(
                "time.tolerance", f"{scheme.name} has no error estimate; use scheme = {' or '.join(EMBEDDED)}"
            )
        least = 8 * float(np.finfo(case.run.precision).eps)
        if time.tolerance < least:
            raise case.error(
                "time.tolerance",
                f"{time.tolerance:g} is below what {case.run.precision} resolves: at least {least:.1g}",
            )
        if time.steps is not None or case.output.every_steps is not None:
            raise case.error("time.tolerance", "adaptive steps need time.end and output.every, not numbers of steps")
    refuse_crowds(case)


def _check_initial(case: Case, equation: Equation) -> None:
    allowed: Collection[str] = equation.unknowns
    for name in case.initial:
        if name not in allowed and name != WHOLE:
            raise case.error(f"initial.{name}", f"{_named(equation)} has no such field", allowed)
    whole = case.initial.get(WHOLE)
    if isinstance(whole, FileValue) and Path(whole.file).suffix.lower() not in HDF5:
        raise case.error(
            f"initial.{WHOLE}", f"'{whole.file}' is no result: give its .h5 file (`gather` makes one of a run's frames)"
        )
    for name in equation.fields:
        if case.initial_of(name)[1] is None:
            raise case.error(f"initial.{name}", "missing: give an expression, a number or { file = ... }")
    if whole is not None and all(name in case.initial for name in allowed):
        said = ", ".join(f"initial.{name}" for name in allowed)
        raise case.error(f"initial.{WHOLE}", f"nothing is taken from it beside {said}; leave out this or one of those")
