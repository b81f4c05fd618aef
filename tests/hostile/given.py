"""A hostile or odd input: what is given to the program, and how it must end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

Content = str | bytes | Callable[[Path], object]  # of a file: text, bytes, or what makes it at a path

# A small case that is right in every key; whatever is wrong in an input is what its table says.
CASE: dict[str, Any] = {
    "title": "A plate",
    "equation": "heat",
    "grid": {"x": {"cells": 8, "range": [0.0, 1.0]}, "y": {"cells": 16, "range": [0.0, 2.0], "periodic": True}},
    "parameters": {"D": 1.0},
    "initial": {"u": "1 + sin(pi*x)"},
    "boundary": {"u": {"xmin": {"dirichlet": 1.0}, "xmax": {"robin": [1.0, 1.0, 0.5]}}},
    "time": {"end": 0.01, "scheme": "rk4", "dt": "auto"},
    "output": {"every": 0.005, "keep_frames": False},
    "run": {"order": 2, "precision": "float64", "device": "cpu", "check_every": 8, "pipeline": "auto", "threads": 1},
}
OWN: dict[str, Any] = {key: value for key, value in CASE.items() if key != "equation"} | {
    "evolve": {"u": "D*laplace(u)"},
    "boundary": {},
}


@dataclass(frozen=True, kw_only=True)
class Input:
    """What is given, and what must come of it.

    argv: the command line; files: what lies in the current directory; env: variables, None takes one away;
    limits: of resources, by the names in `resource`; stdout: a path, or "closed"; nobody: without the rights of root.
    code: of exit; words: each in what is printed; leaves: patterns of what may be left behind;
    fresh: in an interpreter of its own, for what is settled when one starts.
    """

    argv: tuple[str, ...]
    code: int = 2
    words: tuple[str, ...] = ()
    files: Mapping[str, Content] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    stdout: str = ""
    nobody: bool = False
    fresh: bool = False
    leaves: tuple[str, ...] = ()
    about: str = ""

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.about, "$", *(short(ascii(word)) for word in self.argv))))


def short(text: str) -> str:
    """The text, or how it begins and how long it is."""
    return text if len(text) < 100 else f"{text[:90]}... ({len(text)})"


def toml(case: Mapping[str, Any] = CASE, **changes: Any) -> str:
    """The text of a case with other values at dotted keys, `grid__x__cells=3`; None takes a key away."""
    tables: dict[str, Any] = copy.deepcopy(dict(case))
    for path, value in changes.items():
        *tops, last = path.split("__")
        table = tables
        for top in tops:
            table = table.setdefault(top, {})
        if value is None:
            table.pop(last, None)
        else:
            table[last] = value
    return tomli_w.dumps(tables)


def case(text: Content, *words: str, code: int = 2, command: str = "run", about: str = "", **more: Any) -> Input:
    """A command on a case file."""
    argv = (command, "a.toml", *(("-o", "out.h5") if command == "run" else ()))
    given = Input(argv=argv, code=code, words=words, files={"a.toml": text}, about=about, **more)
    return ending(given)


def setting(*overrides: str, words: tuple[str, ...] = (), code: int = 2, command: str = "run", **more: Any) -> Input:
    """A command on the small case with `--set` of these."""
    given = case(toml(), *words, code=code, command=command, **more)
    return replace(given, argv=(*given.argv, *(word for text in overrides for word in ("--set", text))))


def ending(given: Input) -> Input:
    """The input with what a run may leave: its result, or the frames before the numbers went wrong."""
    made = {0: ("out.h5",), 4: ("out.h5.frames", "out.h5.frames/*")}.get(given.code, ())
    return replace(given, leaves=(*given.leaves, *made)) if given.argv[0] == "run" else given
