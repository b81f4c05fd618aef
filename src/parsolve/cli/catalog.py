"""What there is to run: `list` and `new`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from parsolve.case.tables import nearest, packaged
from parsolve.cli.streams import answer
from parsolve.cli.words import file_name, table
from parsolve.errors import CaseError
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def register(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add `list` and `new`."""
    parser = add("list", "list equations, schemes and packaged cases", "python -m parsolve list equations")
    parser.add_argument("kind", nargs="?", metavar="equations|schemes|cases", help="what to list (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(do=show_list, parallel=False, writes=False)

    parser = add("new", "copy a packaged case, to be changed", "python -m parsolve new gray-scott -o spots.toml")
    parser.add_argument("name", metavar="NAME", help="a packaged case (see `list cases`)")
    parser.add_argument("-o", "--output", type=file_name, metavar="FILE", help="file to write (default: NAME.toml)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.set_defaults(do=new, parallel=False, writes=True)


def show_list(args: argparse.Namespace, start_mpi: object) -> int:
    """Print the names, with a line about each."""
    kinds = {"equations": equations, "schemes": schemes, "cases": cases}
    if args.kind is not None and args.kind not in kinds:
        raise CaseError(f"list: unknown kind '{args.kind}'{nearest(args.kind, kinds)}")
    found = {kind: entries() for kind, entries in kinds.items() if args.kind in (None, kind)}
    if args.json:
        answer(json.dumps(found))
        return 0
    lines = (line for kind, entries in found.items() for line in (f"{kind}:", *table(entries.items(), "  ")))
    answer("\n".join(lines))
    return 0


def equations() -> dict[str, str]:
    """Return the equations of the catalogue: name -> formula and parameters."""
    from parsolve.equations.catalogue import CATALOGUE

    return {
        name: equation.formula + "".join(f"; {key} = {value.default:g}" for key, value in equation.parameters.items())
        for name, equation in CATALOGUE.items()
    }


def schemes() -> dict[str, str]:
    """Return the time schemes: name -> order, stages and source."""
    from parsolve.march.tableaus import SCHEMES

    return {
        name: f"order {scheme.order}{', adaptive' if getattr(scheme, 'b_hat', ()) else ''}; {scheme.source}"
        for name, scheme in SCHEMES.items()
    }


def cases() -> dict[str, str]:
    """Return the packaged cases: name -> title."""
    import tomllib

    return {name: str(tomllib.loads(text).get("title", "")) for name, text in packaged().items()}


def new(args: argparse.Namespace, start_mpi: object) -> int:
    """Copy a packaged case with its comments."""
    known = packaged()
    name = args.name.removesuffix(".toml")
    if name not in known:
        raise CaseError(f"new: no packaged case '{args.name}'{nearest(name, known, 'packaged cases')}")
    path = args.output or Path(f"{name}.toml")
    write_whole(path, known[name].encode(), force=args.force)
    answer(f"{path}\nrun it: python -m parsolve run {shlex.quote(str(path))}")
    return 0
