"""Command lines: unknown and misplaced words, options with values that they cannot have, outputs that cannot be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hostile.given import Input, ending, setting, toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {"a.toml": toml()}


def words(*argv: str, says: str = "", code: int = 2, **more: object) -> Input:
    """A command line in a folder with the small case."""
    return Input(argv=argv, code=code, words=(says,), files=FILES, **more)


def output(
    name: str, *says: str, code: int = 5, command: str = "run", argv: tuple[str, ...] = (), **more: object
) -> Input:
    """A command that is to write to a place."""
    source = "a.toml" if command == "run" else "heat"
    files = {**FILES, **more.pop("files", {})}
    return Input(argv=(command, source, "-o", name, *argv), code=code, words=says, files=files, **more)


def link(target: str) -> Callable[[Path], None]:
    """Makes a link to a target."""
    return lambda path: path.symlink_to(target)


COMMANDS = ("run", "check", "eq", "compile", "list", "new", "info", "plot", "compare", "bench", "doctor")
BAD_COUNTS = ("0", "-1", "1.5", "abc", "", "1e3", "nan", "0x10", "9" * 5000, "1 2", "++1")
LINES = [
    words("solve", says="unknown command 'solve'"),
    words("Run", says="'run'"),
    words("rnu", says="'run'"),
    words("a.toml", says="run a.toml"),
    words("heat", says="run heat"),
    words("", says="command"),
    words(" ", says="command"),
    words("--", says="'--'"),
    words("-", says="'-'"),
    words("--run", says="--run"),
    words("-x", says="-x"),
    words("--ver", says="--ver"),
    words("run\n", says="command"),
    words("\x1b[31mrun", says="command"),
    words("💥", says="command"),
    words("r" * 100000, says="command"),
    words("--set", "time.end=1", says="time.end=1"),
    words("--quiet", "run", "heat", says="--quiet"),
    words("--version", "--version", says="parsolve", code=0),
    words("--version", "run", "heat", says="parsolve", code=0),
    words("--help", says="exit codes", code=0),
    words("-h", says="exit codes", code=0),
    *(words(command, "--help", says="usage", code=0) for command in COMMANDS),
    *(words(command, "--nonsense", says="nonsense" if command in ("list", "bench", "doctor") else "") for command in COMMANDS),
    *(words(command, says="required") for command in ("run", "check", "eq", "compile", "new", "info", "plot", "compare")),
    *(words(command, "a.toml", "b.toml", "c.toml", says="c.toml") for command in ("compare",)),
    *(words(command, "a.toml", "b.toml", says="b.toml") for command in ("run", "check", "eq", "compile")),
    *(words(command, "hea", says="'heat'") for command in ("run", "check", "eq", "compile", "new")),
    *(words(command, name, says="no such file") for command in ("run", "check") for name in ("none.toml", "/none/none", "~")),
    *(words(command, name) for command in ("run", "check", "eq") for name in ("", " ", ".", "..", "/", "a.toml/b")),
    words("run", "n" * 300, says="n"),
    words("run", "/" * 5000, says="/"),
    words("run", "a/" * 3000, says="a/"),
    words("run", "a.toml", "--set"),
    words("run", "a.toml", "-o", says="-o"),
    words("run", "a.toml", "--output=", says="--output"),
    words("run", "a.toml", "--sett", "time.end=1", says="--set"),
    words("run", "a.toml", "--show-c", says="--show-c"),
    words("check", "a.toml", "-o", "b.h5", says="-o"),
    words("check", "a.toml", "--force", says="--force"),
    *(words("check", "a.toml", "--ranks", text, says="--ranks") for text in BAD_COUNTS),
    *(words("bench", "--size", text, says="--size") for text in BAD_COUNTS[:6]),
    *(words("bench", "--threads", text, says="--threads") for text in BAD_COUNTS[:6]),
    *(words("bench", f"--seconds={text}", says="--seconds") for text in ("0", "-1", "nan", "inf", "abc", "", "1e400")),
    words("bench", "--precision", "float16", says="float16"),
    words("bench", "heat4d", says="heat3d"),
    words("bench", "--peers", "--scaling", says="--scaling"),
    words("list", "case", says="'cases'"),
    words("list", "", says="kind"),
    words("list", "cases", "schemes", says="schemes"),
    words("list", "--json", says="heat", code=0),
    words("new", "heat.toml", says="heat.toml", code=0, leaves=("heat.toml",)),
    words("new", "../heat", says="'heat'"),
    words("new", "", says="packaged"),
    words("new", "heat", "-o", "a.toml", says="exists", code=5),
    words("eq", "a.toml", "--json", says="--json"),
    words("eq", "a.toml", "--show-c", "--show-c", says="laplace", code=0),
    words("compare", "a.toml", "a.toml", says="a.toml", code=5),
    words("plot", "a.h5", "--time", "abc", says="--time"),
    words("info", "none.h5", says="none.h5", code=5),
    words("plot", "none.h5", says="none.h5", code=5),
    words("compare", "none.h5", "none.h5", says="none.h5", code=5),
    words("info", "", code=2),
    words("plot", "", code=2),
    words("compare", "", "", code=2),
    words("info", "a.toml", says="a.toml", code=5),
    words("plot", "a.toml", says="a.toml", code=5),
    words("info", ".", says=".", code=5),
    words("plot", "/", code=5),
    words("info", "/dev/null", says="/dev/null", code=5),
    words("plot", "/dev/zero", says="/dev/zero", code=5),
]  # fmt: skip
SETS = [
    *(setting(text, words=("--set",)) for text in
      ("", "=", "=1", "time", "time.end", ".=1", "time.=1", ".end=1", "time..end=1", "time.end", " =1", "==", "a", "\0=1")),
    *(setting(text, words=(text.partition("=")[0],)) for text in
      ("tim.end=1", "time.ende=1", "time.end.a=1", "a=1", "origin=1", "time.end=", "time.end==1",
       "time.end=1 2", "time.end=[1", "time.end=\"1", "time.end={", "time.end='1'\ntime.dt='a'", "time.end=1\nschema=2",
       "Time.End=1", "time.scheme=RK4", "time.scheme=rk", "grid.x.cells=10**21", "grid.x.cells=1_0__0", "schema=1.5",
       "time.dt=Auto", "time.end=💥", "💥=1", "a.b.c.d.e.f=1", "initial.w=1", "boundary.u.xmin=1", "initial.u=",
       "run.threads=" + "9" * 5000, "time.end=" + "9" * 5000, "initial.u=" + "[" * 3000, "parameters.E=1",
       "grid.x.cells=1e21", "run.device=gpu", "run.order=10", "output.fields=u", "output.fields=['v']")),
    setting("a" + ".a" * 5000 + "=1", words=("unknown key",)),
    setting("a" * 5000 + "=1", words=("valid: grid",)),
    setting("time.end=1", "time.end=0.01", code=0),
    setting("time.end=0.01", "time.steps=2", words=("steps       2",), code=0),
    setting("title=" + "t" * 10000, code=0),
    setting("grid.x.cells=" + "0" * 100 + "8"),
    setting(" grid.x.cells = 4 ", words=("4 x 16",), code=0),
    setting("parameters.D=1 # unit", code=0),
]  # fmt: skip
OUTPUTS = [
    output("a\nb.h5", "control"),
    output("\x1b[31m.h5", "control"),
    output("none/out.h5", "none"),
    output("/none/out.h5", "/none", nobody=True),
    output("a.toml", "a.toml"),
    output("a.toml", "a.toml", argv=("--force",)),
    output("./a.toml", "a.toml", argv=("--force",)),
    output("a.toml/out.h5", "a.toml"),
    output(".", "."),
    output("..", ".."),
    output("/", "/", nobody=True),
    output(".", ".", argv=("--force",)),
    output("/", "/", argv=("--force",), nobody=True),
    output("", code=2),
    output(" /out.h5", "out.h5"),
    output("n" * 300 + ".h5", "n"),
    output("n" * 250 + ".h5", "n"),
    output("a/" * 3000 + "b.h5", "a/"),
    output("a\nb.h5", "control characters"),
    output("/dev/null", "/dev/null", nobody=True),
    output("/dev/null", "/dev/null", argv=("--force",), nobody=True),
    output("/dev/full", "/dev/full", argv=("--force",), nobody=True),
    output("pipe", "pipe", files={"pipe": os.mkfifo}),
    output("pipe", "pipe", files={"pipe": os.mkfifo}, argv=("--force",)),
    output("/proc/out.h5", "/proc", nobody=True),
    output("/sys/out.h5", "/sys", nobody=True),
    output("old.h5", "old.h5", files={"old.h5": "not a result"}),
    output("old.h5", "old.h5", files={"old.h5": "not a result"}, argv=("--force",)),
    output("folder", "folder", files={"folder/file": ""}, argv=("--force",)),
    output("link.h5", "link.h5", files={"link.h5": link("a.toml")}, argv=("--force",)),
    output("link.h5", "link.h5", files={"link.h5": link("link.h5")}, argv=("--force",)),
    output("link.h5", "link.h5", files={"link.h5": link("none")}),
    output("out.h5", "out.h5", files={"out.h5.frames": "in the way"}),
    output("none/new.toml", "none", command="new"),
    output(".", ".", command="new"),
    output("/", "/", command="new", argv=("--force",), nobody=True),
    output("", command="new", code=2),
    output("n" * 300, "n", command="new"),
    output("/dev/full", "/dev/full", command="new", argv=("--force",), nobody=True),
    *(ending(output(name, code=0, leaves=(name,))) for name in
      ("out", "out.txt", "-", "💥.h5", "a b.h5", "'$(touch hacked)'.h5", "\udcff.h5", "n" * 200 + ".h5")),
]  # fmt: skip
INPUTS: list[Input] = [*LINES, *SETS, *OUTPUTS]
