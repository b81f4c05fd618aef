"""Cases built in Python: the same tables as in a case file, with SymPy and NumPy where it has text and numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.case import Case

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.problem.summary import Summary


def make_case(**tables: Any) -> Case:
    """The case of the tables and keys that a case file would have, ``equation="heat"`` or ``evolve={...}`` among them.

    Where a file has text or a number, SymPy and NumPy stand as well, tuples and arrays for lists, paths for file names.

    Example:
        ``make_case(evolve={"u": "D*laplace(u)"}, parameters={"D": 0.1}, grid={"x": {"cells": 64, "range": (0, 1)}},
        initial={"u": "sin(pi*x)"}, time={"end": 0.1})``

    Raises:
        CaseError: as for a case file.
    """
    data = _plain(tables)
    for rates in (data.get("evolve"), data.get("define")):  # text in the file, numbers too
        if isinstance(rates, dict):
            rates |= {name: text(e) for name, e in rates.items() if isinstance(e, int | float)}
    return Case.from_dict(data)


def solve(case: Case, out: str | Path, comm: MPI.Intracomm | None = None, force: bool = False) -> Summary:
    """Solve a case, write its result and return what was done; collective on ``comm``, by default this process alone.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    from mpi4py import MPI

    from parsolve.run import run

    return run(case, MPI.COMM_SELF if comm is None else comm, Path(out), force)


def text(e: object) -> str:
    """The text of an expression in the language of the case file; SymPy functions by their names there."""
    if isinstance(e, str):
        return str(e)
    import sympy
    from sympy.printing.str import StrPrinter

    def call(name: str) -> Any:
        return lambda self, e: f"{name}({self.stringify(e.args, ', ')})"

    def join(word: str) -> Any:
        return lambda self, e: f" {word} ".join(f"({self._print(part)})" for part in e.args)

    class Printer(StrPrinter):  # type: ignore[misc]
        """Names of the language where SymPy's differ."""

        _print_Abs, _print_Min, _print_Max, _print_ceiling = map(call, ("abs", "min", "max", "ceil"))
        _print_And, _print_Or = map(join, ("and", "or"))

        def _print_Not(self, e: Any) -> str:
            return f"not ({self._print(e.args[0])})"

        def _print_Relational(self, e: Any) -> str:
            return f"{self._print(e.lhs)} {e.rel_op} {self._print(e.rhs)}"

        def _print_Heaviside(self, e: Any) -> str:
            return f"heaviside({self._print(e.args[0])})"

        def _print_Exp1(self, e: Any) -> str:
            return "exp(1)"

        def _print_Float(self, e: Any) -> str:
            return repr(float(e))

        def _print_Piecewise(self, e: Any) -> str:
            *pairs, (last, otherwise) = e.args
            if otherwise != sympy.true:
                pairs, last = list(e.args), sympy.Integer(0)
            result = self._print(last)
            for value, condition in reversed(pairs):
                result = f"where({self._print(condition)}, {self._print(value)}, {result})"
            return str(result)

    return str(Printer().doprint(sympy.sympify(e)))


def _plain(data: Any) -> Any:
    """Tables as they would be read from a file."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, tuple | list):
        return [_plain(value) for value in data]
    if hasattr(data, "tolist"):  # NumPy's
        return _plain(data.tolist())
    if isinstance(data, os.PathLike):
        return os.fspath(data)
    if not hasattr(data, "free_symbols"):
        return data
    if data.is_Integer:
        return int(data)
    return float(data) if getattr(data, "is_comparable", False) else text(data)
