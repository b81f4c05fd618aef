"""Whether a solution grows far beyond what the rates of its equation allow."""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING, Any

from parsolve.domain.reduce import magnitude
from parsolve.march.schedule import START, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from parsolve.stages.operator import State

ABSURD = 1e6  # times as large as the rates allow


class Growth:
    """Follows the largest magnitude of each field; ``warnings`` say which grew absurdly.

    That is by ABSURD beyond doublings and exp(rate t).

    Args:
        state: the initial state.
        rates: largest magnitude of the rates there, which may make a field out of nothing.
        growth: the largest rate at which the solution may grow now.
        clock: where the march begins.
    """

    def __init__(
        self, state: State, rates: Mapping[str, float], growth: Callable[[], float], clock: Clock = START
    ) -> None:
        self.warnings: list[str] = []
        self._rates, self._growth, self._before = rates, growth, clock
        self._sizes, self._excess = _sizes(state), dict.fromkeys(state, 0.0)

    def numbers(self) -> dict[str, Any]:
        """What it remembers from look to look, as JSON takes it."""
        before = [self._before.step, self._before.time]
        return {
            "before": before, "sizes": self._sizes, "excess": self._excess, "rates": dict(self._rates),
            "warnings": self.warnings,
        }  # fmt: skip

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Remember that."""
        self._before = Clock(*numbers["before"])
        self._sizes, self._excess = dict(numbers["sizes"]), dict(numbers["excess"])
        self._rates = numbers.get("rates", self._rates)
        self.warnings = list(numbers["warnings"])

    def look(self, state: State, clock: Clock) -> None:
        """Compare the state with that of the look before; collective."""
        length, begin = clock.time - self._before.time, self._before
        self._before, before, self._sizes = clock, self._sizes, _sizes(state)
        for name, size in self._sizes.items():
            made = length * self._rates.get(name, 0.0)
            least = max(before[name], made)
            if not 0 < least < inf or size == 0:
                continue
            beyond = log(size / least) - self._growth() * length - log(2)
            self._excess[name] = self._excess[name] + beyond if beyond > 0 else 0.0
            if self._excess[name] > log(ABSURD) and not any(text.startswith(f"{name}: ") for text in self.warnings):
                self.warnings.append(
                    f"{name}: values grew from {before[name]:.3g} to {size:.3g} between t = {begin.time:.6g} and "
                    f"{clock.time:.6g}, far more than the rates of the equation let them: look at the step, the "
                    "boundary conditions and the sign of what drives them"
                )


def _sizes(state: State) -> dict[str, float]:
    return {name: magnitude(f) for name, f in state.items()}
