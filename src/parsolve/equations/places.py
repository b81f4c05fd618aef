"""Fields at cells and at faces: what an expression takes from elsewhere, made explicit.

Index i of a field at the faces normal to an axis is the lower face of cell i.  Between the two places lead, along the
axis a: the midpoint of cells at faces (``face_a``) and of faces at cells (``cell_a``), and the staggered first
derivatives (``dface_a``, ``dcell_a``).  Between faces of two axes the way goes by the cells.  What a derivative at
faces is multiplied with is a coefficient and stays within the values beside (``within_a``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy

from parsolve.equations.functions import AXIS_OPERATORS
from parsolve.equations.operators import FIRST_DERIVATIVES, INTEGRALS, PLACED, name_of, spacing

if TYPE_CHECKING:
    from collections.abc import Mapping

CELL = "cell"


def placed(e: sympy.Expr, here: str, places: Mapping[str, str]) -> sympy.Expr:
    """The expression at cells ("cell") or at the faces of an axis.

    Args:
        e: by operators along the axes.
        here: where its value is wanted.
        places: where each field and definition lives; a name that is not there is a constant or a coordinate.
    """
    if here == CELL and all(place == CELL for place in places.values()):
        return e
    if e.is_Symbol:
        if e.name == here:
            return e - spacing(here) / 2
        return _moved(e, places.get(e.name, here), here)
    if not e.args:
        return e
    name = name_of(e)
    if name in FIRST_DERIVATIVES:
        return _derivative(e, FIRST_DERIVATIVES[name], here, places)
    made = e.func(*(placed(s, CELL if name in INTEGRALS else here, places) for s in e.args))
    if made.is_Mul and any(name_of(s) == f"dface_{here}" for s in made.args):
        midpoints = {s for s in sympy.preorder_traversal(made) if name_of(s) == f"face_{here}"}
        return made.xreplace({s: AXIS_OPERATORS[f"within_{here}"](*s.args) for s in midpoints})
    return made


def place_of(e: sympy.Expr, places: Mapping[str, str]) -> str:
    """Where the value of an expression that ``placed`` made lives."""
    return _found(e, places) or CELL


def _found(e: sympy.Expr, places: Mapping[str, str]) -> str | None:
    if e.is_Symbol:
        return places.get(e.name)
    kind, _, axis = name_of(e).partition("_")
    if name_of(e) in PLACED:
        return CELL if kind in ("cell", "dcell") else axis
    return next((place for s in e.args if (place := _found(s, places))), None)


def _moved(e: sympy.Expr, there: str, here: str) -> sympy.Expr:
    """What lives there, taken here."""
    if there == here:
        return e
    at_cells = e if there == CELL else AXIS_OPERATORS[f"cell_{there}"](e)
    return at_cells if here == CELL else AXIS_OPERATORS[f"face_{here}"](at_cells)


def _derivative(e: sympy.Expr, axis: str, here: str, places: Mapping[str, str]) -> sympy.Expr:
    """A first derivative: staggered where the operand lives beside the place, else by central differences."""
    (operand,) = e.args
    lives = {places[s.name] for s in operand.free_symbols if s.name in places}
    if here == axis and lives != {axis}:
        return AXIS_OPERATORS[f"dface_{axis}"](placed(operand, CELL, places))
    if here != axis and axis in lives:
        return _moved(AXIS_OPERATORS[f"dcell_{axis}"](placed(operand, axis, places)), CELL, here)
    return e.func(placed(operand, here, places))
