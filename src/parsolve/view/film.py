"""Moving pictures on the disk, one picture after the other: GIF by pillow, MP4 by ffmpeg; whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager, suppress
from struct import pack
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from parsolve.case.tables import nearest
from parsolve.errors import CaseError, SetupError
from parsolve.store.writing import failure, give_name, written_aside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from parsolve.errors import ResourceError, StorageError

    Picture = NDArray[np.uint8]  # (rows, columns, red green blue)

SUFFIXES = (".gif", ".mp4")
FASTEST = {".gif": 50.0, ".mp4": 240.0}  # pictures a second; viewers slow down what is faster
SLOWEST = 0.01
_GREYS = 32  # of the 256 colours of a GIF; the others are those of the colormap
_PATIENCE = 60.0  # seconds for ffmpeg to end


class Film(Protocol):
    """What takes pictures of one size."""

    def add(self, picture: Picture) -> None:
        """Take the next picture.

        Raises:
            OSError, StorageError: it cannot be written.
        """

    def finish(self) -> None:
        """Write what is left.

        Raises:
            OSError, StorageError: it cannot be written.
        """


def check_film(path: Path, fps: float) -> None:
    """Refuse what no film can be.

    Raises:
        CaseError: another format than GIF and MP4, or a speed that it has not.
        SetupError: what writes it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        hint = nearest(suffix, SUFFIXES, "formats") if suffix else "; formats: .gif, .mp4"
        raise CaseError(f"{path}: no movie is written as '{suffix}'{hint}")
    if not SLOWEST <= fps <= FASTEST[suffix]:
        raise CaseError(f"--fps {fps:g}: {suffix} has {SLOWEST:g} to {FASTEST[suffix]:g} pictures a second")
    if suffix == ".mp4":
        ffmpeg()
    else:
        pillow()


def ffmpeg() -> str:
    """Return the path of ffmpeg.

    Raises:
        SetupError: there is none.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise SetupError('.mp4 needs imageio-ffmpeg: pip install "parsolve[movie]", or take .gif') from error


def pillow() -> Any:
    """Return the module of images of pillow.

    Raises:
        SetupError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise SetupError('.gif needs pillow: pip install "parsolve[movie]"') from error
    return Image


@contextmanager
def new_film(path: Path, fps: float, colormap: str, force: bool) -> Iterator[Film]:
    """Give a film that gets its name when the body is done, and is nothing when that fails.

    Args:
        path: its name, which says the format.
        fps: pictures a second.
        colormap: of matplotlib, whose colours are kept where there are few.
        force: replace a file that is there.

    Raises:
        StorageError, ResourceError: it cannot be written.
        SetupError: what writes it is not installed.
    """
    with written_aside(path) as aside:
        with _mp4(path, aside, fps) if path.suffix.lower() == ".mp4" else _gif(aside, fps, colormap) as film:
            yield film
            film.finish()
        give_name(aside, path, force=force)


class _Gif:
    """Pictures of 256 colours, of which those after the first hold what has changed."""

    def __init__(self, file: IO[bytes], fps: float, colormap: str) -> None:
        self._file, self._fps, self._image, self._count = file, fps, pillow(), 0
        self._colours = _palette(colormap)
        self._palette = self._image.new("P", (1, 1))
        self._palette.putpalette(self._colours.ravel().tolist())
        self._last: Any = None

    def add(self, picture: Picture) -> None:
        from PIL import ImageChops
        from PIL.GifImagePlugin import getdata

        shown = self._image.fromarray(picture).quantize(palette=self._palette, dither=self._image.Dither.NONE)
        box = (0, 0, *shown.size)
        if self._last is None:
            self._file.write(b"GIF89a" + pack("<HHBBB", *shown.size, 0xF7, 0, 0) + self._colours.tobytes())
            self._file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # for ever again
        else:
            # Compared as numbers of colours: pillow does not take the difference of images with a palette.
            box = ImageChops.difference(_numbers(shown), _numbers(self._last)).getbbox() or (0, 0, 1, 1)
        begun, ended = (round(100.0 * n / self._fps) for n in (self._count, self._count + 1))
        for part in getdata(shown.crop(box), box[:2], duration=10 * (ended - begun), disposal=1):
            self._file.write(part)
        self._last, self._count = shown, self._count + 1

    def finish(self) -> None:
        self._file.write(b";")


def _numbers(image: Any) -> Any:
    """Return an image with a palette as one of grey levels that are the numbers of its colours."""
    return pillow().fromarray(np.asarray(image))


@contextmanager
def _gif(aside: Path, fps: float, colormap: str) -> Iterator[Film]:
    with aside.open("xb") as file:
        yield _Gif(file, fps, colormap)


def _palette(colormap: str) -> NDArray[np.uint8]:
    """Return 256 colours: those of a colormap, and greys for axes and letters."""
    from matplotlib import colormaps

    known = colormaps[colormap](np.linspace(0.0, 1.0, 256 - _GREYS))[:, :3]
    grey = np.repeat(np.linspace(0.0, 1.0, _GREYS)[:, None], 3, axis=1)
    return np.rint(255.0 * np.concatenate([known, grey])).astype(np.uint8)


class _Mp4:
    """Pictures that go to ffmpeg, which begins with the first."""

    def __init__(self, path: Path, aside: Path, fps: float, said: IO[bytes]) -> None:
        self._path, self._aside, self._fps, self._said = path, aside, fps, said
        self.process: subprocess.Popen[bytes] | None = None

    def add(self, picture: Picture) -> None:
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2  # H.264 has no odd ones
        if self.process is None:
            self.process = self._start(width, height)
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(picture[:height, :width]).data)
        except OSError:
            raise self._failed() from None

    def finish(self) -> None:
        if self.process is None:
            return
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            code = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            code = -1
        if code:
            raise self._failed()

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self._fps:.6g}", "-i", "-"]
        codec = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", "18", "-pix_fmt", "yuv420p"]  # all players know
        target = ["-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", f"file:{self._aside.absolute()}"]
        command = [ffmpeg(), "-y", "-nostdin", "-v", "error", *source, *codec, *target]
        try:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            raise SetupError(f"{command[0]}: cannot be started: {error.strerror or error}") from error

    def _failed(self) -> StorageError | ResourceError:
        """Return what ffmpeg says went wrong."""
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        text = "; ".join(lines[-3:]) or "it ended by itself"
        full = os.strerror(errno.ENOSPC) in text
        return failure(self._path, "write it", OSError(errno.ENOSPC if full else None, f"ffmpeg says: {text}"))


@contextmanager
def _mp4(path: Path, aside: Path, fps: float) -> Iterator[Film]:
    with TemporaryFile() as said:
        film = _Mp4(path, aside, fps, said)
        try:
            yield film
        finally:
            if film.process is not None:
                if film.process.poll() is None:
                    film.process.kill()
                film.process.wait()
                with suppress(OSError):
                    assert film.process.stdin is not None
                    film.process.stdin.close()
