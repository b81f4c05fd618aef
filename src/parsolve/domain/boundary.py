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
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parsolve.domain.closure import face_weights, ghost_weights, mirror_weights, slope_weights
from parsolve.domain.grid import AXES
from parsolve.errors import CaseError
from parsolve.kernels.library import Ghost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.domain.field import Field
    from parsolve.domain.grid import Grid, Subdomain, Triple

ENDS = ("min", "max")


Face = Callable[[float, tuple[int, int, int], tuple[int, int, int]], np.ndarray]


@dataclass(frozen=True)
class Near:
    """What is known at a side of a field whose value there is sought: du/dn = slope u - inner; all of one shape.

    ``first``: the cell beside it.
    """

    slope: float
    inner: np.ndarray
    first: np.ndarray


class Wall(Protocol):
    """Finds the values at a side of the fields whose conditions there depend on values of the state.

    Attributes:
        fields: whose values it finds.
        reads: other fields whose values at the side it takes.
        free: those of ``reads`` that are no mirrors where they have no condition, but go on as they are.
    """

    fields: tuple[str, ...]
    reads: tuple[str, ...]
    free: tuple[str, ...]

    def __call__(
        self, time: float, start: Triple, near: Mapping[str, Near], known: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """The values on a box of cells of the side, of ``near`` for ``fields`` and the values of ``reads`` there."""


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
    wall: Wall | None = None

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
        if self.wall is not None or callable(self.a) or callable(self.b):
            return ghost_weights(1.0, 0.0, spacing, points, depth)
        return ghost_weights(self.a, self.b, spacing, points, depth, self.c)


MIRROR = Condition(0.0, 1.0, 0.0, mirrors=True)
Conditions = Mapping[str, Mapping[str, Condition]]  # field -> side -> condition
Slab = list[tuple[int, int]]  # ranges along z, y, x


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
        self.beside: dict[int, Beside] = {}
        ghosts = []
        for f in fields:
            for side in sides:
                if f.subdomain.is_physical(axis, side):
                    name = f"{AXES[axis]}{ENDS[side]}"
                    condition = conditions.get(f.name, {}).get(name, MIRROR)
                    ghosts.append(self._side(f, condition, axis, side, depth, base, slab))
                    if condition.wall is not None:
                        key = id(condition.wall)
                        if key not in self.beside:
                            self.beside[key] = Beside(condition.wall, fields, conditions, (axis, side), base, slab)
                        self.beside[key].gives(f.name, self.keep[-1])
        self.count = len(ghosts)
        self.list = (Ghost * len(ghosts))(*ghosts)
        if ghosts:
            self._fill = partial(fields[0].device.function("ghost", fields[0].dtype.name), self.list, len(ghosts))

    def __call__(self, time: float) -> None:
        """Fill the ghosts with the values of the conditions at a time."""
        self.evaluate(time)
        self._fill()

    def evaluate(self, time: float) -> None:
        """Evaluate the conditions that vary, those that depend on the state anew each time."""
        if time != self.time:
            for face, values, start in self.varying:
                values[...] = face(time, start, values.shape)
            self.time = time
        for beside in self.beside.values():
            beside(time)

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
        if condition.wall is not None:
            self._set_face(ghost, "value", _unknown, False, sub, axis, side, slab)
            return ghost
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
        start, shape = _face_box(sub, axis, side, slab)
        values = np.empty(shape)
        self.keep.append(values)
        setattr(ghost, name, values.ctypes.data)
        ghost.value_stride[:] = [s // 8 for s in values.strides]
        if not callable(face):
            values[...] = face
        elif varies:
            self.varying.append((face, values, start))
        else:
            values[...] = face(0.0, start, shape)


def _face_box(sub: Subdomain, axis: int, side: int, slab: Slab) -> tuple[Triple, Triple]:
    """Where the values on a part of a side begin, along the axis just outside of the grid, and their shape."""
    shape = [b - a for a, b in slab]
    start = [s + a for s, (a, _) in zip(sub.start, slab, strict=True)]
    shape[axis], start[axis] = 1, -1 if side == 0 else sub.grid.cells[axis]
    return (start[0], start[1], start[2]), (shape[0], shape[1], shape[2])


def _unknown(time: float, start: Triple, shape: Triple) -> np.ndarray:
    return np.full(shape, np.nan)


class Beside:
    """What a wall finds of the cells beside a side, bound to fields and a part of the side.

    Args:
        wall: finds the values.
        fields: those that it finds and reads among them.
        conditions: by field and side; a side without one is a mirror.
        place: axis, and 0 for the lower side, 1 for the upper.
        base: how many owned cells a Dirichlet condition reads.
        slab: as of ``BoundaryFill``.
    """

    def __init__(
        self, wall: Wall, fields: Sequence[Field], conditions: Conditions, place: tuple[int, int], base: int, slab: Slab
    ) -> None:
        axis, side = place
        sub = fields[0].subdomain
        self.wall, self._base, self._most = wall, base, sub.shape[axis]
        self._spacing, self._name = sub.grid.spacing[axis], f"{AXES[axis]}{ENDS[side]}"
        self._fields = {f.name: f for f in fields if f.name in (*wall.fields, *wall.reads)}
        self._conditions = {name: conditions.get(name, {}).get(self._name) for name in self._fields}
        self._start, self._shape = _face_box(sub, axis, side, slab)
        self._part = [slice(a + o, b + o) for (a, b), o in zip(slab, sub.ghosts, strict=True)]
        self._axis, self._first = axis, sub.ghosts[axis] + (sub.shape[axis] - 1 if side else 0)
        self._inward, self._found = -1 if side else 1, dict[str, np.ndarray]()

    def gives(self, name: str, values: np.ndarray) -> None:
        """Have the values of a field written there."""
        self._found[name] = values

    def __call__(self, time: float) -> None:
        """Find the values of a time."""
        near = {name: self._near(name) for name in self.wall.fields}
        known = {name: self._known(name, time) for name in self.wall.reads}
        for name, values in self.wall(time, self._start, near, known).items():
            if name in self._found:
                self._found[name][...] = values

    def _combined(self, name: str, weights: np.ndarray) -> np.ndarray:
        """A combination of the cells beside the side, the nearest first."""
        total = np.zeros(self._shape)
        for place, weight in enumerate(weights.tolist()):
            total += weight * self._cell(name, place)
        return total

    def _cell(self, name: str, place: int) -> np.ndarray:
        part, at = list(self._part), self._first + self._inward * place
        part[self._axis] = slice(at, at + 1)
        return self._fields[name].array[tuple(part)].astype(np.float64)

    def _near(self, name: str) -> Near:
        condition = self._conditions[name]
        assert condition is not None
        weights, value = slope_weights(self._spacing, min(condition.closure(self._base, 1), self._most))
        return Near(-value, self._combined(name, weights), self._cell(name, 0))

    def _known(self, name: str, time: float) -> np.ndarray:
        """The value at the side of a field whose condition there does not depend on the state."""
        given = self._conditions[name]
        if given is None and name in self.wall.free:
            return self._combined(name, face_weights(0.0, 0.0, 0.0, 1.0, min(self._base + 1, self._most))[0])
        condition = Condition(0.0, 1.0, 0.0) if given is None or given.mirrors else given
        points = min(condition.closure(self._base, 1), self._most)
        a, b, value = (
            part(time, self._start, self._shape) if callable(part) else part
            for part in (condition.a, condition.b, condition.value)
        )
        if condition.c:
            weights, weight = face_weights(0.0, 0.0, condition.c, self._spacing, points)
            return self._combined(name, weights) + weight * value
        weights, slope = slope_weights(self._spacing, points)
        with np.errstate(all="ignore"):
            found: np.ndarray = (value + b * self._combined(name, weights)) / (a - b * slope)
        return found
