"""The values that an operator gives at a state, part by part, so that none of them is ever there as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parsolve.domain.field import bind, owned
from parsolve.domain.window import moved, parts, scratch, window
from parsolve.stages.operator import Update
from parsolve.stages.plain import Define

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parsolve.domain.field import Bound, Field
    from parsolve.domain.grid import Subdomain
    from parsolve.domain.halo import HaloExchange
    from parsolve.domain.window import Part
    from parsolve.stages.operator import Exchanges, Operator, State

CELLS = 1 << 15  # of a part: what is made of it stays in the cache until it is looked at


class Look(NamedTuple):
    """What looks at values of these names."""

    names: tuple[str, ...]
    act: Callable[[], object]


class Sampling:
    """An operator at a state, bound once to their fields.

    Args:
        operator: gives values; its results do not update anything.
        state: what it reads.
        others: coefficient fields, and those that its define stages make.
        shown: fields of the state that are looked at themselves.
        exchanges: fill the ghosts.
        bind: gives what looks at the values of a part, by their names; it is called whenever they are there.
        is_needed: whether a part is looked at; by default all are.
    """

    def __init__(
        self, operator: Operator | None, state: State, others: State, shown: Sequence[str], exchanges: Exchanges,
        bind: Callable[[State], Sequence[Look]], is_needed: Callable[[Part], bool] = lambda part: True,
    ) -> None:  # fmt: skip
        self._operator, self._defines = operator, list[Define]()
        self._moving = [f for f in others.values() if f.moves]
        self._exchange: HaloExchange | None = None
        like = next(iter(state.values()))
        self._parts: list[tuple[list[Bound], list[Look], list[Look]]] = []
        made: dict[str, Field] = {}
        for part in filter(is_needed, parts(like.subdomain, CELLS)):
            if not made or next(iter(made.values())).subdomain.shape != part.shape:
                names = operator.outputs if operator else ()
                made = {name: scratch(like, part, name, n) for n, name in enumerate(names)}
            here = {name: moved(f, part) for name, f in made.items()}
            bound, there = self._bound(part, {**state, **others}, here, shown)
            looks = bind(there)
            early = [look for look in looks if made.keys().isdisjoint(look.names)]
            late = [look for look in looks if not made.keys().isdisjoint(look.names)]
            self._parts.append((bound, early, late))
        if operator is not None:
            self._begin(operator, state, others, exchanges, like.subdomain)

    def _begin(self, operator: Operator, state: State, others: State, exchanges: Exchanges, sub: Subdomain) -> None:
        """What comes before: ghosts, then intermediate fields and integrals."""
        if operator.exchanged:
            read = [state[name] for name in operator.exchanged]
            self._exchange = exchanges.find(read, [operator], operator.ghost)
        update = Update(operator, state, {}, others)
        self._defines = [Define(update, stage, sub) for stage in operator.defines]
        results = [launch for bound, *_ in self._parts for launch in bound]
        for n, define in enumerate(self._defines):
            define.users = [*(later.launch for later in self._defines[n + 1 :]), *results]

    def _bound(
        self, part: Part, fields: State, made: Mapping[str, Field], shown: Sequence[str]
    ) -> tuple[list[Bound], dict[str, Field]]:
        """The kernels of the results over a part, and what is there after them."""
        seen = {name: window(f, part) for name, f in fields.items()}
        bound = []
        for stage in self._operator.results if self._operator else ():
            inputs, outputs = [seen[name] for name in stage.inputs], [made[name] for name in stage.outputs]
            bound.append(bind(stage.kernel, owned(part), inputs, outputs, coefficients=stage.coefficients))
        return bound, {**{name: seen[name] for name in shown}, **made}

    def __call__(self, time: float) -> None:
        """Show the values at a time to what looks, part by part; collective.

        The state is looked at one part ahead: that takes longer than to bring it from memory, while kernels would wait.
        """
        for f in self._moving:
            f.renew(time)
        if self._exchange is not None:
            self._exchange.start(time)
            self._exchange.finish(time)
        for define in self._defines:
            define(time)
        following: list[list[Look]] = [*(early for _, early, _ in self._parts), []]
        for look in following[0]:
            look.act()
        for (bound, _, late), early in zip(self._parts, following[1:], strict=True):
            for look in early:
                look.act()
            for launch in bound:
                launch.args.time = time
                launch()
            for look in late:
                look.act()
