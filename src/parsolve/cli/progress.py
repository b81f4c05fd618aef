"""The progress line: step, time, step size, speed and remaining time."""

from __future__ import annotations

from time import perf_counter
from typing import TextIO

from parsolve.cli.streams import tell

TERMINAL_SECONDS = 0.2  # between updates of the line on a terminal
LOG_SECONDS = 10.0  # between lines in a log
FIRST_SECONDS = 2.0  # until the first line of a log
LOOK_SECONDS = 0.02  # between looks at the clock


class ProgressLine:
    """Reports how far the march is; used by one rank only.

    `update` is called every step, so it looks at the clock only every so many calls.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.terminal = stream is not None and stream.isatty()
        self.countdown = self.stride = 1
        self.width = 0
        self.state = (0, 0.0, 0.0)
        self.noted = ""

    def start(self, total_time: float | None, total_steps: int | None, cells: int) -> None:
        """Begin: the goal (time or steps, as far as known) and the cells updated in a step."""
        self.total_time, self.total_steps, self.cells = total_time, total_steps, cells
        self.began = self.looked = perf_counter()
        self.interval = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        self.shown = self.began - (self.interval if self.terminal else LOG_SECONDS - FIRST_SECONDS)
        self.first: tuple[int, float] | None = None  # step and time at the first update: a march may start anywhere

    def update(self, step: int, time: float, dt: float) -> None:
        """Take note of a finished step."""
        self.countdown -= 1
        if self.countdown > 0:
            self.state = (step, time, dt)
            return
        self._look(step, time, dt)

    def note(self, text: str) -> None:
        """Show this too."""
        self.noted = text

    def finish(self) -> None:
        """Show the last state."""
        if self.stream is not None and self.first is not None:
            self._show(perf_counter(), "\n", last=True)
        self.width = 0

    def close(self) -> None:
        """End a line left open on a terminal by a march that failed."""
        if self.terminal and self.width:
            tell("", stream=self.stream)
            self.width = 0

    def _look(self, step: int, time: float, dt: float) -> None:
        """Look at the clock, choose when to look again, and print if it is time."""
        now = perf_counter()
        self.state = (step, time, dt)
        if self.first is None:
            self.first = (max(step - 1, 0), max(time - dt, 0.0))
        elapsed = max(now - self.looked, 1e-9)
        self.stride = max(1, min(2 * self.stride, int(self.stride * LOOK_SECONDS / elapsed)))
        self.countdown, self.looked = self.stride, now
        if self.stream is not None and now - self.shown >= self.interval:
            self.shown = now
            self._show(now, "" if self.terminal else "\n")

    def _show(self, now: float, end: str, last: bool = False) -> None:
        text = self.line(now - self.began, last)
        if self.terminal:
            text, self.width = "\r" + text.ljust(self.width), len(text)
        tell(text, end, self.stream)

    def line(self, elapsed: float, last: bool = False) -> str:
        """Return the progress after so many seconds, as one line."""
        step, time, dt = self.state
        first_step, first_time = self.first or (0, 0.0)
        speed = (step - first_step) / max(elapsed, 1e-9)
        done = 0.0
        if self.total_time:
            done = (time - first_time) / max(self.total_time - first_time, 1e-300)
        elif self.total_steps:
            done = (step - first_step) / max(self.total_steps - first_step, 1)
        done = min(max(done, 0.0), 1.0)
        parts = [
            f"step {step}" + (f"/{self.total_steps}" if self.total_steps else ""),
            f"t {time:.4g}" + (f"/{self.total_time:.4g}" if self.total_time else ""),
            f"dt {dt:.3g}",
            f"{100 * done:.0f} %",
            f"{speed:.3g} steps/s",
            f"{speed * self.cells:.2g} cells/s",
        ]
        if last:
            parts.append(f"took {duration(elapsed)}")
        else:
            parts.append(f"ETA {duration(elapsed * (1 - done) / done)}" if done > 0 else "ETA ?")
        return "  ".join([*parts, self.noted] if self.noted else parts)


def duration(seconds: float) -> str:
    """Return seconds as s, min:s or h:min:s."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
