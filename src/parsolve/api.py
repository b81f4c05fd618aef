"""Cases built in Python: the same tables as in a case file, with SymPy and NumPy where it has text and numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsolve.case import Case
from parsolve.case.tables import DEEPEST, flat, merge
from parsolve.domain import launch
from parsolve.errors import CaseError, SetupError, agreed, require_same
from parsolve.watchdog import Watchdog

if TYPE_CHECKING:
    from mpi4py import MPI

    from parsolve.problem.summary import Summary


def make_case(*parts: Case | Mapping[str, Any], **tables: Any) -> Case:
    """The case of the tables and keys that a case file would have, ``equation="heat"`` or ``evolve={...}`` among them.

    Where a file has text or a number, SymPy and NumPy stand as well, tuples and arrays for lists, paths for file names.
    Initial values, coefficients ([fields]) and boundary values may be arrays over the cells of the grid, (z, y, x).

    Args:
        parts: other cases or tables to begin with. Tables are merged key by key, and what comes later wins.
        tables: the last of them.

    Example:
        ``make_case(evolve={"u": "D*laplace(u)"}, parameters={"D": 0.1}, grid={"x": {"cells": 64, "range": (0, 1)}},
        initial={"u": "sin(pi*x)"}, time={"end": 0.1})``

    Raises:
        CaseError: as for a case file.
    """
    data: dict[str, Any] = {}
    for part in (*parts, tables):
        if not isinstance(part, Case | Mapping):
            raise CaseError(f"make_case: expected a case or tables, got {part!r}; a file is read by Case.load(name)")
        merge(data, part.to_tables() if isinstance(part, Case) else _plain(part, ()))
    for rates in (data.get("evolve"), data.get("define")):  # text in the file, numbers too
        if isinstance(rates, dict):
            rates |= {name: text(e) for name, e in rates.items() if isinstance(e, int | float)}
    return Case.from_dict(data)


def solve(
    case: Case, out: str | Path, comm: MPI.Intracomm | None = None, force: bool = False, resume: bool = False
) -> Summary:
    """Solve a case, write its result and return what was done; collective on ``comm``.

    With ``resume`` the march goes on from the newest checkpoint of a run into this result, if there is one.

    Without ``comm`` this process solves it alone, unless a launcher started several: then there is no telling whether
    they share the case or each has its own. Ranks that share one must hold the same, arrays included.

    Raises:
        ParsolveError: the same one on all ranks.
    """
    ranks = ranks_of("solve", comm)

    from parsolve.resume import look_for
    from parsolve.run import run

    with agreed(ranks):
        require_case("solve", case)
        if not isinstance(out, str | os.PathLike) or not isinstance(os.fspath(out), str):
            raise CaseError(f"solve: expected the name of the result, such as 'heat.h5', got {out!r}")
    held = flat({**case.to_dict(), "out": os.fspath(out), "force": force, "resume": resume})
    require_same(ranks, {key: repr(value) for key, value in held.items()})
    with Watchdog(case.patience, ranks):
        found = look_for(ranks, Path(out)) if resume else None
        if found is None:
            return run(case, ranks, Path(out), force, anew=resume)
        found.check(case)
        return run(case, ranks, found.result, since=found.since, reopen=found.reopen)


def ranks_of(who: str, comm: MPI.Intracomm | None) -> MPI.Intracomm:
    """Return the ranks that share a case: those of ``comm``, or this process alone, if no launcher started several.

    Raises:
        SetupError: it did, and there is no telling whether they share the case.
        CaseError: ``comm`` is no communicator.
    """
    launched = launch.launched()
    if comm is None and launched is not None and launched[2] > 1:
        raise SetupError(
            f"{launched[0]} started {launched[2]} processes, and {who}(...) was not told who solves the case: "
            "comm=MPI.COMM_WORLD for all together, comm=MPI.COMM_SELF for each alone (from mpi4py import MPI)"
        )
    from mpi4py import MPI

    if comm is not None and not (isinstance(comm, MPI.Intracomm) and comm != MPI.COMM_NULL):
        raise CaseError(f"{who}: comm is a communicator, such as MPI.COMM_WORLD, got {comm!r}")
    return MPI.COMM_SELF if comm is None else comm


def require_case(who: str, case: object) -> None:
    """Refuse what is no case.

    Raises:
        CaseError: it is none.
    """
    if not isinstance(case, Case):
        raise CaseError(f"{who}: expected a case, of make_case(...) or Case.load(name), got {case!r}")


def path_of(who: str, name: object) -> Path:
    """The path of a name.

    Raises:
        CaseError: it is none.
    """
    if not isinstance(name, str | os.PathLike) or not isinstance(os.fspath(name), str):
        raise CaseError(f"{who}: expected the name of a file or folder, got {name!r}")
    if "\0" in os.fspath(name):
        raise CaseError(f"{who}: there is a zero byte (NUL) in the name {name!r}; leave it out")
    return Path(name)


def text(e: object) -> str:
    """The text of an expression in the language of the case file; SymPy functions by their names there.

    A condition is 1 where it holds, else 0.
    """
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

        def _print_BooleanFunction(self, e: Any) -> str:
            return str(self._print(sympy.to_nnf(e, simplify=False)))

        _print_Xor = _print_Implies = _print_Equivalent = _print_ITE = _print_BooleanFunction

        def _print_Heaviside(self, e: Any) -> str:
            at, middle = (self._print(part) for part in e.args)
            return f"heaviside({at})" if middle == "1/2" else f"where({at} == 0, {middle}, heaviside({at}))"

        def _print_Mod(self, e: Any) -> str:
            return f"({self._print(e.args[0] - e.args[1] * sympy.floor(e.args[0] / e.args[1]))})"

        def _print_frac(self, e: Any) -> str:
            return f"({self._print(e.args[0] - sympy.floor(e.args[0]))})"

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

    e = sympy.sympify(e)
    if isinstance(e, sympy.logic.boolalg.Boolean) and not isinstance(e, sympy.Symbol):
        e = sympy.Piecewise((1, e), (0, True))
    return str(Printer().doprint(e))


def _plain(data: Any, place: tuple[str, ...]) -> Any:
    """Tables as they would be read from a file; ``place`` is the path of keys to what is there.

    Raises:
        CaseError: Python functions, and keys that are one in the file.
    """
    if len(place) > DEEPEST:
        raise CaseError(f"{'.'.join(place[:2])}: tables or lists lie too deep in each other")
    if isinstance(data, Mapping):
        plain: dict[str, Any] = {}
        for key, value in data.items():
            if str(key) in plain:
                raise CaseError(f"{'.'.join((*place, str(key)))}: given twice")
            plain[str(key)] = _plain(value, (*place, str(key)))
        return plain
    if _takes_array(place):
        if isinstance(data, os.PathLike):
            return {"file": os.fspath(data)}
        if isinstance(data, tuple | list) or getattr(data, "shape", None):
            return _array(data, ".".join(place))
    if isinstance(data, tuple | list):
        return [_plain(value, (*place, str(i))) for i, value in enumerate(data)]
    if hasattr(data, "tolist"):  # NumPy's
        return _plain(data.tolist(), place)
    if isinstance(data, os.PathLike):
        return os.fspath(data)
    if isinstance(data, type) or (callable(data) and not hasattr(data, "free_symbols")):
        raise CaseError(
            f"{'.'.join(place)}: a Python function can neither be compiled nor stored with the result; "
            'write the formula as text, such as "sin(pi*x)", or as a SymPy expression'
        )
    if not hasattr(data, "free_symbols"):
        return data
    if data.is_Integer:
        return int(data)
    try:
        return float(data) if getattr(data, "is_comparable", False) else text(data)
    except ValueError as error:  # of numbers with thousands of digits
        raise CaseError(f"{'.'.join(place)}: {str(error).partition('; use sys.')[0]}") from None


def _takes_array(place: tuple[str, ...]) -> bool:
    """Whether values over the grid or a side of it are due at a key."""
    if len(place) == 4:
        return place[0] == "boundary" and place[3] in ("dirichlet", "neumann", "curvature")
    return len(place) == 2 and place[0] in ("initial", "fields")


def _array(data: Any, key: str) -> dict[str, Any]:
    """The table of an array: its description, and a copy that nobody changes (of a file's map the map itself)."""
    import numpy as np

    from parsolve.case.array import Array

    try:
        values = np.asarray(data) if isinstance(data, np.memmap) else np.array(data)
        mask = np.ma.getmaskarray(np.ma.array(data) if isinstance(data, tuple | list) else data)
    except (ValueError, TypeError) as error:
        raise CaseError(f"{key}: not an array of numbers: {error}") from None
    if values.dtype.kind not in "biuf":
        raise CaseError(f"{key}: an array of real numbers is due, got one of {values.dtype}")
    if mask.any():
        first = ", ".join(map(str, np.argwhere(mask)[0]))
        raise CaseError(f"{key}: {mask.sum()} values are masked, the first at [{first}]; fill them in, as by filled(0)")
    if values.flags.owndata:
        values.flags.writeable = False
    array = Array(values)
    return {"file": array.description, "array": array}
