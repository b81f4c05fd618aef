"""What the engine runs: operators (kernels that give values at the cells of a state) and updates of fields by them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from parsolve.domain.boundary import MIRROR
from parsolve.domain.field import Bound, Box, Field, arguments, bind, owned
from parsolve.domain.halo import HaloExchange
from parsolve.kernels.library import MAX_COEFFICIENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsolve.domain.boundary import Conditions
    from parsolve.domain.grid import Triple
    from parsolve.kernels.library import Args, Kernel

State = Mapping[str, Field]


@dataclass(frozen=True)
class StageKernel:
    """A kernel, the names of the fields it takes and gives, and its constants.

    Attributes:
        radius: neighbours that it reads.
        updates: whether it gives a combination of terms + scale * values, or the values themselves.
        reach: how far beyond the owned cells it is computed where it makes an intermediate field.
        integral: number of the integral that the sum of its output over the grid, times ``factor``, is; or None.
        timed: whether it reads the time.
        noisy: whether it takes noise that changes in time.
    """

    kernel: Kernel
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    coefficients: tuple[float, ...] = ()
    radius: int = 0
    updates: bool = True
    reach: int = 0
    integral: int | None = None
    factor: float = 1.0
    timed: bool = False
    noisy: bool = False


@dataclass(frozen=True)
class Operator:
    """Kernels that give values at the cells of a state: intermediate stages in order, then the results.

    Attributes:
        defines: stages of intermediate fields and integrals.
        results: stages of the results, each of which reads the state and the intermediate fields alone.
        exchanged: fields of the state whose ghosts are read.
        ghost: depth of these ghosts.
        radius: neighbours that one stage reads.
        base: owned cells that a Dirichlet condition reads.
        corners: whether a stage reads diagonal neighbours.
        conditions: boundary conditions of the state and of intermediate fields.
    """

    defines: tuple[StageKernel, ...]
    results: tuple[StageKernel, ...]
    exchanged: tuple[str, ...] = ()
    ghost: int = 0
    radius: int = 0
    base: int = 1
    corners: bool = False
    conditions: Conditions = field(default_factory=dict)

    @property
    def stages(self) -> tuple[StageKernel, ...]:
        """All stages in the order of evaluation."""
        return (*self.defines, *self.results)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the results."""
        return tuple(name for stage in self.results for name in stage.outputs)

    @cached_property
    def reach(self) -> int:
        """Neighbours that all stages read together, the results beside each other."""
        return sum(self.reads(stage) for stage in (*self.defines, self.results[0]))

    def reads(self, stage: StageKernel) -> int:
        """Neighbours that a stage reads, or for a result that any of the results does."""
        return max(r.radius for r in self.results) if stage in self.results else stage.radius

    @property
    def intermediate(self) -> tuple[str, ...]:
        """Names of the fields that the define stages make."""
        return tuple(name for stage in self.defines for name in stage.outputs)

    @cached_property
    def closure(self) -> int:
        """Most owned cells that any boundary condition reads."""
        given = (c for sides in self.conditions.values() for c in sides.values())
        return max(c.closure(self.base, self.radius) for c in (MIRROR, *given)) if self.exchanged else 1


@dataclass(frozen=True, eq=False)
class Update:
    """out = combination of terms + scale * operator(state) over the owned cells; the scale is told when it is run.

    The combination is weights[0] terms[0] + sum_j>0 weights[j] (terms[j] - terms[0]): weights[0] is the sum of all, and
    where that is 1 a constant stays as it is to the bit, so that no step makes it drift.
    Fields go by the names that the operator has for them.  ``others``: coefficient fields, whose ghosts are there
    already, and those that the define stages make.
    """

    operator: Operator
    state: State
    out: State
    others: State = field(default_factory=dict)
    terms: tuple[State, ...] = ()
    weights: tuple[float, ...] = ()

    @cached_property
    def fields(self) -> State:
        """What stages read, by name."""
        return {**self.state, **self.others}

    def outputs(self, stage: StageKernel) -> list[Field]:
        """The fields that a stage gives."""
        target = self.out if stage in self.operator.results else self.others
        return [target[name] for name in stage.outputs]

    def inputs(self, stage: StageKernel) -> list[Field]:
        """The fields that a stage reads, at neighbours too."""
        return [self.fields[name] for name in stage.inputs]

    def added(self, stage: StageKernel) -> list[Field]:
        """The terms to which a stage adds its values."""
        return [term[name] for term in self.terms for name in stage.outputs] if self.adds(stage) else []

    def adds(self, stage: StageKernel) -> bool:
        """Whether a stage adds its values to the terms."""
        return stage.updates and stage in self.operator.results

    def bind(self, stage: StageKernel, box: Box) -> Bound:
        """A stage over a box."""
        terms = [[term[name] for name in stage.outputs] for term in self.terms] if self.adds(stage) else []
        weights = self.weights if self.adds(stage) else ()
        return bind(
            stage.kernel, box, self.inputs(stage), self.outputs(stage), terms,
            coefficients=stage.coefficients, weights=weights,
        )  # fmt: skip


def set_noise(args: Args, step: int, strength: float) -> None:
    """Tell a kernel the step that it is of, and the strength of its noise, where the first two integrals would be."""
    args.coefficient[MAX_COEFFICIENTS - 1] = step
    args.coefficient[MAX_COEFFICIENTS - 2] = strength


class Norm:
    """Max |e| / (tolerance (1 + max(|before|, |after|))) over the owned cells, e = scale k + a combination of terms.

    Infinity where that is not finite.  As a maximum it has the same bits in every order.
    """

    def __init__(
        self, k: Field, before: Field, after: Field, terms: Sequence[Field] = (), weights: Sequence[float] = ()
    ) -> None:
        self.args = arguments(k.subdomain, k.stride, owned(k.subdomain))
        fields = (k, before, after, *terms)
        self.args.field[: len(fields)] = [f.address for f in fields]
        self.args.terms, self.args.weight[: len(weights)] = len(terms), weights
        self.args.scale = 1.0
        self.result = ctypes.c_double()
        self.function = k.device.function("error_norm", k.dtype.name)
        self._launch = partial(self.function, ctypes.byref(self.args), ctypes.byref(self.result))
        self._keep = fields

    def set(self, scale: float, tolerance: float) -> None:
        """Choose the scale of k and the tolerance, absolute and relative."""
        self.args.scale = scale
        self.args.coefficient[:2] = [tolerance, tolerance]

    def __call__(self) -> None:
        """Compute ``result``, that of this rank."""
        self._launch()


class Exchanges:
    """The halo exchanges of some updates, each made at its first use, which is collective, and freed with the rest."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], HaloExchange] = {}

    def find(
        self, fields: Sequence[Field], operators: Sequence[Operator], depth: int | Triple, without: Sequence[int] = ()
    ) -> HaloExchange:
        """What fills the ghosts of fields as deep as is said, and physical ones as deep as operators read."""
        conditions = {name: sides for op in operators for name, sides in op.conditions.items()}
        radius, base = max(op.radius for op in operators), max(op.base for op in operators)
        meant = [(f.name, *side) for f in fields for side in conditions.get(f.name, {}).items()]
        key = (*map(id, fields), depth, *without, radius, base, *meant)
        if key not in self._made:
            self._made[key] = HaloExchange(
                fields, conditions, depth=depth, boundary_depth=radius, base=base, without=without
            )
        return self._made[key]

    def free(self) -> None:
        """Free all; collective.  One that is needed again is made again."""
        for exchange in self._made.values():
            exchange.free()
        self._made.clear()
