"""Cases built in Python: the same tables as in a case file, with SymPy expressions where it has text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.case import Case
from parsolve.run import run as run_case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpi4py import MPI

    from parsolve.problem.summary import Summary


@dataclass(frozen=True)
class Equation:
    """Evolution equations: ``Equation({"u": "D*laplace(u)"}, parameters={"D": 0.1})``.

    Attributes:
        evolve: du/dt by ``u`` or the second time derivative by ``u_tt``: text or SymPy.
        parameters: constants.
        define: named expressions that the rates may use.
        fields: coefficient fields: text, number, or ``{"file": ..., "dataset": ...}``.
    """

    evolve: Mapping[str, Any]
    parameters: Mapping[str, float] = field(default_factory=dict)
    define: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def tables(self) -> dict[str, Any]:
        """The tables of a case file."""
        return {
            "evolve": {name: text(e) for name, e in self.evolve.items()},
            "parameters": dict(self.parameters),
            "define": {name: text(e) for name, e in self.define.items()},
            "fields": {name: e if isinstance(e, dict) else text(e) for name, e in self.fields.items()},
        }


def case(equation: Equation | str, **tables: Any) -> Case:
    """A case of an equation (or a catalogue name) and the tables grid, initial, boundary, time, output, run.

    Example:
        ``case(Equation({"u": "laplace(u)"}), grid={"x": {"cells": 64, "range": (0, 1)}}, initial={"u": "sin(pi*x)"},
        time={"end": 0.1})``

    Raises:
        CaseError: as for a case file.
    """
    data = dict(tables)
    if isinstance(equation, str):
        data["equation"] = equation
    else:
        data |= equation.tables()
    return Case.from_dict(_plain(data))


def run(case: Case, out: str | Path, *, comm: MPI.Intracomm | None = None, force: bool = False) -> Summary:
    """Solve a case and write its result; collective on ``comm``, by default this process alone.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    if comm is None:
        from mpi4py import MPI

        comm = MPI.COMM_SELF
    return run_case(case, comm, Path(out), force)


def text(e: object) -> str:
    """The text of an expression in the language of the case file; SymPy functions by their names there."""
    if isinstance(e, str):
        return e
    import sympy
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]
        """Names of the language where SymPy's differ."""

        def _print_Abs(self, e: Any) -> str:
            return f"abs({self._print(e.args[0])})"

        def _print_Min(self, e: Any) -> str:
            return f"min({self.stringify(e.args, ', ')})"

        def _print_Max(self, e: Any) -> str:
            return f"max({self.stringify(e.args, ', ')})"

        def _print_ceiling(self, e: Any) -> str:
            return f"ceil({self._print(e.args[0])})"

        def _print_Heaviside(self, e: Any) -> str:
            return f"heaviside({self._print(e.args[0])})"

        def _print_Exp1(self, e: Any) -> str:
            return "exp(1)"

        def _print_Float(self, e: Any) -> str:
            return repr(float(e))

        def _print_Piecewise(self, e: Any) -> str:
            result = "0" if e.args[-1].cond != sympy.true else self._print(e.args[-1].expr)
            pairs = e.args if e.args[-1].cond != sympy.true else e.args[:-1]
            for value, condition in reversed(pairs):
                result = f"where({self._print(condition)}, {self._print(value)}, {result})"
            return result

    return str(Printer().doprint(sympy.sympify(e) if not isinstance(e, sympy.Basic) else e))


def _plain(data: Any) -> Any:
    """Tables with tuples as lists and SymPy as text."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        return [_plain(value) for value in data]
    return data if isinstance(data, (str, int, float, bool)) or data is None else text(data)
