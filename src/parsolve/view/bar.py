"""The bar of tqdm, for a march that is called from Python."""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsolve.march.schedule import Clock, Stop


class Bar:
    """Tells tqdm how far a march is, in its steps or its time."""

    def __init__(self, bar: Any, by_steps: bool, clock: Clock) -> None:
        self._bar, self._by_steps = bar, by_steps
        self._last: float = clock.step if by_steps else clock.time

    def start(self, total_time: float | None, total_steps: int | None, cells: int) -> None:
        """A part of the march begins."""

    def update(self, step: int, time: float, dt: float) -> None:
        """Tell the step just done."""
        here = step if self._by_steps else time
        self._bar.update(here - self._last)
        self._last = here

    def note(self, text: str) -> None:
        """Show what else is known of the march."""
        self._bar.set_postfix_str(text)

    def finish(self) -> None:
        """A part of the march is over."""


@contextmanager
def bar_of(wanted: bool, clock: Clock, stop: Stop) -> Iterator[Bar | None]:
    """A bar of tqdm up to a stop, if it is wanted and installed."""
    made: Any = None
    if wanted:
        with suppress(ImportError):
            from tqdm.auto import tqdm

            made = tqdm
    if made is None:
        yield None
        return
    by_steps = stop.step < math.inf
    total = stop.step - clock.step if by_steps else stop.time - clock.time
    with made(total=total, unit="step" if by_steps else "t") as bar:
        yield Bar(bar, by_steps, clock)
