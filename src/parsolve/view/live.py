"""A picture of a run while it goes on: of its newest frame, replaced as there are others."""

from __future__ import annotations

import os
import warnings
from time import monotonic
from typing import TYPE_CHECKING

from parsolve.store.result import open_result
from parsolve.store.writing import refuse_name, refuse_special, write_whole
from parsolve.view.cut import choose_field
from parsolve.view.figures import blank, picture_of
from parsolve.view.plot import frames_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 2.0  # between two pictures at least
SHARE = 10  # times as long as a picture takes is between two of them: at most a tenth of the time goes into them
BESIDE = ".live.png"


def check_picture(path: Path) -> None:
    """Refuse a name under which no picture can be written or replaced.

    Raises:
        StorageError: nothing can be written there, or there is something else than a regular file.
    """
    refuse_name(path)
    if os.path.lexists(path):
        refuse_special(path)


class LivePicture:
    """Draws frames of a run as `plot` does, the first field and the middle plane; used by one rank.

    It raises nothing: what goes wrong is told once, and the run goes on.

    Args:
        path: the picture; None: beside the result, with ".live.png".
        warn: tells a text.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], object]) -> None:
        self._path, self._warn, self._is_told = path, warn, False
        self._next = 0.0  # when another picture may be drawn
        self._left: tuple[Path, Path] | None = None  # a result and its newest frame, without a picture yet
        self._try(blank)  # loads matplotlib, before the march begins

    def show(self, result: Path, frame: Path) -> None:
        """Take the frame that was just written, of a run into this result; draw it if it is time."""
        self._left = result, frame
        if monotonic() < self._next:
            return
        begun = monotonic()
        self.finish()
        now = monotonic()
        self._next = now + max(SECONDS, SHARE * (now - begun))

    def finish(self, done: Path | None = None) -> None:
        """Draw the newest frame, if it was not; with ``done``, the complete result, from there."""
        left, self._left = self._left, None
        if left is not None:
            result, frame = left
            self._try(lambda: self._draw(self._path or result.with_suffix(BESIDE), done or frame))

    def _draw(self, path: Path, frame: Path) -> None:
        with open_result(frame) as result:
            figure = frames_of(result, choose_field(result, None), [len(result.times) - 1])
        write_whole(path, picture_of(figure, path), force=True)

    def _try(self, act: Callable[[], object]) -> None:
        """Do it, and tell the first time what went wrong."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                act()
        except Exception as caught:
            if not self._is_told:
                self._warn(f"--live: {caught or type(caught).__name__}; the run goes on without this picture")
            self._is_told = True
