"""Physical ghosts: Dirichlet, Neumann, Robin and curvature conditions at a face.

A ghost is the value of the polynomial through the condition at the face and the nearest owned cells.  With order - 1
cells its error is O(h^order), which keeps the order of the scheme (Gustafsson, Math. Comp. 29 (1975) 396) if the value
is given; where a derivative is given, a power of h is lost for each, and as many cells more are read.  Beyond
order 4 one-sided polynomials make explicit schemes unstable, so that the boundary stays at order 4.

A side without a condition is a mirror: ghost k is cell k.  Then differences of fluxes telescope to nothing at the wall,
to every order, so that what is to be conserved is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.errors import CaseError
from parsolve.kernels.library import Ghost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid, Subdomain, Triple

CLOSURE_ORDER = 4
ENDS = ("min", "max")


Face = Callable[[float, tuple[int, int, int], tuple[int, int, int]], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """a u + b du/dn + c d2u/dn2 = value on one side, n the outward normal.

    a, b and value are numbers, or functions of (time, start, shape) that give the values on the cells of a box one cell
    thick; ``varies`` says whether any of them depends on time.  c is 0 or, with a = b = 0, 1.  ``mirrors``: the
    ghosts are the mirror image of the field, and a, b, c and value those of du/dn = 0.  ``coarse``: it is closed as at
    order 2.  ``turns``: beyond the end of an anti-periodic axis along the side the value has the opposite sign, as has
    the field; a and b begin again.
    """

    a: float | Face
    b: float | Face
    value: float | Face
    c: float = 0.0
    varies: bool = False
    mirrors: bool = False
    coarse: bool = False
    turns: bool = True

    def closure(self, base: int, depth: int) -> int:
        """Owned cells that ``depth`` ghosts are made of where a Dirichlet condition reads ``base``.

        A mirror reads as many as there are ghosts; a slope at order 2 needs no more than ``base``.
        """
        if self.mirrors:
            return depth
        if self.coarse:
            base = 1
        if self.c:
            return base + 2
        return base + 1 if base > 1 and (callable(self.b) or self.b != 0) else base

    def weights(self, spacing: float, points: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """What ghosts are made of, as of ``ghost_weights``; where a and b are functions, for a given value."""
        if self.mirrors:
            return mirror_weights(points, depth), np.zeros(depth)
        if callable(self.a) or callable(self.b):
            return ghost_weights(1.0, 0.0, spacing, points, depth)
        return ghost_weights(self.a, self.b, spacing, points, depth, self.c)


MIRROR = Condition(0.0, 1.0, 0.0, mirrors=True)
Conditions = Mapping[str, Mapping[str, Condition]]  # field -> side -> condition
Slab = list[tuple[int, int]]  # ranges along z, y, x


def closure_base(order: int) -> int:
    """How many owned cells a Dirichlet condition reads."""
    return min(order, CLOSURE_ORDER) - 1


@cache
def ghost_weights(
    a: float, b: float, spacing: float, points: int, depth: int, c: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ghost_k = sum_j w[k, j] u_j + v[k] value; shapes (depth, points) and (depth,).

    With s the distance from the face inward in cells, p(s) = sum_m c_m s^m, p(j + 1/2) = u_j and
    a p(0) - (b/h) p'(0) + (c/h^2) p''(0) = value; ghost_k = p(-k - 1/2).

    Raises:
        ZeroDivisionError: the condition does not determine the ghost.
    """
    n = points + 1
    ghosts = [[(-k - Fraction(1, 2)) ** m for m in range(n)] for k in range(depth)]
    return _weights(_polynomial(a, b, c, spacing, points), ghosts)


def mirror_weights(points: int, depth: int) -> np.ndarray:
    """Weights of ghosts that are the cells mirrored at the face; where there are fewer cells, mirrored at both ends."""
    weights = np.zeros((depth, points))
    for k in range(depth):
        turn, cell = divmod(k, points)
        weights[k, points - 1 - cell if turn % 2 else cell] = 1.0
    return weights


@cache
def slope_weights(spacing: float, points: int) -> tuple[np.ndarray, float]:
    """Weights of -du/dn = sum_j w[j] u_j + v f at a face where u = f; shape (points,) and a number."""
    row = [Fraction(0), 1 / Fraction(spacing)] + [Fraction(0)] * (points - 1)
    weights, value = _weights(_polynomial(1.0, 0.0, 0.0, spacing, points), [row])
    return weights[0], float(value[0])


def determines(a: np.ndarray, b: np.ndarray, spacing: float, points: int) -> bool:
    """Whether a u + b du/dn = value and the nearest owned cells determine the value at the face, wherever it is.

    They do unless a + b sum_j 1/(j + 1/2)/h = 0: then the polynomial that is zero in these cells meets it too.
    """
    if a.ndim == b.ndim == 0:
        slope = sum(1 / (j + Fraction(1, 2)) for j in range(points)) / Fraction(spacing)
        return Fraction(float(a)) + Fraction(float(b)) * slope != 0
    return bool((np.abs(a - b * slope_weights(spacing, points)[1]) > 1e-15 * np.abs(a)).all())


def _polynomial(a: float, b: float, c: float, spacing: float, points: int) -> list[list[Fraction]]:
    """Coefficients c_m of p as combinations of u_0 ... and the value, in rational numbers: same on all machines."""
    h, n = Fraction(spacing), points + 1
    rows = [[(j + Fraction(1, 2)) ** m for m in range(n)] for j in range(points)]
    rows.append(([Fraction(a), -Fraction(b) / h, 2 * Fraction(c) / h**2] + [Fraction(0)] * n)[:n])
    return _inverse(rows)


def _weights(inverse: list[list[Fraction]], rows: list[list[Fraction]]) -> tuple[np.ndarray, np.ndarray]:
    n = len(inverse)
    weights = np.array([[float(sum(g[m] * inverse[m][j] for m in range(n))) for j in range(n)] for g in rows])
    return weights[:, :-1], weights[:, -1]


def _inverse(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """Inverse of a small matrix by Gauss-Jordan elimination in rational numbers."""
    n = len(rows)
    work = [row + [Fraction(int(i == j)) for j in range(n)] for i, row in enumerate(rows)]
    for i in range(n):
        pivot = next((r for r in range(i, n) if work[r][i] != 0), None)
        if pivot is None:
            raise ZeroDivisionError("the boundary condition does not determine the boundary value")
        work[i], work[pivot] = work[pivot], work[i]
        work[i] = [v / work[i][i] for v in work[i]]
        for r in range(n):
            if r != i and work[r][i] != 0:
                work[r] = [v - work[r][i] * w for v, w in zip(work[r], work[i], strict=True)]
    return [row[n:] for row in work]


def _turned(value: float | Face, grid: Grid, axis: int) -> float | Face:
    """The value on a side with the opposite sign wherever an odd number of anti-periodic ends is between."""
    along = [d for d in range(3) if grid.anti[d] and d != axis]
    if not along or (not callable(value) and value == 0):
        return value

    def face(time: float, start: Triple, shape: Triple) -> np.ndarray:
        rounds = np.zeros((1, 1, 1), int)
        for d in along:
            index = np.arange(start[d], start[d] + shape[d]).reshape([-1 if i == d else 1 for i in range(3)])
            rounds = rounds + index // grid.cells[d]
        values = value(time, start, shape) if callable(value) else np.full(shape, value)
        return np.where(rounds % 2, -values, values)

    return face


class BoundaryFill:
    """Physical ghosts of fields on the sides of one axis.

    Args:
        fields: fields of one layout.
        conditions: by field and side; a side without one is a mirror.
        axis: 0 = z, 1 = y, 2 = x.
        depth: how many ghosts.
        base: how many owned cells a Dirichlet condition reads.
        slab: tangential ranges (z, y, x) in owned indices; the one along the axis is not read.
        sides: 0 for the lower face, 1 for the upper.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        conditions: Conditions,
        axis: int,
        depth: int,
        base: int,
        slab: Slab,
        sides: Sequence[int] = (0, 1),
    ) -> None:
        self.keep: list[np.ndarray] = []
        self.varying: list[tuple[Face, np.ndarray, Triple]] = []
        self.time: float | None = None
        ghosts = []
        for f in fields:
            for side in sides:
                if f.subdomain.is_physical(axis, side):
                    name = f"{AXES[axis]}{ENDS[side]}"
                    condition = conditions.get(f.name, {}).get(name, MIRROR)
                    ghosts.append(self._side(f, condition, axis, side, depth, base, slab))
        self.count = len(ghosts)
        self.list = (Ghost * len(ghosts))(*ghosts)
        if ghosts:
            self._fill = partial(fields[0].device.function("ghost", fields[0].dtype.name), self.list, len(ghosts))

    def __call__(self, time: float) -> None:
        """Fill the ghosts with the values of the conditions at a time."""
        self.evaluate(time)
        self._fill()

    def evaluate(self, time: float) -> None:
        """Evaluate the conditions that vary."""
        if time != self.time:
            for face, values, start in self.varying:
                values[...] = face(time, start, values.shape)
            self.time = time

    def _side(self, f: Field, condition: Condition, axis: int, side: int, depth: int, base: int, slab: Slab) -> Ghost:
        sub = f.subdomain
        points = min(condition.closure(base, depth), sub.shape[axis])
        ghost = Ghost(field=f.address, axis=axis, depth=depth, points=points)
        ghost.first = sub.shape[axis] - 1 if side else 0
        ghost.inward = -1 if side else 1
        ghost.lo[:], ghost.hi[:] = [a for a, _ in slab], [b for _, b in slab]
        ghost.stride[:] = f.stride
        a, b = condition.a, condition.b
        mixed = callable(a) or callable(b)
        spacing = sub.grid.spacing[axis]
        try:
            weights, values = condition.weights(spacing, points, depth)
        except ZeroDivisionError as error:
            raise CaseError(f"boundary.{f.name}.{AXES[axis]}{ENDS[side]}: {error}") from None
        for k in range(depth):
            ghost.weight[k][:points] = weights[k].tolist()
            ghost.value_weight[k] = float(values[k])
        faces = {"value": _turned(condition.value, sub.grid, axis) if condition.turns else condition.value}
        if mixed:
            slope, ghost.slope_value = slope_weights(spacing, points)
            ghost.slope[:points] = slope.tolist()
            faces |= {"a": a, "b": b}
        for name, face in faces.items():
            self._set_face(ghost, name, face, condition.varies, sub, axis, side, slab)
        return ghost

    def _set_face(
        self,
        ghost: Ghost,
        name: str,
        face: float | Face,
        varies: bool,
        sub: Subdomain,
        axis: int,
        side: int,
        slab: Slab,
    ) -> None:
        """Give the ghost an array over the face, to be evaluated now or at every new time."""
        if name == "value" and not callable(face):
            ghost.constant = face
            return
        shape = [b - a for a, b in slab]
        start = [s + a for s, (a, _) in zip(sub.start, slab, strict=True)]
        shape[axis], start[axis] = 1, -1 if side == 0 else sub.grid.cells[axis]
        values = np.empty(shape)
        self.keep.append(values)
        setattr(ghost, name, values.ctypes.data)
        ghost.value_stride[:] = [s // 8 for s in values.strides]
        z, y, x = start
        if not callable(face):
            values[...] = face
        elif varies:
            self.varying.append((face, values, (z, y, x)))
        else:
            values[...] = face(0.0, (z, y, x), values.shape)
