"""The steps of a march, as they changed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsolve.march.march import Progress

STEPS = 100  # changes that are remembered


class History:
    """Remembers how the step changed, and tells a progress line of it, if there is one.

    Attributes:
        last: step, time and dt just done.
        changes: those after which dt was another one.
        spent: seconds of marching, and the steps that took them; those of before among them where it goes on.
    """

    def __init__(self) -> None:
        self._shown: Progress | None = None
        self.last = (0, 0.0, 0.0)
        self.changes: deque[tuple[int, float, float]] = deque(maxlen=STEPS)
        self.spent = (0.0, 0)

    def tells(self, shown: Progress | None) -> None:
        """From now on."""
        self._shown = shown

    def begin(self, step: int, time: float, dt: float) -> None:
        """Remember where it begins, with this step."""
        self.last = (step, time, dt)
        self.changes.append(self.last)

    def took(self, seconds: float, steps: int) -> None:
        """Remember that these steps took so long."""
        self.spent = (self.spent[0] + seconds, self.spent[1] + steps)

    def start(self, total_time: float | None, total_steps: int | None, cells: int) -> None:
        """Tell what is ahead."""
        if self._shown is not None:
            self._shown.start(total_time, total_steps, cells)

    def update(self, step: int, time: float, dt: float) -> None:
        """Remember the step just done."""
        if dt != self.last[2]:
            self.changes.append((step, time, dt))
        self.last = (step, time, dt)
        if self._shown is not None:
            self._shown.update(step, time, dt)

    def note(self, text: str) -> None:
        """Tell what else is known of it."""
        if self._shown is not None:
            self._shown.note(text)

    def finish(self) -> None:
        """Tell that the march is over."""
        if self._shown is not None:
            self._shown.finish()
