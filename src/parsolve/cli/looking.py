"""Commands that draw what is in results: `plot`, `movie` and `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsolve.cli.streams import answer
from parsolve.cli.words import file_name, number, seconds
from parsolve.errors import CaseError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mpi4py import MPI

    from parsolve.view.scale import Look


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `plot`, `movie` and `report`."""
    parser = add(
        "plot", "draw a result as PNG, PDF or SVG", "python -m parsolve plot gray-scott.h5 --field v --sheet -o v.png"
    )
    parser.add_argument("result", metavar="OUT.h5", type=file_name)
    parser.add_argument("--field", metavar="NAME", help="field to draw (default: the first)")
    nearest = "draw the frame nearest to this time (default: the last)"
    parser.add_argument("--time", type=number, metavar="T", help=nearest)
    plane = "plane of a 3-D field (default: the middle of z), or line of a 2-D field, e.g. z=0.5"
    parser.add_argument("--slice", metavar="AXIS=POSITION", help=plane)
    parser.add_argument("--sheet", action="store_true", help="contact sheet over time")
    parser.add_argument("--times", type=_numbers, metavar="T,...", default=[], help="the frames nearest to these times")
    line = "values along a line, e.g. y=0.5, in 3-D y=0.5,z=0.25 (repeatable)"
    parser.add_argument("--line", action="append", metavar="AXIS=POSITION", default=[], help=line)
    parser.add_argument("--minus", type=file_name, metavar="OTHER.h5", help="take the values of another result away")
    parser.add_argument("--vectors", metavar="U,V", help="two fields as arrows over the map")
    parser.add_argument("--streamlines", metavar="U,V", help="two fields as streamlines over the map")
    surface = "the surface where a 3-D field has this value (needs pyvista)"
    parser.add_argument("--isosurface", type=number, metavar="VALUE", help=surface)
    measures = "time series, all or these, over time"
    parser.add_argument("--series", nargs="?", const="", metavar="NAME,...", help=measures)
    waves = "radial spectrum of a field of a periodic result"
    parser.add_argument("--spectrum", metavar="FIELD", help=waves)
    _scale(parser)
    picture = "picture, .png, .pdf or .svg (default: OUT.FIELD.png, numbered if taken)"
    parser.add_argument("-o", "--output", type=file_name, metavar="PICTURE", help=picture)
    parser.add_argument("--force", action="store_true", help="replace an existing picture")
    parser.set_defaults(do=plot, parallel=False, writes=True)

    example = "mpirun -n 4 python -m parsolve movie gray-scott.h5 --field v -o v.mp4"
    parser = add("movie", "draw all frames of a result as GIF or MP4", example)
    what = "the result, or the folder of frames of a run under way"
    parser.add_argument("result", metavar="OUT.h5", type=file_name, help=what)
    parser.add_argument("--field", metavar="NAME", help="field to draw (default: the first)")
    parser.add_argument("--slice", metavar="AXIS=POSITION", help=plane)
    parser.add_argument("--fps", type=seconds, metavar="N", help="pictures a second (default: 10)")
    _scale(parser)
    movie_name = "movie; the suffix .gif or .mp4 says the format"
    parser.add_argument("-o", "--output", type=file_name, metavar="MOVIE", required=True, help=movie_name)
    parser.add_argument("--force", action="store_true", help="replace an existing movie")
    parser.set_defaults(do=movie, parallel=True, writes=True)

    parser = add("report", "write a page about a result", "python -m parsolve report gray-scott.h5 -o report.html")
    parser.add_argument("result", metavar="OUT.h5", type=file_name)
    page = "one file of HTML with all pictures in it (default: OUT.html, numbered if taken)"
    parser.add_argument("-o", "--output", type=file_name, metavar="PAGE", help=page)
    parser.add_argument("--force", action="store_true", help="replace an existing page")
    parser.set_defaults(do=report, parallel=False, writes=True)


def _scale(parser: argparse.ArgumentParser) -> None:
    """Add what is asked of the scale."""
    mirrored = "of values of both signs the other limit is the mirror image"
    parser.add_argument("--vmin", type=number, metavar="V", help=f"lower limit of the colours, or of lines; {mirrored}")
    parser.add_argument("--vmax", type=number, metavar="V", help="upper limit")
    parser.add_argument("--log", action="store_true", help="logarithmic scale; what is not above zero is grey")
    chosen = "a colormap of matplotlib (default: viridis, or RdBu_r for values of both signs)"
    parser.add_argument("--colormap", metavar="NAME", help=chosen)


def _numbers(text: str) -> list[float]:
    """Return the numbers of an option, with commas between them.

    Raises:
        ArgumentTypeError: it says another thing.
    """
    return [number(part) for part in text.split(",")]


def _look(args: argparse.Namespace) -> Look:
    """Return what is asked of the scale."""
    from parsolve.view.scale import Look

    return Look(args.vmin, args.vmax, args.log, args.colormap)


def plot(args: argparse.Namespace, start_mpi: object) -> int:
    """Draw a field, its spectrum or what was measured, and print the path of the picture."""
    if args.series is not None:
        from parsolve.view.series import draw_series

        _refuse_others(args, "series", "log")
        names = [name.strip() for name in args.series.split(",") if name.strip()]
        answer(str(draw_series(args.result, names, args.output, args.log, args.force)))
        return 0
    if args.spectrum is not None:
        from parsolve.view.spectrum import draw_spectrum

        _refuse_others(args, "spectrum", "time", "times")
        answer(str(draw_spectrum(args.result, args.spectrum, args.time, args.times, args.output, args.force)))
        return 0

    from parsolve.view.plot import draw

    wish = {name: getattr(args, name) for name in ("times", "minus", "vectors", "streamlines", "isosurface")}
    picture = draw(
        args.result, args.field, args.time, args.slice, args.output, args.sheet, _look(args), args.force,
        lines=args.line, **wish,
    )  # fmt: skip
    answer(str(picture))
    return 0


def _refuse_others(args: argparse.Namespace, option: str, *with_it: str) -> None:
    """Refuse options that mean nothing beside one that says what is drawn.

    Raises:
        CaseError: one is given.
    """
    others = ("field", "time", "times", "slice", "sheet", "line", "minus", "vectors", "streamlines", "isosurface")
    for other in (*others, "series", "spectrum", "vmin", "vmax", "log", "colormap"):
        if other not in (option, *with_it) and getattr(args, other) not in (None, False, []):
            raise CaseError(f"--{other}: does not go with --{option}")


def movie(args: argparse.Namespace, start_mpi: Callable[[], MPI.Intracomm]) -> int:
    """Draw all frames of a field and print the path of the movie."""
    comm = start_mpi()

    from parsolve.view.movie import FPS, draw_movie

    fps = FPS if args.fps is None else args.fps
    out = draw_movie(comm, args.result, args.output, args.field, fps, args.slice, _look(args), args.force)
    if comm.rank == 0:
        answer(str(out))
    return 0


def report(args: argparse.Namespace, start_mpi: object) -> int:
    """Write a page about a result and print its path."""
    from parsolve.view.report import write_report

    answer(str(write_report(args.result, args.output, args.force)))
    return 0
