"""What is left of a march whose numbers went wrong: its last state, what is around the first bad cell, its steps."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.domain.grid import AXES
from parsolve.domain.reduce import first_bad
from parsolve.errors import ParsolveError, on_root
from parsolve.store.files import rename
from parsolve.store.layout import Content
from parsolve.store.places import FAILED
from parsolve.store.slabs import FrameWriter
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from parsolve.domain.reduce import Bad
    from parsolve.errors import NumericalError
    from parsolve.problem.prepare import Prepared

AROUND = 3  # cells beside the bad one along each axis


def write_postmortem(march: Prepared, folder: Path, known: Mapping[str, str], error: NumericalError) -> None:
    """Write the last state and its story into the folder of frames, and say so in the error; collective.

    What cannot be written is not: the error of the march is the one that matters.

    Args:
        march: that failed.
        folder: of its frames.
        known: where the result comes from.
        error: of all ranks.
    """
    problem, comm, state = march.problem, march.comm, march.state
    step, time, _ = comm.bcast(march.history.last)
    story = {
        "error": str(error), "step": step, "time": time,
        "changes of dt (step, time, dt)": list(march.history.changes), "around": _around(march),
    }  # fmt: skip
    state_file, story_file = (folder / name for name in FAILED)
    infos = tuple(problem.described(dict.fromkeys(state, "")))
    content = Content(problem.grid, infos, problem.dtype, known, tuple(problem.dimensions))
    sub, partial = next(iter(state.values())).subdomain, folder / f".{state_file.name}.partial"

    def tell() -> None:
        rename(partial, state_file)
        text = json.dumps(_plain(story), indent=1, allow_nan=False)
        write_whole(story_file, text.encode(), force=True)

    with suppress(ParsolveError):
        writer, owned = FrameWriter(comm, content), {info.name: state[info.name].owned for info in content.fields}
        writer.write(partial, time, step, sub, owned, writer.size, "the failed state")
        on_root(comm, tell)
        error.args = (f"{error}; the state is in '{state_file}', more of it in '{story_file.name}' beside it",)


def _around(march: Prepared) -> dict[str, Any] | None:
    """The first cell that is not finite and the values about it, on rank 0; None if there is none; collective."""
    comm, state = march.comm, march.state
    own = next((found for f in state.values() if (found := first_bad(f)) is not None), None)
    bad: Bad | None = next((one for one in comm.allgather(own) if one is not None), None)
    if bad is None:
        return None
    grid = march.problem.grid
    lower = [max(0, i - AROUND) for i in bad.index]
    upper = [min(n, i + AROUND + 1) for i, n in zip(bad.index, grid.cells, strict=True)]
    values: dict[str, np.ndarray] = {}
    for name, f in state.items():
        sub, whole = f.subdomain, np.empty([b - a for a, b in zip(lower, upper, strict=True)])
        cuts = [(max(a, s), min(b, e)) for a, b, s, e in zip(lower, upper, sub.start, sub.stop, strict=True)]
        inside = tuple(slice(a - s, b - s) for (a, b), s in zip(cuts, sub.start, strict=True))
        mine = f.owned[inside].copy() if all(a < b for a, b in cuts) else None
        for part, place in comm.gather((mine, cuts)) or ():
            if part is not None:
                whole[tuple(slice(a - o, b - o) for (a, b), o in zip(place, lower, strict=True))] = part
        values[name] = whole.reshape([n for n, there in zip(whole.shape, grid.present, strict=True) if there])
    cell = {axis: bad.index[AXES.index(axis)] for axis in grid.names}
    first = {axis: lower[AXES.index(axis)] for axis in grid.names}
    return {"field": bad.field, "cell": cell, "first cell of the values": first, "values": values}


def _plain(value: Any) -> Any:
    """As JSON takes it, what is not finite as text."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(float(value))
    return value.item() if isinstance(value, np.generic) else value
