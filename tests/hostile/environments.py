"""Environments: variables, limits of the system, streams and rights that a program does not expect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostile.expressions import own
from hostile.given import Input, case, toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = case(toml(), code=0)
CHECK = case(toml(), code=0, command="check")
LIST = Input(argv=("list",), code=0)
OWN = own("result", code=0, numpy=False)


def under(about: str, given: Input = RUN, code: int = 0, says: str = "", **more: Any) -> Input:
    """An input in an environment."""
    leaves = given.leaves if code == 0 else ()
    return replace(given, about=about, code=code, words=(says,) if says else (), **{"leaves": leaves} | more)


def variables(given: Input, code: int, *pairs: tuple[str, str | None], says: str = "", **more: Any) -> list[Input]:
    """An input with each of these variables."""
    return [under(f"{name}={value}", given, code, says, env={name: value}, **more) for name, value in pairs]


def closed(path: Path) -> None:
    """A folder that nobody may write to."""
    path.mkdir(mode=0o500)


def cache(mode: int) -> Callable[[Path], None]:
    """Makes a folder of caches with these rights."""

    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


STARTED = [  # what is settled when the interpreter or MPI starts
    *variables(RUN, 0, ("LC_ALL", "C"), ("PYTHONIOENCODING", "ascii"), ("TMPDIR", "/nonexistent"),
               ("HDF5_USE_FILE_LOCKING", "abc"), ("PYTHONWARNINGS", "error"), fresh=True),
    *variables(CHECK, 0, ("LC_ALL", "xx_YY"), ("LANG", "tr_TR.UTF-8"), ("PYTHONUTF8", "0"), ("PATH", ""), ("PATH", None),
               fresh=True),
    *variables(Input(argv=("eq", "a.toml"), files=RUN.files, code=0), 0, ("LC_ALL", "C"), ("PYTHONIOENCODING", "ascii"),
               ("PYTHONIOENCODING", "latin-1:strict"), ("PYTHONCOERCECLOCALE", "0"), fresh=True, says="laplace"),
    under("eq in C, without its conversion", Input(argv=("eq", "a.toml"), files=RUN.files, code=0), fresh=True,
          env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, says="laplace"),
    under("no stdout", LIST, 5, fresh=True, stdout="closed"),
    under("full stdout", LIST, 5, fresh=True, stdout="/dev/full"),
    under("full stdout", RUN, 5, fresh=True, stdout="/dev/full", leaves=("out.h5",)),
    under("full stdout, json", replace(CHECK, argv=(*CHECK.argv, "--json")), 5, fresh=True, stdout="/dev/full"),
    under("not UTF-8", replace(RUN, argv=("run", "a.toml", "-o", "\udcff.h5")), fresh=True, leaves=("*.h5",)),
    under("not UTF-8", replace(RUN, argv=("run", "\udcff.toml")), 2, fresh=True),
    under("not UTF-8", replace(CHECK, argv=(*CHECK.argv, "--set", "title=\udcff")), fresh=True),
]  # fmt: skip
VARIABLES = [
    *variables(RUN, 0, ("HOME", None), ("HOME", ""), ("HOME", "/nonexistent"), ("HOME", "a.toml"), ("COLUMNS", "-1"),
               ("COLUMNS", "abc"), ("TERM", "none"), ("TZ", "nowhere"), ("XDG_CACHE_HOME", "relative"), ("USER", None),
               ("XDG_CACHE_HOME", "/proc"), ("XDG_CACHE_HOME", "/dev/null"), ("NO_COLOR", "1"), ("OMP_NUM_THREADS", "1"),
               ("OMP_SCHEDULE", "abc"), ("OMP_PROC_BIND", "abc"), ("CC", "/nope"), ("CC", "'"), ("CFLAGS", "--nope")),
    *variables(replace(RUN, files={"a.toml": toml(run__threads=None)}), 0, ("OMP_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "")),
    *variables(replace(RUN, files={"a.toml": toml(run__threads=None)}), 3, ("OMP_NUM_THREADS", "abc"), ("OMP_NUM_THREADS", "0"),
               ("OMP_NUM_THREADS", "-1"), ("OMP_NUM_THREADS", "9" * 100), ("OMP_NUM_THREADS", "1e3"), says="OMP_NUM_THREADS"),
    *variables(OWN, 0, ("CC", "/nope"), ("PATH", "")),
    *variables(own("", code=0, numpy=False, run__require_compiled=True), 3, ("CC", "/nope"), ("CC", "true"), ("CC", "false"),
               ("CC", "'"), ("CC", "gcc --nope"), ("CC", "/"), ("PATH", ""), says="C"),
    *variables(own("", code=0, numpy=False, command="compile"), 3, ("CC", "/nope"), ("CC", "false"), says="C"),
]  # fmt: skip
CACHES = [
    under("cache closed", OWN, env={"XDG_CACHE_HOME": "{}/c"}, files={**OWN.files, "c": closed}, nobody=True),
    under("cache of others", OWN, says="cache", env={"XDG_CACHE_HOME": "{}/c"}, files={**OWN.files, "c": cache(0o777)}),
    under("cache is a file", OWN, says="cache", env={"XDG_CACHE_HOME": "{}/a.toml"}),
]
LIMITS = [
    under(
        "files of 12 MB",
        case(toml(grid__x__cells=1024, grid__y__cells=2048, time__steps=1, time__end=None), code=5),
        5,
        "out.h5",
        limits={"FSIZE": 12_000_000},
        leaves=("out.h5.frames*",),
    ),
    under("files of 500 bytes", replace(LIST, argv=("new", "heat")), 5, "heat.toml", limits={"FSIZE": 500}),
    under("little memory", case(toml(grid__x__cells=20000, grid__y__cells=20000), code=6), 6, limits={"AS": 4 << 30}),
    under(
        "little memory to plan", replace(CHECK, files={"a.toml": toml(grid__x__cells=100000, grid__y__cells=100000)})
    ),
]
PLACES = [
    under("folder closed", replace(RUN, argv=("run", "a.toml", "-o", "c/out.h5")), 5, says="c/out.h5", nobody=True,
          files={**RUN.files, "c": closed}),
]  # fmt: skip
INPUTS: list[Input] = [*STARTED, *VARIABLES, *CACHES, *LIMITS, *PLACES]
